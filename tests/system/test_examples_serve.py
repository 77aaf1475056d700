"""What users copy to run the daemon as a service: it is accepted, keeps its promises, and holds no secret."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from lineal_cli.app import COMMANDS
from lineal_cli.commands.serve import serve

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "serve"
UNIT = EXAMPLES / "lineal.service"
KEYS_OF_A_SERVICE = {
    *("image", "build", "command", "entrypoint", "environment", "volumes", "ports", "depends_on"),
    *("healthcheck", "restart", "init", "stop_grace_period"),
}


def service() -> dict[str, str]:
    parser = ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(UNIT)
    return dict(parser["Service"])


def options(arguments: list[str]) -> dict[str, Any]:
    """What `lineal serve` understands of its arguments."""
    return serve.make_context("serve", list(arguments)).params


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((EXAMPLES / "compose.yaml").read_text()))


# -- systemd ----------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "lineal.service"
    unit.write_text(UNIT.read_text().replace("/opt/lineal/bin/lineal", sys.executable))

    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_leaves_runs_alone_when_the_daemon_ends() -> None:
    unit = service()

    assert (unit["KillMode"], unit["OOMPolicy"], unit["Restart"]) == ("process", "continue", "always")
    assert unit["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert "PrivateTmp" not in unit  # it would be removed below runs that go on
    program, command, *arguments = shlex.split(unit["ExecStart"])
    assert (Path(program).name, command) == ("lineal", "serve")
    assert options(arguments)["log_form"] == "json"
    assert not options(arguments)["drain"]


def test_what_the_daemon_writes_the_unit_lets_it_write() -> None:
    unit = service()

    assert unit["ProtectSystem"] == "strict"
    assert {unit["WorkingDirectory"], "/tmp"} <= set(unit["ReadWritePaths"].split())


# -- Compose ----------------------------------------------------------------------------------


def test_compose_has_services_volumes_and_nothing_that_it_does_not_know(compose: dict[str, Any]) -> None:
    assert compose.keys() == {"services", "volumes"}
    named = {
        volume.partition(":")[0]
        for each in compose["services"].values()
        for volume in each.get("volumes", ())
        if not volume.startswith((".", "/"))
    }
    assert named == compose["volumes"].keys()
    for name, each in compose["services"].items():
        assert each.keys() <= KEYS_OF_A_SERVICE
        assert ("image" in each) != ("build" in each)
        assert set(each.get("depends_on", ())) <= compose["services"].keys() - {name}
        for other, wanted in each.get("depends_on", {}).items():
            by = {"service_healthy": "healthcheck", "service_completed_successfully": "command"}
            assert by[wanted["condition"]] in compose["services"][other]


def test_images_have_versions_and_ports_are_this_machines(compose: dict[str, Any]) -> None:
    for each in compose["services"].values():
        assert re.search(r":RELEASE\.\d{4}-", each["image"]) if "image" in each else True
        assert all(port.startswith("127.0.0.1:") for port in each.get("ports", ()))


def test_there_is_no_secret_in_any_of_it(compose: dict[str, Any]) -> None:
    for each in compose["services"].values():
        for name, value in each.get("environment", {}).items():
            if re.search("PASSWORD|SECRET", name):
                assert re.fullmatch(r"\$\{[A-Z_]+:\?set it in \.env\}", value), name
    given = [line for line in (EXAMPLES / "example.env").read_text().splitlines() if "=" in line]
    assert {line for line in given if not line.startswith("#")} == {"MINIO_ROOT_PASSWORD=", "STORE_SECRET="}
    asked = set(re.findall(r"\$\{([A-Z_]+):", (EXAMPLES / "compose.yaml").read_text()))
    assert asked == {"MINIO_ROOT_PASSWORD", "STORE_SECRET"}


def test_the_container_waits_for_its_runs_and_is_watched(compose: dict[str, Any]) -> None:
    lineal = compose["services"]["lineal"]

    program, command, *arguments = lineal["command"]
    assert (program, command) == ("lineal", "serve")
    assert options(arguments)["drain"]
    assert (lineal["init"], lineal["stop_grace_period"]) == (True, "2h")
    assert "local:/srv/project/.lineal" in lineal["volumes"]
    language, flag, code = lineal["healthcheck"]["test"][1:]
    assert (language, flag) == ("python", "-c")
    compile(code, "healthcheck", "exec")


def test_the_user_of_the_store_may_do_what_the_docs_ask_for_and_no_more(compose: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "shared-store.md").read_text()
    documents = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", page, re.DOTALL)]
    (wanted,) = [each for each in documents if "PutObject" in json.dumps(each)]

    policy = json.loads((EXAMPLES / "policy.json").read_text())
    spelled = json.dumps(wanted).replace("acme-ml/churn", "lineal/project").replace("acme-ml", "lineal")
    assert policy == json.loads(spelled)
    assert compose["services"]["lineal"]["environment"]["LINEAL_STORE"] == "s3://lineal/project"


# -- the page ---------------------------------------------------------------------------------


def test_the_page_names_commands_that_there_are() -> None:
    page = (ROOT / "docs" / "serve.md").read_text()
    named = set(re.findall(r"`lineal (\w+)", page)) | set(re.findall(r"^\$ lineal (\w+)", page, re.MULTILINE))

    assert named and named <= set(COMMANDS)


def test_a_slip_in_the_arguments_would_be_noticed() -> None:
    with pytest.raises(click.UsageError):
        options(["--drian"])
