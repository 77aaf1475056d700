"""Scheduled runs that do not begin are told of, once, and that they go again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lineal.alerts.message import Message
from lineal.alerts.outbox import Outbox
from lineal.alerts.rules import About, Alert
from lineal.alerts.schedules import tell_begun, tell_missed, tell_not_begun
from lineal.alerts.tell import Teller

ABOUT = About("flights", "flights.py:flights", "production", "worker-3", {"run_date": "2026-11-22"})
DUE = datetime(2026, 11, 23, 3, tzinfo=UTC)
ALL = Alert("command:all", ("late", "missing", "recovered"), grace=600.0)
PATIENT = Alert("command:patient", ("late",), grace=3600.0)


class Office:
    """Asks about the run that is due, and says what that puts into the outbox."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.teller = Teller(root, start=lambda root: None)

    def told(self) -> list[Message]:
        outbox, found = Outbox(self.root), []
        for _, name in outbox.due():
            entry = outbox.find(name)
            assert entry is not None
            found.append({**entry.message, "to": entry.alert.to})
            outbox.remove(entry)
        return found

    def at(self, minutes: int, *alerts: Alert, due: datetime = DUE) -> list[Message]:
        now = DUE + timedelta(minutes=minutes)
        tell_not_begun(
            self.teller, alerts or [ALL], ABOUT, "nightly", due, now, next_due=due + timedelta(days=1)
        )
        return self.told()

    def begins(self, minutes: int) -> list[Message]:
        tell_begun(self.teller, [ALL], ABOUT, "nightly", DUE, DUE + timedelta(minutes=minutes))
        return self.told()


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def test_a_run_that_does_not_begin_is_late_once(office: Office) -> None:
    told = {minutes: office.at(minutes) for minutes in range(0, 60, 5)}
    (late,) = told.pop(15)

    assert not any(told.values())
    assert (late["event"], late["run_id"], late["state"]) == ("late", None, None)
    assert late["subject"] == "[lineal] flights (production) is late"
    assert late["notes"] == [f"schedule nightly: the run that was due at {DUE.isoformat()} has not begun"]
    assert late["retry"] == "lineal run flights.py:flights run_date=2026-11-22"


def test_each_alert_has_its_own_grace(office: Office) -> None:
    assert [late["to"] for late in office.at(15, ALL, PATIENT)] == ["command:all"]
    assert [late["to"] for late in office.at(61, ALL, PATIENT)] == ["command:patient"]


def test_it_is_missing_when_the_next_is_due(office: Office) -> None:
    office.at(15)

    assert [message["event"] for message in office.at(24 * 60)] == ["missing"]


def test_a_run_that_begins_ends_the_story_for_those_who_heard_of_it(office: Office) -> None:
    (late,) = office.at(15)
    (recovered,) = office.begins(20)

    assert (recovered["event"], recovered["key"]) == ("recovered", late["key"])
    assert "no longer late" in recovered["text"]
    assert office.begins(25) == []
    assert [message["event"] for message in office.at(30)] == ["late"]


def test_a_run_that_begins_in_time_is_no_news(office: Office) -> None:
    assert office.begins(0) == []


def test_a_run_that_was_passed_over_is_missing_at_once(office: Office) -> None:
    tell_missed(office.teller, [ALL], ABOUT, "nightly", DUE, DUE, "nothing ran from 02:00 to 05:00")
    (missing,) = office.told()

    assert missing["subject"] == "[lineal] flights (production) did not run"
    assert missing["notes"][1] == "nothing ran from 02:00 to 05:00"


def test_schedules_of_other_projects_and_namespaces_are_other_incidents(office: Office) -> None:
    (late,) = office.at(15)
    for about in (replace(ABOUT, namespace="dev"), replace(ABOUT, target="other.py:flights")):
        tell_missed(office.teller, [ALL], about, "nightly", DUE, DUE, "")
        (other,) = office.told()
        assert other["key"] != late["key"]
