"""What `lineal status` advises for the stages that would run, from what earlier runs took."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

from msgspec.structs import replace as replace_fields

from lineal.engine.session import RunRequest
from lineal.graph.checked import read_blobs
from lineal.graph.records import RunRecord, StagePage, StageRecord, from_bytes, unseal_record
from lineal.graph.timing import advise_overheads, advise_timeouts, splits_of, times_of
from lineal.stages.options import StageOptions
from lineal_store import Digest
from lineal_store.errors import LinealError

_RUNS_READ = 32
_PAGES_READ = 5


def advised(preview: RunRecord, request: RunRequest) -> RunRecord:
    """The preview with advice about timeouts and overheads among its warnings.

    Reads the newest runs, in one batch, and of pipelines with very many stages some pages of these in another.
    """
    would_run = [stage for stage in preview.stages if stage.cache in ("miss", "off", "unknown")]
    default = StageOptions().timeout_seconds
    timeouts = {stage.id: request.graph.nodes[stage.id].options.timeout_seconds for stage in would_run}
    advice: list[str | None] = []
    with suppress(LinealError):  # what a run would do is known, whatever is the matter with older records
        runs = list(_newest_runs(request))
        stages = [run.stages for run in runs]
        advice.append(advise_timeouts(timeouts, default, times_of(stages)))
        pages = _pages(request, runs)
        advice.append(
            advise_overheads({stage.id: stage.name for stage in would_run}, splits_of([*stages, *pages]))
        )
    return replace_fields(preview, warnings=[*preview.warnings, *filter(None, advice)])


def _newest_runs(request: RunRequest) -> Iterator[RunRecord]:
    """The newest runs of the pipeline, as far as they have finished."""
    newest = list(islice(request.store.runs.newest_first(), _RUNS_READ))
    for files in request.store.runs.find_many(newest).values():
        with suppress(LinealError):
            run = unseal_record(files.finished or b"", RunRecord)
            if run.target == request.target:
                yield run


def _pages(request: RunRequest, runs: list[RunRecord]) -> list[list[StageRecord]]:
    """The stages on the newest pages of ``runs``; those that found everything done share theirs."""
    names = dict.fromkeys(page for run in runs for page in run.pages)
    digests = [Digest.parse(name) for name in islice(names, _PAGES_READ)]
    found = read_blobs(request.store, digests).values() if digests else ()
    return [from_bytes(data, StagePage).stages for data in found if isinstance(data, bytes)]
