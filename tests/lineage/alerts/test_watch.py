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
    ExecutionStarted,
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

    def watch(self, about: About = ABOUT, usual: float | None = None) -> Watch:
        def start(_root: Path) -> None:
            assert Outbox(self.root).due(), "nothing is delivered before it is written"
            self.started += 1

        return Watch(about, self.alerts, self.root, usual_seconds=lambda: usual, start=start)

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


# --- the same again --------------------------------------------------------------------------------


def test_what_fails_again_in_the_same_way_is_told_once_whatever_the_error_says(office: Office) -> None:
    office.run("r1", "failed", entered("load", "failed"))
    again = replace_failure(entered("load", "failed"), "load broke at 03:22")

    assert office.run("r2", "failed", again) == {}
    assert set(office.run("r3", "failed", entered("train", "failed"))) == {"all", "failures"}


def test_what_fails_again_for_another_date_is_told_once(office: Office) -> None:
    def about(day: int) -> About:
        return replace(ABOUT, parameters={"run_date": f"2013-06-{day}"}, dated="run_date")

    assert office.run("r1", "failed", entered("load", "failed"), about=about(20)) != {}
    assert office.run("r2", "failed", entered("load", "failed"), about=about(21)) == {}
    assert office.run("r3", "succeeded", about=about(22)) == {}  # neither has recovered, but it goes again
    assert office.run("r4", "failed", entered("load", "failed"), about=about(23)) != {}


def test_a_failure_after_a_success_is_told_at_once(office: Office) -> None:
    office.run("r1", "failed", entered("load", "failed"))
    office.run("r2", "succeeded")

    assert set(office.run("r3", "failed", entered("load", "failed"))) == {"all", "failures"}


def replace_failure(event: StageChanged, message: str) -> StageChanged:
    return StageChanged(
        event.at,
        event.run_id,
        event.stage,
        event.state,
        attempt=1,
        failure=Failure("exception", "ValueError", message),
    )


# --- retries ---------------------------------------------------------------------------------------

RETRIED = Alert("command:retried", ("retry", "retries_exhausted", "failed"))


def attempt_failed(stage: str, attempt: int, state: StageState = "up_for_retry") -> StageChanged:
    return StageChanged(
        at(attempt), "r1", stage, state, attempt=attempt, failure=Failure("exception", "E", "no")
    )


@pytest.fixture
def retried(tmp_path: Path) -> Office:
    return Office(tmp_path, RETRIED)


def test_an_attempt_that_is_made_again_is_told_while_the_run_goes_on(retried: Office) -> None:
    watch = retried.watch(replace(ABOUT, retries={"load": 2}))
    watch(RunStarted(START, "r1", "flights", ()))
    for event in wrote("load", "trying\n"):
        watch(event)
    watch(attempt_failed("load", 1))
    (message,) = retried.told().values()

    assert (message["event"], message["state"], message["stage"]) == ("retry", "running", "load")
    assert message["subject"] == "[lineal] flights (tests): load failed and is tried again"
    assert message["failed"][0]["log"] == ["trying"]
    assert "retry:" not in message["text"]

    watch(attempt_failed("load", 2))
    assert retried.told() == {}


def test_retries_are_exhausted_when_the_last_of_them_has_failed(retried: Office) -> None:
    about = replace(ABOUT, retries={"load": 2, "score": 1})

    def told(*events: Event) -> str:
        (message,) = retried.run("r1", "failed", *events, about=about).values()
        retried.run("r2", "succeeded", about=about)
        return str(message["event"])

    assert told(attempt_failed("load", 3, "failed")) == "retries_exhausted"
    assert told(attempt_failed("score[7]", 2, "failed")) == "retries_exhausted"
    assert told(attempt_failed("load", 2, "failed")) == "failed"  # another attempt would not have helped
    assert told(attempt_failed("train", 1, "failed")) == "failed"


# --- what takes long -------------------------------------------------------------------------------

SLOW = Alert("command:slow", ("slow",))
SLOWER = Alert("command:slower", ("slow",), slower=4.0)


@pytest.fixture
def slow(tmp_path: Path) -> Office:
    return Office(tmp_path, SLOW, SLOWER)


def begun(office: Office, usual: float | None = None, **expected: float) -> Watch:
    """The watch of a run that has just begun to execute stages that usually take that long."""
    watch = office.watch(usual=usual)
    watch(RunStarted(START, "r1", "flights", ()))
    watch(ExecutionStarted(START, "r1", "process", 1, dict.fromkeys(expected, ()), expected))
    return watch


def test_a_stage_that_takes_longer_than_usual_is_told_while_it_runs(slow: Office) -> None:
    watch = begun(slow, train=100.0)
    watch(entered("train", "running", 5))

    assert watch.next_look == at(205)
    watch.look(at(204))
    assert slow.told() == {}
    watch.look(at(206))
    (message,) = slow.told().values()
    assert (message["event"], message["state"], message["stage"], message["run_id"]) == (
        "slow",
        "running",
        "train",
        "r1",
    )
    assert message["subject"] == "[lineal] flights (tests): train is slow"
    assert message["notes"][0] == "train has taken 0:03:21 so far, usually 0:01:40"
    assert "lineal cancel r1" in message["notes"][1]


