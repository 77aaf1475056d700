"""What belongs to a run, an artifact or a tag: all that must lie in a store for it to mean there what it means here."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple, TypeVar

from lineal.errors import NotFound
from lineal.graph.checked import (
    NamedByResult,
    NamedByRun,
    checked_digest,
    decode_result,
    decode_run,
    decode_tag,
    is_run_id,
    read_blobs,
    run_names,
)
from lineal.graph.lineage import ActionNode, Lineage
from lineal.graph.records import TREES, ActionResult, StagePage, from_bytes
from lineal_store import Blob, Digest, Filed, Retirement, RunFiles, Store, Tree
from lineal_store.canonical import MAX_RECORD_BYTES
from lineal_store.errors import BlobMissing, CorruptRecord, DigestMismatch, LinealError
from lineal_store.tree import MAX_TREE_BYTES

BATCH_BLOBS = 64
BATCH_BYTES = 64 << 20
LOOKED_UP_AT_ONCE = 1000
RESULTS_AT_ONCE = 64
RUNS_AT_ONCE = 32

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Roots:
    """What a closure is wanted of: ids of runs, digests of artifacts (as text), names of tags.

    Without ``with_tags`` the tags that name one of the runs, or what it made, stay behind.
    """

    runs: tuple[str, ...] = ()
    artifacts: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    with_tags: bool = True


class Need(NamedTuple):
    """A blob that a record cannot be without, and the size in bytes that it says the blob has, if it says one."""

    digest: Digest
    size_bytes: int | None = None


class Generation(NamedTuple):
    """A result as it is filed: ``seal`` is the digest of the record's bytes."""

    number: int
    seal: Digest
    retirement: Retirement | None = None


@dataclass(frozen=True, slots=True)
class PlannedResult:
    """Everything filed under one action key: the ``retired`` results, oldest first, and the ``current`` one.

    ``needs`` and ``parents`` (action keys) are what the current one is nothing without. ``level`` is higher than that of
    every ancestor of any of them; results of one level are independent of each other.
    """

    key: str
    stage: str
    level: int
    retired: tuple[Generation, ...]
    current: Generation | None
    needs: tuple[Need, ...]
    parents: tuple[str, ...]

    @property
    def shown(self) -> str:
        return f"{self.stage} (xxh3:{self.key})"


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A run: the digests of its two records' bytes, the blobs with its stages, and what its record is nothing without."""

    run_id: str
    begun: Digest | None
    finished: Digest | None
    pages: tuple[Blob, ...]
    needs: tuple[Need, ...]
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlannedTag:
    """The newest ``entry`` of a tag; ``digest`` and ``run_id`` are what it names, both None where it was deleted."""

    name: str
    entry: bytes
    digest: Digest | None
    run_id: str | None


@dataclass(frozen=True, slots=True)
class Transfer:
    """A closure, in the order in which it is to be written: what is named comes before what names it.

    ``trees`` are the blobs that name ``files``; a tree among them may name another. ``results`` are sorted by level.
    ``asked`` are the artifacts that were asked for by digest. ``absent`` and ``absent_keys`` are blobs and results that
    belong to it and that the store lacks. ``damage`` says by name (a digest, ``xxh3:`` and a key, a run's id, ``tag``
    and its name) what it holds and cannot give.
    """

    files: tuple[Blob, ...]
    trees: tuple[Blob, ...]
    results: tuple[PlannedResult, ...]
    runs: tuple[PlannedRun, ...]
    tags: tuple[PlannedTag, ...]
    asked: tuple[Digest, ...]
    absent: tuple[Digest, ...]
    absent_keys: tuple[str, ...]
    damage: Mapping[str, LinealError]

    @property
    def size_bytes(self) -> int:
        """Of all blobs together."""
        return sum(blob.size_bytes for blobs in (self.files, self.trees) for blob in blobs)


def plan_transfer(source: Store, roots: Roots | None = None) -> Transfer:
    """The closure of ``roots`` in ``source``; without them all results, finished runs and tags.

    Of a run: its records, its stages' logs, the results that they name with all their ancestors, and the tags that name
    it or one of its outputs. Of an artifact: the results of all its ancestors. Of a tag: those of what it names. Of a
    result: all that is filed under its key, with code, environment, inputs and outputs; sources whose copies were not
    kept, logs, and what retired results made, as far as they are there. Every record is read and checked. `NotFound` for
    an artifact that the store knows nothing of.
    """
    planner = _Planner(source)
    return planner.plan_all() if roots is None else planner.plan_roots(roots)


