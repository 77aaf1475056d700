"""What docs/shared-store.md shows, is right."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import click
import pytest
import s3_servers
from s3_servers import Server
from support import Project

from lineal.api.config import load_configuration
from lineal_cli.app import COMMANDS, lineal

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "shared-store.md").read_text("utf-8")
# Service Authorization Reference, "Actions, resources, and condition keys for Amazon S3"
RIGHT_OF = {
    "abort_multipart_upload": "s3:AbortMultipartUpload",
    "complete_multipart_upload": "s3:PutObject",
    "create_multipart_upload": "s3:PutObject",
    "delete_objects": "s3:DeleteObject",
    "get_object": "s3:GetObject",
    "head_object": "s3:GetObject",
    "list_objects_v2": "s3:ListBucket",
    "put_object": "s3:PutObject",
    "upload_part": "s3:PutObject",
}
FLOW = """
    from lineal import File, output, pipeline, stage


    @stage
    def make(size: int) -> File:
        path = output("made.bin")
        path.write_bytes(b"x" * size)
        return File(path)


    @pipeline
    def flow(size: int = 20_000_000) -> File:
        return make(size)
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def policies() -> tuple[dict[str, Any], dict[str, Any]]:
    """The writer's and the reader's."""
    writer, reader = (json.loads(block) for block in blocks("json") if '"Statement"' in block)
    return writer, reader


def actions(policy: dict[str, Any]) -> set[str]:
    return {action for statement in policy["Statement"] for action in statement["Action"]}


# --- the server ------------------------------------------------------------------------------------


def test_the_policies_give_the_rights_that_the_backend_needs_and_no_other() -> None:
    known = set(boto3.client("s3", region_name="us-east-1").meta.method_to_api_mapping)
    sources = (ROOT / "store" / "lineal_store" / "backends").glob("s3*.py")
    words = {word for source in sources for word in re.findall(r'"([a-z0-9_]+)"', source.read_text("utf-8"))}
    needed = {RIGHT_OF[operation] for operation in words & known}
    writer, reader = policies()

    assert actions(writer) == needed
    (deletes,) = [each for each in writer["Statement"] if "s3:DeleteObject" in each["Action"]]
    assert deletes["Action"] == ["s3:DeleteObject"]
    assert all(resource.endswith("/claims/*") for resource in deletes["Resource"])
    assert actions(reader) == {"s3:GetObject", "s3:ListBucket"}


