"""Showing a run while it goes on: a listener that keeps a `Board` and lets a display draw it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextvars import copy_context
from datetime import UTC, datetime
from typing import Protocol

from lineal.events import (
    Event,
    ExecutionStarted,
    OutputCaptured,
    RunFinished,
    RunStarted,
    StageChanged,
    StageExpanded,
)
from lineal.views.progress import Board, Notice
from lineal.views.words import STATE_COLORS, cells, clean, clean_log, closed, seconds

HEARTBEAT_SECONDS = 60.0  # CI systems take a job for dead that says nothing for ten minutes or so
_PATIENCE_SECONDS = 2.0  # with a terminal that takes nothing more
Paint = Callable[[str, str | None], str]


class Display(Protocol):
    """Where a run is shown. `tick` comes every ``every`` seconds once something is executed, from a thread of its own."""

    every: float

    def begin(self, stages: Sequence[str]) -> None: ...

    def start(self, event: ExecutionStarted) -> None: ...

    def tell(self, notices: Sequence[Notice]) -> None: ...

    def lines(self, stage: str, lines: Sequence[str]) -> None: ...

    def tick(self, board: Board, now: float) -> Callable[[], None] | None:
        """Look at the board, which nobody changes meanwhile; what is then to be done takes its time."""

    def close(self, board: Board, now: float) -> None: ...


class Progress:
    """Listens to a run, from any thread. A run in which nothing is executed starts no thread and shows nothing."""

    def __init__(self, display: Display, now: Callable[[], float] = time.monotonic) -> None:
        self.board = Board()
        self._display, self._now = display, now
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._ticker: threading.Thread | None = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunFinished):
            self.close()
            return
        with self._lock:
            if isinstance(event, OutputCaptured):
                self._lines(event.stage, self.board.take_output(event))
                return
            if isinstance(event, StageChanged) and event.state not in ("queued", "running"):
                self._lines(event.stage, self.board.finish_lines(event.stage))
            notices = self.board.take(event, self._now())
            if isinstance(event, RunStarted):
                self._display.begin(event.stages)
            elif isinstance(event, StageExpanded):
                self._display.begin(event.items)
            elif isinstance(event, ExecutionStarted):
                self._display.start(event)
                self._start_ticking()
            if notices:
                self._display.tell(notices)

    def close(self) -> None:
        """Show the end; nothing is shown from then on. Called once or more."""
        if self._ended.is_set():
            return
        self._ended.set()
        if self._ticker is not None:
            self._ticker.join(_PATIENCE_SECONDS)
        with self._lock:
            self._display.close(self.board, self._now())

    def _lines(self, stage: str, lines: list[str]) -> None:
        if lines:
            self._display.lines(stage, lines)

    def _start_ticking(self) -> None:
        # in a context like this one: notebooks know by it which cell is meant
        self._ticker = threading.Thread(
            target=copy_context().run, args=(self._tick,), name="lineal-progress", daemon=True
        )
        self._ticker.start()

    def _tick(self) -> None:
        while not self._ended.wait(self._display.every):
            with self._lock:
                draw = self._display.tick(self.board, self._now())
            if draw is not None:
                draw()


def _plain(text: str, _: str | None) -> str:
    return text


class LineDisplay:
    """One line for each thing that happens, at once: for logs, pipes and CI. Large families are told now and then."""

    every = HEARTBEAT_SECONDS

    def __init__(self, write: Callable[[str], None], paint: Paint = _plain) -> None:
        self._write, self._paint = write, paint
        self._width = 0

    def begin(self, stages: Sequence[str]) -> None:
        self._width = max(self._width, min(max(map(len, stages), default=0), 32))

    def start(self, event: ExecutionStarted) -> None:
        pass

    def tell(self, notices: Sequence[Notice]) -> None:
        self._write("\n".join(notice_line(notice, self._width, self._paint) for notice in notices))

    def lines(self, stage: str, lines: Sequence[str]) -> None:
        prefix = self._paint(f"{clean(stage)} |", "dim")
        self._write("\n".join(f"{prefix} {closed(clean_log(line))}" for line in lines))

    def tick(self, board: Board, now: float) -> Callable[[], None] | None:
        self.tell([board.heartbeat(datetime.now(UTC), now)])
        return None

    def close(self, board: Board, now: float) -> None:
        pass


def notice_line(notice: Notice, width: int = 0, paint: Paint = _plain) -> str:
    """``12:03:04  train  succeeded  miss: code changed  3.2 s``, in the local time."""
    subject = clean(notice.subject)
    parts = [
        paint(f"{notice.at.astimezone():%H:%M:%S}", "dim"),
        subject + " " * (width - cells(subject)),
        paint(notice.state, STATE_COLORS.get(notice.state)) + " " * (9 - len(notice.state))
        if notice.state
        else "",
        notice.said,
        paint(seconds(notice.seconds), "dim") if notice.seconds else "",
    ]
    return "  ".join(part for part in parts if part).rstrip()
