"""The same is told once until it changes, and no more in an hour than somebody can read."""

from __future__ import annotations

import pytest

from lineal.alerts.restraint import HOUR_SECONDS, SUBJECTS_KEPT, Pace, Told

NOON = 1_700_000_000.0


@pytest.mark.parametrize(
    ("what", "later", "is_news"),
    [
        ("load failed", 0.0, False),
        ("load failed", 3599.0, False),
        ("load failed", 3600.0, True),
        ("train failed", 1.0, True),
        ("load failed", -1.0, True),  # the clock was set back, perhaps by years
    ],
)
def test_what_was_told_is_news_again_when_it_changes_or_after_a_while(
    what: str, later: float, is_news: bool
) -> None:
    assert Told(NOON, "load failed").is_news(what, NOON + later, 3600.0) is is_news


def test_no_hour_has_more_messages_than_it_may() -> None:
    pace, sent = Pace(), []
    for minute in range(0, 600, 5):
        now = NOON + 60.0 * minute
        if pace.has_room(now, 3):
            pace = pace.after_sending(now)
            sent.append(now)

    assert sent[:4] == [NOON, NOON + 300, NOON + 600, NOON + HOUR_SECONDS]
    assert all(sum(start <= moment < start + HOUR_SECONDS for moment in sent) <= 3 for start in sent)
    assert len(pace.sent) <= 3


def test_a_clock_that_was_set_back_keeps_nobody_from_being_told() -> None:
    pace = Pace((NOON, NOON, NOON))

    assert pace.has_room(NOON - 86_400.0, 3)


def test_what_is_held_back_is_summed_up_when_there_is_room_again() -> None:
    pace = Pace((NOON, NOON + 60.0))
    for number in range(30):
        pace = pace.after_holding(f"m{number}", NOON + 120.0 + number)

    assert pace.held is not None
    assert (pace.held.due, pace.held.count) == (NOON + HOUR_SECONDS, 30)
    assert pace.held.subjects == tuple(f"m{number}" for number in range(SUBJECTS_KEPT))


@pytest.mark.parametrize("before_due", [5.0, 0.0, -60.0])
def test_a_summary_that_is_on_its_way_is_not_changed_any_more(before_due: float) -> None:
    pace = Pace((NOON,)).after_holding("m1", NOON + 1)
    assert pace.held is not None
    first = pace.held
    now = first.due - before_due
    pace = Pace((*pace.sent, now), pace.held).after_holding("m2", now)

    assert pace.held is not None
    assert pace.held.due >= now + 60.0
    assert (pace.held.count, pace.held.subjects) == (1, ("m2",))


def test_a_summary_that_is_due_soon_is_added_to_until_it_is_on_its_way() -> None:
    pace = Pace((NOON,)).after_holding("m1", NOON + 3599.0)
    again = pace.after_holding("m2", NOON + 3609.0)

    assert pace.held is not None and again.held is not None
    assert (again.held.due, again.held.count) == (pace.held.due, 2)
