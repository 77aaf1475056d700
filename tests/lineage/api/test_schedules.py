"""The documents of schedules: what is configured, and what will happen."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lineal.api.config import Configuration
from lineal.api.schedules import schedules_document, simulation_document
from lineal.errors import NotFound, UsageError

NOW = datetime(2026, 3, 28, 12, tzinfo=UTC)
NIGHTLY = {"name": "nightly", "pipeline": "flights.py", "cron": "30 2 * * *", "timezone": "Europe/Berlin"}
NOON = {"name": "noon", "cron": "0 12 * * *"}
ON_DATA = {"name": "on data", "on": {"path": "s3://raw/*.parquet"}}


def configured(*tables: dict[str, Any]) -> Configuration:
    return Configuration(Path("p"), "store", schedules=tables)


def simulated(configuration: Configuration, name: str | None = None, **given: Any) -> dict[str, Any]:
    wish: dict[str, Any] = {"since": None, "until": None, "takes": None, "absence": None, "now": NOW, **given}
    return simulation_document(configuration, name, **wish)


def ticks(document: dict[str, Any]) -> list[tuple[str, str]]:
    return [(tick["schedule"], tick["fires_at"]) for tick in document["ticks"]]


def test_each_schedule_is_listed_with_its_next_tick() -> None:
    nightly, on_data = schedules_document(configured(NIGHTLY, ON_DATA), NOW)["schedules"]

    assert nightly == {
        "name": "nightly",
        "pipeline": "flights.py",
        "cron": "30 2 * * *",
        "every": None,
        "on": None,
        "timezone": "Europe/Berlin",
        "gap": "shift",
        "overlap": "once",
        "catch_up": "latest",
        "when_running": "queue",
        "jitter": None,
        "start": None,
        "end": None,
        "logical_date_offset": "0d",
        "parameters": {},
        "reproduce": [],
        "state": None,
        "next": {
            "schedule": "nightly",
            "fires_at": "2026-03-29T01:00:00+00:00",
            "local": "2026-03-29T03:00:00+02:00",
            "logical_date": "2026-03-29T02:30:00+02:00",
            "note": "02:30 does not exist: shifted to 03:00",
        },
    }
    assert (on_data["on"], on_data["cron"], on_data["next"]) == ({"path": "s3://raw/*.parquet"}, None, None)


def test_a_simulation_is_of_a_week_from_now_of_all_schedules_in_the_order_of_time() -> None:
    told = simulated(configured(NOON, NIGHTLY, ON_DATA))

    assert ticks(told)[:3] == [
        ("noon", "2026-03-28T12:00:00+00:00"),
        ("nightly", "2026-03-29T01:00:00+00:00"),
        ("noon", "2026-03-29T12:00:00+00:00"),
    ]
    assert len(told["ticks"]) == 14
    assert (told["passed_over"], told["by_event"], told["cut"]) == ([], ["on data"], None)


def test_a_date_without_a_zone_is_the_schedules_own() -> None:
    midnights = [
        {"name": zone, "cron": "@daily", "timezone": zone} for zone in ("Asia/Tokyo", "America/Lima")
    ]

    told = simulated(configured(*midnights), since="2026-03-28", until="2026-03-29")

    assert ticks(told) == [
        ("Asia/Tokyo", "2026-03-27T15:00:00+00:00"),
        ("America/Lima", "2026-03-28T05:00:00+00:00"),
    ]


def test_one_schedule_is_simulated_by_its_name() -> None:
    assert {name for name, _ in ticks(simulated(configured(NOON, NIGHTLY), "noon"))} == {"noon"}


def test_what_is_passed_over_is_told_apart() -> None:
    skipping = {**NIGHTLY, "gap": "skip"}

    told = simulated(
        configured(skipping), until="2026-03-31", takes="26h", absence="2026-03-30/2026-03-30T09:00"
    )

    assert [tick["note"] for tick in told["passed_over"]] == ["02:30 does not exist: skipped"]
    assert [tick["note"] for tick in told["ticks"]] == ["caught up with: was due 2026-03-30 02:30"]


def test_a_long_simulation_is_cut_and_goes_on_where_it_was_cut() -> None:
    configuration = configured(NOON, NIGHTLY)

    told, later = simulated(configuration, most=5), simulated(configuration)["ticks"][5:]

    assert len(told["ticks"]) == 5
    assert simulated(configuration, since=told["cut"], until="2026-04-04T12:00Z")["ticks"] == later


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"since": "soon"}, "--from: 'soon' is no date or time"),
        ({"until": "2026-01-01"}, "--to 2025-12-31T23:00:00+00:00 is before --from"),
        ({"since": "9999-12-31"}, "--from: 9999-12-31 00:00:00 is too far away"),
        ({"takes": "long"}, "--takes: 'long' is no duration"),
        ({"takes": "36526d"}, "--takes: '36526d' is no duration"),
        ({"absence": "2026-03-28"}, "--down 2026-03-28 is no interval"),
        ({"absence": "2026-03-28/2026-03-27"}, "--down 2026-03-28/2026-03-27 ends before it begins"),
        ({"absence": "2026-03-28/x"}, "--down: 'x' is no date or time"),
    ],
)
def test_what_cannot_be_supposed_is_refused(given: dict[str, str], problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        simulated(configured(NIGHTLY), **given)

    assert str(caught.value).startswith(problem)


def test_an_unknown_schedule_is_not_found() -> None:
    with pytest.raises(NotFound, match="there is no schedule nightley; did you mean nightly"):
        simulated(configured(NIGHTLY), "nightley")
    with pytest.raises(NotFound) as caught:
        simulated(configured(), "nightly")
    assert caught.value.hint == "The configuration has no [[tool.lineal.schedules]]."


def test_without_schedules_there_is_nothing_to_tell() -> None:
    assert schedules_document(configured(), NOW) == {"schedules": [], "daemon": None}
    assert simulated(configured()) == {"ticks": [], "passed_over": [], "by_event": [], "cut": None}
