"""Health and readiness: from what the scheduler said last, and what was found last, without waiting for anything."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from lineal.automation.notices import Ended, Stepped
from lineal.state import Job, NewJob
from lineal.views.figures import Figures
from lineal_web.watching import FRESH_SECONDS, HEALTHY_SECONDS, Watched, names_of, watching


def step(site: Any) -> None:
    site.watched.hear(Stepped(site.now, 0.01))


def problem(site: Any) -> str | None:
    answer = site.client.get("/ready")
    [told] = answer.json()["projects"]
    assert answer.status_code == (200 if told["problem"] is None else 503)
    found: str | None = told["problem"]
    return found


def test_it_is_well_as_long_as_the_scheduler_steps(site: Any) -> None:
    step(site)
    site.monotonic += HEALTHY_SECONDS
    answer = site.client.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"ok": True, "idle_seconds": HEALTHY_SECONDS})

    site.monotonic += 1
    assert site.client.get("/health").status_code == 503

    step(site)
    assert site.client.get("/health").status_code == 200


def test_a_scheduler_that_never_steps_is_not_well_for_long(site: Any) -> None:
    assert site.client.get("/health").status_code == 200

    site.monotonic += HEALTHY_SECONDS + 1
    assert site.client.get("/health").status_code == 503


def test_it_is_ready_when_the_scheduler_has_begun_and_all_was_looked_at(site: Any) -> None:
    assert problem(site) == "its scheduler has not begun"

    step(site)
    assert problem(site) == "its state and store were not looked at yet"

    site.watched.look()
    assert problem(site) is None


def test_a_project_that_another_daemon_looks_after_is_ready_as_well(site: Any) -> None:
    step(site)
    site.watched.look()
    site.served.stands_by = True

    answer = site.client.get("/ready")

    assert answer.status_code == 200
    assert answer.json()["projects"] == [{"project": "project", "stands_by": True, "problem": None}]


def test_a_state_that_cannot_be_used_is_told(site: Any) -> None:
    with site.served.open_state() as state:
        path = state.path
    path.write_bytes(b"no database" * 100)
    step(site)
    site.watched.look()

    assert "cannot be used" in str(problem(site))


def test_a_store_that_cannot_be_used_is_told_without_its_credentials(tmp_path: Path, site: Any) -> None:
    (site.root / "lineal.toml").write_text(f'store = "{tmp_path}/nowhere"\n')
    site.__post_init__()
    step(site)
    site.watched.look()

    assert f"{tmp_path}/nowhere" in str(problem(site))


def test_who_looks_and_gets_no_answer_is_not_ready(site: Any) -> None:
    step(site)
    site.watched.look()
    site.monotonic += FRESH_SECONDS + 1
    step(site)

    assert "does not answer" in str(problem(site))


def test_what_a_look_finds_is_as_old_as_its_beginning(site: Any) -> None:
    def slow() -> str | None:
        site.monotonic += FRESH_SECONDS + 1
        return None

    watched = Watched("project", slow, lambda: site.monotonic)
    watched.look()
    watched.hear(Stepped(site.now, 0.0))

    assert "does not answer" in str(watched.problem)


@dataclass
class Counted:
    """What was counted, and what had to be recalled before."""

    recalled: list[str] = field(default_factory=list)
    counted: queue.Queue[tuple[str, Job, Figures | None]] = field(default_factory=queue.Queue)

    def recall(self, name: str) -> None:
        self.recalled.append(name)

    def count(self, name: str, job: Job, figures: Figures | None) -> None:
        self.counted.put((name, job, figures))


def ended(site: Any, **fields: Any) -> Job:
    with site.served.open_state() as state:
        [job] = state.add([NewJob("schedule nightly", str(fields), site.now, state="failed")], site.now)
    return replace(job, **fields)


def test_what_ends_is_counted_also_where_its_record_cannot_be_read(site: Any) -> None:
    counting = Counted()
    with watching([(site.served, site.watched)], counting, site.log):
        for job in (ended(site, run_id=None), ended(site, run_id="20261128-120000-abcdef")):
            for listener in site.served.listeners:
                listener(Ended(site.now, job))
            assert counting.counted.get(timeout=60) == ("project", job, None)

    assert counting.recalled == ["project"]
    [(level, message)] = site.logged
    assert level == "warning"
    assert message.startswith("its figures cannot be read: StoreUnavailable")


def test_nobody_waits_for_a_store_that_does_not_answer(site: Any) -> None:
    """Not those who ask, not the scheduler, and not the end."""
    looking, answers = threading.Event(), threading.Event()

    def hang() -> str | None:
        looking.set()
        answers.wait(60)
        return None

    watched = Watched("project", hang, lambda: site.monotonic)
    with watching([(site.served, watched)], Counted(), site.log):
        assert looking.wait(60)
        job = ended(site, run_id=None)
        for listener in site.served.listeners:
            listener(Stepped(site.now, 0.0))
            listener(Ended(site.now, job))
        assert watched.problem == "its state and store were not looked at yet"
    answers.set()


@pytest.mark.parametrize(
    ("roots", "names"),
    [
        (["/a/flights", "/a/churn"], ["flights", "churn"]),
        (["/a/flights", "/b/flights", "/c"], ["/a/flights", "/b/flights", "c"]),
    ],
)
def test_projects_are_told_apart_by_their_folders(roots: list[str], names: list[str]) -> None:
    assert names_of([Path(root) for root in roots]) == names
