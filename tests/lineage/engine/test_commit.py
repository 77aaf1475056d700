"""When results that have come back are made durable."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from clocked import Clock

from lineal.engine.commit import Committer, Made


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def committer(clock: Clock) -> Committer:
    nothing: Any = None  # what is needed to commit, which no test here does
    return Committer(nothing, nothing, clock, lambda keys: ())


def made(*, seconds: float = 0.001, data: bytes = b"") -> Made:
    ours: Any = SimpleNamespace(seconds=seconds)
    return Made("key", ours, ours, {"digest": data})


def test_where_nothing_waits_nothing_is_due(committer: Committer) -> None:
    assert not committer.is_due


def test_what_came_first_waits_a_quarter_of_a_second_at_most(committer: Committer, clock: Clock) -> None:
    while not committer.is_due:
        committer.add(made())
        clock.pass_by(0.0078125)  # has no rounding errors

    assert clock.monotonic() == 0.25


@pytest.mark.parametrize("dear", [made(seconds=0.05), made(data=bytes(4 << 20))])
def test_what_would_be_dear_to_lose_is_due_at_once(committer: Committer, dear: Made) -> None:
    committer.add(made())
    committer.add(dear)

    assert committer.is_due


def test_what_was_cheap_is_due_when_together_it_would_be_dear_to_lose(committer: Committer) -> None:
    for number in range(4):
        committer.add(made(seconds=0.0125))

        assert committer.is_due == (number == 3)
