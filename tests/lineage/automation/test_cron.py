"""What a cron expression may look like, and what is said of one that may not. Its values are tested in test_oracle."""

from __future__ import annotations

import pickle

import pytest

from lineal.automation.cron import Cron, InvalidCron

MONDAY = 29_540_160  # 2026-03-02 00:00, in minutes since 1970


@pytest.mark.parametrize(
    ("alias", "meaning"),
    [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        (" @Annually ", "0 0 1 1 *"),
    ],
)
def test_an_alias_is_the_expression_that_it_stands_for(alias: str, meaning: str) -> None:
    assert Cron.parse(alias) == Cron.parse(meaning)
    assert str(Cron.parse(alias)) == meaning


def test_sunday_is_0_and_7_and_sun() -> None:
    assert {Cron.parse(f"0 0 * * {day}").weekdays for day in ("0", "7", "sun", "SUN", "0,7")} == {(0,)}
    assert Cron.parse("0 0 * * fri-sun").weekdays == Cron.parse("0 0 * * 5-7").weekdays == (0, 5, 6)


@pytest.mark.parametrize(
    ("expression", "either"),
    [
        ("0 0 13 * fri", True),
        ("0 0 1-31 * fri", True),  # all days, and yet restricted: that is how crontab(5) has it
        ("0 0 * * fri", False),
        ("0 0 13 * *", False),
        ("0 0 */2 * fri", False),  # it begins with a star: odd days that are Fridays
        ("0 0 13 * */2", False),
    ],
)
def test_days_of_both_kinds_are_alternatives_only_where_neither_begins_with_a_star(
    expression: str, either: bool
) -> None:
    assert Cron.parse(expression).either_day is either


@pytest.mark.parametrize(
    ("hours", "open_hours"), [("*", True), ("*/2", True), ("0-23", False), ("0-23/2", False), ("2", False)]
)
def test_hours_are_open_where_they_begin_with_a_star(hours: str, open_hours: bool) -> None:
    assert Cron.parse(f"0 {hours} * * *").open_hours is open_hours


def test_minutes_are_found_from_the_first_on_and_before_the_last() -> None:
    cron = Cron.parse("0,30 9-10 * * mon")
    at = MONDAY + 9 * 60

    assert list(cron.named(at, at + 90)) == [at, at + 30, at + 60]
    assert list(cron.named(at + 1, at + 91)) == [at + 30, at + 60, at + 90]
    assert list(cron.named(at + 91, at + 7 * 1440 + 1)) == [at + 7 * 1440]
    assert list(cron.named(at, at)) == []


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("60 * * * *", "minute: '60' is not a number from 0 to 59"),
        ("0 24 * * *", "hour: '24' is not a number from 0 to 23"),
        ("0 0 0 * *", "day of month: '0' is not a number from 1 to 31"),
        ("0 0 1, * *", "day of month: '' is not a number from 1 to 31"),
        ("0 0 -1 * *", "day of month: '' is not a number from 1 to 31"),
        ("0 0 L * *", "day of month: 'l' is not a number from 1 to 31"),
        ("٣ 0 * * *", "minute: '٣' is not a number from 0 to 59"),
        (
            "0 0 * agu *",
            "month: 'agu' is neither a number from 1 to 12 nor one of jan feb mar apr may jun jul aug sep oct nov dec; did you mean aug?",
        ),
        (
            "0 0 * * monday",
            "day of week: 'monday' is neither a number from 0 to 7 nor one of sun mon tue wed thu fri sat; did you mean mon?",
        ),
        ("0 0 ? * *", "day of month: ? is not known here; write *"),
        ("5/15 * * * *", "minute: a step follows * or a range; write 5-59/15"),
        ("*/0 * * * *", "minute: a step is a number from 1 to 60, not '0'"),
        ("*/x * * * *", "minute: a step is a number from 1 to 60, not 'x'"),
        (
            "*/90 * * * *",
            'minute: a step of 90 is longer than the 60 that there are; every = "90m" counts elapsed time',
        ),
        ("0 0 * * */8", "day of week: a step of 8 is longer than the 7 that there are"),
        ("0 22-2 * * *", "hour: the range 22-2 runs backwards; write 22-23,0-2"),
        ("0 0 * nov-jan *", "month: the range nov-jan runs backwards; write 11-12,1"),
        ("0 0 * * sat-mon", "day of week: the range sat-mon runs backwards; write 6-7,1"),
        ("0 0 30 2 *", "day of month: no month of '2' has a day 30"),
        ("0 0 31 feb,apr,jun */2", "day of month: no month of 'feb,apr,jun' has a day 31"),
        ("0 0 * *", "'0 0 * *' has 4 fields, not five"),
        ("", "'' has 0 fields, not five"),
        ("0 0 0 * * *", "'0 0 0 * * *' has 6 fields, not five, and none for seconds"),
        ("@dayly", "there is no @dayly; did you mean @daily?"),
        (
            "@reboot",
            "there is no @reboot; there are @hourly @daily @midnight @weekly @monthly @yearly @annually",
        ),
    ],
)
def test_what_cannot_be_used_is_told_with_its_field_and_what_may_stand_there(
    expression: str, problem: str
) -> None:
    with pytest.raises(InvalidCron) as caught:
        Cron.parse(expression)

    assert str(caught.value) == problem


@pytest.mark.parametrize("expression", ["0 0 29 2 *", "0 0 31 1,2 *", "0 0 30 2 mon"])
def test_a_day_that_exists_at_times_is_allowed(expression: str) -> None:
    assert next(Cron.parse(expression).named(MONDAY, MONDAY + 9 * 366 * 1440), None) is not None


def test_the_suggestions_are_expressions_that_can_be_used() -> None:
    assert Cron.parse("0 22-23,0-2 * 11-12,1 6-7,1").hours == (0, 1, 2, 22, 23)
    assert Cron.parse("5-59/15 * * * *").minutes == (5, 20, 35, 50)


def test_the_error_survives_pickling() -> None:
    error = InvalidCron("minute: …")

    copy = pickle.loads(pickle.dumps(error))

    assert (str(copy), copy.hint, copy.exit_code) == (str(error), error.hint, 2)
