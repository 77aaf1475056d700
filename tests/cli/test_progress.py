"""How a run is shown, by what stderr is."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest

from lineal.events import ExecutionStarted, Failure, RunStarted, StageChanged
from lineal.views.showing import LineDisplay
from lineal_cli import progress
from lineal_cli.terminal import LiveDisplay

AT = datetime(2026, 11, 22, 12, 3, 4, tzinfo=UTC)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "variables", "kind"),
    [
        (Terminal(), {"TERM": "xterm"}, LiveDisplay),
        (Terminal(), {"TERM": "xterm", "CI": "false"}, LiveDisplay),
        (Terminal(), {"TERM": "xterm", "NO_COLOR": "1"}, LiveDisplay),
        (Terminal(), {"TERM": "xterm", "CI": "true"}, LineDisplay),
        (Terminal(), {"TERM": "dumb"}, LineDisplay),
        (io.StringIO(), {"TERM": "xterm"}, LineDisplay),
    ],
)
def test_a_terminal_shows_a_picture_and_everything_else_lines(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, variables: dict[str, str], kind: type
) -> None:
    for name in ("CI", "TERM", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert isinstance(progress._display(stream), kind)


HITS = (
    RunStarted(AT, "run", "flights", ("a", "b")),
    StageChanged(AT, "run", "a", "succeeded", cache="hit", reason="unchanged"),
)


def test_a_run_without_work_shows_nothing_and_imports_and_starts_nothing() -> None:
    code = (
        "import io, sys, threading\n"
        "from datetime import datetime, UTC\n"
        "from lineal.events import RunFinished, RunStarted, StageChanged\n"
        "from lineal_cli.progress import open_progress\n"
        "class Terminal(io.StringIO):\n"
        "    def isatty(self): return True\n"
        "terminal, at = Terminal(), datetime.now(UTC)\n"
        "with open_progress(terminal) as progress:\n"
        "    progress(RunStarted(at, 'run', 'flights', ('a',)))\n"
        "    progress(StageChanged(at, 'run', 'a', 'succeeded', cache='hit', reason='unchanged'))\n"
        "    progress(RunFinished(at, 'run', 'succeeded', {}))\n"
        "displays = {'lineal.views.showing', 'lineal.views.progress', 'lineal_cli.terminal'} & set(sys.modules)\n"
        "print(repr(terminal.getvalue()), displays, threading.active_count())"
    )

    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )

    assert shown.stdout.split() == ["''", "set()", "1"]


def test_what_happened_before_the_first_execution_is_told_then(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.open_progress(io.StringIO()) as shown:
        for event in HITS:
            shown(event)
        assert shown.board is None
        shown(StageChanged(AT, "run", "b", "running", "miss", "code", 1))
        shown(ExecutionStarted(AT + timedelta(seconds=7), "run", "process", 2, {"a": (), "b": ("a",)}, {}))

        assert shown.board is not None
        assert shown.board.summary(time.monotonic()).startswith("1 running · 1 unchanged · 7 s")

    lines = [line[10:] for line in capsys.readouterr().err.splitlines()]
    assert lines == ["a  unchanged", "b  running    miss: code changed"]


def test_a_failure_before_any_execution_is_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    failure = Failure("contract", "SourceMissing", "data.csv is not there")

    with progress.open_progress(io.StringIO()) as shown:
        for event in (*HITS, StageChanged(AT, "run", "b", "failed", failure=failure)):
            shown(event)

    assert "b  failed     SourceMissing: data.csv is not there" in capsys.readouterr().err


def test_the_display_is_closed_when_the_run_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[object] = []
    monkeypatch.setattr(LineDisplay, "close", lambda *arguments: closed.append(arguments))

    with pytest.raises(KeyboardInterrupt), progress.open_progress(io.StringIO()) as shown:
        shown(ExecutionStarted(AT, "run", "process", 2, {}, {}))
        raise KeyboardInterrupt

    assert len(closed) == 1
