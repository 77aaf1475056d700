"""The figures, as Prometheus reads them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from lineal.automation.notices import ClockSetBack, Fired, Stepped
from lineal.state import Job, NewJob
from lineal.views.figures import Figures
from lineal_web import prometheus
from lineal_web.prometheus import Metrics

PAGE = Path(__file__).parents[2] / "docs" / "observability.md"
NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scraped(site: Any) -> Samples:
    answer = site.client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found: Samples = {}
    for family in text_string_to_metric_families(answer.text):
        assert family.documentation
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in found
            found[key] = sample.value
    return found


def value(found: Samples, name: str, **labels: str) -> float:
    return found[name, frozenset({"project": "project", **labels}.items())]


def names(found: Samples) -> set[str]:
    return {name for name, _ in found}


def job(origin: str = "schedule nightly", state: str = "succeeded", **fields: Any) -> Job:
    times = {"queued_at": NOON, "begun_at": NOON, "ended_at": NOON + SECOND}
    facts = {
        "id": 1,
        "logical_date": "",
        "variant": "",
        "target": None,
        "parameters": {},
        "due_at": NOON,
        "note": "",
    }
    return Job(**{**facts, **times, "origin": origin, "state": state, "starts": 1, "run_id": "r", **fields})  # type: ignore[arg-type]


FIGURES = Figures("flights", 42.0, {"succeeded": 2, "failed": 1}, {"hit": 1, "miss": 2}, 1000)


def test_a_run_that_has_ended_counts_with_what_its_record_says(site: Any) -> None:
    site.metrics.count("project", job(), FIGURES)
    site.metrics.count("project", job(), FIGURES)

    found = scraped(site)

    run = {"pipeline": "flights", "schedule": "nightly"}
    assert value(found, "lineal_runs_total", **run, state="succeeded") == 2
    assert value(found, "lineal_run_duration_seconds_sum", **run) == 84
    assert value(found, "lineal_run_duration_seconds_bucket", **run, le="15.0") == 0
    assert value(found, "lineal_run_duration_seconds_bucket", **run, le="60.0") == 2
    assert value(found, "lineal_stages_total", pipeline="flights", state="failed") == 2
    assert value(found, "lineal_cache_lookups_total", pipeline="flights", result="miss") == 4
    assert value(found, "lineal_written_bytes_total", pipeline="flights") == 2000


def test_a_run_that_never_began_counts_and_backfills_have_no_schedule(site: Any) -> None:
    site.metrics.count("project", job(state="failed", run_id=None), None)
    site.metrics.count("project", job("backfill 20261128-a"), FIGURES)

    found = scraped(site)

    assert value(found, "lineal_runs_total", pipeline="", schedule="nightly", state="failed") == 1
    assert value(found, "lineal_runs_total", pipeline="flights", schedule="", state="succeeded") == 1


def test_how_late_it_fires_and_what_is_skipped_count(site: Any) -> None:
    hear = site.metrics.listener("project")
    hear(Fired(NOON + 2 * SECOND, job(state="queued")))
    hear(Fired(NOON - SECOND, job(state="skipped")))  # a clock that was set back

    found = scraped(site)

    assert value(found, "lineal_schedule_lateness_seconds_sum") == 2
    assert value(found, "lineal_schedule_lateness_seconds_count") == 2
    assert value(found, "lineal_runs_total", pipeline="", schedule="nightly", state="skipped") == 1


def test_the_schedulers_steps_and_its_clock_are_told(site: Any) -> None:
    assert value(scraped(site), "lineal_clock_set_back_total") == 0
    hear = site.metrics.listener("project")
    hear(Stepped(NOON, 0.25))
    hear(ClockSetBack(NOON, "nightly"))

    found = scraped(site)

    assert value(found, "lineal_scheduler_last_step_timestamp_seconds") == NOON.timestamp()
    assert value(found, "lineal_scheduler_step_duration_seconds_sum") == 0.25
    assert value(found, "lineal_clock_set_back_total") == 1
    assert value(found, "lineal_scheduler_active") == 1


def test_the_queue_is_told_by_origin_and_lag_is_that_of_schedules(site: Any) -> None:
    """A backfill's jobs are due when their dates were: they are not late."""
    long_ago = NOON - timedelta(days=300)
    with site.served.open_state() as state:
        state.add([NewJob("schedule nightly", str(n), NOON - n * SECOND) for n in (10, 20)], NOON)
        state.add([NewJob("backfill b", str(n), long_ago) for n in range(3)], NOON)
        state.add([NewJob("schedule gone", "1", NOON)], NOON)
        assert state.offer(1) is not None

    found = scraped(site)

    assert value(found, "lineal_jobs_waiting", origin="schedule", schedule="nightly") == 1
    assert value(found, "lineal_jobs_waiting", origin="schedule", schedule="labels") == 0
    assert value(found, "lineal_jobs_waiting", origin="schedule", schedule="other") == 1
    assert value(found, "lineal_jobs_waiting", origin="backfill", schedule="") == 3
    assert value(found, "lineal_jobs_running", origin="schedule", schedule="nightly") == 1
    assert value(found, "lineal_schedule_lag_seconds") == 20


