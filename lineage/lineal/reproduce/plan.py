"""What a reproduction will do, and what is missing for it: read from records, before anything is done."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lineal.engine.beside import OUTSIDE
from lineal.errors import NotFound, UsageError
from lineal.graph.checked import read_blobs
from lineal.graph.history import find_run, read_manifest, read_stages
from lineal.graph.lineage import Lineage, Made
from lineal.graph.records import (
    TREES,
    ActionResult,
    Beside,
    Environment,
    Manifest,
    Output,
    RunRecord,
    from_bytes,
)
from lineal.reproduce.selection import NO_SECRET
from lineal_store import Digest, Store
from lineal_store.errors import LinealError
from lineal_store.tree import Tree, TreeEntry

_ITEM = re.compile(r"(.+)\[\d+\]")


@dataclass(frozen=True, slots=True)
class RecordedStage:
    """A stage of the run, or an item of a mapped one, as it is recorded; ``result`` is None where its record is lost."""

    id: str
    key: str
    outputs: Mapping[str, Output]
    seconds: float
    result: ActionResult | None = None
    manifest: Manifest | None = None
    is_list: bool = False
    """Whether it is what the items of a mapped stage come to, which takes no time of its own."""

    @property
    def call(self) -> str:
        """The id of the call in the pipeline's function: of an item that of the whole."""
        return call_of(self.id)


@dataclass(frozen=True, slots=True)
class RecordedSource:
    """Outside data that a stage took through ``port``."""

    stage: str
    port: str
    url: str
    digest: str
    type: str


@dataclass(frozen=True, slots=True)
class Missing:
    """Something without which it cannot be done: ``kind`` is code, file, input, packages, environment (its record) or secret."""

    kind: str
    name: str
    problem: str

    @property
    def is_fatal(self) -> bool:
        """Whether nothing can be executed without it: secrets may be needed by some stages only, and what it ran on may do today as well."""
        return self.kind not in ("secret", "environment")