class _Planner:
    """Collects what is named, reading each record once."""

    def __init__(self, source: Store) -> None:
        self._source = source
        self._named: dict[Digest, None] = {}
        self._trees: dict[Digest, None] = {}
        self._needed: set[Digest] = set()
        self._results: dict[str, _Draft] = {}
        self._absent_keys: dict[str, None] = {}
        self._pending_keys: dict[str, None] = {}
        self._runs: dict[str, PlannedRun] = {}
        self._damage: dict[str, LinealError] = {}

    def plan_all(self) -> Transfer:
        tags = list(self._read_tags())
        for _ in self._take_runs([*self._finished_runs(), *(tag.run_id for tag in tags)]):
            pass
        for key, history in self._all_histories():
            self._take_history(key, history)
        return self._finish(tags, ())

    def plan_roots(self, roots: Roots) -> Transfer:
        made = {digest for outputs in self._take_runs(roots.runs) for digest in outputs}
        for run_id in roots.runs:
            if run_id not in self._runs and run_id not in self._damage:
                raise NotFound(
                    f"the store {self._source.url} has no run {run_id}", "`lineal runs` lists them."
                )
        tags = [
            tag
            for tag in self._read_tags()
            if tag.name in roots.tags
            or (roots.with_tags and (tag.run_id in roots.runs or tag.digest in made))
        ]
        made |= {digest for outputs in self._take_runs(tag.run_id for tag in tags) for digest in outputs}
        asked = tuple(dict.fromkeys(Digest.parse(text) for text in roots.artifacts))
        named = dict.fromkeys([*asked, *(tag.digest for tag in tags if tag.digest is not None)])
        strangers = [digest for digest in named if digest not in made]
        if strangers:
            self._take_artifacts(strangers)
        return self._finish(tags, asked)

    # -- runs and tags ------------------------------------------------------------------------

    def _finished_runs(self) -> Iterator[str]:
        for info in self._source.backend.list("runs/"):
            run_id = info.name.rpartition("/")[2].removesuffix(".begun")
            if not is_run_id(run_id) or info.name not in run_names(run_id):
                self._damage[info.name] = CorruptRecord(info.name, "no run is named so")
            elif not info.name.endswith(".begun"):
                yield run_id

    def _take_runs(self, run_ids: Iterable[str | None]) -> Iterator[list[Digest]]:
        """For each run that is there and was not taken yet what its stages made."""
        named = (run_id for run_id in dict.fromkeys(run_ids) if run_id is not None and is_run_id(run_id))
        for batch in chunks((one for one in named if one not in self._runs), RUNS_AT_ONCE):
            for run_id, files in self._source.runs.find_many(batch).items():
                try:
                    yield self._take_run(run_id, files)
                except (CorruptRecord, BlobMissing, DigestMismatch) as error:
                    self._damage[run_id] = error

    def _take_run(self, run_id: str, files: RunFiles) -> list[Digest]:
        what = f"run {run_id}"
        records = [decode_run(run_id, data) for data in (files.begun, files.finished) if data is not None]
        run = records[-1]
        digests = dict.fromkeys(checked_digest(page, what) for page in run.pages)
        if any(size > MAX_RECORD_BYTES for size in self._sizes(digests).values()):
            raise CorruptRecord(what, "a page of its stages is too large")
        stages, pages = list(run.stages), []
        for digest in digests:
            page = self._source.blobs.read(digest)
            pages.append(Blob(digest, len(page)))
            stages += from_bytes(page, StagePage).stages
        named = NamedByRun.of(run, stages, what)
        code_tree, environment = checked_digest(run.code_tree, what), checked_digest(run.environment, what)
        # Only now: a record that names nonsense must not add to the closure.
        beside = [] if run.beside is None else [checked_digest(run.beside.tree, what)]
        for tree in (code_tree, *beside):
            self._name(tree, tree=True)
        self._name(environment)
        diff = [] if run.git is None or run.git.diff is None else [checked_digest(run.git.diff, what)]
        for digest in (*diff, *named.logs, *named.outputs):
            self._name(digest, tree=digest in named.trees, needed=False)
        self._pending_keys.update(dict.fromkeys(named.keys))
        self._runs[run_id] = PlannedRun(
            run_id,
            None if files.begun is None else Digest.of(files.begun),
            None if files.finished is None else Digest.of(files.finished),
            tuple(pages),
            (Need(code_tree), *map(Need, beside), Need(environment)),
            tuple(key for key, succeeded in named.keys.items() if succeeded),
        )
        return named.outputs

    def _read_tags(self) -> Iterator[PlannedTag]:
        for name in self._source.refs.names("tags/"):
            newest = self._source.refs.newest(name)
            if newest is not None:
                tag = name.removeprefix("tags/")
                try:
                    yield PlannedTag(tag, newest[1], *decode_tag(tag, newest[1]))
                except CorruptRecord as error:
                    self._damage[f"tag {tag}"] = error

    # -- artifacts ----------------------------------------------------------------------------

    def _take_artifacts(self, digests: Iterable[Digest]) -> None:
        lineage = Lineage(self._source)
        for digest in digests:
            described = lineage.find_description(str(digest))
            self._name(digest, tree=described is not None and described[0] in TREES)
            if lineage.knows(str(digest)):
                nodes = lineage.ancestors(str(digest)).nodes.values()
                made = [node.made.key for node in nodes if isinstance(node, ActionNode)]
                self._pending_keys.update(dict.fromkeys(made))
            elif not self._sizes([digest]):
                raise NotFound(
                    f"the store {self._source.url} knows nothing of {digest}",
                    "`lineal trace` says what is known of a file.",
                )

    # -- results ------------------------------------------------------------------------------

    def _take_pending(self) -> None:
        """Take the results under the pending keys, and those of all their ancestors."""
        while self._pending_keys:
            batch = list(islice(self._pending_keys, RESULTS_AT_ONCE))
            for key in batch:
                del self._pending_keys[key]
            fresh = [key for key in batch if key not in self._results and key not in self._absent_keys]
            for key, history in self._histories(fresh):
                self._take_history(key, history)

    def _all_histories(self) -> Iterator[tuple[str, _History]]:
        with_past: dict[str, None] = {}
        for filed in self._source.actions.list(retired=True):
            if self._source.actions.generation(filed.key):
                with_past[filed.key] = None
            else:
                yield filed.key, [(filed, None)]
        for batch in chunks(with_past, RESULTS_AT_ONCE):
            yield from self._histories(batch)

    def _histories(self, keys: Sequence[str]) -> Iterator[tuple[str, _History]]:
        """What is filed under each of ``keys``; those that have nothing are noted as absent."""
        actions, upstream = self._source.actions, self._source.upstream
        found = actions.find(key for key in keys if not actions.generation(key))
        absent = [key for key in keys if key not in found and not actions.generation(key)]
        if upstream is not None and absent:
            found |= upstream.find(absent)
        for key in keys:
            history: _History = [(found[key], None)] if key in found else ()
            if actions.generation(key):
                try:
                    history = [
                        (filed, retirement)
                        for filed, retirement in actions.history(key)
                        if retirement is not None or filed.generation == actions.generation(key)
                    ]
                except CorruptRecord as error:
                    self._damage[f"xxh3:{key}"] = error
            if history:
                yield key, history
            else:
                self._absent_keys[key] = None

    def _take_history(self, key: str, history: _History) -> None:
        draft = _Draft(key)
        for filed, retirement in history:
            try:
                result = decode_result(key, filed.data)
                named = NamedByResult.of(result, f"the result xxh3:{key}")
            except CorruptRecord as error:
                if retirement is None:
                    self._damage[f"xxh3:{key}"] = error
                    self._absent_keys[key] = None
                    return
                continue  # what was retired, and is garbage, is no loss
            draft.take(filed, retirement, result, named)
            for digest in (*named.needs, *named.others):
                is_needed = retirement is None and digest in named.needs
                self._name(digest, tree=digest in named.trees, needed=is_needed)
        self._results[key] = draft
        self._pending_keys.update((parent, None) for parent in draft.before)

    # -- blobs --------------------------------------------------------------------------------

    def _name(self, digest: Digest, *, tree: bool = False, needed: bool = True) -> None:
        self._named[digest] = None
        if tree:
            self._trees[digest] = None
        if needed:
            self._needed.add(digest)

    def _sizes(self, digests: Collection[Digest]) -> dict[Digest, int]:
        """The sizes of those blobs that can be read, from the store itself or from upstream."""
        found = self._source.blobs.sizes(digests) if digests else {}
        absent = [digest for digest in digests if digest not in found]
        if absent and self._source.upstream is not None:
            found |= self._source.upstream.sizes(absent)
        return found

    def _read_trees(self) -> list[Blob]:
        """The trees that can be read, whose files are named from now on."""
        read: list[Blob] = []
        for some in chunks(self._trees, LOOKED_UP_AT_ONCE):
            sizes = self._sizes(some)
            for digest in some:
                if sizes.get(digest, 0) > MAX_TREE_BYTES:
                    self._damage[str(digest)] = CorruptRecord(f"the directory {digest}", "it is too large")
            whole = (Blob(one, sizes[one]) for one in some if one in sizes and str(one) not in self._damage)
            for batch in batches(whole):
                for digest, data in read_blobs(self._source, [blob.digest for blob in batch]).items():
                    if isinstance(data, LinealError):
                        self._damage[str(digest)] = data
                        continue
                    try:
                        entries = Tree.decode(data, what=f"the directory {digest}").entries
                    except CorruptRecord as error:
                        self._damage[str(digest)] = error
                        continue
                    read.append(Blob(digest, sizes[digest]))
                    for entry in entries:
                        self._name(entry.digest)
        return read

    # -- the end ------------------------------------------------------------------------------

    def _finish(self, tags: Sequence[PlannedTag], asked: tuple[Digest, ...]) -> Transfer:
        self._take_pending()
        for digest in (*asked, *(tag.digest for tag in tags if tag.digest is not None)):
            self._name(digest)
        trees = self._read_trees()
        files, absent = [], []
        unread = (digest for digest in self._named if digest not in self._trees)
        for some in chunks(unread, LOOKED_UP_AT_ONCE):
            sizes = self._sizes(some)
            files += [Blob(digest, sizes[digest]) for digest in some if digest in sizes]
            absent += [digest for digest in some if digest not in sizes and digest in self._needed]
        there = {blob.digest for blob in trees}
        absent += [digest for digest in self._trees if digest not in there and digest in self._needed]
        return Transfer(
            tuple(files),
            tuple(trees),
            tuple(_by_level(self._results)),
            tuple(self._runs.values()),
            tuple(tags),
            asked,
            tuple(absent),
            tuple(self._absent_keys),
            dict(self._damage),
        )


