"""Waits for a next attempt that outlive the process."""

from __future__ import annotations

from pathlib import Path

import pytest
from clocked import Clock
from msgspec.structs import replace

from lineal.engine.waits import Wait, Waits
from lineal.events import Failure

KEY = "0123456789abcdef" * 2
WAIT = Wait("20261122-031700-abc", 2, 30.0, Failure("exception", "ConnectionError", "not now", "Try later."))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def waits(tmp_path: Path, clock: Clock) -> Waits:
    return Waits(tmp_path / "made" / "when needed", clock)


def test_nothing_waits_at_first(waits: Waits) -> None:
    assert waits.find(KEY) is None


def test_a_wait_is_found_with_what_is_left_of_it(tmp_path: Path, waits: Waits, clock: Clock) -> None:
    waits.keep(KEY, WAIT)
    clock.pass_by(12)

    of_another_process = Waits(tmp_path / "made" / "when needed", clock)
    assert of_another_process.find(KEY) == replace(WAIT, left_seconds=18.0)


def test_a_wait_that_is_over_is_none(waits: Waits, clock: Clock) -> None:
    waits.keep(KEY, WAIT)
    clock.pass_by(30)

    assert waits.find(KEY) is None


def test_a_forgotten_wait_is_none_and_may_be_forgotten_again(waits: Waits) -> None:
    waits.keep(KEY, WAIT)
    waits.forget(KEY)
    waits.forget(KEY)

    assert waits.find(KEY) is None


def test_the_latest_wait_counts(waits: Waits) -> None:
    waits.keep(KEY, WAIT)
    waits.keep(KEY, replace(WAIT, attempts=3, left_seconds=60.0))

    assert waits.find(KEY) == replace(WAIT, attempts=3, left_seconds=60.0)


def test_those_of_actions_that_nobody_asked_for_again_are_swept_away(
    tmp_path: Path, waits: Waits, clock: Clock
) -> None:
    waits.keep(KEY, WAIT)
    clock.pass_by(31)
    waits.keep(KEY[::-1], WAIT)

    assert [path.stem for path in (tmp_path / "made" / "when needed").iterdir()] == [KEY[::-1]]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"due": 1}', '{"due": "yesterday"}', "\0"])
def test_a_damaged_file_counts_as_none(tmp_path: Path, waits: Waits, text: str) -> None:
    waits.keep(KEY, WAIT)
    (tmp_path / "made" / "when needed" / f"{KEY}.json").write_text(text)

    assert waits.find(KEY) is None


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "a file").write_text("")
    waits = Waits(tmp_path / "a file", clock)

    waits.keep(KEY, WAIT)
    waits.forget(KEY)

    assert waits.find(KEY) is None
