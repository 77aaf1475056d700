"""From bare bytes to where they came from, and back from a run to its bytes."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
from support import Project

FLOW = """
    import pickle
    from datetime import date
    from pathlib import Path
    from typing import NamedTuple

    from lineal import File, Metrics, output, pipeline, stage


    class Trained(NamedTuple):
        model: File
        metrics: Metrics


    class Canary:
        def __reduce__(self):
            return (Path.touch, (Path("the-canary-sang"),))


    @stage
    def read(source: File, run_date: date) -> list[int]:
        print("reading", source.url)
        return [int(line) for line in source.path.read_text().split()]


    @stage
    def train(numbers: list[int], rate: float = 0.5) -> Trained:
        path = output("model.bin")
        path.write_bytes(bytes(numbers) + str(rate).encode())
        return Trained(File(path), {"total": float(sum(numbers))})


    @stage
    def canary() -> Canary:
        return Canary()


    @stage(effect=True)
    def deploy(model: File, target: str) -> str:
        Path(target).parent.mkdir(exist_ok=True)
        Path(target).write_bytes(model.path.read_bytes())
        return target


    @pipeline
    def flow(run_date: date, rate: float = 0.5, source: str = "raw.txt") -> Trained:
        trained = train(read(File(source), run_date), rate)
        canary()
        deploy(trained.model, "deployed/model.bin")
        return trained
