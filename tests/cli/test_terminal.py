"""What a person sees on a terminal while a run goes on."""

from __future__ import annotations

import io
import os
import re
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest

from lineal.events import (
    Event,
    ExecutionStarted,
    Failure,
    OutputCaptured,
    RunFinished,
    RunStarted,
    StageChanged,
)
from lineal.views.showing import LineDisplay, Progress
from lineal.views.words import cells
from lineal_cli.terminal import LiveDisplay

AT = datetime(2026, 11, 22, 12, 3, 4, tzinfo=UTC)
FAN = tuple(f"score#{number}" for number in range(1, 10_001))


class Screen(io.StringIO):
    """A terminal that knows what a `LiveDisplay` sends, and nothing else."""

    encoding = "utf-8"

    def __init__(self, columns: int = 80, lines: int = 24) -> None:
        super().__init__()
        self.size = columns, lines
        self.sent = ""
        self.rows = [""]
        self.row = self.column = 0

    def write(self, text: str) -> int:
        self.sent += text
        for part in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", text):
            row = self.rows[self.row]
            if part == "\r":
                self.column = 0
            elif part == "\n":
                self.row, self.column = self.row + 1, 0
                self.rows += [""] * (self.row == len(self.rows))
            elif part == "\x1b[K":
                self.rows[self.row] = row[: self.column]
            elif part == "\x1b[J":
                self.rows[self.row :] = [row[: self.column]]
            elif part.startswith("\x1b[") and part.endswith("A"):
                self.row -= int(part[2:-1])
                assert self.row >= 0
            elif not part.startswith("\x1b"):
                self.rows[self.row] = row[: self.column] + part + row[self.column + len(part) :]
                self.column += len(part)
        return len(text)

    @property
    def shown(self) -> list[str]:
        return [row for row in self.rows if row]


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    time.tzset()
    yield
    while Shown.under_way:
        Shown.under_way.pop().progress.close()
    monkeypatch.undo()
    time.tzset()


class Shown:
    """A run on a screen, drawn when it is asked for."""

    under_way: ClassVar[list[Shown]] = []

    def __init__(
        self, *stages: str, screen: Screen | None = None, executor: str = "process", **expected: float
    ):
        self.screen = screen or Screen()
        self.plain: list[str] = []
        self.now = 0.0
        self.display = LiveDisplay(self.screen, LineDisplay(self.plain.append), lambda: self.screen.size)
        self.display.every = 3600.0  # the tests say when it is drawn
        self.progress = Progress(self.display, lambda: self.now)
        self.under_way.append(self)
        self.happens(
            RunStarted(AT, "run", "flights", stages),
            ExecutionStarted(AT, "run", executor, 2, dict.fromkeys(stages, ()), expected),
        )

    def happens(self, *events: Event) -> None:
        for event in events:
            self.progress(event)

    def drawn(self) -> list[str]:
        draw = self.display.tick(self.progress.board, self.now)
        if draw is not None:
            draw()
        return self.screen.shown


def changed(stage: str, state: Any, **more: Any) -> StageChanged:
    return StageChanged(AT, "run", stage, state, **{"cache": "miss", "reason": "code", "attempt": 1, **more})


def wrote(stage: str, text: str) -> OutputCaptured:
    return OutputCaptured(AT, "run", stage, 1, "stdout", text)


def test_what_runs_is_shown_with_its_time_and_last_line_above_the_sum_of_it() -> None:
    run = Shown("ingest", "train", "deploy", train=30.0)

    run.happens(
        changed("ingest", "succeeded", cache="hit", attempt=0),
        changed("train", "running"),
        wrote("train", "epoch 1\n"),
    )
    run.now = 12.0

    assert run.drawn() == [
        "⠋ train  12 s of ~30 s  epoch 1",
        "1 running · 1 queued · 1 unchanged · 12 s · more than 18 s left",
    ]


def test_what_has_ended_scrolls_by_above() -> None:
    run = Shown("ingest", "train")
    run.happens(changed("ingest", "running"))
    run.drawn()

    run.happens(changed("ingest", "succeeded", seconds=1.5), changed("train", "running"))

    assert run.drawn() == [
        "12:03:04  ingest  succeeded  miss: code changed  1.5 s",
        "⠋ train  0 s  code changed",
        "1 running · 1 ran · 0 s · time left unknown",
    ]


def test_at_the_end_only_what_has_ended_is_left() -> None:
    run = Shown("train")
    run.happens(changed("train", "running"))
    run.drawn()

    run.happens(changed("train", "succeeded", seconds=62.0), RunFinished(AT, "run", "succeeded", {}))

    assert run.screen.shown == ["12:03:04  train  succeeded  miss: code changed  1 min 02 s"]


