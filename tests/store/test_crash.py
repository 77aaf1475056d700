"""Killed at any system call, a writer leaves a store that opens, shows no part of anything, and takes the batch again."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest

from lineal_store import CorruptRecord, Digest, Store, durable, open_store
from lineal_store.blobs import name_of
from lineal_store.identity import LARGE_BYTES
from lineal_store.protocols import Upload

KEY = "0" * 31 + "a"
RUN = "20261122-173120-4f9ac2"
BLOBS = [b"", b"small", b"x" * 30_000]
LARGE = b"from the spool " * 2000
WRITTEN = b"by a writer, " * (LARGE_BYTES // 13 + 1)
HEALED = b"healed"
CALLS = ("open", "write", "chmod", "mkdir", "link", "rename", "fsync", "unlink")


def prepare(path: Path) -> None:
    """A store with a damaged blob, and nothing else."""
    store = open_store(path)
    store.backend.create([Upload(name_of(Digest.of(HEALED)), b"damage", replace=True)])


def write(path: Path) -> None:
    """All that a stage and its run leave in a store, in the order in which one names the other."""
    store = open_store(path)
    spooled = store.backend.spool() / "large"
    spooled.write_bytes(LARGE)
    written = store.backend.spool() / "written"
    with store.blobs.writer(written) as stream:
        stream.write(WRITTEN)
    blobs = store.blobs.put_many([*BLOBS, spooled, written])
    healed = store.blobs.heal(HEALED)
    named = [str(blob.digest) for blob in blobs] + [str(healed)]
    store.actions.publish([(KEY, "\n".join(named).encode())])
    store.refs.append("tags/v1", named[0].encode())
    if store.runs.find(RUN) is None:
        store.runs.begin(RUN, KEY.encode())


def check(path: Path) -> int:
    """The store opens and is true as far as it goes; how many of its five kinds of things it holds."""
    store = open_store(path, create=False)
    expected = {Digest.of(data): data for data in [*BLOBS, LARGE, WRITTEN, HEALED]}
    found = {blob.digest for blob in store.blobs.list()}
    assert found <= expected.keys()
    healed = Digest.of(HEALED)
    assert store.backend.read(name_of(healed)) in (HEALED, b"damage")
    for digest in found - {healed}:
        assert store.blobs.read(digest) == expected[digest]
    results = list(store.actions.list())
    for result in results:  # a record never names what is not there
        for digest in map(Digest.parse, result.data.decode().split("\n")):
            assert store.blobs.read(digest) == expected[digest]
    refs = store.refs.names()
    for name in refs:
        assert {store.blobs.read(Digest.parse(entry.decode())) for entry in store.refs.log(name)} == {b""}
    runs = list(store.runs.newest_first())
    for run_id in runs:
        files = store.runs.find(run_id)
        assert files is not None and files.begun == KEY.encode()
        assert KEY in store.actions.find([KEY])
    return len(found) + len(results) + len(refs) + len(runs)


def in_child(work: Callable[[], None]) -> int:
    """Run ``work`` in a forked child; its wait status."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        finally:  # a forked child must never return into pytest
            os._exit(1)
    return os.waitpid(child, 0)[1]


