"""The earlier action that a miss is compared with."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from lineal.graph.action import action_key
from lineal.graph.history import History, Relative, recent_run_seconds, recent_seconds
from lineal.graph.records import (
    Action,
    ActionResult,
    CoveredUnit,
    Manifest,
    Output,
    RunRecord,
    StageRecord,
    seal_record,
    to_bytes,
)
from lineal_store import Digest, Store, open_store

NOWHERE = str(Digest.of(b""))
ACTION = Action(stage="train", fingerprint="f" * 32, parameters={"rate": 0.1}, environment={"python": "3.11"})
MANIFEST = Manifest(hex="f" * 32, units=[CoveredUnit("m:train", "m.py", 1, "1")])


class Past:
    """Runs told one after the other, each of one stage."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.count = 0

    def ran(self, action: Action, *, manifest: Manifest | None = MANIFEST, **stage: Any) -> str:
        """A run of ``action``; its id."""
        self.count += 1
        run_id = f"20261122-03{self.count:02}00-abcdef"
        at = f"2026-11-22T03:{self.count:02}:00+00:00"
        kept = str(self.store.blobs.put(to_bytes(manifest))) if manifest is not None else NOWHERE
        record = StageRecord(
            **{
                "id": "train",
                "name": "train",
                "state": "succeeded",
                "action_key": action_key(action),
                **stage,
            }
        )
        if record.state == "succeeded":
            result = ActionResult(
                action=action,
                outputs={"result": Output(digest=NOWHERE, type="json", size_bytes=0)},
                manifest=kept,
                code_tree=NOWHERE,
                environment=NOWHERE,
                seed=1,
                run_id=run_id,
                stage_id="train",
                attempt=1,
                started_at=at,
                seconds=1.0,
            )
            self.store.actions.publish([(action_key(action), seal_record(result))])
        run = RunRecord(
            run_id=run_id,
            pipeline="flow",
            target="flow.py:flow",
            state=record.state,
            namespace="tests",
            stages=[record],
            code_tree=NOWHERE,
            environment=NOWHERE,
            who="me",
            host="here",
            process=1,
            lineal="1",
            started_at=at,
            finished_at=at,
        )
        self.store.runs.finish(run_id, seal_record(run))
        return run_id

    def nearest(
        self, action: Action, manifest: Manifest | None = MANIFEST, **options: Any
    ) -> Relative | None:
        return History(self.store, "flow").find_nearest("train", action, manifest, **options)


@pytest.fixture
def past(tmp_path: Any) -> Past:
    return Past(open_store(tmp_path / "store"))


def changed(**fields: Any) -> Action:
    return replace(ACTION, **fields)


def test_without_a_past_there_is_no_relative(past: Past) -> None:
    assert past.nearest(ACTION) is None


def test_the_newest_of_those_that_differ_least_is_taken(past: Past) -> None:
    past.ran(changed(parameters={"rate": 0.3}))
    newer = past.ran(changed(parameters={"rate": 0.2}))
    past.ran(changed(parameters={"rate": 0.1, "depth": 3}, environment={"python": "3.12"}))

    found = past.nearest(ACTION)

    assert found is not None
    assert found.result.run_id == newer
    assert [(change.name, change.before, change.after) for change in found.changes] == [("rate", 0.2, 0.1)]


def test_of_two_with_other_code_the_one_with_fewer_other_units_is_taken(past: Past) -> None:
    units = [CoveredUnit("m:train", "m.py", 1, "1"), CoveredUnit("m:clean", "m.py", 5, "2")]
    nearer = past.ran(changed(fingerprint="a" * 32), manifest=Manifest(hex="a" * 32, units=units))
    past.ran(
        changed(fingerprint="b" * 32),
        manifest=Manifest(hex="b" * 32, units=[replace(unit, hash="9") for unit in units]),
    )

    found = past.nearest(ACTION, Manifest(hex="f" * 32, units=units[:1]))

    assert found is not None
    assert found.result.run_id == nearer
    assert [change.name for change in found.changes] == ["m:clean"]


def test_a_relative_whose_manifest_is_lost_is_one_still(past: Past) -> None:
    past.ran(changed(fingerprint="a" * 32), manifest=None)

    found = past.nearest(ACTION)

    assert found is not None
    assert found.manifest is None
    assert [change.name for change in found.changes] == ["fingerprint"]


def test_what_is_not_known_of_an_action_is_not_looked_at_in_earlier_ones(past: Past) -> None:
    past.ran(changed(parameters={"rate": 0.1, "depth": 3}))
    known = changed(parameters={"rate": 0.1})

    found = past.nearest(
        known, seen=lambda action: replace(action, parameters={"rate": action.parameters["rate"]})
    )

    assert found is not None
    assert found.changes == ()


def test_before_a_run_nothing_is_known_of_what_came_later(past: Past) -> None:
    first = past.ran(changed(parameters={"rate": 0.3}))
    second = past.ran(ACTION)
    past.ran(changed(parameters={"rate": 0.2}))

    found = History(past.store, "flow", before=second).find_nearest("train", ACTION, MANIFEST)

    assert found is not None
    assert found.result.run_id == first


