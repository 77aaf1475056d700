"""What `lineal status` advises for the stages that would run, from what earlier runs took."""

from __future__ import annotations

from contextlib import suppress
from itertools import islice

from msgspec.structs import replace as replace_fields

from lineal.engine.session import RunRequest
from lineal.graph.records import RunRecord, StageRecord, unseal_record
from lineal.graph.timing import advise_timeouts, times_of
from lineal.stages import Graph
from lineal.stages.options import StageOptions
from lineal_store.errors import LinealError

_RUNS_READ = 32


def advised(preview: RunRecord, request: RunRequest) -> RunRecord:
    """The preview with advice about timeouts among its warnings. Reads the newest runs, in one batch, at most."""
    default = StageOptions().timeout_seconds
    timeouts = {
        call: request.graph.nodes[call].options.timeout_seconds
        for stage in preview.stages
        if stage.cache in ("miss", "off", "unknown")
        and (call := _call(stage, request.graph)) in request.graph.nodes
    }
    if default not in timeouts.values():
        return preview
    advice = None
    with suppress(LinealError):  # what a run would do is known, whatever is the matter with older records
        advice = advise_timeouts(timeouts, default, times_of(_newest_stages(request)))
    return replace_fields(preview, warnings=[*preview.warnings, advice]) if advice else preview


def _newest_stages(request: RunRequest) -> list[list[StageRecord]]:
    """The stages of the newest runs of the pipeline, as far as they lie in the run's own record."""
    found = []
    newest = list(islice(request.store.runs.newest_first(), _RUNS_READ))
    for files in request.store.runs.find_many(newest).values():
        with suppress(LinealError):
            run = unseal_record(files.finished or b"", RunRecord)
            if run.target == request.target:
                found.append([_of_call(stage, request.graph) for stage in run.stages if stage.is_shown])
    return found


def _call(stage: StageRecord, graph: Graph) -> str:
    """The id of the stage in the graph; of an item, that of the stage that is mapped."""
    return stage.id if stage.id in graph.nodes else stage.id.rpartition("[")[0]


def _of_call(stage: StageRecord, graph: Graph) -> StageRecord:
    return stage if stage.id in graph.nodes else replace_fields(stage, id=_call(stage, graph))
