"""Signs of life: who looks once knows what can be known by that, and a run can be asked to stop."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lineal_store import Upload
from lineal_store.protocols import Backend
from lineal_store.signs import SILENT_SECONDS, Process, Signs, StopRequest

RUN = "20261122-173120-4f9ac2"
OTHER = "20261122-173121-4f9ac2"
ELSEWHERE = Process("another machine", 1, 1)
ADA, BOB = StopRequest("ada", "laptop"), StopRequest("bob", "server")


@pytest.fixture
def signs(backend: Backend) -> Signs:
    return Signs(backend)


def after(backend: Backend, run_id: str, seconds: float) -> datetime:
    """So many seconds after the last sign of the run, by the clock of the store."""
    return backend.find([f"claims/runs/{run_id}"])[f"claims/runs/{run_id}"].modified + timedelta(
        seconds=seconds
    )


def test_a_run_without_a_sign_has_ended(signs: Signs) -> None:
    signs.show(OTHER, ELSEWHERE, 1)

    assert signs.find_silent([RUN, OTHER], datetime.now(UTC)) == {RUN: None}


def test_a_run_elsewhere_is_silent_when_its_sign_is_old(signs: Signs, backend: Backend) -> None:
    signs.show(RUN, ELSEWHERE, 1)

    assert signs.find_silent([RUN], after(backend, RUN, SILENT_SECONDS - 1)) == {}
    assert signs.find_silent([RUN], after(backend, RUN, SILENT_SECONDS + 1)) == {RUN: SILENT_SECONDS + 1}


def test_a_clock_that_is_behind_makes_nobody_silent(signs: Signs, backend: Backend) -> None:
    signs.show(RUN, ELSEWHERE, 1)

    assert signs.find_silent([RUN], after(backend, RUN, -3600)) == {}


@pytest.mark.skipif(not Path("/proc/self/ns/pid").exists(), reason="processes cannot be told from here")
def test_of_a_process_of_this_machine_it_is_seen_whether_it_lives(signs: Signs, backend: Backend) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = Process.current()._replace(pid=child.pid)
    stat = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
    signs.show(RUN, process._replace(started=int(stat[19])), 1)

    # it may be stopped, and go on later
    assert signs.find_silent([RUN], after(backend, RUN, 10 * SILENT_SECONDS)) == {}

    child.kill()
    child.wait()
    assert signs.find_silent([RUN], after(backend, RUN, 0)) == {RUN: None}


def test_a_sign_that_cannot_be_read_is_none(signs: Signs, backend: Backend) -> None:
    backend.create([Upload(f"claims/runs/{RUN}", b"nonsense")])

    assert signs.find_silent([RUN], datetime.now(UTC)) == {RUN: None}


def test_nobody_is_looked_for_in_vain(signs: Signs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signs, "_backend", None)

    assert signs.find_silent([], datetime.now(UTC)) == {}


def test_a_run_is_asked_to_stop_by_the_first_who_does(signs: Signs) -> None:
    assert signs.find_request(RUN) is None
    signs.ask_to_stop(RUN, ADA)
    signs.ask_to_stop(RUN, BOB)

    assert signs.find_request(RUN) == ADA
    assert signs.find_request(OTHER) is None


def test_a_damaged_request_is_one_all_the_same(signs: Signs, backend: Backend) -> None:
    backend.create([Upload(f"claims/stops/{RUN}", b"nonsense")])

    assert signs.find_request(RUN) == StopRequest("somebody", "an unknown machine")


def test_what_a_run_was_asked_goes_with_its_sign(signs: Signs, backend: Backend) -> None:
    signs.show(RUN, ELSEWHERE, 1)
    signs.ask_to_stop(RUN, ADA)
    signs.ask_to_stop(OTHER, ADA)

    signs.remove(RUN)
    signs.forget_request(OTHER)

    assert list(backend.list("claims/")) == []
