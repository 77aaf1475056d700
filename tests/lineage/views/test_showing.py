"""A run shown in lines, and the listener that does it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from lineal.events import Event, ExecutionStarted, OutputCaptured, RunFinished, RunStarted, StageChanged
from lineal.views.progress import Board, Notice
from lineal.views.showing import LineDisplay, Progress

AT = datetime(2026, 11, 22, 12, 3, 4, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def started(*stages: str) -> RunStarted:
    return RunStarted(AT, "run", "flights", stages)


def executing(*stages: str) -> ExecutionStarted:
    return ExecutionStarted(AT, "run", "process", 2, dict.fromkeys(stages, ()), {})


def changed(stage: str, state: Any, **more: Any) -> StageChanged:
    return StageChanged(AT, "run", stage, state, cache="miss", reason="code", attempt=1, **more)


def wrote(text: str) -> OutputCaptured:
    return OutputCaptured(AT, "run", "train", 1, "stdout", text)


FINISHED = RunFinished(AT, "run", "succeeded", {})


def lines_of(*events: Event) -> list[str]:
    lines: list[str] = []
    progress = Progress(LineDisplay(lambda text: lines.extend(text.split("\n"))))
    for event in events:
        progress(event)
    progress.close()
    return lines


def test_everything_that_happens_is_a_line_with_time_stage_state_and_seconds() -> None:
    lines = lines_of(
        started("train", "evaluate"),
        changed("train", "running"),
        executing("train", "evaluate"),
        wrote("epoch 1\nepoch 2\nla"),
        wrote("st"),
        changed("train", "succeeded", seconds=3.21),
        FINISHED,
    )

    assert lines == [
        "12:03:04  train     running    miss: code changed",
        "train | epoch 1",
        "train | epoch 2",
        "train | last",
        "12:03:04  train     succeeded  miss: code changed  3.2 s",
    ]


def test_names_in_wide_characters_are_aligned_as_well() -> None:
    lines = lines_of(
        started("訓練", "ingest"),
        executing("訓練", "ingest"),
        changed("訓練", "running"),
        changed("ingest", "running"),
    )

    assert lines == [
        "12:03:04  訓練    running    miss: code changed",
        "12:03:04  ingest  running    miss: code changed",
    ]


def test_what_a_stage_prints_can_neither_move_the_cursor_nor_pass_for_another_line() -> None:
    lines = lines_of(
        started("train"),
        executing("train"),
        wrote("\x1b[2J\x07a\r12:03:04  deploy  succeeded\n\u202eevil\n"),
    )

    assert lines == ["train | 12:03:04  deploy  succeeded", "train | \\u202eevil"]


def test_colours_that_a_stage_prints_end_with_the_line() -> None:
    lines = lines_of(started("train"), executing("train"), wrote("\x1b[31mred\nplain\n"))

    assert lines == ["train | \x1b[31mred\x1b[0m", "train | plain"]


def test_after_every_minute_a_line_says_what_still_runs() -> None:
    lines: list[str] = []
    board = Board()
    for event in (started("train"), executing("train"), changed("train", "running")):
        board.take(event, 0.0)

    display = LineDisplay(lines.append)
    display.tick(board, 60.0)

    assert display.every == 60
    assert "still running  train 1 min 00 s" in lines[0]


class Noted:
    """A display that ticks at once, and notes in which thread, until it is let go."""

    every = 0.0

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.ticked = threading.Event()
        self.threads: set[str] = set()

    def begin(self, stages: Sequence[str]) -> None:
        self.calls.append("begin")

    def start(self, event: ExecutionStarted) -> None:
        self.calls.append("start")

    def tell(self, notices: Sequence[Notice]) -> None:
        self.calls.append("tell")

    def lines(self, stage: str, lines: Sequence[str]) -> None:
        self.calls.append("lines")

    def tick(self, board: Board, now: float) -> Callable[[], None] | None:
        self.threads.add(threading.current_thread().name)
        return self.ticked.set

    def close(self, board: Board, now: float) -> None:
        self.calls.append("close")


def test_the_display_ticks_in_a_thread_of_its_own_until_the_run_ends() -> None:
    display = Noted()
    progress = Progress(display)

    progress(started("train"))
    progress(executing("train"))
    assert display.ticked.wait(60)
    progress(FINISHED)
    progress.close()

    assert display.calls == ["begin", "start", "close"]
    assert display.threads == {"lineal-progress"}
    assert "lineal-progress" not in {thread.name for thread in threading.enumerate()}


def test_a_run_without_work_starts_no_thread() -> None:
    display = Noted()
    progress = Progress(display)

    progress(started("train"))
    progress(StageChanged(AT, "run", "train", "succeeded", cache="hit", reason="unchanged"))
    progress(FINISHED)

    assert display.calls == ["begin", "close"]
    assert display.threads == set()
