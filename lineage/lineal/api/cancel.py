"""Stopping a run from another process or machine: it is asked to, through the store that it writes to."""

from __future__ import annotations

from typing import Any

from lineal.engine.clock import Clock, SystemClock
from lineal.engine.provenance import host_name, user_name
from lineal.graph.history import find_run
from lineal.graph.records import RunRecord
from lineal.graph.standing import Standing, standing_of
from lineal_store import Store
from lineal_store.signs import StopRequest

PATIENCE_SECONDS = 60.0
"""How long the end is waited for: a run notices within a second, or with its next sign of life where the store is remote, and
then gives its stages two seconds to end politely."""
_LOOK_SECONDS = 0.1
_LOOK_REMOTE_SECONDS = 1.0


def cancel_run(store: Store, run: RunRecord, clock: Clock | None = None) -> dict[str, Any]:
    """Ask the run to stop, and wait until it has ended, for `PATIENCE_SECONDS` at most; one that has ended is left alone."""
    clock = clock or SystemClock()
    standing = standing_of(store, run, clock.now())
    asked = standing.state == "running"
    if asked:
        signs = store.signs()
        signs.ask_to_stop(run.run_id, StopRequest(user_name(), host_name()))
        until = clock.monotonic() + PATIENCE_SECONDS
        while standing.state == "running" and clock.monotonic() < until:
            clock.sleep(_LOOK_REMOTE_SECONDS if store.backend.remote else _LOOK_SECONDS)
            standing = _look_again(store, run, clock)
        if standing.state != "running":
            signs.forget_request(run.run_id)  # where the run ended without seeing it
    return {
        "run_id": run.run_id,
        "pipeline": run.pipeline,
        "state": standing.state,
        "asked": asked,
        "lost": standing.lost,
    }


def _look_again(store: Store, run: RunRecord, clock: Clock) -> Standing:
    return standing_of(store, find_run(store, run.run_id) or run, clock.now())
