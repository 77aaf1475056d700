"""Stopping a run from another process."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from support import Project

CHAIN = """
from gates import wait_at
from journal import note
from lineal import pipeline, stage


@stage
def one() -> int:
    note("one")
    return 1


@stage
def two(before: int) -> int:
    note("two")
    wait_at("in-two")
    return before + 1


@stage
def three(before: int) -> int:
    note("three")
    return before + 1


@pipeline
def chain() -> int:
    return three(two(one()))
"""


@pytest.fixture
def chain(project: Project) -> Project:
    project.keep_journal()
    project.write("chain.py", CHAIN)
    return project


def running(project: Project) -> str:
    """The id of the run that goes on."""
    (run,) = project.json("runs", "--state", "running").document["runs"]
    return str(run["run_id"])


@pytest.mark.parametrize("executor", ["process", "inline"])
def test_a_run_is_cancelled_from_another_process_and_taken_up_again(chain: Project, executor: str) -> None:
    gate = chain.gate("in-two")
    run = chain.start("run", "--json", "--executor", executor)
    gate.meet()
    run_id = running(chain)

    told = chain.json("cancel", run_id)
    ended = chain.ended(run)

    assert (told.code, told.document["state"], told.document["asked"]) == (0, "cancelled", True)
    assert gate.is_left()
    assert ended.code == 130
    assert ended.words("state") == {"one": "succeeded", "two": "cancelled", "three": "cancelled"}
    assert who_cancelled(ended.document)
    assert who_cancelled(chain.json("show", run_id).document) == who_cancelled(ended.document)
    assert left_in(chain) == []

    gate.open()
    again = chain.json("rerun", run_id)
    assert again.words("cache") == {"one": "hit", "two": "miss", "three": "miss"}
    assert chain.journal() == ["one", "two", "two", "three"]


def test_a_run_that_waits_to_try_again_is_cancelled_at_once(project: Project) -> None:
    project.write(
        "flow.py",
        """
        from lineal import pipeline, stage


        @stage(retries=3, retry_delay="1h")
        def later() -> int:
            raise ConnectionError("not now")


        @pipeline
        def flow() -> int:
            return later()
        """,
    )
    run = project.start("run", "--json")
    assert run.stderr is not None
    while " retry " not in run.stderr.readline():
        assert run.poll() is None

    assert project.json("cancel", running(project)).document["state"] == "cancelled"
    assert project.ended(run).words("state") == {"later": "cancelled"}


def test_a_run_that_has_ended_is_left_alone_and_one_that_never_was_is_told(chain: Project) -> None:
    chain.gate("unused").open()
    run_id = chain.json("run").document["run_id"]

    told = chain.command("cancel", run_id)

    assert (told.code, told.out) == (0, f"run {run_id} had ended before: succeeded\n")
    assert not who_cancelled(chain.json("show", run_id).document)
    unknown = chain.json("cancel", "20261122-173120-4f9ac2")
    assert (unknown.code, unknown.error["message"]) == (1, "there is no run 20261122-173120-4f9ac2")


def test_a_run_whose_process_was_killed_is_shown_and_told_as_lost(chain: Project) -> None:
    gate = chain.gate("in-two")
    run = chain.start("run")
    gate.meet()
    run_id = running(chain)
    run.kill()
    run.communicate()

    (listed,) = chain.json("runs").document["runs"]
    shown = chain.json("show", run_id).document
    told = chain.json("cancel", run_id)

    lost = f"process {run.pid} on "
    assert listed["state"] == shown["state"] == told.document["state"] == "failed"
    assert all(one["lost"].startswith(lost) for one in (listed, shown, told.document))
    assert (told.code, told.document["asked"]) == (0, False)
    assert f"lost       {lost}" in chain.command("show", run_id).out
    assert f"{run_id}  chain     failed (lost)" in chain.command("runs").out


def test_a_run_that_stands_still_hears_of_it_when_it_goes_on(chain: Project) -> None:
    gate = chain.gate("in-two")
    run = chain.start("run", "--json")
    gate.meet()
    run_id = running(chain)
    run.send_signal(signal.SIGSTOP)

    patched(chain, "import lineal.api.cancel\nlineal.api.cancel.PATIENCE_SECONDS = 1.0\n")
    told = chain.json("cancel", run_id)
    run.send_signal(signal.SIGCONT)

    assert (told.code, told.document["state"]) == (1, "running")
    assert chain.ended(run).document["state"] == "cancelled"


def test_on_a_bucket_a_run_is_cancelled_from_another_machine(
    chain: Project, bucket: str, tmp_path: Path
) -> None:
    chain.variables |= {"LINEAL_STORE": f"s3://{bucket}/chain", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    patched(chain, "import lineal_store.signs\nlineal_store.signs.BEAT_SECONDS = 0.5\n")
    gate = chain.gate("in-two")
    elsewhere = chain.copied(tmp_path / "elsewhere" / "project")
    elsewhere.variables["XDG_CACHE_HOME"] = str(tmp_path / "elsewhere" / "cache")
    run = chain.start("run", "--json")
    gate.meet()

    told = elsewhere.json("cancel", running(elsewhere))

    assert (told.code, told.document["state"]) == (0, "cancelled")
    assert gate.is_left()
    assert chain.ended(run).code == 130


def who_cancelled(document: dict[str, Any]) -> list[str]:
    return [text for text in document["warnings"] if text.startswith("the run was cancelled by ")]


def patched(project: Project, text: str) -> None:
    """From now on every Python of the project executes ``text`` first."""
    folder = project.root.parent / "patch"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(text)
    project.variables["PYTHONPATH"] = str(folder)


def left_in(project: Project) -> list[Path]:
    return [path for path in (project.store / "claims").rglob("*") if path.is_file()]
