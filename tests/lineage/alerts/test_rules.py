"""What the end of a run means, and to whom."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lineal.alerts.rules import About, Alert, Failing, message_id, occasions, remembered

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


def test_an_alert_that_does_not_say_when_is_told_of_failure_and_recovery() -> None:
    assert Alert.of({"to": "https://hooks.example"}).on == ("failed", "recovered")


def test_an_alert_survives_being_written_down() -> None:
    alert = Alert("mailto:a@example.org", ("timeout",), "smtp://host", "b@example.org", "${S}", True)

    assert Alert.of(alert.table()) == alert


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
