"""How a run stands now: one that has begun and not finished may still live, or be lost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice

from msgspec import Struct

from lineal.graph.history import find_run
from lineal.graph.records import RunRecord
from lineal_store import Store

_AT_ONCE = 32


class Standing(Struct, frozen=True):
    """A run's newest record. ``lost`` says why one that never finished will not do so any more: it has failed."""

    record: RunRecord
    lost: str | None = None

    @property
    def state(self) -> str:
        return "failed" if self.lost is not None else self.record.state


def standing_of(store: Store, run: RunRecord, now: datetime) -> Standing:
    """How ``run`` stands at ``now`` (aware), by this machine's clock."""
    return next(standings(store, [run], now))


def standings(store: Store, runs: Iterable[RunRecord], now: datetime) -> Iterator[Standing]:
    """How each of ``runs`` stands, in their order. Signs of life are looked at for those that have not finished alone."""
    left = iter(runs)
    while batch := list(islice(left, _AT_ONCE)):
        open_runs = [run.run_id for run in batch if run.finished_at is None]
        silent = store.signs().find_silent(open_runs, now) if open_runs else {}
        for run in batch:
            if run.run_id not in silent:
                yield Standing(run)
                continue
            # It may have finished between our look at its record and the one at its sign.
            newest = find_run(store, run.run_id) or run
            lost = _lost(run, silent[run.run_id]) if newest.finished_at is None else None
            yield Standing(newest, lost)


def _lost(run: RunRecord, silent_seconds: float | None) -> str:
    process = f"process {run.process} on {run.host}"
    if silent_seconds is None:
        return f"{process} ended before the run did"
    return f"{process} has shown no sign of life for {silent_seconds / 60:.0f} min"
