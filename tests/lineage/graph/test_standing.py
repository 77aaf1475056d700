"""Whether a run that has begun still lives."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from lineal.graph.records import RunRecord, seal_record
from lineal.graph.standing import standing_of, standings
from lineal_store import Digest, Store, open_store
from lineal_store.signs import Process

BEGUN = RunRecord(
    run_id="20261122-031700-4f9ac2",
    pipeline="flights",
    target="flights.py:flights",
    state="running",
    namespace="dev",
    code_tree=str(Digest.of(b"")),
    environment=str(Digest.of(b"")),
    who="ada",
    host="trainer-2",
    process=4711,
    lineal="1",
    started_at="2026-11-22T03:17:00+00:00",
)
FINISHED = replace(BEGUN, state="succeeded", finished_at="2026-11-22T03:18:00+00:00")
ELSEWHERE = Process("another machine", 4711, 1)


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Store:
    return open_store(f"memory://{request.node.nodeid}")


def begin(store: Store, run: RunRecord = BEGUN) -> None:
    store.signs().show(run.run_id, ELSEWHERE, 1)
    store.runs.begin(run.run_id, seal_record(run))


def test_a_run_that_shows_a_sign_of_life_runs(store: Store) -> None:
    begin(store)
    standing = standing_of(store, BEGUN, datetime.now(UTC))

    assert (standing.state, standing.lost) == ("running", None)


def test_a_run_whose_sign_is_gone_has_failed(store: Store) -> None:
    begin(store)
    store.signs().remove(BEGUN.run_id)
    standing = standing_of(store, BEGUN, datetime.now(UTC))

    assert (standing.state, standing.lost) == ("failed", "process 4711 on trainer-2 ended before the run did")


def test_a_run_whose_sign_is_old_has_failed(store: Store) -> None:
    begin(store)
    standing = standing_of(store, BEGUN, datetime.now(UTC) + timedelta(minutes=10))

    assert standing.state == "failed"
    assert standing.lost == "process 4711 on trainer-2 has shown no sign of life for 10 min"


def test_a_run_that_finishes_while_it_is_looked_at_has_finished(store: Store) -> None:
    begin(store)
    store.runs.finish(BEGUN.run_id, seal_record(FINISHED))
    store.signs().remove(BEGUN.run_id)
    standing = standing_of(store, BEGUN, datetime.now(UTC))

    assert (standing.record, standing.state, standing.lost) == (FINISHED, "succeeded", None)


def test_for_those_that_have_finished_nobody_looks(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "signs", None)

    assert standing_of(store, FINISHED, datetime.now(UTC)).state == "succeeded"


def test_many_are_told_in_their_order(store: Store) -> None:
    runs = [replace(BEGUN, run_id=f"20261122-0317{number:02}-4f9ac2") for number in range(50)]
    for number, run in enumerate(runs):
        if number % 2:
            begin(store, run)
    found = list(standings(store, runs, datetime.now(UTC)))

    assert [standing.record for standing in found] == runs
    assert [standing.state for standing in found] == ["failed", "running"] * 25