_History = Sequence[tuple[Filed, Retirement | None]]


class _Draft:
    """What is filed under one key, as it is being read."""

    def __init__(self, key: str) -> None:
        self.key, self.stage = key, ""
        self.retired: list[Generation] = []
        self.current: Generation | None = None
        self.needs: tuple[Need, ...] = ()
        self.parents: tuple[str, ...] = ()
        self.before: dict[str, None] = {}

    def take(
        self, filed: Filed, retirement: Retirement | None, result: ActionResult, named: NamedByResult
    ) -> None:
        generation = Generation(filed.generation, Digest.of(filed.data), retirement)
        parents = tuple(dict.fromkeys(o.action_key for o in result.origins.values() if o.action_key))
        self.stage = result.stage_id
        self.before.update(dict.fromkeys(parents))
        if retirement is not None:
            self.retired.append(generation)
            return
        self.current, self.parents = generation, parents
        self.needs = tuple(Need(digest, size) for digest, size in named.needs.items())

    def planned(self, level: int, parents: Iterable[str]) -> PlannedResult:
        # Elsewhere a retired result can only be filed where all before it are.
        numbered = [one.number for one in self.retired] == list(range(len(self.retired)))
        retired = tuple(self.retired) if numbered else ()
        return PlannedResult(self.key, self.stage, level, retired, self.current, self.needs, tuple(parents))