def test_a_result_that_replaced_an_earlier_one_does_not_hide_it(past: Past) -> None:
    first = past.ran(changed(parameters={"rate": 0.3}))
    second = past.ran(ACTION)
    key = action_key(changed(parameters={"rate": 0.3}))
    past.store.actions.retire(key, 0, "forced", by="me", at=datetime.now(UTC))
    past.ran(changed(parameters={"rate": 0.3}))

    found = History(past.store, "flow", before=second).find_nearest("train", ACTION, MANIFEST)

    assert found is not None
    assert found.result.run_id == first


def test_the_same_action_that_failed_is_remembered(past: Past) -> None:
    error = {"kind": "exception", "type": "ValueError", "message": "boom", "hint": None}
    run_id = past.ran(ACTION, state="failed", error=error)

    failed = History(past.store, "flow").find_failed(action_key(ACTION))

    assert failed is not None
    assert (failed.run_id, failed.stage.error) == (run_id, error)
    assert History(past.store, "flow").find_failed("0" * 32) is None


def test_keys_that_are_none_are_passed_over(past: Past) -> None:
    past.ran(ACTION, action_key="../../etc/passwd")

    assert past.nearest(changed(parameters={})) is None


def test_a_stage_is_expected_to_take_the_median_of_its_newest_executions(past: Past) -> None:
    for seconds in (9.0, 1.0, 2.0):
        past.ran(ACTION, attempts=1, seconds=seconds)

    assert recent_seconds(past.store, "flow", {"train": "train"}) == {"train": 2.0}


def test_what_failed_or_was_tried_again_does_not_tell_how_long_a_stage_takes(past: Past) -> None:
    past.ran(ACTION, attempts=1, seconds=4.0)
    past.ran(ACTION, state="failed", attempts=1, seconds=0.1)
    past.ran(ACTION, attempts=3, seconds=0.2)

    assert recent_seconds(past.store, "flow", {"train": "train"}) == {"train": 4.0}


def test_a_stage_that_was_a_hit_ever_since_is_timed_by_its_result(past: Past) -> None:
    past.ran(ACTION, cache="hit")

    assert recent_seconds(past.store, "flow", {"train": "train"}) == {"train": 1.0}


def test_a_stage_that_is_new_is_timed_by_the_others_of_its_name(past: Past) -> None:
    past.ran(ACTION, attempts=1, seconds=3.0)

    assert recent_seconds(past.store, "flow", {"train#2": "train", "deploy": "deploy"}) == {"train#2": 3.0}


def test_other_pipelines_tell_nothing_about_this_one(past: Past) -> None:
    past.ran(ACTION, attempts=1, seconds=3.0)

    assert recent_seconds(past.store, "other", {"train": "train"}) == {}


@pytest.mark.parametrize(("pipeline", "most"), [("flow", 21), ("other", 85)])
def test_however_long_the_history_is_only_its_newest_part_is_read(
    past: Past, monkeypatch: pytest.MonkeyPatch, pipeline: str, most: int
) -> None:
    read: list[str] = []
    for _ in range(99):
        past.ran(ACTION, attempts=1, seconds=3.0)
    find_many = past.store.runs.find_many
    monkeypatch.setattr(
        past.store.runs, "find_many", lambda run_ids: read.extend(run_ids) or find_many(run_ids)
    )

    recent_seconds(past.store, pipeline, {"train": "train"})

    assert len(read) <= most


def took(past: Past, seconds: float, *, begun: bool = True, **changes: Any) -> None:
    """A run that took so long; one that only found hits never began."""
    past.count += 1
    run_id = f"20261122-04{past.count:02}00-abcdef"
    fields: dict[str, Any] = {
        "run_id": run_id,
        "pipeline": "flow",
        "target": "flow.py:flow",
        "state": "succeeded",
        "namespace": "tests",
        "code_tree": NOWHERE,
        "environment": NOWHERE,
        "who": "me",
        "host": "here",
        "process": 1,
        "lineal": "1",
        "started_at": "2026-11-22T04:00:00+00:00",
        "finished_at": "2026-11-22T05:00:00+00:00",
        "seconds": seconds,
        **changes,
    }
    data = seal_record(RunRecord(**fields))
    if begun:
        past.store.runs.begin(run_id, data)
    past.store.runs.finish(run_id, data)


def test_a_run_usually_takes_what_the_newest_successful_ones_took(past: Past) -> None:
    for seconds in (500.0, 1.0, 9.0, 5.0, *(5.0,) * 8):
        took(past, seconds)
    took(past, 900.0, state="failed")
    took(past, 900.0, pipeline="other")

    assert recent_run_seconds(past.store, "flow") == 5.0


def test_a_run_of_hits_does_not_tell_how_long_runs_take(past: Past) -> None:
    for seconds in (60.0, 70.0, 80.0):
        took(past, seconds)
        took(past, 0.1, begun=False)

    assert recent_run_seconds(past.store, "flow") == 70.0


def test_two_runs_are_too_few_to_know_what_is_usual(past: Past) -> None:
    took(past, 60.0)
    took(past, 70.0)

    assert recent_run_seconds(past.store, "flow") is None
