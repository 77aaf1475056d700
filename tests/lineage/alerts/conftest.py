"""Time that passes when somebody waits, and a message to send."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lineal.alerts.message import trial
from lineal.alerts.outbox import Entry, Outbox
from lineal.alerts.rules import Alert


class Time:
    """A clock; ``slept`` is what was waited for, in seconds."""

    def __init__(self) -> None:
        self.time = 1_700_000_000.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path)


@pytest.fixture
def entry(time: Time) -> Callable[..., Entry]:
    def make(name: str = "m1", alert: Alert | None = None, **changes: Any) -> Entry:
        message = {**trial("here", "2026-11-23T03:17:05+00:00"), "id": name}
        given = {"created": time.time, "due": time.time, **changes}
        return Entry(alert or Alert("command:true"), message, **given)

    return make
