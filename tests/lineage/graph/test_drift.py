"""Whether tables have other columns than those before them, by what is recorded of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lineal.artifacts.codecs.protocol import described_columns
from lineal.graph.drift import column_changes, find_drifts
from lineal.graph.records import Output, RunRecord, StageRecord, seal_record
from lineal_store import Digest, Store, open_store

DIGEST = str(Digest.of(b""))


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({"a": "int64"}, {"a": "int64"}, None),
        ({"a": "int64", "b": "bool"}, {"b": "bool", "a": "int64"}, None),
        ({"a": "int64"}, {"a": "double"}, "a is double, was int64"),
        ({"a": "int64"}, {"a": "int64", "b": "bool"}, "new: b (bool)"),
        ({"a": "int64", "b": "bool"}, {"a": "int64"}, "gone: b"),
        ({"a": "int64"}, {"b": "int64"}, "new: b (int64); gone: a"),
    ],
)
def test_columns_are_compared_by_name_and_type(
    before: Mapping[str, str], after: Mapping[str, str], told: str | None
) -> None:
    assert column_changes(described_columns(before), described_columns(after)) == told


def test_what_is_no_table_has_no_columns_that_change() -> None:
    assert column_changes({}, described_columns({"a": "int64"})) is None
    assert column_changes({"columns": 7}, described_columns({"a": "int64"})) is None


def test_many_changes_are_told_in_short() -> None:
    old, new = {f"c{n}": "int64" for n in range(9)}, {f"c{n}": "double" for n in range(9)}

    assert str(column_changes(described_columns(old), described_columns(new))).endswith(
        "c4 is double, was int64; and 4 more"
    )


def test_of_a_table_that_is_too_wide_to_be_described_what_is_known_is_compared() -> None:
    wide = {f"c{n}": "int64" for n in range(500)}

    def changes(after: Mapping[str, str]) -> str | None:
        return column_changes(described_columns(wide), described_columns(after))

    assert changes(wide) is None
    assert changes({**wide, "c3": "double"}) == "c3 is double, was int64"
    assert changes({**wide, "more": "bool"}) == "there are 501 columns, were 500"
    assert changes({"first": "bool", **wide}) == "there are 501 columns, were 500"


class Past:
    """Runs of one pipeline, each with a stage ``load`` that made a table with these columns."""

    def __init__(self, folder: Path) -> None:
        self.store: Store = open_store(folder)
        self._count = 0

    def run(self, columns: Mapping[str, str], *, kept: bool = True, **changes: Any) -> RunRecord:
        self._count += 1
        run_id = f"20261123-0317{self._count:02d}-4f9ac2"
        output = Output(digest=DIGEST, type="arrow", size_bytes=1, description=described_columns(columns))
        stage = {
            "id": "load",
            "name": "load",
            "state": "succeeded",
            "attempts": 1,
            "outputs": {"result": output},
            **changes.pop("stage", {}),
        }
        fields: dict[str, Any] = {
            "run_id": run_id,
            "pipeline": "flights",
            "target": "flights.py:flights",
            "state": "succeeded",
            "namespace": "tests",
            "stages": [StageRecord(**stage)],
            "code_tree": DIGEST,
            "environment": DIGEST,
            "who": "ada",
            "host": "here",
            "process": 1,
            "lineal": "0",
            "started_at": "2026-11-23T03:17:00+00:00",
            "finished_at": "2026-11-23T03:18:00+00:00",
            **changes,
        }
        run = RunRecord(**fields)
        if kept:
            self.store.runs.finish(run_id, seal_record(run))
        return run


@pytest.fixture
def past(tmp_path: Path) -> Past:
    return Past(tmp_path)


def test_a_table_is_compared_with_the_newest_one_of_its_stage(past: Past) -> None:
    past.run({"a": "double"})
    past.run({"a": "int64"})

    assert find_drifts(past.store, past.run({"a": "double"})) == {
        "load": {"result": "a is double, was int64"}
    }
    assert find_drifts(past.store, past.run({"a": "double"})) == {}


def test_the_first_table_of_a_stage_has_not_drifted(past: Past) -> None:
    assert find_drifts(past.store, past.run({"a": "double"})) == {}


def test_runs_of_others_are_none_of_its_past(past: Past) -> None:
    past.run({"a": "int64"}, namespace="production")
    past.run({"a": "int64"}, pipeline="weather")
    past.run({"a": "int64"}, stage={"id": "other"})

    assert find_drifts(past.store, past.run({"a": "double"})) == {}


def test_a_run_in_which_the_stage_made_nothing_is_passed_over(past: Past) -> None:
    past.run({"a": "int64"})
    past.run({}, state="failed", stage={"state": "failed", "outputs": {}})

    assert "load" in find_drifts(past.store, past.run({"a": "double"}))


def test_what_was_not_executed_is_not_compared(past: Past) -> None:
    past.run({"a": "int64"})

    assert find_drifts(past.store, past.run({"a": "double"}, stage={"attempts": 0})) == {}


def test_an_earlier_run_that_cannot_be_read_is_passed_over(past: Past) -> None:
    past.run({"a": "int64"})
    past.store.runs.finish("20261123-031702-4f9ac2", b"no record")
    past._count += 1

    assert "load" in find_drifts(past.store, past.run({"a": "double"}))
