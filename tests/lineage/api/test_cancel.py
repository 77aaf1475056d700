"""Asking a run to stop, and waiting for its end: the run's own part is played by the clock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from clocked import Clock
from msgspec.structs import replace

from lineal.api.addresses import Addresses
from lineal.api.cancel import PATIENCE_SECONDS, cancel_run
from lineal.errors import NotFound, UsageError
from lineal.graph.records import RunRecord, seal_record
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


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(tmp_path / "store")
    store.signs().show(BEGUN.run_id, Process("another machine", 4711, 1), 1)
    store.runs.begin(BEGUN.run_id, seal_record(BEGUN))
    return store


@pytest.fixture
def clock(store: Store) -> Clock:
    return Clock()


def ends(store: Store, state: str) -> Callable[[float], None]:
    """What a run does that ends like this as soon as it is asked to stop."""

    def end(_: float) -> None:
        if store.runs.find(BEGUN.run_id).finished is None:  # type: ignore[union-attr]
            assert store.signs().find_request(BEGUN.run_id) is not None
            ended = replace(BEGUN, state=state, finished_at="2026-11-22T03:18:00+00:00")
            store.runs.finish(BEGUN.run_id, seal_record(ended))

    return end


def test_the_end_of_a_run_that_was_asked_to_stop_is_waited_for(store: Store, clock: Clock) -> None:
    clock.on_sleep = ends(store, "cancelled")

    assert cancel_run(store, BEGUN, clock) == {
        "run_id": BEGUN.run_id,
        "pipeline": "flights",
        "state": "cancelled",
        "asked": True,
        "lost": None,
    }
    assert store.signs().find_request(BEGUN.run_id) is None


def test_a_run_that_ends_otherwise_meanwhile_is_told_of_as_it_is(store: Store, clock: Clock) -> None:
    clock.on_sleep = ends(store, "succeeded")
    told = cancel_run(store, BEGUN, clock)

    assert (told["state"], told["asked"]) == ("succeeded", True)


def test_a_run_that_has_ended_is_asked_nothing(store: Store, clock: Clock) -> None:
    told = cancel_run(store, replace(BEGUN, state="failed", finished_at="2026-11-22T03:18:00+00:00"), clock)

    assert (told["state"], told["asked"], clock.slept) == ("failed", False, [])
    assert store.signs().find_request(BEGUN.run_id) is None


def test_a_run_that_is_lost_is_not_waited_for(store: Store, clock: Clock) -> None:
    store.signs().remove(BEGUN.run_id)
    told = cancel_run(store, BEGUN, clock)

    assert (told["state"], told["asked"], clock.slept) == ("failed", False, [])
    assert told["lost"] == "process 4711 on trainer-2 ended before the run did"


def test_a_run_that_does_not_answer_is_waited_for_a_minute_and_may_hear_it_later(
    store: Store, clock: Clock
) -> None:
    told = cancel_run(store, BEGUN, clock)

    assert (told["state"], told["asked"]) == ("running", True)
    assert PATIENCE_SECONDS <= clock.elapsed < PATIENCE_SECONDS + 1
    assert store.signs().find_request(BEGUN.run_id) is not None


def test_a_run_is_found_by_the_beginning_of_its_id(store: Store) -> None:
    addresses = Addresses(store, "dev")
    assert addresses.get_run("20261122-031700-4f").run_id == BEGUN.run_id

    store.runs.begin("20261122-031700-4f0000", seal_record(replace(BEGUN, run_id="20261122-031700-4f0000")))
    with pytest.raises(UsageError, match="the beginning of 2 runs"):
        addresses.get_run("20261122-031700-4f")
    with pytest.raises(NotFound, match="no run 20261122-031700-5"):
        addresses.get_run("20261122-031700-5")
