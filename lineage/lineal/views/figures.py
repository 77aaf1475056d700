"""A run in figures, for those who watch many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from msgspec import Struct

from lineal.graph.history import find_run, read_stages
from lineal.graph.records import RunRecord, StageRecord
from lineal_store import Store


class Figures(Struct, frozen=True):
    """How many stages ended in which state, how many look-ups gave what, and the bytes of the artifacts that were made."""

    pipeline: str
    seconds: float
    states: Mapping[str, int]
    lookups: Mapping[str, int]
    written_bytes: int


def figures(run: RunRecord, stages: Sequence[StageRecord]) -> Figures:
    """The figures of a run that has ended. Of a mapped stage its items count."""
    shown = [stage for stage in stages if stage.is_shown]
    executed = [stage for stage in shown if stage.cache != "hit" and stage.state == "succeeded"]
    return Figures(
        run.pipeline,
        run.seconds,
        Counter(stage.state for stage in shown),
        Counter(stage.cache for stage in shown if stage.cache is not None),
        sum(output.size_bytes for stage in executed for output in stage.outputs.values()),
    )


def read_figures(store: Store, run_id: str) -> Figures | None:
    """The figures of the run with that id; None where ``store`` has no record of its end."""
    run = find_run(store, run_id)
    if run is None or run.finished_at is None:
        return None
    return figures(run, read_stages(store, run))
