"""What a run's events come to: messages in the outbox, and what the next run has to know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lineal.alerts.outbox import Outbox
from lineal.alerts.rules import About, Alert
from lineal.alerts.watch import Watch
from lineal.events import (
    Event,
    Failure,
    OutputCaptured,
    RunFinished,
    RunStarted,
    RunState,
    StageChanged,
    StageState,
)

ABOUT = About("flights", "flights.py:flights", "tests", "here", {"key": "***"}, ("hunter2",))
START = datetime(2026, 11, 23, 3, 17, tzinfo=UTC)
ALL = Alert("command:all", ("failed", "timeout", "recovered"))
FAILURES = Alert("command:failures", ("failed",))
TIMEOUTS = Alert("command:timeouts", ("timeout",))
RECOVERIES = Alert("command:recoveries", ("recovered",))


class Office:
    """Has runs watched, and says what was put into the outbox since the last time, by address."""

    def __init__(self, root: Path, *alerts: Alert) -> None:
        self.root, self.alerts, self.started = root, alerts, 0

    def watch(self, about: About = ABOUT) -> Watch:
        def start(_root: Path) -> None:
            assert Outbox(self.root).due(), "nothing is delivered before it is written"
            self.started += 1

        return Watch(about, self.alerts, self.root, start=start)

    def told(self) -> dict[str, dict[str, Any]]:
        outbox, found = Outbox(self.root), {}
        for _, name in outbox.due():
            entry = outbox.find(name)
            assert entry is not None
            found[entry.alert.to.partition(":")[2]] = entry.message
            outbox.remove(entry)
        return found

    def run(
        self, run_id: str, state: RunState, *events: Event, about: About = ABOUT
    ) -> dict[str, dict[str, Any]]:
        watch = self.watch(about)
        for event in [
            RunStarted(START, run_id, "flights", ()),
            *events,
            RunFinished(at(9), run_id, state, {}),
        ]:
            watch(event)
        return self.told()


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def entered(stage: str, state: StageState, seconds: float = 1, kind: str = "exception") -> StageChanged:
    failure = Failure(kind, "ValueError", f"{stage} broke") if state == "failed" else None
    return StageChanged(at(seconds), "r1", stage, state, attempt=1, failure=failure)


def wrote(stage: str, *texts: str, attempt: int = 1) -> Sequence[Event]:
    return [OutputCaptured(at(0), "r1", stage, attempt, "output", text) for text in texts]


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path, ALL, FAILURES, TIMEOUTS, RECOVERIES)


def test_a_failure_is_told_to_those_who_asked(office: Office) -> None:
    told = office.run("r1", "failed", entered("load", "failed"), entered("train", "upstream_failed"))

    assert set(told) == {"all", "failures"}
    assert (told["all"]["event"], told["all"]["run_id"], told["all"]["not_run"]) == (
        "failed",
        "r1",
        ["train"],
    )
    assert office.started == 1


def test_what_failed_first_comes_first(office: Office) -> None:
    told = office.run("r1", "failed", entered("late", "failed", 5), entered("early", "failed", 2))

    assert [stage["stage"] for stage in told["all"]["failed"]] == ["early", "late"]


def test_a_timeout_is_a_failure_and_told_once(office: Office) -> None:
    told = office.run("r1", "failed", entered("load", "failed", kind="timeout"))

    assert {name: message["event"] for name, message in told.items()} == {
        "all": "timeout",
        "failures": "failed",
        "timeouts": "timeout",
    }


def test_a_success_tells_nothing_and_leaves_nothing(office: Office) -> None:
    assert office.run("r1", "succeeded", entered("load", "succeeded")) == {}
    assert office.started == 0
    assert [path for path in office.root.rglob("*") if path.is_file()] == []


def test_a_success_after_a_failure_is_a_recovery_once(office: Office) -> None:
    office.run("r1", "failed", entered("load", "failed"))
    told = office.run("r2", "succeeded")

    assert set(told) == {"all", "recoveries"}
    assert told["all"]["recovered_from"] == {"run_id": "r1", "at": at(9).isoformat()}
    assert office.run("r3", "succeeded") == {}


def test_other_parameters_recover_nothing(office: Office) -> None:
    office.run("r1", "failed", entered("load", "failed"))

    assert office.run("r2", "succeeded", about=replace(ABOUT, parameters={"key": "other"})) == {}
    assert set(office.run("r3", "succeeded")) == {"all", "recoveries"}


def test_a_run_that_was_stopped_tells_nothing_and_changes_nothing(office: Office) -> None:
    office.run("r1", "failed", entered("load", "failed"))

    assert office.run("r2", "cancelled", entered("load", "cancelled")) == {}
    assert set(office.run("r3", "succeeded")) == {"all", "recoveries"}


def test_a_recovery_that_is_told_twice_is_one_message(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.run("r1", "failed", entered("load", "failed"))
    with monkeypatch.context() as dies:  # before it has forgotten the failure
        dies.setattr("lineal.alerts.watch._Memory.forget", lambda _: None)
        first = office.run("r2", "succeeded")
    second = office.run("r3", "succeeded")

    assert first["all"]["id"] == second["all"]["id"]


def test_a_stage_that_failed_and_then_succeeded_is_not_told(office: Office) -> None:
    told = office.run(
        "r1",
        "failed",
        entered("load", "failed"),
        entered("load", "succeeded", 2),
        entered("train", "failed", 3),
    )

    assert [stage["stage"] for stage in told["all"]["failed"]] == ["train"]


def test_the_last_lines_of_the_last_attempt_are_told(office: Office) -> None:
    told = office.run(
        "r1",
        "failed",
        *wrote("load", "first attempt\n", attempt=1),
        *wrote("load", "half a ", "line\n\nand", " more\n", attempt=2),
        entered("load", "failed"),
    )

    assert told["all"]["failed"][0]["log"] == ["half a line", "and more"]


def test_much_output_is_not_kept(office: Office) -> None:
    watch = office.watch()
    for number in range(20_000):
        watch(OutputCaptured(at(0), "r1", "load", 1, "output", f"line {number}\n"))
    (tail,) = watch._tails.values()

    assert tail.lines(())[-1] == "line 19999"
    assert tail.lines(())[0] == "line 19980"
    assert len(tail._text) <= 16 << 10


def test_a_secret_that_came_in_two_pieces_is_hidden(office: Office) -> None:
    told = office.run("r1", "failed", *wrote("load", "key=hun", "ter2\n"), entered("load", "failed"))

    assert told["all"]["failed"][0]["log"] == ["key=***"]


def test_no_line_of_a_secret_with_several_is_told(office: Office) -> None:
    about = replace(ABOUT, secrets=("begin\nend",))
    told = office.run(
        "r1", "failed", *wrote("load", "key=begin\ne", "nd\n"), entered("load", "failed"), about=about
    )

    assert told["all"]["failed"][0]["log"] == ["key=***"]


def test_a_secret_that_was_cut_is_not_told_by_its_rest(office: Office) -> None:
    told = office.run("r1", "failed", *wrote("load", "hunter2" * 3000 + "\nend\n"), entered("load", "failed"))

    assert told["all"]["failed"][0]["log"] == ["end"]


def test_a_run_that_broke_is_a_failure(office: Office) -> None:
    watch = office.watch()
    watch(RunStarted(START, "r1", "flights", ()))
    watch.broke("StoreUnavailable: denied", at(3))
    told = office.told()

    assert set(told) == {"all", "failures"}
    assert (told["all"]["run_id"], told["all"]["problem"]) == ("r1", "StoreUnavailable: denied")
    assert set(office.run("r2", "succeeded")) == {"all", "recoveries"}


def test_two_addresses_get_messages_of_their_own(office: Office) -> None:
    told = office.run("r1", "failed", entered("load", "failed"))

    assert told["all"]["id"] != told["failures"]["id"]
