"""A shared store that cannot be used is told before any work is done; one that fails meanwhile loses none of it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import s3_servers
from faulty_proxy import Answer, Fault, FaultyProxy, LoseReply, ResetRequest, Truncate
from s3_servers import Server
from support import Ended, Project

FLOW = """
    import os
    import socket

    from journal import note
    from lineal import pipeline, stage


    def wait_for_the_test() -> None:
        with socket.create_connection(("127.0.0.1", int(os.environ["MEETING"]))) as connection:
            connection.recv(1)


    @stage
    def one() -> bytes:
        note("one")
        return b"1" * 50_000


    @stage
    def two(made: bytes) -> bytes:
        note("two")
        if "MEETING" in os.environ:
            wait_for_the_test()
        return made + b"2"


    @stage
    def three(made: bytes) -> bytes:
        note("three")
        return made + b"3"


    @pipeline
    def flow() -> bytes:
        return three(two(one()))
"""


@pytest.fixture
def shared(project: Project, bucket: str) -> Project:
    """A project whose store is a bucket, of which it knows nothing yet."""
    project.keep_journal()
    project.write("flow.py", FLOW)
    project.variables |= {
        "LINEAL_STORE": f"s3://{bucket}/team",
        "XDG_CACHE_HOME": str(project.root.parent / "cache"),
    }
    return project


def is_refused(project: Project, ended: Ended, *words: str) -> None:
    """It ended as it should where the store cannot be used, and nothing had been done by then."""
    assert ended.code == 5, ended.out + ended.err
    assert ended.error["kind"] == "store"
    assert ended.error["hint"]
    told = f"{ended.error['message']} {ended.error['hint']}".lower()
    assert [word for word in words if word.lower() not in told] == [], told
    assert "Traceback" not in ended.err
    assert project.journal() == []


# -- what cannot be used is told before a stage runs --------------------------------------------------------------------


def test_wrong_credentials_are_told_before_a_stage_runs(shared: Project) -> None:
    unknown = shared.json("run", AWS_ACCESS_KEY_ID="nobody")
    wrong = shared.json("run", AWS_SECRET_ACCESS_KEY="not-the-secret")
    none = shared.json("run", AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")

    for ended in (unknown, wrong, none):
        is_refused(shared, ended, "AWS_ACCESS_KEY_ID")
        assert "not-the-secret" not in ended.out + ended.err
        assert "owner-secret" not in ended.out + ended.err


def test_a_bucket_that_is_not_there_is_told_and_not_made(shared: Project, s3_server: Server) -> None:
    for command in ("run", "status"):
        ended = shared.json(command, LINEAL_STORE="s3://no-such-bucket/team")
        is_refused(shared, ended, "no-such-bucket")

    names = [one["Name"] for one in s3_server.client().list_buckets()["Buckets"]]
    assert "no-such-bucket" not in names


def test_read_only_rights_are_told_before_a_stage_runs_and_reading_works(
    shared: Project, s3_server: Server, bucket: str
) -> None:
    reader = s3_server.read_only_environment
    assert reader is not None
    nothing_there = shared.json("run", **reader)
    is_refused(shared, nothing_there)
    assert "Contents" not in s3_server.client().list_objects_v2(Bucket=bucket)

    ran = shared.json("run")
    assert ran.code == 0
    shared.journal()
    assert shared.json("get", "flow@latest", "-o", "out.bin", **reader).code == 0
    assert shared.json("status", "--exit-code", **reader).code == 0
    shared.edit("flow.py", 'b"1" * 50_000', 'b"1" * 60_000')
    is_refused(shared, shared.json("run", **reader))


def test_a_port_where_nobody_listens_is_told(shared: Project) -> None:
    port = s3_servers.free_port()

    is_refused(shared, shared.json("run", AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}"), str(port))


@pytest.fixture(scope="module")
def careless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with s3_servers.rclone_server(tmp_path_factory.mktemp("rclone") / "data") as server:
        yield server


def test_a_server_that_lets_writers_overwrite_each_other_is_refused_unless_there_is_one(
    shared: Project, careless: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3_servers.use(careless.environment, monkeypatch)
    shared.variables["LINEAL_STORE"] = f"s3://{careless.make_bucket()}/team"

    is_refused(shared, shared.json("run"), "single_writer", "LINEAL_SINGLE_WRITER")
    is_refused(shared, shared.json("run"), "single_writer", "LINEAL_SINGLE_WRITER")  # and stays so
    alone = shared.json("run", LINEAL_SINGLE_WRITER="1")
    assert shared.journal() == ["one", "two", "three"]
    again = shared.json("run", LINEAL_SINGLE_WRITER="1")

    assert alone.code == 0
    assert again.words("cache") == dict.fromkeys(("one", "two", "three"), "hit")
    shared.write("lineal.toml", "single_writer = true\n")
    assert shared.json("run").code == 0
    assert shared.journal() == []


# -- what fails in the middle -------------------------------------------------------------------------------------------


def test_a_server_that_is_killed_in_mid_run_costs_no_finished_stage(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.keep_journal()
    project.write("flow.py", FLOW)
    with (
        s3_servers.seaweed(tmp_path / "seaweed" / "data") as server,
        socket.create_server(("127.0.0.1", 0)) as meeting,
    ):
        s3_servers.use(server.environment, monkeypatch)
        project.variables |= {
            "LINEAL_STORE": f"s3://{server.make_bucket()}/team",
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
            "MEETING": str(meeting.getsockname()[1]),
        }
        meeting.settimeout(60)
        run = project.start("run", "--json")
        in_two, _ = meeting.accept()
        server.kill()
        in_two.close()  # lets it go on
        ended = project.ended(run)
        server.restart()
        del project.variables["MEETING"]
        again = project.json("run")

    assert ended.code == 5
    assert ended.error["hint"]
    assert again.code == 0, again.out + again.err
    assert again.words("cache") == {"one": "hit", "two": "miss", "three": "miss"}
    assert project.journal() == ["one", "two", "two", "three"]


def test_faults_on_the_way_are_only_slow(shared: Project, s3_server: Server) -> None:
    faults: list[Fault] = [
        Answer(503, "SlowDown"),
        ResetRequest(),
        LoseReply(),
        ResetRequest(after_bytes=100),
        Answer(500, "InternalError", performed=True),
        LoseReply(after_bytes=50),
    ]
    with FaultyProxy(s3_server.endpoint) as proxy:
        rules = [proxy.fail(fault, operation="PutObject", skip=2 * at) for at, fault in enumerate(faults)]
        rules.append(proxy.fail(Truncate(to_bytes=20), operation="GetObject"))
        rules.append(proxy.fail(Answer(200, "InternalError"), operation="GetObject"))
        ran = shared.json("run", AWS_ENDPOINT_URL=proxy.endpoint)
        proxy.heal()
        again = shared.json("run", AWS_ENDPOINT_URL=proxy.endpoint)

    assert ran.code == 0, ran.out + ran.err
    assert sum(rule.befell for rule in rules) >= 6
    assert set(ran.words("cache", "state", "attempts").values()) == {("miss", "succeeded", 1)}
    assert set(again.words("cache").values()) == {"hit"}
    assert shared.journal() == ["one", "two", "three"]
    assert again.document["outputs"] == ran.document["outputs"]
