"""Who is told of what, how often, and what becomes of it when somebody dies or two tell at once."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dying import die_at, until_done

from lineal.alerts import told as keeping
from lineal.alerts.happenings import Happening, grown_old
from lineal.alerts.message import Message, compose
from lineal.alerts.outbox import Entry, Outbox
from lineal.alerts.rules import About, Alert
from lineal.alerts.tell import Teller
from lineal.alerts.told import Ledger

ABOUT = About("flights", "flights.py:flights", "tests", "here", {})
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
BOTH = Alert("command:both", ("failed", "recovered", "stale"), repeat=4 * 3600.0)


def failure(
    what: str = "load", reason: str = "r1", thing: str = "flights", occasion: str = "failed"
) -> Happening:
    message = compose(ABOUT, occasion=occasion, run_id=reason, state="failed", at=NOON.isoformat())
    return Happening(occasion, thing, what, reason, message)


def stale() -> Happening:
    return grown_old(ABOUT, "flights@latest", NOON - timedelta(days=2), 86_400.0, NOON)


def after(**passed: float) -> datetime:
    return NOON + timedelta(**passed)


class Office:
    """Tells, and says what was put into the outbox since the last time, in the order in which it is due."""

    def __init__(self, root: Path) -> None:
        self.root, self.started = root, 0
        self.teller = Teller(root, start=self._start)

    def _start(self, root: Path) -> None:
        self.started += 1

    def told(self) -> list[Message]:
        outbox, found = Outbox(self.root), []
        for _, name in outbox.due():
            entry = outbox.find(name)
            assert entry is not None
            found.append({**entry.message, "to": entry.alert.to, "due": entry.due})
            outbox.remove(entry)
        return found

    def tell(self, happening: Happening, now: datetime, *alerts: Alert) -> list[Message]:
        self.teller.tell(alerts or [BOTH], happening, now)
        return self.told()


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


# --- the same is told once -------------------------------------------------------------------------


def test_what_fails_every_five_minutes_is_told_once_and_then_every_four_hours(office: Office) -> None:
    told = {}
    for number in range(100):
        for message in office.tell(failure(reason=f"r{number}"), after(minutes=5 * number)):
            told[5 * number] = message["repeated"]

    assert list(told) == [0, 240, 480]
    assert told[0] is None
    assert told[240] == {"count": 47, "since": NOON.isoformat()}
    assert told[480] == {"count": 47, "since": after(minutes=240).isoformat()}


def test_a_reminder_says_how_often_it_has_happened_since(office: Office) -> None:
    for minute in (0, 5, 10):
        office.tell(failure(reason=f"r{minute}"), after(minutes=minute))
    (reminder,) = office.tell(failure(reason="r9"), after(hours=4))

    assert f"2 more times since {NOON.isoformat()}" in reminder["text"]


def test_another_failure_of_the_same_is_told_at_once(office: Office) -> None:
    office.tell(failure("load"), NOON)

    assert len(office.tell(failure("train", "r2"), after(minutes=1))) == 1
    assert office.tell(failure("train", "r3"), after(minutes=2)) == []


def test_the_same_failure_of_something_else_is_told(office: Office) -> None:
    office.tell(failure(thing="flights"), NOON)

    assert len(office.tell(failure(thing="weather", reason="r2"), after(minutes=1))) == 1


def test_each_alert_is_reminded_at_its_own_pace(office: Office) -> None:
    hourly, daily = Alert("command:a", repeat=3600.0), Alert("command:b", repeat=86_400.0)
    office.tell(failure(), NOON, hourly, daily)

    assert [told["to"] for told in office.tell(failure(reason="r2"), after(hours=2), hourly, daily)] == [
        "command:a"
    ]


def test_only_the_user_can_read_what_is_told(office: Office) -> None:
    office.teller.tell([BOTH], failure(), NOON)
    outbox = office.root / ".lineal" / "outbox"

    assert [stat.S_IMODE(folder.stat().st_mode) for folder in (outbox, outbox / "told")] == [0o700, 0o700]
    assert {stat.S_IMODE(file.stat().st_mode) for file in outbox.rglob("*") if file.is_file()} == {0o600}


def test_nobody_is_told_on_another_occasion_than_theirs(office: Office) -> None:
    assert office.tell(failure(), NOON, Alert("command:a", ("stale",))) == []
    assert office.started == 0
    assert not Ledger(office.root).is_used


def test_after_a_success_the_next_failure_is_news(office: Office) -> None:
    office.tell(failure(), NOON)
    office.teller.settle([BOTH], "flights", after(minutes=5))

    assert len(office.tell(failure(reason="r2"), after(minutes=10))) == 1


def test_a_recovery_says_how_often_it_failed_unheard_and_ends_the_story(office: Office) -> None:
    for minute in (0, 5, 10):
        office.tell(failure(reason=f"r{minute}"), after(minutes=minute))
    (recovered,) = office.tell(failure(occasion="recovered", reason="r0"), after(minutes=15))

    assert recovered["repeated"]["count"] == 2
    assert len(office.tell(failure(reason="r20"), after(minutes=20))) == 1


def test_what_stays_stale_is_told_once_and_its_end_to_those_who_heard_of_it(office: Office) -> None:
    deaf = Alert("command:deaf", ("recovered",))
    assert [told["event"] for told in office.tell(stale(), NOON, BOTH, deaf)] == ["stale"]
    assert office.tell(stale(), after(hours=1)) == []

    office.teller.over([BOTH, deaf], stale(), after(hours=2))
    (told,) = office.told()
    assert (told["event"], told["to"]) == ("recovered", "command:both")
    assert told["key"] == stale().message["key"]
    assert "no longer stale" in told["text"]

    office.teller.over([BOTH], stale(), after(hours=3))
    assert office.told() == []
    assert len(office.tell(stale(), after(hours=4))) == 1


def test_what_was_never_told_is_never_over(office: Office) -> None:
    office.teller.over([BOTH], stale(), NOON)

    assert office.told() == []
    assert not Ledger(office.root).is_used


# --- no more than somebody can read ----------------------------------------------------------------


def few(most: int) -> Alert:
    return replace(BOTH, hourly=most)


def test_more_than_an_hour_may_have_is_held_back_and_summed_up(office: Office) -> None:
    alert = few(3)
    for number in range(10):
        happening = failure(thing=f"p{number}", reason=f"r{number}")
        office.teller.tell([alert], happening, after(seconds=number))
    *told, summary = office.told()

    assert [message["event"] for message in told] == ["failed"] * 3
    assert summary["event"] == "held_back"
    assert summary["due"] == after(hours=1).timestamp()
    assert summary["subject"] == "[lineal] 7 messages held back"
    assert summary["repeated"] == {"count": 7, "since": NOON.isoformat()}
    assert "no more than 3 messages are sent in an hour" in summary["text"]
    assert summary["text"].count("flights (tests) failed") == 7


def test_what_was_held_back_was_not_told_and_is_news_later(office: Office) -> None:
    office.tell(failure(thing="a"), NOON, few(1))
    assert [told["event"] for told in office.tell(failure(thing="b"), after(minutes=1), few(1))] == [
        "held_back"
    ]

    assert [told["event"] for told in office.tell(failure(thing="b"), after(minutes=61), few(1))] == [
        "failed"
    ]


def test_that_something_has_recovered_is_told_to_those_who_know_that_it_failed_whatever_the_hour(
    office: Office,
) -> None:
    office.tell(failure(thing="a"), NOON, few(1))
    office.tell(failure(thing="b"), NOON, few(1))

    def recovery(thing: str) -> list[str]:
        happening = failure(thing=thing, occasion="recovered", reason=f"end of {thing}")
        return [told["event"] for told in office.tell(happening, after(minutes=1), few(1))]

    assert recovery("a") == ["recovered"]
    assert recovery("b") == ["held_back"]


def test_a_day_of_failures_brings_what_an_hour_may_have_and_one_summary_for_each_hour(office: Office) -> None:
    """Every minute something else fails, for six hours; the outbox is emptied only at the end."""
    alert = few(5)
    for minute in range(360):
        happening = failure(thing=f"p{minute}", reason=f"r{minute}")
        office.teller.tell([alert], happening, after(minutes=minute))
    told = office.told()
    sent = [message for message in told if message["event"] == "failed"]
    summaries = [message for message in told if message["event"] == "held_back"]

    assert len(sent) == 30
    assert 6 <= len(summaries) <= 7
    assert len(sent) + sum(message["repeated"]["count"] for message in summaries) == 360


# --- who dies, and two at once ---------------------------------------------------------------------


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        keeping, "_PATIENCE_SECONDS", 60.0
    )  # a loaded machine is slow, and not what is tested


def test_whoever_dies_while_telling_has_lost_nothing_and_whoever_comes_next_can_tell(tmp_path: Path) -> None:
    def work(step: int) -> bool:
        office = Office(tmp_path / str(step))
        office.root.mkdir()
        done = die_at(step, office.root / ".lineal", lambda: office.teller.tell([BOTH], failure(), NOON))
        office.teller.tell([BOTH], failure(), after(seconds=1))  # for the same reason
        told = office.told()

        assert [message["event"] for message in told] == ["failed"]
        assert office.tell(failure(reason="r2"), after(minutes=5)) == []
        return done

    assert until_done(work) >= 5


def test_where_the_disk_is_full_for_one_the_others_have_theirs(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    really, put = Outbox.put, []

    def once(outbox: Outbox, entry: Entry) -> None:
        if put:
            raise OSError("no space left")
        put.append(entry)
        really(outbox, entry)

    monkeypatch.setattr(Outbox, "put", once)
    with pytest.raises(OSError, match="no space left"):
        office.teller.tell([BOTH, replace(BOTH, to="command:b")], failure(), NOON)

    assert [told["to"] for told in office.told()] == ["command:both"]
    assert office.started == 1


def test_of_two_processes_that_tell_the_same_at_once_one_tells_it(tmp_path: Path, patience: None) -> None:
    office = Office(tmp_path)

    def tell(name: str) -> Callable[[], None]:
        return lambda: office.teller.tell([BOTH], failure(reason=name), NOON)

    _at_once([tell(f"r{number}") for number in range(8)])
    told = Ledger(tmp_path).read(BOTH.to).told

    assert len(office.told()) == 1
    assert [one.since for one in told.values()] == [7]


def test_processes_that_tell_at_once_keep_to_one_pace(tmp_path: Path, patience: None) -> None:
    office, alert = Office(tmp_path), few(3)

    def tell(name: str) -> Callable[[], None]:
        return lambda: office.teller.tell([alert], failure(thing=name, reason=name), NOON)

    _at_once([tell(f"p{number}") for number in range(8)])
    events = sorted(message["event"] for message in office.told())
    held: Any = Ledger(tmp_path).read(alert.to).pace.held

    assert events == ["failed"] * 3 + ["held_back"]
    assert held.count == 5


def _at_once(works: list[Callable[[], None]]) -> None:
    children = []
    for work in works:
        child = os.fork()
        if child == 0:
            try:
                work()
            except BaseException:  # noqa: BLE001 — told by the status
                os._exit(1)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * len(works)
