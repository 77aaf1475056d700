"""What is shown on stderr while a run goes on: a live display on a terminal, else plain lines.

A run in which nothing has to run shows nothing, and pays for nothing: rich is imported when the
first stage starts.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Protocol, TextIO

from lineal.events import Event, OutputCaptured, RunFinished, RunStarted, StageChanged
from lineal_cli.render.text import clean, clean_log, paint, paint_state, reason, seconds, visible_length
from lineal_cli.session import NotPrinted, print_text, wants_color

LINES_KEPT = 12


@dataclass(slots=True)
class Details:
    """What a run's document does not say of a failed stage: the user's frames, and its last lines."""

    traceback: str = ""
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=LINES_KEPT))


class Display(Protocol):
    def begin(self, stages: tuple[str, ...]) -> None: ...
    def change(self, event: StageChanged) -> None: ...
    def line(self, stage: str, text: str) -> None: ...
    def close(self) -> None: ...


class Progress:
    """Listens to a run; may be called from any thread. ``details`` are by stage id."""

    def __init__(self, display: Display) -> None:
        self.details: dict[str, Details] = {}
        self._display = display
        self._unfinished: dict[tuple[str, str], str] = {}  # text after the last line end, by stage and stream
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        with self._lock:
            match event:
                case RunStarted():
                    self._display.begin(event.stages)
                case StageChanged():
                    if event.failure is not None:
                        self._details(event.stage).traceback = event.failure.traceback
                    if event.state not in ("queued", "running"):
                        self._finish_lines(event.stage)
                    self._display.change(event)
                case OutputCaptured():
                    self._take(event.stage, event.stream, event.text)
                case RunFinished():
                    self._display.close()

    def close(self) -> None:
        with self._lock:
            self._display.close()

    def _details(self, stage: str) -> Details:
        return self.details.setdefault(stage, Details())

    def _take(self, stage: str, stream: str, text: str) -> None:
        *lines, rest = (self._unfinished.get((stage, stream), "") + text).split("\n")
        self._unfinished[stage, stream] = rest
        for line in lines:
            self._show(stage, line)

    def _finish_lines(self, stage: str) -> None:
        for key in [key for key in self._unfinished if key[0] == stage]:
            rest = self._unfinished.pop(key)
            if rest:
                self._show(stage, rest)

    def _show(self, stage: str, line: str) -> None:
        # A progress bar draws itself again after each carriage return; its last state is what counts.
        line = line.rstrip("\r").rpartition("\r")[2]
        self._details(stage).lines.append(line)
        self._display.line(stage, line)


@contextmanager
def open_progress(stream: TextIO | None = None) -> Iterator[Progress]:
    """A listener that shows a run on ``stream`` (stderr by default), closed at the end come what may."""
    stream = stream or sys.stderr
    live = stream.isatty() and os.environ.get("TERM") != "dumb"
    progress = Progress(LiveDisplay(stream) if live else PlainDisplay())
    try:
        yield progress
    finally:
        progress.close()


def _is_shown(event: StageChanged) -> bool:
    """Hits and what waits are for the summary; in a long pipeline they would hide what happens."""
    return event.state not in ("queued", "upstream_failed") and event.cache != "hit"


def change_line(event: StageChanged, *, width: int = 0) -> str:
    """``12:03:04  train  succeeded  miss: code changed  3.2 s``, in the local time."""
    said = [reason(event.reason, event.cache, event.state)] if event.reason else []
    if event.cache and said:
        said[0] = f"{event.cache}: {said[0]}"
    if event.attempt > 1:
        said.append(f"attempt {event.attempt}")
    if event.failure is not None:
        first_line = event.failure.message.partition("\n")[0]
        said = [f"{event.failure.type}: {first_line}" if event.failure.type else first_line]
    parts = [
        paint(f"{event.at.astimezone():%H:%M:%S}", "dim"),
        clean(event.stage).ljust(width),
        _padded(paint_state(event.state), 9),
        clean(", ".join(said)),
    ]
    if event.seconds and event.state not in ("running", "skipped"):
        parts.append(paint(seconds(event.seconds), "dim"))
    return "  ".join(part for part in parts if part)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - visible_length(text))


def _print_if_possible(text: str) -> None:
    with suppress(NotPrinted, BrokenPipeError):  # a run does not end because nobody reads along
        print_text(text, err=True)


class PlainDisplay:
    """One line for each thing that happens: for logs, pipes and CI."""

    def __init__(self, write: Callable[[str], None] = _print_if_possible) -> None:
        self._write = write
        self._width = 0

    def begin(self, stages: tuple[str, ...]) -> None:
        self._width = min(max((len(stage) for stage in stages), default=0), 32)

    def change(self, event: StageChanged) -> None:
        if _is_shown(event):
            self._write(change_line(event, width=self._width))

    def line(self, stage: str, text: str) -> None:
        self._write(f"{paint(clean(stage) + ' |', 'dim')} {clean_log(text)}")

    def close(self) -> None:
        pass


class LiveDisplay:
    """What runs now, with its time and its last line, above the counts; what ended scrolls by."""

    def __init__(self, stream: TextIO, now: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._now = stream, now
        self._stages: tuple[str, ...] = ()
        self._states: dict[str, str] = {}
        self._running: dict[str, tuple[float, str]] = {}  # since when, and why
        self._last_line: dict[str, str] = {}
        self._live: _Live | None = None

    def begin(self, stages: tuple[str, ...]) -> None:
        self._stages = stages

    def change(self, event: StageChanged) -> None:
        self._states[event.stage] = "hit" if event.cache == "hit" else event.state
        if event.state == "running":
            why = reason(event.reason, event.cache, event.state) + (
                f", attempt {event.attempt}" if event.attempt > 1 else ""
            )
            self._running[event.stage] = self._now(), why
            if self._live is None:
                self._live = _Live(self._stream, self._rows, self._counts)
        else:
            self._running.pop(event.stage, None)
            self._last_line.pop(event.stage, None)
            if self._live is not None and _is_shown(event):
                self._live.print(change_line(event, width=min(max(map(len, self._stages), default=0), 32)))

    def line(self, stage: str, text: str) -> None:
        self._last_line[stage] = clean(text)

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _rows(self) -> list[tuple[str, str, str]]:
        now = self._now()
        return [
            (clean(stage), seconds(now - since), self._last_line.get(stage) or clean(why))
            for stage, (since, why) in list(self._running.items())
        ]

    def _counts(self) -> str:
        states = Counter(self._states.values())
        waiting = len(self._stages) - sum(count for state, count in states.items() if state != "queued")
        counts = {
            "running": states["running"],
            "unchanged": states["hit"],
            "ran": states["succeeded"],
            "failed": states["failed"] + states["upstream_failed"],
            "waiting": max(waiting, 0),
        }
        return " · ".join(f"{count} {word}" for word, count in counts.items() if count)


class _Live:
    """The part that knows rich."""

    rows_shown = 12

    def __init__(
        self, stream: TextIO, rows: Callable[[], list[tuple[str, str, str]]], counts: Callable[[], str]
    ) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.spinner import Spinner
        from rich.table import Table
        from rich.text import Text

        spinner = Spinner("dots")

        def picture() -> Table:
            grid = Table.grid(padding=(0, 2))
            grid.add_column(no_wrap=True)
            grid.add_column(no_wrap=True)
            grid.add_column(no_wrap=True, justify="right")
            grid.add_column(no_wrap=True, overflow="ellipsis")
            running = rows()
            for stage, elapsed, said in running[: self.rows_shown]:
                grid.add_row(spinner, Text(stage), Text(elapsed), Text(said, style="dim"))
            hidden = len(running) - self.rows_shown
            more = f" (and {hidden} more)" if hidden > 0 else ""
            grid.add_row("", Text(counts() + more, style="bold"))
            return grid

        self._text = Text
        self._console = Console(file=stream, no_color=not wants_color(), highlight=False)
        self._live = Live(
            console=self._console,
            get_renderable=picture,
            refresh_per_second=8,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def print(self, line: str) -> None:
        self._console.print(self._text.from_ansi(line))

    def stop(self) -> None:
        self._live.stop()
