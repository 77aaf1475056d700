"""What the answer of a run rests on: whether it may be kept as a memo (`lineal.engine.memo`), and until when it holds.

Whatever is not plain here means no memo: the next run thinks it all through, as this one did.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from lineal.engine.memo import Grounds, Identity, Question, identity_of, is_settled
from lineal.errors import LinealError
from lineal.graph.records import TREES, RunRecord, StageRecord
from lineal.stages.options import StageOptions
from lineal_store.blobs import name_of
from lineal_store.digest import Digest
from lineal_store.store import HEADER

if TYPE_CHECKING:
    from lineal.engine.cache import ActionCache, Asked
    from lineal.engine.intake import Intake
    from lineal.engine.progress import RunResult
    from lineal.engine.session import Code
    from lineal.stages import Graph
    from lineal_store import Store

# What is no part of a key, or is in it as it stands. Other options make a memo impossible where they are used.
_PLAIN_OPTIONS = frozenset({
    "name", "retries", "retry_delay_seconds", "retry_backoff", "retry_max_delay_seconds", "retry_jitter", "retry_on",
    "timeout_seconds", "resources", "limit", "version", "env", "depends_on", "effect", "idempotent",
})  # fmt: skip


class Asking(Struct, frozen=True):
    """The question that a run answers, where its answer may be kept, and what the caller's part of the answer rests on.
    ``document`` makes the document of a run; with ``in_full`` it is told even where every stage is a hit.

    ``paths`` is what the target and the configuration were looked up by, before they were; ``links`` are the cached
    graph's. Sources have to be older than ``since_ns``, where that is not None.
    """

    question: Question
    paths: Mapping[str, Identity]
    links: Mapping[str, str]
    since_ns: int | None
    document: Callable[[RunRecord, Sequence[StageRecord]], Mapping[str, Any]]
    in_full: bool


def find_grounds(
    asking: Asking,
    graph: Graph,
    code: Code,
    again: Code,
    store: Store,
    cache: ActionCache,
    intake: Intake,
    result: RunResult,
    record: RunRecord,
    *,
    at_ns: int,
) -> Grounds | None:
    """What must not change for the run to find everything done the next time; None where that cannot be said.

    ``again`` is the project's code as it was captured after ``at_ns``, a moment of the wall clock. The record's pages are
    not among the blobs: they are put there afterwards.
    """
    finder = _Finder(at_ns)
    try:
        asked = _hits_next_time(graph, result)
        if asked is None or not _is_here(store) or not code.fingerprinter.is_settled:
            return None
        taken = intake.grounds(at_ns)
        if taken is None:
            return None
        paths, inputs = taken
        finder.found.update(paths)
        finder.look(again.fingerprinter.sources.places(), since_ns=asking.since_ns)
        finder.look(again.fingerprinter.distributions.places())
        objects, folders = cache.names(asked)
        finder.look([sys.executable, *(f"{store.url}/{folder}" for folder in folders)])
        if not finder.settled or again.fingerprinter.state() != code.fingerprinter.state():
            return None
        outputs = [output for stage in result.stages.values() for output in stage.outputs.values()]
        blobs = cache.sizes_of(outputs) | inputs
        whole = [HEADER, *objects, name_of(Digest.parse(record.environment))]
        whole += [
            name_of(Digest.parse(output.digest)) for output in outputs if output.type in TREES
        ]  # which are read
        tree = Digest.parse(record.code_tree)
        blobs[name_of(tree)] = store.blobs.sizes([tree])[tree]
    except (OSError, LookupError, LinealError):
        return None
    found = {name: identity_of(f"{store.url}/{name}", follow=False) for name in whole}
    if not all(found.values()):
        return None
    variables = {name for node in graph.nodes.values() for name in node.options.env}
    return Grounds(
        {**finder.found, **asking.paths},
        asking.links,
        f"{store.url}/",
        found,
        blobs,
        {name: os.environ.get(name) for name in variables},
    )


def unchanged_record(record: RunRecord) -> RunRecord:
    """The record of the next run, if that finds everything done; what is its own is left as it is."""
    stages = [
        msgspec.structs.replace(
            stage,
            cache="hit",
            reason="unchanged",
            attempts=0,
            seconds=0.0,
            work_seconds=None,
            error=None,
            traceback="",
            logs=[],
        )
        if stage.state == "succeeded"
        else stage
        for stage in record.stages
    ]
    return msgspec.structs.replace(record, stages=stages, warnings=[])


def _hits_next_time(graph: Graph, result: RunResult) -> list[Asked] | None:
    """What was asked for of the stages that succeeded, if all of them will be hits, and the others are skipped again."""
    plain: dict[int, bool] = {}
    asked = []
    if result.state != "succeeded":
        return None
    for node_id, node in graph.nodes.items():
        options = node.options
        if not plain.setdefault(id(options), _is_plain(options)):
            return None
        for stage_id in (node_id, *result.items.get(node_id, ())):
            progress = result.stages.get(stage_id)
            if progress is None:
                return None
            if progress.state == "skipped":
                continue
            if progress.state != "succeeded" or progress.asked is None or progress.asked.is_aside:
                return None
            asked.append(progress.asked)
    return asked


def _is_plain(options: StageOptions) -> bool:
    return all(
        name in _PLAIN_OPTIONS or getattr(options, name) == getattr(_NONE_GIVEN, name)
        for name in options.__struct_fields__
    )


_NONE_GIVEN = StageOptions()


def _is_here(store: Store) -> bool:
    """Whether the store's objects are files of this machine, and it is all that is asked."""
    backend = store.backend
    return not backend.remote and store.upstream is None and backend.local_path(HEADER) is not None


class _Finder:
    """The identities of paths, as long as they are settled."""

    def __init__(self, at_ns: int) -> None:
        self._at_ns = at_ns
        self.found: dict[str, Identity] = {}
        self.settled = True

    def look(self, paths: Iterable[str], *, since_ns: int | None = None) -> None:
        for path in paths:
            self.found[path] = identity = identity_of(path)
            self.settled &= is_settled(identity, self._at_ns if since_ns is None else since_ns)