def test_when_a_schedule_fires_next_is_told_unless_it_is_paused_or_waits_for_an_event(site: Any) -> None:
    found = scraped(site)
    upcoming = datetime(2026, 11, 29, 2, 30, tzinfo=UTC)
    assert (
        value(found, "lineal_schedule_next_fire_timestamp_seconds", schedule="nightly")
        == upcoming.timestamp()
    )
    assert value(found, "lineal_schedule_lag_seconds") == 0

    with site.served.open_state() as state:
        state.pause("nightly", "ann", NOON)
    assert "lineal_schedule_next_fire_timestamp_seconds" not in names(scraped(site))


def test_the_last_success_is_remembered_from_before_the_process_began(site: Any) -> None:
    with site.served.open_state() as state:
        for number, ended in enumerate((NOON, NOON + SECOND)):
            due = NOON + number * SECOND
            state.add([NewJob("schedule nightly", str(number), due, state="succeeded")], ended)
        state.add([NewJob("schedule nightly", "2", NOON + 2 * SECOND, state="failed")], NOON + 2 * SECOND)
    last = "lineal_schedule_last_success_timestamp_seconds"
    assert last not in names(scraped(site))

    site.metrics.recall("project")
    assert value(scraped(site), last, schedule="nightly") == (NOON + SECOND).timestamp()

    site.metrics.count("project", job(ended_at=NOON + 9 * SECOND), None)
    site.metrics.count("project", job(ended_at=NOON + 5 * SECOND), None)  # told later
    assert value(scraped(site), last, schedule="nightly") == (NOON + 9 * SECOND).timestamp()


def test_a_drill_is_a_schedule_that_has_no_hurry(site: Any) -> None:
    with (site.root / "lineal.toml").open("a") as file:
        file.write('[[schedules]]\nname = "rebuild"\nreproduce = ["*"]\nevery = "1d"\n')
    site.__post_init__()
    site.take_up()
    with site.served.open_state() as state:
        state.add([NewJob("drill rebuild", "1", NOON - timedelta(days=1))], NOON)
    site.metrics.count("project", job("drill rebuild", run_id=None), None)

    found = scraped(site)

    assert value(found, "lineal_jobs_waiting", origin="drill", schedule="rebuild") == 1
    assert value(found, "lineal_schedule_lag_seconds") == 0
    assert value(found, "lineal_schedule_last_success_timestamp_seconds", schedule="rebuild") > 0
    assert value(found, "lineal_runs_total", pipeline="", schedule="rebuild", state="succeeded") == 1


def test_alerts_that_wait_or_could_not_be_delivered_are_told(site: Any) -> None:
    outbox = site.root / ".lineal" / "outbox"
    (outbox / "failed").mkdir(parents=True)
    for name in ("a.json", "b.json", "failed/c.json"):
        (outbox / name).write_text("{}")

    found = scraped(site)

    assert value(found, "lineal_alerts_waiting") == 2
    assert value(found, "lineal_alerts_failed") == 1


def test_of_a_state_that_cannot_be_used_the_rest_is_told(site: Any) -> None:
    with site.served.open_state() as state:
        path = state.path
    path.write_bytes(b"no database" * 100)

    found = names(scraped(site))

    assert "lineal_alerts_waiting" in found
    assert "lineal_jobs_waiting" not in found


def test_however_many_names_there_are_so_many_are_told_apart(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prometheus, "MOST_VALUES", 3)
    for number in range(50):
        figures = Figures(f"p{number}", 1.0, {}, {}, 1)
        site.metrics.count("project", job(f"schedule s{number}"), figures)

    found = scraped(site)

    pipelines = {dict(labels)["pipeline"] for name, labels in found if name == "lineal_written_bytes_total"}
    assert pipelines == {"p0", "p1", "p2", "other"}
    assert value(found, "lineal_written_bytes_total", pipeline="other") == 47
    assert value(found, "lineal_runs_total", pipeline="other", schedule="other", state="succeeded") == 47


@pytest.mark.parametrize("name", ['a"b', "a\nb", "a\\", "ü", "{}", "a,b=c"])
def test_a_name_with_any_letters_is_one_label(site: Any, name: str) -> None:
    site.metrics.count("project", job(f"schedule {name}"), Figures(name, 1.0, {}, {}, 1))

    assert value(scraped(site), "lineal_written_bytes_total", pipeline=name) == 1


def test_every_name_is_lineals_or_the_processs(site: Any) -> None:
    """And all of Lineal's are on the page."""
    site.metrics.count("project", job(), FIGURES)
    site.metrics.listener("project")(Stepped(NOON, 0.1))
    site.metrics.listener("project")(Fired(NOON, job(state="queued")))

    found = names(scraped(site))

    assert all(name.startswith(("lineal_", "process_")) for name in found)
    told = set(re.findall(r"`(lineal_\w+)`", PAGE.read_text("utf-8")))
    assert {re.sub("_(bucket|count|sum)$", "", name) for name in found if name.startswith("lineal_")} == told
    assert not any(name.endswith("_created") for name in found)


def test_several_projects_are_told_apart(site: Any) -> None:
    both = Metrics({"a": site.served, "b": site.served}, lambda: NOON)
    both.count("b", job(), FIGURES)

    text = both.text().decode()

    assert 'lineal_scheduler_active{project="a"} 1.0' in text
    assert 'lineal_written_bytes_total{pipeline="flights",project="b"} 1000.0' in text


def test_without_prometheus_client_it_says_how_to_get_it(site: Any) -> None:
    answer = site.client_of(None).get("/metrics")

    assert answer.status_code == 501
    assert "pip install 'lineal[metrics]'" in answer.json()["error"]["hint"]