def die_at(turn: int, *, torn: bool) -> None:
    """Have this process killed at its ``turn``-th system call of those that change a disk (after half of a write)."""
    calls = count(1)

    def patch(name: str) -> None:
        real = getattr(os, name)

        def call(*args: object, **options: object) -> object:
            if next(calls) == turn:
                if torn and name == "write":
                    data = memoryview(args[1])  # type: ignore[arg-type]
                    real(args[0], data[: len(data) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **options)

        setattr(os, name, call)

    for name in CALLS:
        patch(name)


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A place whose files are gone soon; in memory where there is such a place, for a kill needs no disk."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="lineal-crash-", dir=memory) as path:
        yield Path(path)


@pytest.mark.parametrize("torn", [False, True], ids=["between calls", "within a write"])
def test_a_writer_killed_at_any_system_call_leaves_a_true_store(scratch: Path, torn: bool) -> None:
    reached = []
    for turn in count(1):
        path = scratch / str(turn)
        prepare(path)

        def work(path: Path = path, turn: int = turn) -> None:
            die_at(turn, torn=torn)
            write(path)

        status = in_child(work)
        reached.append(check(path))
        if os.waitstatus_to_exitcode(status) == 0:
            break
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
        if not torn or turn % 4 == 0:
            write(path)
            assert check(path) == 9
        shutil.rmtree(path)

    assert len(reached) > 60
    assert reached == sorted(reached)
    assert (reached[0], reached[-1]) == (1, 9)


def test_making_a_store_can_be_killed_at_any_system_call(scratch: Path) -> None:
    for turn in count(1):
        path = scratch / str(turn) / "store"

        def work(path: Path = path, turn: int = turn) -> None:
            die_at(turn, torn=True)
            open_store(path)

        status = in_child(work)
        open_store(path).blobs.put(b"data")
        assert not [
            entry for entry in path.iterdir() if not entry.name.startswith((".", "lineal", "spool", "blobs"))
        ]
        if status == 0:
            break
    assert turn > 5


class Disk:
    """What may be left of the objects of a store after a power cut: every call of a primitive, remembered.

    The worst is assumed: nothing that was not flushed is on the disk, except the one thing that does harm there.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.flushed_files: set[str] = set()
        self.entries: dict[str, str] = {}  # path → the temporary whose bytes it names
        self.settled: set[str] = set()
        for name in ("flush", "flush_directories", "publish_new", "publish_replacing", "make_directory"):
            self._watch(monkeypatch, name)

    def _watch(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        real = getattr(durable, name)
        note = getattr(self, name)

        def watched(*args: object) -> object:
            result = real(*args)
            note(*args)
            return result

        monkeypatch.setattr(durable, name, watched)

    def flush(self, paths: list[str], volume: int) -> None:
        self.flushed_files |= set(paths)

    def publish_new(self, temporary: str, path: str) -> None:
        # Its name may reach the disk from now on; then its bytes must be there.
        assert temporary in self.flushed_files
        self.entries.setdefault(path, temporary)
        self.settled.discard(path)

    def publish_replacing(self, temporary: str, path: str) -> None:
        self.publish_new(temporary, path)

    def make_directory(self, path: str) -> None:
        self.entries.setdefault(path, "")

    def flush_directories(self, paths: list[str], volume: int) -> None:
        folders = {path.rstrip("/") for path in paths}
        self.settled |= {path for path in self.entries if str(Path(path).parent) in folders}

    def holds(self, root: str, name: str) -> bool:
        """Whether the object is sure to be there: its own entry, and that of each folder on the way to it."""
        path = Path(root, name)
        way = [path, *list(path.parents)[: len(Path(name).parts) - 1]]
        return all(str(step) in self.settled for step in way)


def test_after_a_power_cut_everything_that_was_reported_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path / "store")
    disk = Disk(monkeypatch)

    def reported() -> Iterator[str]:
        digest = store.blobs.put(b"one")
        yield name_of(digest)
        blobs = store.blobs.put_many([bytes([n]) for n in range(100)])
        yield from (name_of(blob.digest) for blob in blobs)
        store.actions.publish([(KEY, b"result")])
        yield f"actions/00/{KEY[2:]}.0"
        store.refs.append("tags/v1", b"entry")
        yield "refs/tags/v1/00000001"
        store.runs.begin(RUN, b"begun")
        yield f"runs/2026/11/22/{RUN}.begun"
        store.runs.finish(RUN, b"finished")
        yield f"runs/2026/11/22/{RUN}"

    for name in reported():
        assert disk.holds(store.url, name), name


def test_a_blob_of_another_process_is_durable_before_it_is_relied_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = open_store(tmp_path / "store")
    disk = Disk(monkeypatch)
    with monkeypatch.context() as dying:  # it dies between the link and the flush of the directory
        dying.setattr(durable, "flush_directories", lambda *_: os._exit(0))
        theirs = Store(open_store(tmp_path / "store").backend)
        assert in_child(lambda: (theirs.blobs.put(b"data"), None)[1]) == 0
    name = name_of(Digest.of(b"data"))
    assert (tmp_path / "store" / name).exists()

    folders = [str((tmp_path / "store" / name).parents[level]) for level in (0, 1)]
    disk.entries |= dict.fromkeys([str(tmp_path / "store" / name), *folders], "")
    assert not disk.holds(ours.url, name)
    ours.blobs.put(b"data")

    assert disk.holds(ours.url, name)


def test_a_truncated_or_extended_object_of_any_kind_is_never_taken_for_a_whole_one(tmp_path: Path) -> None:
    write(tmp_path / "store")
    store = open_store(tmp_path / "store")
    for blob in list(store.blobs.list()):
        path = tmp_path / "store" / name_of(blob.digest)
        data = path.read_bytes()
        for damaged in (data[: len(data) // 2], data + b"\0", bytes(len(data)), data[::-1]):
            if damaged == data:
                continue
            path.unlink()
            path.write_bytes(damaged)
            assert store.blobs.verify(blob.digest) is not None
            store.blobs.heal(data)
            assert store.blobs.verify(blob.digest) is None
    store.actions.retire(KEY, 0, "lost", by="ann", at=datetime(2026, 11, 22, tzinfo=UTC))
    (retirement,) = (tmp_path / "store/refs/retired").iterdir()
    data = retirement.read_bytes()
    retirement.unlink()
    retirement.write_bytes(data[:-1])
    with pytest.raises(CorruptRecord):
        store.actions.history(KEY)
