"""A run on a terminal: what runs now below what has happened, drawn anew ten times a second.

The terminal is never in a state that has to be undone: the cursor stays visible, at the start of the line below what is
drawn, and nothing but the lines just drawn is ever written over. So a run that is killed leaves a whole terminal, too.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TextIO

import click
from msgspec.structs import replace

from lineal.events import ExecutionStarted
from lineal.views.progress import Board, Notice
from lineal.views.showing import LineDisplay, notice_line
from lineal.views.words import cells, clean, cut, family
from lineal_cli.render.text import paint
from lineal_cli.session import wants_color

_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_ASCII_SPINNER = "-\\|/"
_FAMILIES_SHOWN = 3
_LIVE = ("running", "unchanged")  # notices that the picture tells as well


class LiveDisplay:
    """Draws on a terminal that moves its cursor; ``lines`` is what takes over where stages print on it themselves."""

    every = 0.1

    def __init__(
        self, stream: TextIO, lines: LineDisplay, size: Callable[[], tuple[int, int]] | None = None
    ) -> None:
        self._stream, self._plainly = stream, lines
        self._size = size or self._ask_size
        self._has_color, self._has_signs = wants_color(), _can_write(stream, _SPINNER + "·…")
        self._width = 0
        self._untold: list[Notice] = []
        self._drawn: list[int] = []  # the cells of each line of the picture that is on the screen
        self._screen = threading.RLock()  # the signal handler may come while its own thread has it
        self._has_told = self._is_plain = False
        self._before: Any = None  # the handler of SIGTSTP that is to be put back

    def begin(self, stages: Sequence[str]) -> None:
        self._width = max(self._width, min(max(map(len, stages), default=0), 32))
        self._plainly.begin(stages)

    def start(self, event: ExecutionStarted) -> None:
        # In this very process stages print where they like, and may be in a debugger.
        self._is_plain = event.executor == "inline"
        if self._is_plain or threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGTSTP) == signal.SIG_DFL:
            self._before = signal.signal(signal.SIGTSTP, self._stop)

    def tell(self, notices: Sequence[Notice]) -> None:
        if self._is_plain:
            self._plainly.tell(notices)
        else:
            self._untold += [notice for notice in notices if notice.state not in _LIVE]

    def lines(self, stage: str, lines: Sequence[str]) -> None:
        if self._is_plain:
            self._plainly.lines(stage, lines)

    def tick(self, board: Board, now: float) -> Callable[[], None] | None:
        if self._is_plain or not self._is_in_front():
            return None
        told, self._untold = self._untold, []
        width, height = self._size()
        picture = self._picture(board, now, width, height)
        return lambda: self._draw(told, picture, width)

    def close(self, board: Board, now: float) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTSTP, self._before)
            self._before = None
        if self._drawn or self._untold:
            told, self._untold = self._untold, []
            self._draw(told, [], self._size()[0])
            if self._has_told:
                self._send("\n")  # the report stands apart

    # -- the picture --------------------------------------------------------------------------

    def _picture(self, board: Board, now: float, width: int, height: int) -> list[str]:
        """The lines that show the board, in no more than the terminal has room for, none longer than it is wide."""
        width = max(width - 1, 1)  # in the last column some terminals wrap, and some do not
        summary = _wrapped(board.summary(now), width, most=2 if height > 4 else 1)
        room = max(0, height - 2 - len(summary))
        families = board.large_families(min(_FAMILIES_SHOWN, room // 2))
        large = {one.name for one in families}
        running = list(board.running.values())
        if large:  # single stages first, else by age
            running.sort(key=lambda one: family(one.stage) in large)
        running = running[: room - len(families)]
        spinner = _SPINNER if self._has_signs else _ASCII_SPINNER
        turn = spinner[int(now * 10) % len(spinner)]
        rows = [(turn, _short(one.stage, width // 3), one.time(now), one.last_line) for one in running]
        rows += [(turn, _short(one.name, width // 3), "", one.said()) for one in families]
        names = max((cells(name) for _, name, _, _ in rows), default=0)
        times = max((cells(time) for _, _, time, _ in rows), default=0)
        lines = []
        for sign, name, time, said in rows:
            start = f"{sign} {name}{' ' * (names - cells(name))}  "
            if time:
                start += f"{time}{' ' * (times - cells(time))}  "
            room_left = width - cells(start)
            lines.append(
                cut(start.rstrip(), width) if room_left < 6 else start + paint(cut(said, room_left), "dim")
            )
        return lines + [paint(line, "bold") for line in summary]

    def _draw(self, told: Sequence[Notice], picture: Sequence[str], width: int) -> None:
        self._has_told = self._has_told or bool(told)
        lines = [*(self._line(notice, width - 1) for notice in told), *picture]
        with self._screen:
            up = sum(max(1, -(-length // max(width, 1))) for length in self._drawn)
            text = (
                (f"\r\x1b[{up}A" if up else "\r")
                + "".join(f"{self._styled(line)}\x1b[K\n" for line in lines)
                + "\x1b[J"
            )
            self._drawn = [cells(line) for line in picture]
            self._send(text)

    def _line(self, notice: Notice, width: int) -> str:
        """A notice on one line; the report has what there is no room for."""
        line = notice_line(notice, self._width, paint)
        room = cells(notice.said) - (cells(line) - width)
        fits = cells(line) <= width or room < 1
        return line if fits else notice_line(replace(notice, said=cut(notice.said, room)), self._width, paint)

    def _send(self, text: str) -> None:
        with suppress(OSError, ValueError):  # a run does not end because nobody reads along
            self._stream.write(text)
            self._stream.flush()

    def _styled(self, line: str) -> str:
        line = line if self._has_color else click.unstyle(line)
        return line if self._has_signs else line.translate({0xB7: "-", 0x2026: "~"})

    # -- the terminal -------------------------------------------------------------------------

    def _ask_size(self) -> tuple[int, int]:
        """Columns and lines; a terminal that does not say has 80 and 24."""
        try:
            columns, lines = os.get_terminal_size(self._stream.fileno())
        except (OSError, ValueError):
            columns = lines = 0
        return columns or 80, lines or 24

    def _is_in_front(self) -> bool:
        """Whether the terminal is ours now: not that of the shell, which has us in the background."""
        try:
            return os.tcgetpgrp(self._stream.fileno()) == os.getpgrp()
        except (OSError, ValueError):
            return True

    def _stop(self, *_: object) -> None:
        """Ctrl-Z: give the terminal back clean, stop, and go on when we are continued."""
        with self._screen:
            self._draw([], [], self._size()[0])
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTSTP)
            signal.signal(signal.SIGTSTP, self._stop)


def _short(stage: str, width: int) -> str:
    """The name in so many columns; its number stays, which tells it from the others."""
    name = clean(stage)
    number = name.removeprefix(family(name))
    return cut(name, width) if len(number) >= width // 2 else cut(family(name), width - len(number)) + number


def _wrapped(text: str, width: int, most: int) -> list[str]:
    """Parts between dots, in at most so many lines."""
    lines = [""]
    for part in text.split(" · "):
        joined = f"{lines[-1]} · {part}" if lines[-1] else part
        if cells(joined) <= width or len(lines) == most:
            lines[-1] = joined
        else:
            lines.append(part)
    return [cut(line, width) for line in lines]


def _can_write(stream: TextIO, text: str) -> bool:
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