@dataclass(frozen=True, slots=True)
class ReproductionPlan:
    """Everything that is known beforehand.

    ``digest`` is what is to be reproduced, None for a whole run. ``wanted`` are the calls that it comes from (none: all of
    the run's), ``stages`` those of the run that will be executed, parents first, as far as records tell; ``recorded`` are all of the run's
    that succeeded. ``changes`` are parameters, NAME=VALUE, that are not to be what they were; ``secrets`` those that no record has, as
    they were given again.
    """

    store: Store
    digest: str | None
    run: RunRecord
    environment: Environment | None
    wanted: tuple[str, ...]
    stages: tuple[RecordedStage, ...]
    recorded: Mapping[str, RecordedStage]
    sources: tuple[RecordedSource, ...]
    missing: tuple[Missing, ...]
    changes: tuple[str, ...] = ()
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def expected_seconds(self) -> float:
        """What the stages took then, one after the other."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def name(self) -> str:
        """What is to be reproduced, as its stage calls it; a whole run by its id."""
        for stage in self.recorded.values():
            for output, made in stage.outputs.items():
                if made.digest == self.digest:
                    return stage.id if output == "result" else f"{stage.id}.{output}"
        if self.digest is None:
            return f"run {self.run.run_id}"
        left = self.left_behind
        return f"{left[0].call}'s {left[1]}" if left is not None else f"a part of what {self.wanted[0]} made"

    @property
    def left_behind(self) -> tuple[RecordedStage, str] | None:
        """The stage that left the bytes as a file outside the store, and the name of that file, where they are no output."""
        for stage in self.recorded.values():
            for product in stage.result.side_products if stage.result is not None else ():
                if product.digest == self.digest:
                    return stage, Path(product.path).name
        return None

    @property
    def reached(self) -> Mapping[str, str]:
        """The distributions, with their versions, that the code of the stages reaches."""
        found: dict[str, str] = {}
        for stage in self.stages:
            if stage.manifest is not None:
                found.update(stage.manifest.distributions)
        return found


def plan_reproduction(
    store: Store,
    digest: str | None = None,
    *,
    run: RunRecord | None = None,
    lineage: Lineage | None = None,
    until: Sequence[str] = (),
    changes: Sequence[str] = (),
) -> ReproductionPlan:
    """The plan for the bytes ``digest``, else for all of ``run``. Nothing is written.

    The run is the one that made the bytes. ``until`` are names, ids or globs of stages before which nothing is executed that they do not
    need. `NotFound` where nothing is known of the bytes, or they came from outside; `UsageError` for an ``until`` that names no stage.
    """
    lineage = lineage or Lineage(store)
    if digest is not None:
        made = _maker(lineage, digest)
        run = find_run(store, made.result.run_id)
        if run is None:
            raise NotFound(
                f"the record of run {made.result.run_id}, which made {digest}, is not in this store",
                "Its target and parameters are known from there alone.",
            )
        wanted = [call_of(made.result.stage_id)]
    else:
        assert run is not None
        wanted = []
    recorded = {stage.id: stage for stage in _recorded(store, lineage, run)}
    if until:
        wanted = _named(until, recorded, run)
    before = _ancestors(store, recorded, wanted)
    stages = tuple(stage for stage in recorded.values() if stage.call in before)
    sources = tuple(_sources(stages))
    environment, lost = _environment(store, run)
    secret = {name for name, value in run.parameters.items() if value == NO_SECRET}
    given = {change.partition("=")[0]: change for change in changes}
    missing = [
        *_missing_code(store, run),
        *lost,
        *_missing_inputs(store, sources),
        *(Missing("secret", name, "secrets are not recorded") for name in sorted(secret - given.keys())),
    ]
    return ReproductionPlan(
        store,
        digest,
        run,
        environment,
        tuple(wanted),
        stages,
        recorded,
        sources,
        tuple(missing),
        tuple(change for name, change in given.items() if name not in secret),
        tuple(change for name, change in given.items() if name in secret),
    )


def call_of(stage_id: str) -> str:
    """The id of the call that a stage, or an item of a mapped one, belongs to.

    >>> call_of("score[3]"), call_of("score#2")
    ('score', 'score#2')
    """
    item = _ITEM.fullmatch(stage_id)
    return item[1] if item is not None else stage_id


def _maker(lineage: Lineage, digest: str) -> Made:
    made = lineage.find_origin(digest)
    if made is not None:
        return made
    if lineage.knows(digest):
        raise NotFound(
            f"no stage made {digest}: it was taken from outside",
            "`lineal impact` says what was made from it.",
        )
    raise NotFound(
        f"this store knows nothing of {digest}",
        "Its bytes may have been changed since, or it was made with another store: try --store.",
    )


# -- what the run recorded --------------------------------------------------------------------


def _recorded(store: Store, lineage: Lineage, run: RunRecord) -> Iterator[RecordedStage]:
    """The stages of ``run`` that have a result. A run that was killed has no more than the results that it left."""
    manifests: dict[str, Manifest | None] = {}

    def manifest_of(result: ActionResult | None) -> Manifest | None:
        if result is None:
            return None
        if result.manifest not in manifests:
            try:
                manifests[result.manifest] = read_manifest(store, result)
            except LinealError:
                manifests[result.manifest] = None
        return manifests[result.manifest]

    if run.finished_at is None:
        for made in lineage.made_in(run.run_id):
            result = made.result
            yield RecordedStage(
                result.stage_id, made.key, result.outputs, result.seconds, result, manifest_of(result)
            )
        return
    for stage in read_stages(store, run):
        if stage.state == "succeeded" and stage.action_key is not None:
            found = lineage.find_result(stage.action_key, {one.digest for one in stage.outputs.values()})
            seconds = found.seconds if found is not None else stage.seconds
            yield RecordedStage(
                stage.id,
                stage.action_key,
                stage.outputs,
                seconds,
                found,
                manifest_of(found),
                is_list=not stage.is_shown,
            )


def _ancestors(store: Store, recorded: Mapping[str, RecordedStage], wanted: Sequence[str]) -> set[str]:
    """The calls that ``wanted`` depend on, and they themselves; all where none is wanted."""
    if not wanted:
        return {stage.call for stage in recorded.values()}
    makers: dict[str, list[RecordedStage]] = {}
    members: dict[str, list[RecordedStage]] = {}
    for stage in recorded.values():
        members.setdefault(stage.call, []).append(stage)
        for output in stage.outputs.values():
            makers.setdefault(output.digest, []).append(stage)
    found: set[str] = set()
    pending = list(wanted)
    while pending:
        call = pending.pop()
        if call in found:
            continue
        found.add(call)
        for stage in members.get(call, ()):
            for digest, key in _taken(stage.result):
                # A hit names the action that its input came from when it was executed: this run may have had the same bytes of another.
                made = makers.get(digest, [])
                pending += [maker.call for maker in made if maker.key == key] or [
                    maker.call for maker in made
                ]
    return found


def taken_from_stages(stage: RecordedStage) -> set[str]:
    """The digests of what a stage took from stages before it."""
    return {digest for digest, _ in _taken(stage.result)}


def _taken(result: ActionResult | None) -> Iterator[tuple[str, str | None]]:
    """What an action took from stages before it: digests, and the keys of the actions that had made them."""
    if result is None:
        return
    for port, taken in result.action.inputs.items():
        if port in result.origins and result.origins[port].url is None:
            yield taken.digest, result.origins[port].action_key
    for origin in result.origins.values():
        if origin.digest is not None:
            yield origin.digest, origin.action_key


def _named(patterns: Sequence[str], recorded: Mapping[str, RecordedStage], run: RunRecord) -> list[str]:
    calls = list(dict.fromkeys(stage.call for stage in recorded.values()))
    found: dict[str, None] = {}
    for pattern in patterns:
        matching = [
            call
            for call in calls
            if pattern == call or pattern == call.partition("#")[0] or fnmatch.fnmatchcase(call, pattern)
        ]
        if not matching:
            raise UsageError(
                f"--until {pattern}: run {run.run_id} has no such stage", f"It has {', '.join(calls[:20])}."
            )
        found.update(dict.fromkeys(matching))
    return list(found)


def _sources(stages: Sequence[RecordedStage]) -> Iterator[RecordedSource]:
    for stage in stages:
        if stage.result is not None:
            for port, taken in stage.result.action.inputs.items():
                origin = stage.result.origins.get(port)
                if origin is not None and origin.url is not None:
                    yield RecordedSource(stage.id, port, origin.url, taken.digest, taken.type)


# -- what is missing --------------------------------------------------------------------------


def _environment(store: Store, run: RunRecord) -> tuple[Environment | None, list[Missing]]:
    try:
        return from_bytes(store.blobs.read(Digest.parse(run.environment)), Environment), []
    except LinealError as error:
        return None, [Missing("environment", run.environment, str(error))]


def _missing_code(store: Store, run: RunRecord) -> Iterator[Missing]:
    for tree in (run.code_tree, *([run.beside.tree] if run.beside is not None else [])):
        try:
            entries = Tree.decode(store.blobs.read(Digest.parse(tree))).entries
        except LinealError as error:
            yield Missing("code", tree, str(error))
            continue
        found = read_blobs(store, list(dict.fromkeys(entry.digest for entry in entries)))
        for entry in entries:
            content = found[entry.digest]
            if isinstance(content, LinealError):
                yield Missing("code", entry.path, str(content))
            elif run.beside is not None and tree == run.beside.tree and not _is_as_it_was(run.beside, entry):
                yield Missing(
                    "file",
                    entry.path.removeprefix(OUTSIDE),
                    "it is read by its absolute path, and is no longer what it was",
                )


def _is_as_it_was(beside: Beside, entry: TreeEntry) -> bool:
    """Whether past code will find a file that it used: one that it reads by an absolute path cannot be laid out elsewhere."""
    path = entry.path.removeprefix(OUTSIDE)
    if path == entry.path or any(path.startswith(f"{folder}/") for folder in beside.search):
        return True
    file = Path(path)
    try:  # the record may be a stranger's, and name a device
        is_alike = file.is_file() and file.stat().st_size == entry.size_bytes
        return is_alike and Digest.of_file(file)[0] == entry.digest
    except OSError:
        return False


def _missing_inputs(store: Store, sources: Sequence[RecordedSource]) -> Iterator[Missing]:
    """The sources whose copies the store cannot give; their bytes are read when they are laid out."""
    files: dict[Digest, str] = {}
    for source in {source.digest: source for source in sources}.values():
        digest = Digest.parse(source.digest)
        files[digest] = source.url
        if source.type in TREES:
            try:
                tree = Tree.decode(store.blobs.read(digest))
            except LinealError as error:
                yield Missing("input", source.url, str(error))
                continue
            files.update((entry.digest, f"{source.url}/{entry.path}") for entry in tree.entries)
    there = store.blobs.sizes(files)
    absent = [digest for digest in files if digest not in there]
    if absent and store.upstream is not None:
        there |= store.upstream.sizes(absent)
    for digest in absent:
        if digest not in there:
            yield Missing(
                "input", files[digest], f"the copy of its content ({digest.short}) is not in the store"
            )
