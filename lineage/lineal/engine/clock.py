"""Time as the engine sees it: passed in, so that tests need not wait."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """``now`` for records, in aware UTC; ``monotonic`` for durations, in seconds; ``sleep`` to let time pass, until ``woken``, where that is given."""

    def now(self) -> datetime: ...

    def monotonic(self) -> float: ...

    def sleep(self, seconds: float, woken: threading.Event | None = None) -> None: ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float, woken: threading.Event | None = None) -> None:
        (woken or threading.Event()).wait(seconds)
