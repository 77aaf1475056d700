"""Copies a closure into another store, so that at no moment anything there names what is not there.

Order is what makes it safe: files before the directories that name them, all blobs before results, ancestors before
descendants, a run's pages before its records, tags last. Whatever is written needs nothing that has not arrived, so a
copy that breaks off anywhere leaves a whole store behind, and the next one goes on from there.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from lineal.errors import LinealError, StoreUnavailable, spooling
from lineal.graph.checked import read_blobs, run_names
from lineal.graph.closure import (
    LOOKED_UP_AT_ONCE,
    RESULTS_AT_ONCE,
    RUNS_AT_ONCE,
    Need,
    PlannedResult,
    PlannedRun,
    PlannedTag,
    Transfer,
    batches,
    chunks,
)
from lineal.graph.filing import describe_differences, file_results, read_planned
from lineal_store import Blob, Digest, RunFiles, Store, Tree, Upload
from lineal_store.blobs import name_of
from lineal_store.errors import BlobMissing, CorruptRecord, DigestMismatch, ObjectMissing
from lineal_store.sealed import unseal
from lineal_store.store import HEADER

IN_MEMORY_BYTES = 8 << 20  # larger blobs go through a file

_CHUNK_BYTES = 1 << 20
_NAMED_IN_AN_ERROR = 5
_NOTHING = RunFiles(None, None)

Progress = Callable[[int, int], None]
"""Is told how many bytes of blobs are there by now, and how many there will be."""


def ignore(_: int, __: int) -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True)
class Left:
    """Something that was not copied, by name, and what was wrong with it or with something that it names."""

    what: str
    because: LinealError


@dataclass(frozen=True, slots=True)
class Report:
    """What a copy came to: how many things were written, and how many of all were there before.

    ``bytes`` are those of the blobs written. ``actions`` counts action keys, ``refs`` tags.
    """

    blobs: int
    bytes: int
    actions: int
    runs: int
    refs: int
    already_there: int
    warnings: tuple[str, ...]
    left: tuple[Left, ...]


class NotCopied(LinealError):
    """Some of what was to be copied is lost or damaged in the store that it was to come from.

    ``left`` names what was left out, ``reasons`` says what is wrong; all else was copied.
    """

    exit_code = 4
    kind = "corrupt"

    def __init__(self, url: str, left: tuple[str, ...], reasons: tuple[str, ...], hint: str | None) -> None:
        super().__init__(url, left, reasons, hint)
        self.url, self.left, self.reasons, self.hint = url, left, reasons, hint

    @classmethod
    def of(cls, url: str, left: Sequence[Left]) -> NotCopied:
        """The error for what of the store at ``url`` was left out."""
        reasons = tuple(dict.fromkeys(str(one.because) for one in left))
        hints = (one.because.hint for one in left)
        hint = next(filter(None, hints), f"`lineal store verify --store {url}` lists what is wrong with it.")
        return cls(url, tuple(one.what for one in left), reasons, hint)

    def __str__(self) -> str:
        return f"{_some(self.reasons, '; ')}; therefore not copied from {self.url}: {_some(self.left, ', ')}"


def check_writable(store: Store) -> None:
    """StoreUnavailable where nothing can be written: known before anything is read at length, and nothing is changed."""
    store.backend.spool()
    store.backend.create([Upload(HEADER, store.backend.read(HEADER))])  # it exists, and is left as it is


def perform(transfer: Transfer, source: Store, destination: Store, *, progress: Progress = ignore) -> Report:
    """Copy what ``transfer`` planned in ``source`` to ``destination``; what is there is not sent again.

    Blobs are checked before they are written, records are the ones that were planned, and the sizes of what was written
    are compared. What ``source`` lost or holds damaged is left out, together with everything that would name it.
    """
    return _Copying(transfer, source, destination, progress).run()


class _Copying:
    def __init__(self, transfer: Transfer, source: Store, destination: Store, progress: Progress) -> None:
        self._transfer, self._source, self._destination = transfer, source, destination
        self._progress, self._total_bytes = progress, transfer.size_bytes
        # What is known to be in the destination; nothing is written that names anything else.
        self._blobs: dict[Digest, int] = {}
        self._keys: set[str] = set()
        self._runs: set[str] = set()
        self._causes: dict[str, LinealError] = dict(transfer.damage)
        self._left: dict[str, Left] = {}
        self._warnings: dict[str, None] = {}
        self._sent_blobs = self._sent_bytes = self._there_bytes = 0
        self._sent_actions = self._sent_runs = self._sent_refs = 0
        self._already_there = 0

    def run(self) -> Report:
        transfer = self._transfer
        self._progress(0, self._total_bytes)
        for some in chunks(transfer.absent, LOOKED_UP_AT_ONCE):
            self._blobs |= self._destination.blobs.sizes(some)
        for keys in chunks(transfer.absent_keys, LOOKED_UP_AT_ONCE):
            self._keys |= self._destination.actions.find(keys).keys()
        self._copy_files(transfer.files)
        self._copy_trees(transfer.trees)
        for _, level in groupby(transfer.results, key=lambda result: result.level):
            for results in chunks(level, RESULTS_AT_ONCE):
                self._copy_results(results)
        for runs in chunks(transfer.runs, RUNS_AT_ONCE):
            self._copy_runs(runs)
        for tag in transfer.tags:
            self._copy_tag(tag)
        self._settle()
        return Report(
            self._sent_blobs,
            self._sent_bytes,
            self._sent_actions,
            self._sent_runs,
            self._sent_refs,
            self._already_there,
            tuple(self._warnings),
            tuple(self._left.values()),
        )

    # -- blobs --------------------------------------------------------------------------------

    def _copy_files(self, blobs: Iterable[Blob]) -> None:
        for some in chunks(blobs, LOOKED_UP_AT_ONCE):
            for batch in batches(self._look(some)):
                self._send(batch)

    def _copy_trees(self, blobs: Iterable[Blob]) -> None:
        """Copy directories, each after those that lie in it as a file."""
        pending = {
            blob.digest: blob for some in chunks(blobs, LOOKED_UP_AT_ONCE) for blob in self._look(some)
        }
        while pending:
            for batch in batches(list(pending.values())):
                whole, broken = self._read_whole_trees(batch, pending)
                self._keep(list(whole.values()))
                self._causes |= {str(digest): error for digest, error in broken.items()}
                for digest in (*whole, *broken):
                    del pending[digest]

    def _read_whole_trees(
        self, batch: Sequence[Blob], pending: Collection[Digest]
    ) -> tuple[dict[Digest, bytes], dict[Digest, LinealError]]:
        """The directories of ``batch`` whose files have arrived, and what is wrong with others; not those that wait."""
        whole: dict[Digest, bytes] = {}
        broken: dict[Digest, LinealError] = {}
        for digest, data in read_blobs(self._source, [blob.digest for blob in batch]).items():
            if isinstance(data, LinealError):
                broken[digest] = data
                continue
            what = f"the directory {digest}"
            needs = [Need(entry.digest, entry.size_bytes) for entry in Tree.decode(data, what=what).entries]
            if not any(need.digest in pending for need in needs):
                lacking = self._find_lacking(what, needs, ())
                if lacking is None:
                    whole[digest] = data
                else:
                    broken[digest] = lacking
        return whole, broken

    def _look(self, blobs: Sequence[Blob]) -> list[Blob]:
        """Those of ``blobs`` that the destination lacks, or holds with another size."""
        sizes = self._destination.blobs.sizes([blob.digest for blob in blobs])
        there = [blob for blob in blobs if sizes.get(blob.digest) == blob.size_bytes]
        self._already_there += len(there)
        self._arrive(there)
        return [blob for blob in blobs if sizes.get(blob.digest) != blob.size_bytes]

    def _send(self, batch: Sequence[Blob]) -> None:
        """Copy blobs, those larger than IN_MEMORY_BYTES through files."""
        small = [blob.digest for blob in batch if blob.size_bytes <= IN_MEMORY_BYTES]
        contents: dict[Digest, bytes | Path | LinealError] = dict(read_blobs(self._source, small))
        spooled: list[Path] = []
        try:
            for blob in batch:
                if blob.size_bytes > IN_MEMORY_BYTES:
                    spooled.append(self._destination.backend.spool() / f"copy-{os.urandom(8).hex()}")
                    contents[blob.digest] = self._spool(blob.digest, spooled[-1])
            self._causes |= {
                str(one): what for one, what in contents.items() if isinstance(what, LinealError)
            }
            self._keep([content for content in contents.values() if not isinstance(content, LinealError)])
        finally:
            for path in spooled:
                path.unlink(missing_ok=True)

    def _keep(self, contents: Sequence[bytes | Path]) -> None:
        """Write blobs, and look whether they are there."""
        kept = self._destination.blobs.put_many(contents) if contents else ()
        sizes = self._destination.blobs.sizes([blob.digest for blob in kept])
        for blob in kept:
            if sizes.get(blob.digest) != blob.size_bytes:
                raise StoreUnavailable(
                    self._destination.url,
                    f"of {blob.size_bytes} bytes of {blob.digest} it kept {sizes.get(blob.digest, 0)}",
                    "Try again; if it happens again, its disk or server is at fault.",
                )
        self._sent_blobs += len(kept)
        self._sent_bytes += sum(blob.size_bytes for blob in kept)
        self._arrive(kept)

    def _spool(self, digest: Digest, path: Path) -> Path | LinealError:
        """``path``, to which the blob was copied, or what is wrong with the blob."""
        name = name_of(digest)
        try:
            with spooling(self._destination.url):
                actual = self._copy_hashing(name, path)
                if actual is None:
                    upstream = self._source.upstream
                    found = upstream is not None and upstream.copy(digest, path)
                    return path if found else BlobMissing(self._source.url, digest)
        except OSError as error:
            problem = f"{name} cannot be read: {error.strerror}"
            hint = "Check the disk; the system's log says more."
            raise StoreUnavailable(self._source.url, problem, hint) from error
        return path if actual == digest else DigestMismatch(digest, actual, f"{self._source.url}/{name}")

    def _copy_hashing(self, name: str, path: Path) -> Digest | None:
        """The digest of what was copied; None where the source itself has no such object."""
        hasher = hashlib.sha256()
        try:
            with self._source.backend.open(name) as stream, path.open("wb") as file:
                while chunk := stream.read(_CHUNK_BYTES):
                    hasher.update(chunk)
                    file.write(chunk)
        except ObjectMissing:
            return None
        return Digest(hasher.hexdigest())

    def _arrive(self, blobs: Iterable[Blob]) -> None:
        for blob in blobs:
            self._blobs[blob.digest] = blob.size_bytes
            self._there_bytes += blob.size_bytes
        self._progress(self._there_bytes, self._total_bytes)

    # -- results ------------------------------------------------------------------------------

    def _copy_results(self, results: Sequence[PlannedResult]) -> None:
        """Copy results that are independent of each other."""
        found = self._destination.actions.find([result.key for result in results])
        self._already_there += len(found)
        self._keys |= found.keys()
        ready = []
        for result in results:
            if result.key not in found and (result.retired or result.current is not None):
                lacking = self._find_lacking(result.shown, result.needs, result.parents)
                if lacking is None:
                    ready.append(result)
                else:
                    self._leave(f"xxh3:{result.key}", lacking, shown=result.shown)
        records = read_planned(self._source, ready)
        for result in ready:
            if result.key not in records:
                problem = CorruptRecord(result.shown, "it changed while it was copied")
                self._leave(f"xxh3:{result.key}", problem, shown=result.shown)
        filed = file_results(self._destination, [one for one in ready if one.key in records], records)
        self._sent_actions += len(filed.new)
        self._already_there += len(filed.retired_there)
        self._keys |= records.keys()
        found |= filed.others
        self._warnings.update(dict.fromkeys(filed.retired_there))
        different = describe_differences(self._source, self._destination, results, found)
        self._warnings.update(dict.fromkeys(different))

    # -- runs and tags ------------------------------------------------------------------------

    def _copy_runs(self, runs: Sequence[PlannedRun]) -> None:
        found = self._destination.runs.find_many(run.run_id for run in runs)
        ready = []
        for run in runs:
            shown, there = f"run {run.run_id}", found.get(run.run_id, _NOTHING)
            if any(data is not None and Digest.of(data) != seal for seal, data in _records(run, there)):
                self._warn(f"{self._destination.url} has another record of {shown}; it stays")
                self._runs.add(run.run_id)
            elif all(data is not None for _, data in _records(run, there)):
                self._already_there += 1
                self._runs.add(run.run_id)
            else:
                lacking = self._find_lacking(shown, run.needs, run.keys)
                if lacking is None:
                    ready.append(run)
                else:
                    self._leave(run.run_id, lacking, shown=shown)
        self._copy_files(page for run in ready for page in run.pages)
        self._record_runs(ready)

    def _record_runs(self, runs: Sequence[PlannedRun]) -> None:
        """Write the records of runs of which all but the pages has arrived for certain."""
        found = self._source.runs.find_many(run.run_id for run in runs)
        begun: list[Upload] = []
        finished: list[Upload] = []
        for run in runs:
            shown, files = f"run {run.run_id}", found.get(run.run_id, _NOTHING)
            pages = [Need(page.digest, page.size_bytes) for page in run.pages]
            problem = self._find_lacking(shown, pages, ())
            if any(data is None or Digest.of(data) != seal for seal, data in _records(run, files)):
                problem = CorruptRecord(shown, "it changed while it was copied")
            if problem is not None:
                self._leave(run.run_id, problem, shown=shown)
                continue
            begun_name, finished_name = run_names(run.run_id)
            if run.begun is not None and files.begun is not None:
                begun.append(Upload(begun_name, files.begun))
            if run.finished is not None and files.finished is not None:
                finished.append(Upload(finished_name, files.finished))
            self._runs.add(run.run_id)
            self._sent_runs += 1
        for uploads in (begun, finished):
            self._destination.backend.create(uploads)

    def _copy_tag(self, tag: PlannedTag) -> None:
        """Append the tag's entry, unless the destination's log has it: then it is as new there, or newer."""
        refs, name, shown = self._destination.refs, f"tags/{tag.name}", f"tag {tag.name}"
        needs = () if tag.digest is None else (Need(tag.digest),)
        lacking = self._find_lacking(shown, needs, ())
        if lacking is None and tag.run_id is not None and not self._has_run(tag.run_id):
            lacking = self._causes.get(tag.run_id) or ObjectMissing(self._source.url, f"run {tag.run_id}")
        if lacking is not None:
            self._leave(shown, lacking, shown=shown)
            return
        while True:
            log = refs.log(name)
            named = _named(log[-1]) if log else None
            if tag.entry in log or (tag.digest is None and named is None):
                self._already_there += 1
                return
            if refs.compare_and_append(name, len(log), tag.entry):
                break
        self._sent_refs += 1
        if named is not None and named != str(tag.digest):
            self._warn(
                f"{shown} named {named} in {self._destination.url}; now it names {tag.digest or 'nothing'}"
            )

    def _has_run(self, run_id: str) -> bool:
        return run_id in self._runs or self._destination.runs.find(run_id) is not None

    # -- what does not come along ---------------------------------------------------------------

    def _find_lacking(self, what: str, needs: Iterable[Need], keys: Iterable[str]) -> LinealError | None:
        """Why ``what`` would name something that is not in the destination; None where it would not."""
        for need in needs:
            size = self._blobs.get(need.digest)
            if size is None:
                return self._causes.get(str(need.digest)) or BlobMissing(self._source.url, need.digest)
            if need.size_bytes not in (None, size):
                return CorruptRecord(
                    what, f"it says that {need.digest} has {need.size_bytes} bytes, and it has {size}"
                )
        for key in keys:
            if key not in self._keys:
                return self._causes.get(f"xxh3:{key}") or ObjectMissing(self._source.url, f"xxh3:{key}")
        return None

    def _leave(self, name: str, because: LinealError, *, shown: str) -> None:
        self._causes[name] = because
        self._left[name] = Left(shown, because)

    def _settle(self) -> None:
        """Account for what was asked for and for what is damaged."""
        for digest in self._transfer.asked:
            lacking = self._find_lacking(str(digest), (Need(digest),), ())
            if lacking is not None:
                self._leave(str(digest), lacking, shown=str(digest))
        for name, error in self._transfer.damage.items():
            if not name.startswith("sha256:") and name not in self._left:
                self._left[name] = Left(name, error)
        told = {id(one.because) for one in self._left.values()}
        for name, error in self._causes.items():
            if id(error) not in told:
                self._warn(f"{name} was not copied, and nothing depends on it: {error}")

    def _warn(self, text: str) -> None:
        self._warnings[text] = None


def _records(run: PlannedRun, files: RunFiles) -> Iterable[tuple[Digest, bytes | None]]:
    """Of each record that ``run`` has, its seal and what ``files`` has in its place."""
    pairs = ((run.begun, files.begun), (run.finished, files.finished))
    return [(seal, data) for seal, data in pairs if seal is not None]


def _named(entry: bytes) -> str | None:
    """The digest that a tag's entry names; None where it was deleted, or cannot be read."""
    try:
        fields = unseal(entry)
    except CorruptRecord:
        return None
    digest = fields.get("digest") if isinstance(fields, dict) else None
    return digest if isinstance(digest, str) else None


def _some(texts: Sequence[str], separator: str) -> str:
    more = len(texts) - _NAMED_IN_AN_ERROR
    return separator.join(texts[:_NAMED_IN_AN_ERROR]) + (f" and {more} more" if more > 0 else "")
