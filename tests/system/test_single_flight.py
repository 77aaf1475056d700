"""What several runs, or several stages of one, ask for at the same time is executed once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import racers
from depth import one_of
from support import Project
from waiting import wait_until

from lineal_store import open_store

SLOW = """
import os

from gates import wait_at
from journal import note
from lineal import pipeline, stage


@stage
def slow(number: int) -> int:
    note("slow")
    wait_at(os.environ.get("GATE", "none"))
    if os.environ.get("FAILS"):
        raise ValueError("no luck")
    return number + 1


@stage
def after(number: int) -> int:
    note("after")
    return number + 1


@pipeline
def flow() -> int:
    return after(slow(1))
"""


@pytest.fixture
def ann(project: Project) -> Project:
    """A project whose first stage stops at a gate when it is told to by the variable GATE."""
    project.keep_journal()
    project.gate("unused").open()
    project.write("flow.py", SLOW)
    project.variables["LINEAL_STORE"] = str(project.root.parent / "store")
    return project


@pytest.fixture
def bob(ann: Project, tmp_path: Path) -> Project:
    """The same project in another place, on the same store."""
    bob = ann.copied(tmp_path / "bob" / "project")
    bob.variables["JOURNAL"] = ann.variables["JOURNAL"]
    return bob


def test_a_run_waits_for_the_one_that_executes_what_it_needs(ann: Project, bob: Project) -> None:
    gate = ann.gate("slow-runs")
    ann.variables["GATE"] = "slow-runs"
    first = ann.start("run", "--json")
    gate.meet()
    second = bob.start("run", "--json")
    wait_until_waiting(bob)

    gate.let_through()
    anns, bobs = ann.ended(first), bob.ended(second)

    assert (anns.code, bobs.code) == (0, 0)
    assert sorted(ann.journal()) == ["after", "slow"]
    assert anns.words("cache")["slow"] == "miss"
    assert bobs.words("cache", "reason", "attempts")["slow"] == ("hit", "unchanged", 0)
    assert anns.document["outputs"] == bobs.document["outputs"]
    assert left_in(ann) == []


def test_threads_of_one_program_share_what_they_ask_for(ann: Project) -> None:
    gate = ann.gate("slow-runs")
    ann.write(
        "both.py",
        """
        from concurrent.futures import ThreadPoolExecutor

        from flow import flow

        if __name__ == "__main__":
            with ThreadPoolExecutor(2) as threads:
                runs = list(threads.map(lambda _: flow.run().document(), range(2)))
            print(*sorted(stage["cache"] for run in runs for stage in run["stages"] if stage["id"] == "slow"))
        """,
    )
    program = subprocess.Popen(
        [sys.executable, "both.py"],
        cwd=ann.root,
        env=ann.environment({"GATE": "slow-runs"}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    gate.meet()
    wait_until_waiting(ann)

    gate.let_through()
    ended = ann.ended(program)

    assert ended.code == 0, ended.err
    assert sorted(ann.journal()) == ["after", "slow"]
    assert ended.out.split() == ["hit", "miss"]


def test_what_a_killed_run_executed_is_taken_over_at_once(ann: Project, bob: Project) -> None:
    gate = ann.gate("slow-runs")
    ann.variables["GATE"] = "slow-runs"
    first = ann.start("run")
    gate.meet()
    second = bob.start("run", "--json")
    wait_until_waiting(bob)

    first.kill()
    first.communicate()
    bobs = bob.ended(second)

    assert bobs.code == 0
    assert bobs.words("cache", "attempts")["slow"] == ("miss", 1)
    assert ann.journal() == ["slow", "slow", "after"]


def test_what_failed_in_one_run_is_tried_by_the_other(ann: Project, bob: Project) -> None:
    gate = ann.gate("slow-runs")
    ann.variables |= {"GATE": "slow-runs", "FAILS": "yes"}
    first = ann.start("run", "--json")
    gate.meet()
    second = bob.start("run", "--json")
    wait_until_waiting(bob)

    gate.let_through()
    anns, bobs = ann.ended(first), bob.ended(second)

    assert anns.words("state")["slow"] == "failed"
    assert bobs.words("state", "attempts") == {"slow": ("succeeded", 1), "after": ("succeeded", 1)}


def test_ctrl_c_ends_a_run_that_waits_for_another(ann: Project, bob: Project) -> None:
    gate = ann.gate("slow-runs")
    ann.variables["GATE"] = "slow-runs"
    first = ann.start("run", "--json")
    gate.meet()
    second = bob.start("run", "--json")
    wait_until_waiting(bob)

    second.send_signal(signal.SIGINT)
    bobs = bob.ended(second)
    gate.let_through()

    assert bobs.code == 130
    assert bobs.words("state") == {"slow": "cancelled", "after": "cancelled"}
    assert ann.ended(first).code == 0


@pytest.fixture
def hurried(ann: Project, bob: Project, tmp_path: Path) -> Path:
    """Three seconds without a sign of life make a run of either dead. The file is there when one of them has been told so."""
    refused = tmp_path / "refused"
    folder = tmp_path / "hurried"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(HURRIED.format(refused=str(refused)))
    for project in (ann, bob):
        project.variables["PYTHONPATH"] = os.pathsep.join(
            filter(None, [str(folder), os.environ.get("PYTHONPATH")])
        )
    return refused


HURRIED = """
import lineal_store.signs as signs

