"""What `lineal doctor` says of schedules."""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lineal.api import doctor_schedules
from lineal.api.checks import Check, Checks
from lineal.api.config import Configuration
from lineal.api.doctor_schedules import check_schedules, examine_schedules
from lineal.automation.locks import held
from lineal.state import NewJob, State

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
NIGHTLY = {"name": "nightly", "cron": "30 2 * * *"}
LABELS = {"name": "labels", "on": {"webhook": "labels", "secret": "${KEY}"}}


@pytest.fixture
def configuration(tmp_path: Path) -> Configuration:
    return Configuration(tmp_path, "", schedules=(NIGHTLY, LABELS))


@pytest.fixture
def state(configuration: Configuration) -> Iterator[State]:
    with State(configuration.state / "state.sqlite") as state:
        state.take_up({"nightly": "", "labels": ""}, NOW)
        yield state


def examined(configuration: Configuration) -> dict[str, Check]:
    checks = Checks()
    examine_schedules(checks, configuration)
    return {check.name: check for check in checks.made}


def told(configuration: Configuration) -> str:
    found = check_schedules(configuration, {"KEY": "k"}, NOW)
    assert found.state == "warning"
    return found.detail


def test_that_nobody_fires_them_is_told(configuration: Configuration) -> None:
    assert examined(configuration)["scheduler"].state == "warning"

    with held(configuration.state / "daemon.lock"):
        assert examined(configuration)["scheduler"].state == "ok"


def test_asking_makes_no_state(configuration: Configuration) -> None:
    assert examined(configuration)["state"].state == "ok"
    assert not configuration.state.exists()


def test_a_state_that_would_lie_on_a_network_file_system_fails(
    configuration: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_schedules, "file_system_of", lambda folder: "nfs4")

    assert examined(configuration)["state"].state == "failed"


def test_a_damaged_state_fails_with_what_to_do(configuration: Configuration, state: State) -> None:
    state.path.write_bytes(b"no database" * 100)

    found = examined(configuration)["state"]

    assert found.state == "failed"
    assert found.hint is not None
    assert "Move that file away" in found.hint


def test_the_edition_of_the_time_zones_is_told(
    configuration: Configuration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "UTC").touch()
    (tmp_path / "tzdata.zi").write_text("# version 2026b\n# more\n")
    monkeypatch.setattr(zoneinfo, "TZPATH", (str(tmp_path),))

    assert f"2026b in {tmp_path}" in examined(configuration)["time zones"].detail


def test_when_all_is_well_they_are_named(configuration: Configuration, state: State) -> None:
    found = check_schedules(configuration, {"KEY": "k"}, NOW)

    assert (found.state, found.detail) == ("ok", "nightly, labels")


def test_paused_late_and_failed_ones_are_told(configuration: Configuration, state: State) -> None:
    state.pause("labels", "ann", NOW)
    due = NOW - timedelta(minutes=10)
    state.add([NewJob("schedule nightly", str(n), due) for n in range(2)], NOW)
    for n, ended in enumerate((NOW - timedelta(hours=1), NOW - timedelta(days=2))):
        state.add([NewJob("backfill b", str(n), due, state="failed")], ended)

    assert told(configuration) == (
        "paused: labels (by ann); late, and not begun: nightly (2 times); failed in the last day: backfills"
    )


def test_a_webhook_whose_key_is_not_set_takes_no_calls(configuration: Configuration) -> None:
    found = check_schedules(configuration, {"KEY": ""}, NOW)

    assert (found.state, found.detail) == ("warning", "labels takes no calls: KEY is not set here")


def test_webhooks_without_what_answers_them_are_told(
    configuration: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_schedules.util, "find_spec", lambda name: None)

    assert told(configuration) == "webhooks need starlette and uvicorn: pip install 'lineal[web]'"