"""


@pytest.fixture
def ran(project: Project) -> Project:
    project.write("flow.py", FLOW)
    project.write("raw.txt", "1 2 3")
    assert project.command("run", "run_date=2026-11-21").code == 0
    return project


def test_a_bare_copied_and_renamed_file_is_traced_to_its_raw_data_from_anywhere(
    ran: Project, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(ran.root / "deployed" / "model.bin", elsewhere / "found.dat")
    store = str(ran.root / ".lineal" / "store")

    traced = ran.json("trace", "found.dat", cwd=elsewhere, LINEAL_STORE=store)

    assert traced.code == 0
    document = traced.document
    nodes = {node["id"]: node for node in document["nodes"]}
    digest = "sha256:" + hashlib.sha256((elsewhere / "found.dat").read_bytes()).hexdigest()
    assert (document["digest"], document["found"]) == (digest, True)
    stages = {node["name"]: node for node in nodes.values() if node["kind"] == "action"}
    assert set(stages) == {"train", "read"}
    assert stages["train"]["parameters"] == {"rate": 0.5}
    assert stages["read"]["parameters"] == {"run_date": "2026-11-21"}
    assert all(node["fingerprint"].startswith("xxh3:") and node["run_id"] for node in stages.values())
    [source] = [node for node in nodes.values() if node["kind"] == "source"]
    assert source["url"] == "raw.txt"
    assert source["digest"] == "sha256:" + hashlib.sha256(b"1 2 3").hexdigest()
    reached, pending = set(), [digest]
    while pending:
        child = pending.pop()
        reached.add(child)
        pending += [parent for one, parent in document["edges"] if one == child and parent not in reached]
    assert source["id"] in reached

    text = ran.command("trace", "found.dat", cwd=elsewhere, LINEAL_STORE=store).out
    assert all(word in text for word in ("train", "rate=0.5", "read", "raw.txt", "Python 3"))


def test_what_was_made_from_a_raw_file_is_listed(ran: Project) -> None:
    document = ran.json("impact", "raw.txt").document

    names = {node["name"] for node in document["nodes"] if node["kind"] == "action"}
    assert names == {"read", "train", "deploy"}


def test_bytes_that_the_store_never_saw_are_unknown(ran: Project) -> None:
    ran.write("other.bin", "never seen")

    for verb in ("trace", "impact"):
        ended = ran.json(verb, "other.bin")
        assert ended.code == 1
        assert ended.document["found"] is False


def test_every_form_of_an_address_leads_to_the_same_bytes(ran: Project) -> None:
    run_id = ran.json("runs").document["runs"][0]["run_id"]
    digest = ran.json("run", "run_date=2026-11-21").document["outputs"]["model"]
    assert ran.command("tag", "approved", f"flow.train.model@{run_id}").code == 0

    for what in (
        "deployed/model.bin",
        digest,
        digest[:15],
        "flow.train.model@latest",
        "flow.model@latest",
        "flow.train.model@approved",
        "flow.train.model@tag:approved",
        f"flow.train.model@{run_id}",
        f"flow.train.model@run:{run_id}",
        "flow.train.model@2026-11-21",
        "flow.train.model@date:2026-11-21",
    ):
        got = ran.json("get", what, "-o", "got.bin")
        assert (got.code, got.document) == (0, {"digest": digest, "path": "got.bin"}), what
        assert (ran.root / "got.bin").read_bytes() == (ran.root / "deployed" / "model.bin").read_bytes()


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("flow.train.model@2020-01-01", 1),
        ("flow.train.nothing@latest", 1),
        ("flwo.train.model@latest", 1),
        ("sha256:00000000", 1),
        ("no/such/file.bin", 1),
        ("flow.train@latest", 2),
        ("sha256:00", 2),
        ("nonsense", 2),
    ],
)
def test_an_address_that_leads_nowhere_is_told_with_a_hint(ran: Project, what: str, code: int) -> None:
    ended = ran.json("show", what)

    assert ended.code == code
    assert ended.error["hint"] or "did you mean" in ended.error["message"]


def test_looking_runs_nothing_of_what_is_looked_at(ran: Project) -> None:
    for words in (
        ["show", "flow.canary@latest"],
        ["trace", "flow.canary@latest"],
        ["impact", "flow.canary@latest"],
        ["get", "flow.canary@latest", "-o", "canary.pickle"],
        ["store", "verify", "--read-data"],
        ["store", "stats"],
        ["runs"],
    ):
        assert ran.command(*words).code == 0, words

    assert not list(ran.root.rglob("the-canary-sang"))


def test_tags_have_a_history_and_can_be_taken_away(ran: Project) -> None:
    ran.command("tag", "production", "flow.train.model@latest", "--deployed")

    [named] = ran.json("refs").document["refs"]
    assert named["name"] == "production"
    assert {"digest", "at", "who"} <= set(named)
    assert ran.command("tag", "production", "--delete").code == 0
    assert ran.json("refs").document == {"refs": []}
    assert ran.command("tag", "production", "--delete").code == 1


def test_anothers_namespace_does_not_move_my_latest(ran: Project) -> None:
    mine = ran.json("get", "flow.train.model@latest", "-o", "mine.bin").document["digest"]

    assert ran.command("run", "run_date=2026-11-22", "rate=0.9", LINEAL_NAMESPACE="ann").code == 0

    assert ran.json("get", "flow.train.model@latest", "-o", "mine.bin").document["digest"] == mine
    theirs = ran.json("get", "flow.train.model@latest", "-o", "theirs.bin", LINEAL_NAMESPACE="ann")
    assert theirs.document["digest"] != mine


def test_what_a_stage_printed_is_kept(ran: Project) -> None:
    run_id = ran.json("runs").document["runs"][0]["run_id"]

    logs = ran.json("logs", run_id, "read").document["logs"]

    assert [(log["stage"], log["attempt"], log["text"]) for log in logs] == [("read", 1, "reading raw.txt\n")]
    assert ran.command("logs", run_id, "nobody").code == 1


def test_a_run_says_who_ran_what_where(ran: Project) -> None:
    run_id = ran.json("runs").document["runs"][0]["run_id"]

    detail = ran.json("show", run_id).document

    assert (detail["kind"], detail["pipeline"], detail["state"]) == ("run", "flow", "succeeded")
    assert detail["logical_date"] == "2026-11-21"
    assert detail["target"] == "flow.py:flow"
    assert detail["code_tree"].startswith("sha256:")
    assert detail["who"]
    assert detail["command"][-1] == "run_date=2026-11-21"
    assert ran.json("runs", "--state", "failed").document == {"runs": []}