signs.BEAT_SECONDS, signs.EXPIRES_SECONDS = 0.1, 3.0

import lineal_store.claims as claims

lost = claims.Claims.lost


def noted(self, keys):
    found = lost(self, keys)
    if found:
        open({refused!r}, "w").close()
    return found


claims.Claims.lost = noted
"""


@pytest.mark.parametrize("executor", ["process", "inline"])
def test_a_run_that_was_stopped_for_long_files_nothing_that_another_has_made_meanwhile(
    ann: Project, bob: Project, hurried: Path, executor: str
) -> None:
    gate = ann.gate("slow-runs")
    ann.variables["GATE"] = "slow-runs"
    first = ann.start("run", "--json", "--executor", executor)
    gate.meet()

    first.send_signal(signal.SIGSTOP)
    bobs = bob.json("run", "--executor", executor)
    gate.let_through()
    first.send_signal(signal.SIGCONT)
    anns = ann.ended(first)

    assert bobs.words("cache", "attempts")["slow"] == ("miss", 1)
    assert anns.code == 0
    assert anns.words("cache", "reason")["slow"] == ("hit", "unchanged")  # bob's
    assert ann.journal() == ["slow", "slow", "after"]
    assert hurried.exists()
    assert left_in(ann) == []


@pytest.mark.parametrize("executor", ["process", "inline"])
def test_a_run_that_was_stopped_for_long_files_nothing_that_another_is_still_making(
    ann: Project, bob: Project, hurried: Path, executor: str
) -> None:
    for project in (ann, bob):  # each time another number
        project.edit("flow.py", "    return number + 1\n\n\n@stage", "    return os.getpid()\n\n\n@stage")
    anns_gate, bobs_gate = ann.gate("ann-runs"), ann.gate("bob-runs")
    ann.variables["GATE"], bob.variables["GATE"] = "ann-runs", "bob-runs"
    first = ann.start("run", "--json", "--executor", executor)
    anns_gate.meet()

    first.send_signal(signal.SIGSTOP)
    second = bob.start("run", "--json", "--executor", executor)
    bobs_gate.meet()
    anns_gate.let_through()
    first.send_signal(signal.SIGCONT)
    wait_until(hurried.exists)
    assert list(open_store(ann.store).actions.list()) == []
    bobs_gate.let_through()
    anns, bobs = ann.ended(first), bob.ended(second)

    assert bobs.words("cache", "attempts")["slow"] == ("miss", 1)
    assert anns.words("cache", "reason")["slow"] == ("hit", "unchanged")
    assert anns.document["outputs"] == bobs.document["outputs"]
    assert "deterministic" not in anns.out  # what ann had made was not even offered
    assert left_in(ann) == []


@pytest.mark.parametrize(("claims", "rounds"), [("respected", one_of(4, 200)), ("ignored", one_of(2, 100))])
def test_of_sixteen_processes_that_ask_at_the_same_moment_one_makes_the_result_of_all(
    project: Project, claims: str, rounds: int
) -> None:
    """Where nobody minds the claims, as on a store whose signs of life come too late, all of them may execute it; one counts."""
    done = subprocess.run(
        [sys.executable, racers.__file__, str(project.root), "16", str(rounds), claims],
        env=project.environment({}),
        check=False,
        capture_output=True,
        text=True,
        timeout=one_of(300, 3600),
    )

    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(told) == rounds
    executed = 0
    for number, each in enumerate(told):
        made = [racer for racer in each["racers"] if racer["attempts"]]
        assert len({racer["output"] for racer in each["racers"]}) == 1
        assert each["filed"] == number + 1
        assert sum(bool(racer["warnings"]) for racer in each["racers"]) == len(made) - 1  # all but the first
        assert all(racer["cache"] == "hit" for racer in each["racers"] if not racer["attempts"])
        executed += len(made)
    assert executed == rounds * (1 if claims == "respected" else 16)
    assert left_in(project) == []


@pytest.mark.parametrize("executor", ["process", "inline"])
def test_stages_of_one_run_that_ask_for_the_same_share_what_comes_out(
    project: Project, executor: str
) -> None:
    project.keep_journal()
    project.write(
        "flow.py",
        """
        from journal import note
        from lineal import pipeline, stage


        @stage
        def load(name: str) -> list[str]:
            note(name)
            return [name]


        @stage
        def join(left: list[str], right: list[str], other: list[str]) -> list[str]:
            return left + right + other


        @pipeline
        def flow() -> list[str]:
            return join(load("a"), load("a"), load("b"))
        """,
    )

    run = project.json("run", "--executor", executor, "-j", "4")

    assert sorted(project.journal()) == ["a", "b"]
    assert run.words("state", "attempts") == {
        "load": ("succeeded", 1),
        "load#2": ("succeeded", 0),
        "load#3": ("succeeded", 1),
        "join": ("succeeded", 1),
    }


def wait_until_waiting(project: Project) -> None:
    """Until a second run shows signs of life: it has claimed something, or found it claimed."""
    signs = project.store / "claims" / "runs"
    wait_until(lambda: len(list(signs.iterdir())) >= 2)


def left_in(project: Project) -> list[Path]:
    return [path for path in (project.store / "claims").rglob("*") if path.is_file()]
