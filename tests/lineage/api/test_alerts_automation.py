"""Alerts of what runs by itself: who is told that a run is late, missing, or failed before it began."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lineal.api.alerts_automation import AutomationAlerts
from lineal.api.config import Configuration, load_configuration
from lineal.automation.notices import Ended, Missed, Notice, Started
from lineal.automation.schedule import Schedule, Tick
from lineal.state import Job

DUE = datetime(2026, 11, 28, 2, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def job(state: str = "queued", **fields: object) -> Job:
    facts: dict[str, object] = {
        "id": 1,
        "origin": "schedule nightly",
        "logical_date": DUE.isoformat(),
        "variant": "",
        "target": "flights.py:flights",
        "parameters": {"rate": 0.1},
        "due_at": DUE,
        "note": "",
        "state": state,
        "starts": 0,
        "run_id": None,
        "queued_at": DUE,
        "begun_at": None,
        "ended_at": None,
    }
    return Job(**{**facts, **fields})  # type: ignore[arg-type]


class Told:
    """A project with one alert, and what it was told."""

    def __init__(self, root: Path, occasions: list[str], more: str = "") -> None:
        self.root, self.problems, self.stale = root, list[str](), threading.Event()
        (root / "lineal.toml").write_text(
            f"""
            pipelines = ["flights.py:flights"]

            [[alerts]]
            to = "command:true"
            on = {json.dumps(occasions)}
            {more}

            [[schedules]]
            name = "nightly"
            cron = "30 2 * * *"
            """
        )
        self.alerts = AutomationAlerts(self.problems.append, self._stale)
        configuration = load_configuration(root)
        schedules = {table["name"]: Schedule.of(table) for table in configuration.schedules}
        self.alerts.configure(configuration, schedules)

    def _stale(self, configuration: Configuration) -> None:
        self.stale.set()
        raise RuntimeError("the store is gone")

    def events(self) -> list[tuple[str, str]]:
        folder = self.root / ".lineal" / "outbox"
        found = [json.loads(path.read_bytes()) for path in folder.glob("*.json")]
        return sorted((one["message"]["event"], one["message"]["subject"]) for one in found)


@pytest.fixture(autouse=True)
def _nobody_delivers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lineal.alerts.tell.start_deliverer", lambda root: None)
    monkeypatch.setattr("lineal.api.alerts_automation.deliver_waiting", lambda root: [])


def tick(due: datetime) -> Tick:
    return Tick("nightly", due, due, due, due)


def test_a_job_that_waits_is_late_and_then_missing_and_told_once_each(tmp_path: Path) -> None:
    told = Told(tmp_path, ["late", "missing"])

    told.alerts.look([job()], DUE + 5 * MINUTE)
    assert told.events() == []

    for minutes in (11, 12, 13):
        told.alerts.look([job()], DUE + minutes * MINUTE)
    assert [event for event, _ in told.events()] == ["late"]

    told.alerts.look([job()], DUE + timedelta(days=1, minutes=1))
    assert [event for event, _ in told.events()] == ["late", "missing"]
    assert "flights" in told.events()[0][1]


def test_ticks_that_nobody_was_there_for_are_missing(tmp_path: Path) -> None:
    told = Told(tmp_path, ["missing"])

    told.alerts.hear(Missed(DUE + timedelta(days=3), "nightly", tick(DUE), tick(DUE + timedelta(days=2))))

    assert [event for event, _ in told.events()] == ["missing"]


def test_what_failed_before_its_run_began_is_told_and_what_has_a_run_tells_itself(tmp_path: Path) -> None:
    told = Told(tmp_path, ["failed"])

    told.alerts.hear(Ended(DUE, job("failed", run_id="20261128-023000-aaaaaaaa")))
    assert told.events() == []

    told.alerts.hear(Ended(DUE, job("failed", note="ImportFailed: no module named flights")))
    assert [event for event, _ in told.events()] == ["failed"]
    [message] = [
        json.loads(path.read_bytes())["message"] for path in (tmp_path / ".lineal" / "outbox").glob("*.json")
    ]
    assert message["problem"] == "ImportFailed: no module named flights"


@pytest.mark.parametrize(
    "notice",
    [
        Started(DUE, job("starting")),
        Ended(DUE, job("succeeded")),
        Ended(DUE, job("failed", origin="backfill b")),
    ],
)
def test_nobody_who_wants_to_know_of_something_else_is_told(tmp_path: Path, notice: Notice) -> None:
    told = Told(tmp_path, ["late"])

    told.alerts.hear(notice)

    assert (told.events(), told.problems) == ([], [])


def test_what_has_grown_old_is_looked_for_aside_and_its_problems_are_told(tmp_path: Path) -> None:
    told = Told(tmp_path, ["stale"], 'max_age = { "flights@latest" = "1d" }')

    told.alerts.look([], DUE)

    assert told.stale.wait(60)
    assert told.alerts._looking is not None
    told.alerts._looking.join(60)
    assert told.problems == ["cannot look for what has grown old: RuntimeError: the store is gone"]


def test_an_outbox_that_cannot_be_written_to_stops_nothing(tmp_path: Path) -> None:
    told = Told(tmp_path, ["missing"])
    (tmp_path / ".lineal").write_text("no folder")

    told.alerts.hear(Missed(DUE, "nightly", tick(DUE), tick(DUE)))

    assert len(told.problems) == 1
    assert told.problems[0].startswith("an alert could not be written down")