def test_all_json_on_the_page_parses() -> None:
    *_, lifecycle = [json.loads(block) for block in blocks("json")]

    assert lifecycle["Rules"][0]["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] > 0


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[Server]:
    """A server that checks policies; moto does when it is told after how many requests to begin."""
    with s3_servers.moto_server(tmp_path / "data") as server:
        yield server


def as_user(server: Server, name: str, policy: dict[str, Any]) -> dict[str, str]:
    """The environment of a new user with that policy."""
    owner = server.environment
    iam = boto3.client(
        "iam",
        endpoint_url=server.endpoint,
        region_name=owner["AWS_REGION"],
        aws_access_key_id=owner["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=owner["AWS_SECRET_ACCESS_KEY"],
    )
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="lineal", PolicyDocument=json.dumps(policy))
    keys = iam.create_access_key(UserName=name)["AccessKey"]
    return s3_servers.environment(server.endpoint, (keys["AccessKeyId"], keys["SecretAccessKey"]))


def begin_to_check_policies(server: Server) -> None:
    request = urllib.request.Request(
        f"{server.endpoint}/moto-api/reset-auth", data=b"0", headers={"Content-Type": "text/plain"}
    )
    with urllib.request.urlopen(request) as reply:
        assert reply.status == 200


def test_with_these_policies_a_writer_runs_and_a_reader_reads(
    project: Project, strict: Server, tmp_path: Path
) -> None:
    """The result is large enough to be sent in parts."""
    strict.make_bucket("acme-ml")
    writer, reader = (
        as_user(strict, name, policy) for name, policy in zip(("writer", "reader"), policies(), strict=True)
    )
    begin_to_check_policies(strict)
    project.write("flow.py", FLOW)
    project.variables["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    team = {"LINEAL_STORE": "s3://acme-ml/churn"}

    ran = project.json("run", **team, **writer)
    assert (ran.code, ran.words("cache")) == (0, {"make": "miss"}), ran.err

    project.variables["XDG_CACHE_HOME"] = str(tmp_path / "another")
    read = project.json(
        "run", LINEAL_STORE=str(tmp_path / "own"), LINEAL_UPSTREAM=team["LINEAL_STORE"], **reader
    )
    assert (read.code, read.words("cache")) == (0, {"make": "hit"}), read.err
    fetched = project.command(
        "get", "flow@latest", "-o", "out.bin", **team, **reader, LINEAL_NAMESPACE="tests"
    )
    assert (fetched.code, (project.root / "out.bin").stat().st_size) == (0, 20_000_000), fetched.err
    assert project.json("run", "--force", "make", **team, **reader).code == 5

    found = {check["name"]: check for check in project.json("doctor", **team, **reader).document["checks"]}
    [shown] = blocks("text")
    for line in shown.splitlines():
        if not line.startswith(" "):
            state, name = line[:7].strip(), line[9:33].strip()
            assert found[name]["state"] == state, line
    assert found["store writing"]["detail"] in shown and found["store writing"]["hint"] in shown
    elsewhere = project.json("doctor", LINEAL_STORE="s3://acme-ml/other", **writer)
    assert elsewhere.code == 5


# --- the machine -----------------------------------------------------------------------------------


def test_shell_blocks_are_shell() -> None:
    for block in blocks("sh"):
        subprocess.run(["bash", "-n"], input=block, text=True, check=True)


def test_the_files_of_aws_give_a_profile_that_leads_to_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import botocore.session

    config, credentials = blocks("ini")
    for name, text in (("config", config), ("credentials", credentials)):
        configparser.ConfigParser().read_string(text)
        (tmp_path / name).write_text(text)
    s3_servers.use(
        {
            "AWS_PROFILE": "team",
            "AWS_CONFIG_FILE": str(tmp_path / "config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        },
        monkeypatch,
    )

    session = botocore.session.Session()

    assert session.create_client("s3").meta.endpoint_url == "https://minio.example.org:9000"
    assert session.get_config_variable("ca_bundle") == "/etc/ssl/certs/our-own-ca.pem"
    assert session.get_credentials().access_key == "ada"


# --- the project -----------------------------------------------------------------------------------


@pytest.mark.parametrize("block", blocks("toml"))
def test_every_configuration_on_the_page_is_read(block: str, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(block)

    configuration = load_configuration(tmp_path, environ={})

    assert set(configuration.origins.values()) == {"default", "pyproject.toml"}
    if "profiles.production" in block:
        assert load_configuration(tmp_path, profile="production", environ={}).namespace == "production"


def test_the_table_of_settings_has_names_variables_and_defaults_right(tmp_path: Path) -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| `?([^|`]*)`? \|", PAGE, re.MULTILINE)
    configuration = load_configuration(tmp_path, environ={})

    assert len(rows) == 6
    assert [
        name
        for name, variable, _ in rows
        if name not in configuration.origins or variable != f"LINEAL_{name.upper()}"
    ] == []
    written = {name: default for name, _, default in rows}
    assert written["cache_limit"] == f"{configuration.cache_limit_bytes // 10**9} GB"


def test_every_command_of_the_page_is_one() -> None:
    lines = [line for block in blocks("console") for line in block.splitlines()]
    assert lines and all(line.startswith("$ ") for line in lines)

    for line in lines:
        words = [word for word in shlex.split(line[2:]) if not re.match(r"[A-Z_]+=", word)]
        assert words[0] == "lineal" and words[1] in COMMANDS, line
        with click.Context(lineal) as context:
            name, command, arguments = lineal.resolve_command(context, words[1:])
            assert command is not None
            if isinstance(command, click.Group):
                name, command, arguments = command.resolve_command(context, arguments)
                assert command is not None
            command.make_context(name, arguments)


def test_the_links_within_the_page_lead_somewhere() -> None:
    headings = {
        re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    }

    links = re.findall(r"\]\(#([^)]+)\)", PAGE)
    assert links and set(links) <= headings
