"""What is shown while a run goes on."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click
import pytest

from lineal.events import Event, Failure, OutputCaptured, RunFinished, RunStarted, StageChanged
from lineal_cli.progress import LINES_KEPT, LiveDisplay, PlainDisplay, Progress, open_progress

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


def changed(stage: str, state: Any, **more: Any) -> StageChanged:
    return StageChanged(AT, "run", stage, state, **more)


def wrote(stage: str, text: str, stream: str = "stdout") -> OutputCaptured:
    return OutputCaptured(AT, "run", stage, 1, stream, text)


def plain(*events: Event) -> tuple[list[str], Progress]:
    lines: list[str] = []
    progress = Progress(PlainDisplay(lambda text: lines.append(click.unstyle(text))))
    for event in events:
        progress(event)
    return lines, progress


def test_each_change_is_a_line_with_time_stage_state_reason_and_seconds() -> None:
    lines, _ = plain(
        started("train", "evaluate"),
        changed("train", "running", cache="miss", reason="code", attempt=1),
        changed("train", "succeeded", cache="miss", reason="code", attempt=1, seconds=3.21),
    )

    assert lines == [
        "12:03:04  train     running    miss: code changed",
        "12:03:04  train     succeeded  miss: code changed  3.2 s",
    ]


def test_a_failure_is_told_by_its_type_and_the_first_line_of_its_message() -> None:
    failure = Failure("exception", "ValueError", "bad row\nand more", traceback='File "f.py", line 3')

    lines, progress = plain(
        started("train"), changed("train", "failed", attempt=2, seconds=0.5, failure=failure)
    )

    assert lines == ["12:03:04  train  failed     ValueError: bad row  0.50 s"]
    assert progress.details["train"].traceback == 'File "f.py", line 3'


def test_hits_and_what_waits_are_not_told_one_by_one() -> None:
    lines, _ = plain(
        started("a", "b", "c"),
        changed("a", "queued"),
        changed("a", "succeeded", cache="hit", reason="unchanged"),
        changed("b", "upstream_failed", reason="upstream"),
        RunFinished(AT, "run", "failed", {}),
    )

    assert lines == []


def test_what_a_stage_prints_is_shown_line_by_line_with_its_name() -> None:
    lines, progress = plain(
        started("train"),
        wrote("train", "ep"),
        wrote("train", "warning\n", "stderr"),
        wrote("train", "och 1\nepoch 2\nlast"),
        changed("train", "succeeded", cache="hit"),
    )

    assert lines == ["train | warning", "train | epoch 1", "train | epoch 2", "train | last"]
    assert list(progress.details["train"].lines) == ["warning", "epoch 1", "epoch 2", "last"]


def test_of_a_progress_bar_only_the_last_state_counts() -> None:
    lines, _ = plain(started("train"), wrote("train", "10 %\r50 %\r100 %\r\n"))

    assert lines == ["train | 100 %"]


def test_only_the_last_lines_are_kept() -> None:
    _, progress = plain(started("train"), wrote("train", "".join(f"{number}\n" for number in range(100))))

    assert list(progress.details["train"].lines) == [str(number) for number in range(100 - LINES_KEPT, 100)]


def test_what_a_stage_prints_cannot_move_the_cursor() -> None:
    lines: list[str] = []
    progress = Progress(PlainDisplay(lines.append))

    progress(wrote("train", "\x1b[31mred\x1b[0m \x1b[2J\x07\n"))

    assert lines[0].endswith("\x1b[31mred\x1b[0m \\x1b[2J\\x07")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_running_stages_are_shown_until_they_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    terminal, now = Terminal(), [0.0]
    display = LiveDisplay(terminal, now=lambda: now[0])
    progress = Progress(display)

    progress(started("ingest", "train", "deploy"))
    progress(changed("ingest", "succeeded", cache="hit"))
    progress(changed("train", "running", cache="miss", reason="code", attempt=1))
    progress(wrote("train", "epoch 1\n"))
    now[0] = 62.0

    assert display._rows() == [("train", "1 min 02 s", "epoch 1")]
    assert display._counts() == "1 running · 1 unchanged · 1 waiting"

    progress(changed("train", "succeeded", cache="miss", reason="code", seconds=62.0))
    progress.close()

    assert display._rows() == []
    shown = click.unstyle(terminal.getvalue())
    assert "train" in shown and "succeeded  miss: code changed  1 min 02 s" in shown
    assert "\x1b[?25h" in terminal.getvalue()  # the cursor is back


def test_a_run_without_work_shows_nothing_and_does_not_import_rich() -> None:
    code = (
        "import io, sys\n"
        "from datetime import datetime, UTC\n"
        "from lineal.events import RunStarted, StageChanged\n"
        "from lineal_cli.progress import open_progress\n"
        "class Terminal(io.StringIO):\n"
        "    def isatty(self): return True\n"
        "terminal, at = Terminal(), datetime.now(UTC)\n"
        "with open_progress(terminal) as progress:\n"
        "    progress(RunStarted(at, 'run', 'flights', ('a',)))\n"
        "    progress(StageChanged(at, 'run', 'a', 'succeeded', cache='hit', reason='unchanged'))\n"
        "print(repr(terminal.getvalue()), 'rich' in sys.modules)"
    )

    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )

    assert shown.stdout.split() == ["''", "False"]


def test_the_display_is_closed_when_the_run_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()

    with pytest.raises(KeyboardInterrupt), open_progress(terminal) as progress:
        progress(started("train"))
        progress(changed("train", "running", attempt=1))
        raise KeyboardInterrupt

    assert "\x1b[?25h" in terminal.getvalue()
