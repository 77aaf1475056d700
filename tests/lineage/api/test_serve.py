"""One project that is looked after: what goes wrong with its state or configuration ends nothing."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lineal.api import serve
from lineal.api.config import load_configuration
from lineal.api.serve import Served
from lineal.state import State, StateUnavailable

CONFIGURATION = """
[[schedules]]
name = "nightly"
cron = "30 2 * * *"
"""


class Lines:
    """A log that is kept."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def __call__(self, at: object, level: str, message: str, **facts: object) -> None:
        self.said.append((level, message))

    def errors(self) -> list[str]:
        return [message for level, message in self.said if level == "error"]


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def served(tmp_path: Path, lines: Lines) -> Iterator[Served]:
    (tmp_path / "lineal.toml").write_text(CONFIGURATION)
    served = Served(lambda: load_configuration(tmp_path), {}, lines, most_runs=1, log_form="text")
    yield served
    served.close()


def test_a_state_that_cannot_be_used_for_a_while_is_told_once_and_waited_for(
    served: Served, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert served.step(reload=False) <= 1

    def full(state: State) -> int:
        raise StateUnavailable("state.sqlite", "database or disk is full", "Make room on that disk.")

    with monkeypatch.context() as patch:
        patch.setattr(State, "version", full)
        assert [served.step(reload=False) for _ in range(3)] == 3 * [5.0]
    assert lines.errors() == [
        "nothing is fired: the state state.sqlite cannot be used: database or disk is full"
    ]

    assert served.step(reload=False) <= 1


def test_a_state_that_cannot_even_be_opened_ends_the_command(served: Served) -> None:
    served.configuration.state.parent.mkdir()
    served.configuration.state.write_text("no folder")

    with pytest.raises(StateUnavailable):
        served.step(reload=False)


def test_a_configuration_that_is_broken_later_is_told_and_the_schedules_stay(
    served: Served, lines: Lines, tmp_path: Path
) -> None:
    served.step(reload=False)
    (tmp_path / "lineal.toml").write_text(CONFIGURATION.replace("30 2", "30 25"))

    served.step(reload=True)
    assert list(served.schedules) == ["nightly"]
    assert "hour: '25' is not a number" in lines.errors()[0]

    (tmp_path / "lineal.toml").write_text(CONFIGURATION.replace("nightly", "daily"))
    served.step(reload=True)
    assert list(served.schedules) == ["daily"]


def test_a_second_daemon_stands_by_until_the_first_has_ended(
    served: Served, lines: Lines, tmp_path: Path
) -> None:
    served.step(reload=False)
    second = Served(lambda: load_configuration(tmp_path), {}, lines, most_runs=1, log_form="text")
    second.step(reload=False)
    second.step(reload=False)
    assert second.stands_by
    assert sum("another daemon" in message for _, message in lines.said) == 1

    served.close()
    second.step(reload=False)
    assert not second.stands_by
    second.close()


def test_a_signal_is_heard_at_whatever_moment_it_comes() -> None:
    """One comes at each line that waiting consists of."""

    def interrupt(*_: object) -> object:
        signal.raise_signal(signal.SIGHUP)
        return interrupt

    def give_up(*_: object) -> None:
        raise AssertionError("a signal handler waits for the thread that it has interrupted")

    before, tracing = signal.signal(signal.SIGALRM, give_up), sys.gettrace()
    signal.alarm(30)  # what hangs would hang for ever
    try:
        with serve._signals() as told:
            sys.settrace(interrupt)  # type: ignore[arg-type]
            told.wait(0.01)
            sys.settrace(tracing)
    finally:
        sys.settrace(tracing)
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)

    assert told.reload
