"""What `lineal status` advises for the stages that would run, from what earlier runs took."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice

from msgspec.structs import replace as replace_fields

from lineal.engine.session import RunRequest
from lineal.graph.checked import read_blobs
from lineal.graph.records import RunRecord, StagePage, StageRecord, from_bytes, unseal_record
from lineal.graph.timing import advise_overheads, advise_timeouts, splits_of, times_of
from lineal.stages import Graph
from lineal.stages.options import StageOptions
from lineal_store import Digest
from lineal_store.errors import LinealError

_RUNS_READ = 32
_PAGES_READ = 5


def advised(preview: RunRecord, request: RunRequest) -> RunRecord:
    """The preview with advice about timeouts and overheads among its warnings.

    Reads the newest runs, in one batch, and of pipelines with very many stages some pages of these in another.
    """
    would_run = [
        stage for stage in preview.stages if stage.is_shown and stage.cache in ("miss", "off", "unknown")
    ]
    default = StageOptions().timeout_seconds
    timeouts = {
        call: request.graph.nodes[call].options.timeout_seconds
        for stage in would_run
        if (call := _call(stage.id, request.graph)) in request.graph.nodes
    }
    advice: list[str | None] = []
    with suppress(LinealError):  # what a run would do is known, whatever is the matter with older records
        runs = list(_newest_runs(request))
        stages = [[stage for stage in run.stages if stage.is_shown] for run in runs]
        by_call = [[_of_call(stage, request.graph) for stage in of_run] for of_run in stages]
        advice.append(advise_timeouts(timeouts, default, times_of(by_call)))
        splits = splits_of([*stages, *_pages(request, runs)])
        advice.append(advise_overheads(_names(would_run, splits, request.graph), splits))
    return replace_fields(preview, warnings=[*preview.warnings, *filter(None, advice)])


def _newest_runs(request: RunRequest) -> Iterator[RunRecord]:
    """The newest runs of the pipeline, as far as they have finished."""
    newest = list(islice(request.store.runs.newest_first(), _RUNS_READ))
    for files in request.store.runs.find_many(newest).values():
        with suppress(LinealError):
            run = unseal_record(files.finished or b"", RunRecord)
            if run.target == request.target:
                yield run


def _pages(request: RunRequest, runs: Iterable[RunRecord]) -> list[list[StageRecord]]:
    """The stages on the newest pages of ``runs``; those that found everything done share theirs."""
    names = dict.fromkeys(page for run in runs for page in run.pages)
    digests = [Digest.parse(name) for name in islice(names, _PAGES_READ)]
    found = read_blobs(request.store, digests).values() if digests else ()
    pages = [from_bytes(data, StagePage).stages for data in found if isinstance(data, bytes)]
    return [[stage for stage in page if stage.is_shown] for page in pages]


def _names(would_run: Iterable[StageRecord], known: Iterable[str], graph: Graph) -> dict[str, str]:
    """The names, by id, of the stages that would run; those of a list that is not known yet are the ones that are ``known``."""
    names = {stage.id: stage.name for stage in would_run}
    return names | {
        stage_id: names[call]
        for stage_id in known
        if stage_id not in graph.nodes and (call := _call(stage_id, graph)) in names
    }


def _call(stage_id: str, graph: Graph) -> str:
    """The id of the stage in the graph; of an item, that of the stage that is mapped."""
    return stage_id if stage_id in graph.nodes else stage_id.rpartition("[")[0]


def _of_call(stage: StageRecord, graph: Graph) -> StageRecord:
    return stage if stage.id in graph.nodes else replace_fields(stage, id=_call(stage.id, graph))
