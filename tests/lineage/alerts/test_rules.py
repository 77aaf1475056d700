"""What is an occasion to tell somebody, and whom."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from lineal.alerts.rules import (
    About,
    Alert,
    Failing,
    call_of,
    is_stale,
    lateness,
    message_id,
    occasions,
    remembered,
    slow_after,
)

ABOUT = About("flights", "flights.py:flights", "tests", "here", {"run_date": "2013-06-30"})
BEFORE, NOW = Failing("r1", "2026-11-22T03:17:00+00:00"), Failing("r2", "2026-11-23T03:17:00+00:00")


@pytest.mark.parametrize(
    ("state", "kinds", "before", "told"),
    [
        ("failed", ["exception"], None, ("failed",)),
        ("failed", ["exception"], BEFORE, ("failed",)),
        ("failed", ["exception", "timeout"], None, ("failed", "timeout")),
        ("failed", [], None, ("failed",)),
        ("succeeded", [], BEFORE, ("recovered",)),
        ("succeeded", [], None, ()),
        ("cancelled", [], BEFORE, ()),
        ("cancelled", ["killed"], None, ()),
    ],
)
def test_what_the_end_of_a_run_is_an_occasion_of(
    state: str, kinds: list[str], before: Failing | None, told: tuple[str, ...]
) -> None:
    assert occasions(state, kinds, before) == told


def test_a_stage_that_failed_after_all_its_retries_is_told_as_such() -> None:
    assert occasions("failed", ["exception"], None, exhausted=True) == ("failed", "retries_exhausted")
    assert occasions("failed", ["timeout"], None, exhausted=True) == (
        "failed",
        "retries_exhausted",
        "timeout",
    )
    assert occasions("succeeded", [], None, exhausted=True) == ()


def test_a_failure_is_remembered_until_a_success_and_a_stopped_run_changes_nothing() -> None:
    assert remembered("failed", None, NOW) == NOW
    assert remembered("failed", BEFORE, NOW) == NOW
    assert remembered("cancelled", BEFORE, NOW) == BEFORE
    assert remembered("cancelled", None, NOW) is None
    assert remembered("succeeded", BEFORE, NOW) is None


def test_only_runs_of_one_pipeline_namespace_and_parameters_are_compared() -> None:
    others = [
        replace(ABOUT, target="other.py:flights"),
        replace(ABOUT, namespace="production"),
        replace(ABOUT, parameters={"run_date": "2013-07-01"}),
        replace(ABOUT, parameters={}),
    ]

    assert len({ABOUT.key, *(other.key for other in others)}) == 5
    assert replace(ABOUT, host="elsewhere", secrets=("x",)).key == ABOUT.key


def test_what_is_done_for_another_date_is_the_same_thing_under_another_key() -> None:
    about = replace(ABOUT, dated="run_date")
    other = replace(about, parameters={"run_date": "2013-07-01"})

    assert about.thing == other.thing
    assert about.key != other.key == replace(other, dated=None).key
    assert replace(other, parameters={"run_date": "2013-07-01", "rate": 1}).thing != about.thing


def test_what_is_slow_takes_so_many_times_as_long_as_usual_and_ten_seconds_at_least() -> None:
    assert slow_after(100.0, 2.0) == 200.0
    assert slow_after(100.0, 1.5) == 150.0
    assert slow_after(1.0, 2.0) == 11.0


DUE = datetime(2026, 11, 23, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("waited", "told"),
    [(0, None), (600, None), (601, "late"), (3599, "late"), (3600, "missing"), (7200, "missing")],
)
def test_a_run_that_has_not_begun_is_late_after_a_while_and_missing_when_the_next_is_due(
    waited: int, told: str | None
) -> None:
    now = DUE + timedelta(seconds=waited)

    assert lateness(DUE, now, 600.0, next_due=DUE + timedelta(hours=1)) == told


def test_a_run_that_has_none_after_it_is_late_for_ever() -> None:
    assert lateness(DUE, DUE + timedelta(days=365), 600.0) == "late"


def test_what_is_older_than_it_may_be_is_stale() -> None:
    assert not is_stale(DUE, DUE + timedelta(hours=26), 26 * 3600.0)
    assert is_stale(DUE, DUE + timedelta(hours=26, seconds=1), 26 * 3600.0)


def test_an_item_of_a_list_belongs_to_the_stage_that_is_mapped() -> None:
    assert [call_of(name) for name in ("score[12]", "score", "train#2")] == ["score", "score", "train#2"]


def test_an_alert_that_does_not_say_when_is_told_of_failure_and_recovery() -> None:
    assert Alert.of({"to": "https://hooks.example"}).on == ("failed", "recovered")


def test_an_alert_survives_being_written_down() -> None:
    alert = Alert(
        "mailto:a@example.org",
        ("timeout",),
        "smtp://host",
        "b@example.org",
        "${S}",
        True,
        60.0,
        5,
        1.5,
        30.0,
        {"a": 1.0},
    )

    assert Alert.of(alert.table()) == alert


def test_durations_of_an_alert_are_texts() -> None:
    alert = Alert.of(
        {"to": "command:x", "repeat": "30m", "grace": "90s", "max_age": {"flights@latest": "26h"}}
    )

    assert (alert.repeat, alert.grace, alert.max_age) == (1800.0, 90.0, {"flights@latest": 93_600.0})


def test_a_message_has_the_same_name_each_time_and_another_for_another_reason() -> None:
    assert message_id("r1", "failed", "a") == message_id("r1", "failed", "a")
    assert (
        len(
            {
                message_id("r1", "failed", "a"),
                message_id("r1", "failed", "b"),
                message_id("r1a", "failed", ""),
            }
        )
        == 3
    )
