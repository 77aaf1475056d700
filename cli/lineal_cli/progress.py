"""What is shown on stderr while a run goes on: a picture on a terminal, else plain lines.

A run in which nothing has to run shows nothing, and pays for nothing: the displays are imported when there is something to see.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

from lineal.events import Event, ExecutionStarted, StageChanged
from lineal_cli.session import NotPrinted, print_text

if TYPE_CHECKING:
    from lineal.views.progress import Board
    from lineal.views.showing import Display, Progress


@contextmanager
def open_progress(stream: TextIO | None = None) -> Iterator[Shown]:
    """A listener that shows a run on ``stream`` (stderr by default), closed at the end come what may."""
    shown = Shown(stream or sys.stderr)
    try:
        yield shown
    finally:
        shown.close()


class Shown:
    """Listens to a run, from any thread. What happened before the first execution or failure is told then."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._untold: list[Event] = []
        self._progress: Progress | None = None
        self._opening = threading.Lock()

    @property
    def board(self) -> Board | None:
        """What was seen; None where there was nothing to see."""
        return self._progress.board if self._progress is not None else None

    def __call__(self, event: Event) -> None:
        with self._opening:
            if self._progress is None:
                self._untold.append(event)
                if isinstance(event, ExecutionStarted) or (
                    isinstance(event, StageChanged) and event.failure is not None
                ):
                    self._progress = self._opened()
                return
        self._progress(event)

    def close(self) -> None:
        if self._progress is not None:
            self._progress.close()

    def _opened(self) -> Progress:
        from lineal.views.showing import Progress

        progress = Progress(_display(self._stream))
        for event in self._untold:
            progress(event)
        self._untold = []
        return progress


def _display(stream: TextIO) -> Display:
    from lineal.views.showing import LineDisplay
    from lineal_cli.render.text import paint

    lines = LineDisplay(_print_if_possible, paint)
    if not stream.isatty() or os.environ.get("TERM") == "dumb" or _is_ci():
        return lines
    from lineal_cli.terminal import LiveDisplay

    return LiveDisplay(stream, lines)


def _is_ci() -> bool:
    """CI systems show logs, whatever they run jobs on; all that are in use say so."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


def _print_if_possible(text: str) -> None:
    with suppress(NotPrinted, BrokenPipeError):  # a run does not end because nobody reads along
        print_text(text, err=True)