def _by_level(drafts: Mapping[str, _Draft]) -> list[PlannedResult]:
    """Ancestors first.

    Bytes can come back where they started: of an action and its own ancestor, each with a result of the other's
    bytes, one goes first, and the link that closes the circle does not count.
    """
    levels: dict[str, int] = {}
    circular: set[tuple[str, str]] = set()
    for start in drafts:
        if start in levels:
            continue
        path = {start: iter(drafts[start].before)}
        while path:
            key = next(reversed(path))
            for parent in path[key]:
                if parent in path:
                    circular.add((key, parent))
                elif parent in drafts and parent not in levels:
                    path[parent] = iter(drafts[parent].before)
                    break
            else:
                del path[key]
                above = (levels[parent] for parent in drafts[key].before if parent in levels)
                levels[key] = max(above, default=-1) + 1
    planned = (
        draft.planned(levels[key], (parent for parent in draft.parents if (key, parent) not in circular))
        for key, draft in drafts.items()
    )
    return sorted(planned, key=lambda result: result.level)


# --- batches ---------------------------------------------------------------------------------------


def chunks(items: Iterable[_Item], most: int) -> Iterator[list[_Item]]:
    """``items`` in order, ``most`` at a time."""
    left = iter(items)
    while some := list(islice(left, most)):
        yield some


def batches(blobs: Iterable[Blob]) -> Iterator[list[Blob]]:
    """``blobs`` in order, as many at a time as are handled together: BATCH_BLOBS, of BATCH_BYTES unless it is one."""
    batch: list[Blob] = []
    size = 0
    for blob in blobs:
        if batch and (len(batch) == BATCH_BLOBS or size + blob.size_bytes > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(blob)
        size += blob.size_bytes
    if batch:
        yield batch
