"""What is shown on stderr while a run goes on: a picture on a terminal, else plain lines.

A run in which nothing has to run shows nothing, and pays for nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from lineal.views.showing import Display, LineDisplay, Progress
from lineal_cli.render.text import paint
from lineal_cli.session import NotPrinted, print_text


@contextmanager
def open_progress(stream: TextIO | None = None) -> Iterator[Progress]:
    """A listener that shows a run on ``stream`` (stderr by default), closed at the end come what may."""
    progress = Progress(_display(stream or sys.stderr))
    try:
        yield progress
    finally:
        progress.close()


def _display(stream: TextIO) -> Display:
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
