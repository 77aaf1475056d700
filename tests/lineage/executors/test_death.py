"""How the death of a process is told."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from lineal.executors.death import count_oom_kills, over_limit, told


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGBUS", "SIGABRT", "SIGILL", "SIGKILL"])
def test_a_signal_is_named(name: str) -> None:
    failure = told("the stage's process", -int(getattr(signal, name)), "its last line")

    assert (failure.kind, failure.type, failure.traceback) == ("killed", name, "its last line")
    assert failure.message == f"the stage's process was killed by {name}"


def test_a_signal_without_a_name_has_its_number() -> None:
    assert told("it", -50).type == "signal 50"


def test_what_the_kernel_killed_for_want_of_memory_was_out_of_memory() -> None:
    failure = told("it", -signal.SIGKILL, short_of_memory=True)

    assert failure.kind == "out_of_memory"
    assert 'resources={"memory": "8 GB"}' in str(failure.hint)


def test_a_crash_is_a_crash_also_when_memory_is_short() -> None:
    assert told("it", -signal.SIGSEGV, short_of_memory=True).kind == "killed"


def test_a_limit_that_was_passed_is_told_with_what_was_used() -> None:
    failure = over_limit(1.25e9, 1e9, "")

    assert failure.message == "the stage used 1.25 GB of memory, and declares at most 1.00 GB"


def test_kills_are_counted_in_our_control_group(tmp_path: Path) -> None:
    write(tmp_path / "proc/self/cgroup", "1:memory:/elsewhere\n0::/some/group\n")
    write(tmp_path / "sys/fs/cgroup/some/group/memory.events", "low 0\noom 4\noom_kill 3\n")
    write(tmp_path / "proc/vmstat", "oom_kill 70\n")

    assert count_oom_kills(tmp_path) == 3


def test_kills_are_counted_on_the_machine_where_the_group_does_not_tell(tmp_path: Path) -> None:
    write(tmp_path / "proc/self/cgroup", "0::/\n")
    write(tmp_path / "proc/vmstat", "nr_free_pages 1\noom_kill 70\n")

    assert count_oom_kills(tmp_path) == 70


def test_a_system_that_does_not_tell_is_taken_as_it_is(tmp_path: Path) -> None:
    assert count_oom_kills(tmp_path) is None


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