@pytest.mark.parametrize("size", [(80, 24), (40, 10), (200, 5), (20, 3), (3, 2), (1, 1)])
def test_the_picture_never_takes_more_room_than_there_is(size: tuple[int, int]) -> None:
    run = Shown(
        *FAN, "とても長い名前の段階", "a_stage_with_a_very_long_name_that_never_ends", screen=Screen(*size)
    )
    run.happens(*(changed(stage, "running") for stage in (*FAN[:50], "とても長い名前の段階")))
    run.happens(
        wrote(FAN[0], 1000 * "x" + "\n"), changed("a_stage_with_a_very_long_name_that_never_ends", "running")
    )

    drawn = run.drawn()

    assert 1 <= len(drawn) <= max(1, size[1] - 1)
    assert max(cells(line) for line in drawn) < max(size[0], 2)


def test_a_fan_out_of_ten_thousand_is_one_line_and_those_that_run() -> None:
    run = Shown(*FAN, "train")
    run.happens(
        changed("train", "running"),
        *(changed(stage, state) for stage in FAN[:4210] for state in ("running", "succeeded")),
        changed(FAN[4210], "running"),
    )

    drawn = run.drawn()

    assert drawn == [
        "⠋ train       0 s  code changed",
        "⠋ score#4211  0 s  code changed",
        "⠋ score       4,210 of 10,000 · 1 running",
        "2 running · 5,789 queued · 4,210 ran · 0 s · time left unknown",
    ]


def test_failures_stay_in_sight() -> None:
    run = Shown(*FAN)
    failure = Failure("exception", "ValueError", "bad row 17")
    run.happens(changed(FAN[17], "running"), changed(FAN[17], "failed", failure=failure, seconds=0.5))

    assert run.drawn()[0] == "12:03:04  score#18     failed     ValueError: bad row 17  0.50 s"


def test_a_long_message_takes_one_line_for_the_report_has_all_of_it() -> None:
    run = Shown("train")
    failure = Failure("contract", "SchemaViolated", 100 * "too long ")
    run.happens(changed("train", "running"), changed("train", "failed", failure=failure, seconds=0.5))

    line = run.drawn()[0]

    assert line.startswith("12:03:04  train  failed     SchemaViolated: too long") and line.endswith(
        "…  0.50 s"
    )
    assert cells(line) == 79


def test_a_terminal_that_became_narrower_is_cleared_of_what_has_wrapped() -> None:
    run = Shown("ingest", "train")
    run.happens(changed("train", "running"), wrote("train", 200 * "x"))
    run.drawn()
    wide = [cells(row) for row in run.screen.shown]
    run.screen.size = 40, 24
    run.screen.rows = [part for row in run.screen.shown for part in re.findall(".{1,40}", row)] + [""]
    run.screen.row = len(run.screen.rows) - 1

    drawn = run.drawn()

    assert max(wide) > 40
    assert all(cells(line) < 40 for line in drawn)


def test_without_colours_nothing_is_coloured_and_with_them_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    colourless = Shown("train")
    monkeypatch.delenv("NO_COLOR")
    coloured = Shown("train")
    for run in (colourless, coloured):
        run.happens(changed("train", "succeeded"))
        run.drawn()

    assert "\x1b[32m" in coloured.screen.sent
    assert not re.search(r"\x1b\[[0-9;]*m", colourless.screen.sent)


def test_a_terminal_that_knows_ascii_alone_is_sent_ascii() -> None:
    class Old(Screen):
        encoding = "ascii"

    run = Shown("train", "deploy", screen=Old())
    run.happens(changed("train", "running"), wrote("train", 200 * "x"))

    drawn = run.drawn()

    assert drawn[0].startswith("- train  0 s  xxx") and drawn[0].endswith("~")
    assert drawn[1] == "1 running - 1 queued - 0 s - time left unknown"


def test_where_stages_run_in_this_very_process_nothing_is_drawn_over_what_they_print() -> None:
    run = Shown("train", executor="inline")
    run.happens(changed("train", "running"))

    assert run.drawn() == []
    assert run.plain == ["12:03:04  train  running    miss: code changed"]


def test_ctrl_z_gives_the_terminal_back_clean_and_the_picture_returns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[list[str], Any]] = []
    run = Shown("train")
    run.happens(changed("train", "running"))
    run.drawn()
    monkeypatch.setattr(
        os, "kill", lambda *_: seen.append((run.screen.shown, signal.getsignal(signal.SIGTSTP)))
    )

    signal.raise_signal(signal.SIGTSTP)

    assert seen == [([], signal.SIG_DFL)]
    assert run.drawn()[0] == "⠋ train  0 s  code changed"

    run.progress.close()
    assert signal.getsignal(signal.SIGTSTP) == signal.SIG_DFL


def test_a_terminal_that_is_gone_does_not_end_the_run() -> None:
    class Gone(Screen):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    run = Shown("train", screen=Gone())
    run.happens(changed("train", "running"))

    assert run.drawn() == []
    run.progress.close()
