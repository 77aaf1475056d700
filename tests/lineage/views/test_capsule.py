"""What a capsule says of itself."""

from __future__ import annotations

import json
from pathlib import Path

from lineal.artifacts.values import encode_value
from lineal.graph.records import Output, RunRecord
from lineal.reproduce.archive import Packed
from lineal.reproduce.plan import Missing, RecordedSource, RecordedStage, ReproductionPlan
from lineal.version import VERSION
from lineal.views.capsule import about_document, created_document
from lineal_store import open_store

GOLDEN = json.loads((Path(__file__).parents[2] / "cli" / "documents" / "capsule.json").read_text())
MODEL = Output(digest=f"sha256:{'5e' * 32}", type="sklearn", size_bytes=7)
RUN = RunRecord(
    run_id="20261122-173120-4f9ac2",
    pipeline="flights",
    target="flights.py:flights",
    state="succeeded",
    namespace="dev",
    parameters={"run_date": encode_value("2013-06-30"), "learning_rate": encode_value(0.1)},
    code_tree=f"sha256:{'c0' * 32}",
    environment=f"sha256:{'e0' * 32}",
    outputs={"model": f"sha256:{'5e' * 32}", "skipped": None},
    who="ann",
    host="here",
    process=1,
    lineal="0.1.0",
    started_at="2026-11-22T17:31:20+00:00",
    finished_at="2026-11-22T17:33:02+00:00",
)


def plan(digest: str | None) -> ReproductionPlan:
    source = RecordedSource("ingest", "source", "s3://raw/flights.parquet", f"sha256:{'d0' * 32}", "file")
    return ReproductionPlan(
        open_store("memory://about"),
        digest,
        RUN,
        None,
        ("train",),
        (),
        {"train": RecordedStage("train", "ab" * 16, {"model": MODEL}, 1.0)},
        (source, source),
        (Missing("secret", "api_token", "secrets are not recorded"),),
    )


def test_it_says_what_it_is_of_and_states_what_that_was_made_from() -> None:
    assert about_document(plan(MODEL.digest)) == {**GOLDEN, "lineal": VERSION}


def test_of_a_whole_run_the_subjects_are_its_outputs() -> None:
    about = about_document(plan(None))

    assert about["digest"] is None
    assert about["statement"]["subject"] == [{"name": "model", "digest": {"sha256": "5e" * 32}}]


def test_what_was_packed_is_told_with_what_is_not_in_it() -> None:
    created = created_document(plan(None), "/a/b.tar.zst", Packed(3, 300, 100))

    assert (created["files"], created["content_bytes"], created["size_bytes"]) == (3, 300, 100)
    assert created["needs"] == [{"kind": "secret", "name": "api_token"}]
