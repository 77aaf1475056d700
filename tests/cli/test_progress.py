"""How a run is shown, by what stderr is."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest

from lineal.views.showing import LineDisplay
from lineal_cli import progress
from lineal_cli.terminal import LiveDisplay


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


def test_a_run_without_work_shows_nothing_and_starts_nothing() -> None:
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
        "print(repr(terminal.getvalue()), 'rich' in sys.modules, threading.active_count())"
    )

    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )

    assert shown.stdout.split() == ["''", "False", "1"]


def test_the_display_is_closed_when_the_run_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[object] = []
    monkeypatch.setattr(LineDisplay, "close", lambda *arguments: closed.append(arguments))

    with pytest.raises(KeyboardInterrupt), progress.open_progress(io.StringIO()):
        raise KeyboardInterrupt

    assert len(closed) == 1