def test_each_alert_has_its_own_patience_and_is_told_once(slow: Office) -> None:
    watch = begun(slow, train=100.0)
    watch(entered("train", "running", 0))
    told = []
    while watch.next_look is not None:
        watch.look(watch.next_look)
        told.append(set(slow.told()))

    assert told == [{"slow"}, {"slower"}]


def test_what_has_ended_is_not_slow(slow: Office) -> None:
    watch = begun(slow, train=100.0)
    watch(entered("train", "running", 0))
    watch(entered("train", "succeeded", 150))

    assert watch.next_look is None
    watch.look(at(1000))
    assert slow.told() == {}


def test_an_attempt_is_timed_on_its_own(slow: Office) -> None:
    watch = begun(slow, train=100.0)
    watch(entered("train", "running", 0))
    watch(attempt_failed("train", 1))
    watch(entered("train", "running", 150))

    assert watch.next_look == at(350)


def test_what_has_no_past_is_never_slow(slow: Office) -> None:
    watch = begun(slow)
    watch(entered("train", "running", 0))

    assert watch.next_look is None


def test_of_many_items_of_a_list_the_first_is_told(slow: Office) -> None:
    watch = begun(slow, score=100.0)
    watch(entered("score[0]", "running", 0))
    watch(entered("score[1]", "running", 1))
    watch.look(at(300))

    assert slow.told()["slow"]["stage"] == "score[0]"
    watch.look(at(301))
    assert slow.told() == {}


def test_a_run_that_takes_longer_than_runs_do_is_told_while_it_goes_on(slow: Office) -> None:
    watch = begun(slow, usual=1000.0, train=100.0)

    assert watch.next_look == at(2000)
    watch.look(at(2000))
    assert slow.told()["slow"]["subject"] == "[lineal] flights (tests) is slow"


def test_a_run_that_has_more_to_do_than_usual_may_take_as_long_as_its_stages(slow: Office) -> None:
    watch = begun(slow, usual=10.0, train=3000.0, load=1000.0)

    assert watch.next_look == at(8000)


def test_a_run_that_was_slow_is_told_no_more_when_it_has_ended(slow: Office) -> None:
    watch = begun(slow, usual=1000.0)
    watch(RunFinished(at(10), "r1", "succeeded", {}))

    assert watch.next_look is None


# --- what is found of a stage ----------------------------------------------------------------------


def test_other_bytes_from_the_same_are_told_although_the_run_succeeds(tmp_path: Path) -> None:
    office = Office(tmp_path, Alert("command:all", ("failed", "nondeterminism")))
    other = StageChanged(
        at(1), "r1", "train", "succeeded", other_bytes="run r0 made other bytes of the same action"
    )
    told = office.run("r1", "succeeded", other)

    assert told["all"]["event"] == "nondeterminism"
    assert told["all"]["subject"] == "[lineal] flights (tests): train is not deterministic"
    assert told["all"]["notes"] == ["train: run r0 made other bytes of the same action"]
    assert office.run("r2", "succeeded", other) == {}


def test_columns_that_change_are_told_until_they_change_again(tmp_path: Path) -> None:
    office = Office(tmp_path, Alert("command:all", ("schema_drift",)))

    def told(**changes: str) -> list[str]:
        watch = office.watch()
        watch(RunFinished(at(9), "r1", "succeeded", {}))
        watch.found("schema_drift", "load", changes, at(10))
        return [f"{message['state']} {message['notes']}" for message in office.told().values()]

    assert told(result="a is double, was int64") == ["succeeded ['result: a is double, was int64']"]
    assert told(result="a is double, was int64") == []
    assert told(other="a is double, was int64") == []  # another item of a list has changed in the same way
    assert len(told(result="gone: b")) == 1


def test_of_many_attempts_and_items_the_first_is_told_in_a_run(tmp_path: Path) -> None:
    office = Office(tmp_path, Alert("command:all", ("retry",)))
    watch = office.watch()
    for number in range(100):
        watch(attempt_failed(f"score[{number}]", 1))

    assert len(office.told()) == 1
    assert office.started == 1


def test_what_is_told_of_a_stage_opens_another_incident_than_the_failure_of_its_run(tmp_path: Path) -> None:
    office = Office(tmp_path, Alert("command:all", ("failed", "retry")))
    watch = office.watch()
    watch(attempt_failed("load", 1))
    (retry,) = office.told().values()
    watch(attempt_failed("load", 2, "failed"))
    watch(RunFinished(at(9), "r1", "failed", {}))
    (failure,) = office.told().values()

    assert failure["key"] == ABOUT.key != retry["key"]
