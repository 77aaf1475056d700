from __future__ import annotations

import errno
import os
import pickle
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import pytest

from lineal_store import (
    Blob,
    BlobMissing,
    CorruptRecord,
    Digest,
    DigestMismatch,
    Store,
    StoreUnavailable,
    durable,
)
from lineal_store.backends.caching import CachingBackend
from lineal_store.backends.local import LocalBackend
from lineal_store.backends.memory import MemoryBackend
from lineal_store.blobs import Blobs, name_of
from lineal_store.identity import LARGE_BYTES
from lineal_store.protocols import Backend, Upload


def spooled(backend: Backend, data: bytes, name: str = "file") -> Path:
    path = backend.spool() / name
    path.write_bytes(data)
    return path


def damage(store: Store, digest: Digest, data: bytes) -> None:
    store.backend.create([Upload(name_of(digest), data, replace=True)])


# -- keeping ---------------------------------------------------------------------------------------------------------


def test_what_is_put_is_read(store: Store) -> None:
    digest = store.blobs.put(b"data")

    assert digest == Digest.of(b"data")
    assert store.blobs.read(digest) == b"data"
    with store.blobs.open(digest) as stream:
        assert stream.read() == b"data"
    assert store.blobs.fetch(digest).read_bytes() == b"data"


def test_many_are_put_in_order_and_twice_the_same_is_one(store: Store) -> None:
    path = spooled(store.backend, b"from a file")

    blobs = store.blobs.put_many([b"one", path, b"", b"one"])

    assert blobs == [Blob(Digest.of(data), len(data)) for data in (b"one", b"from a file", b"", b"one")]
    assert len(list(store.blobs.list())) == 3
    assert not path.exists()


def test_what_is_there_is_not_written_again(local: LocalBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(local)
    store.blobs.put(b"data")
    before = Path(local.url, name_of(Digest.of(b"data"))).stat()
    path = spooled(local, b"data")

    store.blobs.put_many([b"data", path])

    assert Path(local.url, name_of(Digest.of(b"data"))).stat() == before
    assert not path.exists()


def test_a_blob_of_the_wrong_size_is_replaced_when_it_is_put_again(store: Store) -> None:
    digest = store.blobs.put(b"data")
    damage(store, digest, b"dat")

    store.blobs.put(b"data")

    assert store.blobs.read(digest) == b"data"


@pytest.mark.parametrize("wrong", [b"dat", b"dada", b"", b"data "])
@pytest.mark.parametrize("from_file", [False, True])
def test_healing_replaces_wrong_bytes_of_any_size(store: Store, wrong: bytes, from_file: bool) -> None:
    digest = store.blobs.put(b"data")
    damage(store, digest, wrong)

    assert store.blobs.heal(spooled(store.backend, b"data") if from_file else b"data") == digest
    assert store.blobs.read(digest) == b"data"
    assert store.blobs.fetch(digest).read_bytes() == b"data"


def test_healing_puts_what_is_missing_and_leaves_what_is_whole(store: Store) -> None:
    digest = store.blobs.heal(b"data")
    before = store.backend.find([name_of(digest)])
    store.blobs.heal(b"data")

    assert store.backend.find([name_of(digest)]) == before


def test_an_unreadable_source_keeps_nothing(store: Store) -> None:
    with pytest.raises(FileNotFoundError):
        store.blobs.put_many([b"data", store.backend.spool() / "absent"])

    assert list(store.blobs.list()) == []


# -- reading ---------------------------------------------------------------------------------------------------------


def test_a_missing_blob_is_named(store: Store) -> None:
    absent = Digest.of(b"absent")

    for use in (store.blobs.read, store.blobs.fetch, store.blobs.open):
        with pytest.raises(BlobMissing, match=str(absent)):
            use(absent)


@pytest.mark.parametrize("wrong", [b"dat", b"dada", b"", b"data "])
def test_wrong_bytes_are_never_given(store: Store, wrong: bytes) -> None:
    digest = store.blobs.put(b"data")
    damage(store, digest, wrong)

    for use in (store.blobs.read, store.blobs.fetch, store.blobs.open):
        with pytest.raises(DigestMismatch) as mismatch:
            use(digest)
        assert (mismatch.value.expected, mismatch.value.actual) == (digest, Digest.of(wrong))
        assert mismatch.value.exit_code == 4


def test_sizes_are_of_what_is_there(store: Store) -> None:
    digests = [blob.digest for blob in store.blobs.put_many([b"one", b"three"])]

    assert store.blobs.sizes([*digests, Digest.of(b"absent")]) == {digests[0]: 3, digests[1]: 5}


def test_listing_is_sorted_and_refuses_what_is_no_blob(store: Store) -> None:
    blobs = store.blobs.put_many([bytes([n]) for n in range(40)])
    assert list(store.blobs.list()) == sorted(blobs, key=lambda blob: blob.digest)

    store.backend.create([Upload("blobs/ab/notes.txt", b"")])
    with pytest.raises(CorruptRecord, match="notes"):
        list(store.blobs.list())


def test_verifying_says_what_is_wrong(store: Store) -> None:
    digest = store.blobs.put(b"data")
    assert store.blobs.verify(digest) is None

    damage(store, digest, b"dada")
    assert store.blobs.verify(digest) == f"holds 4 bytes of {Digest.of(b'dada')}"
    store.backend.delete([name_of(digest)])
    assert store.blobs.verify(digest) == "is missing"


# -- local files -----------------------------------------------------------------------------------------------------


class Clock:
    """A clock of nanoseconds that stands where it is put."""

    def __init__(self, now: int) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """Grows by one whenever a stream is hashed."""
    seen: list[object] = []
    real = Digest.of_stream

    def of_stream(stream: BinaryIO) -> tuple[Digest, int]:
        seen.append(stream)
        return real(stream)

    monkeypatch.setattr(Digest, "of_stream", of_stream)
    yield seen


def long_after(path: Path) -> Clock:
    return Clock(path.stat().st_ctime_ns + 10_000_000_000)


def test_a_local_file_is_hashed_once_per_identity(local: LocalBackend, hashed: list[object]) -> None:
    digest = Blobs(local).put(b"data")
    path = local.local_path(name_of(digest))
    assert path is not None
    blobs = Blobs(local, clock_nanoseconds=long_after(path))

    for _ in range(3):
        assert blobs.fetch(digest) == path
        blobs.open(digest).close()

    assert len(hashed) == 1


def test_a_file_younger_than_the_clocks_step_is_hashed_every_time(
    local: LocalBackend, hashed: list[object]
) -> None:
    digest = Blobs(local).put(b"data")
    path = local.local_path(name_of(digest))
    assert path is not None
    blobs = Blobs(local, clock_nanoseconds=Clock(path.stat().st_ctime_ns + 1_000_000_000))

    blobs.fetch(digest)
    blobs.fetch(digest)

    assert len(hashed) == 2


def test_an_edit_through_a_hard_link_is_detected(local: LocalBackend, tmp_path: Path) -> None:
    digest = Blobs(local).put(b"data")
    path = local.local_path(name_of(digest))
    assert path is not None
    os.link(path, tmp_path / "mine")
    blobs = Blobs(local, clock_nanoseconds=long_after(path))
    blobs.fetch(digest)
    before = path.stat()

    (tmp_path / "mine").chmod(0o644)
    (tmp_path / "mine").write_bytes(b"dada")
    os.utime(tmp_path / "mine", ns=(before.st_atime_ns, before.st_mtime_ns))

    for use in (blobs.fetch, blobs.read, blobs.open):
        with pytest.raises(DigestMismatch):
            use(digest)


def test_a_replaced_file_is_hashed_again(local: LocalBackend) -> None:
    store = Store(local)
    digest = store.blobs.put(b"data")
    path = local.local_path(name_of(digest))
    assert path is not None
    blobs = Blobs(local, clock_nanoseconds=long_after(path))
    blobs.fetch(digest)

    damage(store, digest, b"dada")

    with pytest.raises(DigestMismatch):
        blobs.fetch(digest)


def test_what_is_fetched_is_read_only(store: Store) -> None:
    assert store.blobs.fetch(store.blobs.put(b"data")).stat().st_mode & 0o777 == 0o444


def test_a_damaged_copy_is_fetched_again() -> None:
    from lineal_store.backends.memory import MemoryBackend

    blobs = Blobs(MemoryBackend())
    digest = blobs.put(b"data")
    copy = blobs.fetch(digest)
    copy.chmod(0o644)
    copy.write_bytes(b"dada")

    assert blobs.fetch(digest).read_bytes() == b"data"


def test_a_bad_sector_is_told(local: LocalBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = Blobs(local).put(b"data")

    def fail(stream: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Digest, "of_stream", fail)

    with pytest.raises(StoreUnavailable, match="cannot be read"):
        Blobs(local).fetch(digest)
    assert Blobs(local).verify(digest) == f"cannot be read: {os.strerror(errno.EIO)}"


# -- copies on this machine ------------------------------------------------------------------------------------------


class Remote(MemoryBackend):
    """A place behind a network, whose server says nothing of what it keeps."""

    @property
    def remote(self) -> bool:
        return True


@pytest.fixture
def shared(tmp_path: Path) -> Blobs:
    origin = Remote()
    return Blobs(CachingBackend(origin, tmp_path / "cache", 1 << 30), origin=origin)


def test_verifying_looks_at_the_store_and_not_at_the_copy(shared: Blobs) -> None:
    digest = shared.put(b"data")
    assert shared.fetch(digest).read_bytes() == b"data"
    shared._origin.create([Upload(name_of(digest), b"dada", replace=True)])

    assert shared.verify(digest) == f"holds 4 bytes of {Digest.of(b'dada')}"
    assert shared.heal(b"data") == digest
    assert shared.verify(digest) is None


def test_what_a_remote_store_holds_whole_is_not_sent_again(shared: Blobs) -> None:
    digest = shared.put(b"data")
    before = shared._origin.find([name_of(digest)])
    path = shared._backend.spool() / "file"
    path.write_bytes(b"data")

    shared.put_many([path])
    shared.mend([b"data"])

    assert shared._origin.find([name_of(digest)]) == before
    assert not path.exists()


def test_bytes_damaged_on_their_way_are_fetched_again(tmp_path: Path) -> None:
    class Stumbling(Remote):
        stumbles = 1

        def read(self, name: str) -> bytes:
            data = super().read(name)
            if name.startswith("blobs/") and self.stumbles:
                self.stumbles -= 1
                return data[:-1] + b"?"
            return data

    backend = Stumbling()
    blobs = Blobs(backend)
    digest = blobs.put(b"data")

    for stumbles, read in ((1, blobs.read), (1, lambda digest: blobs.fetch(digest).read_bytes())):
        backend.stumbles = stumbles
        assert read(digest) == b"data"
    backend.stumbles = 9
    with pytest.raises(DigestMismatch):
        blobs.read(digest)


def test_a_copy_of_this_process_is_a_link_to_the_cached_one_and_outlives_it(
    shared: Blobs, tmp_path: Path
) -> None:
    digest = shared.put(b"data")
    path = shared.fetch(digest)
    shutil.rmtree(tmp_path / "cache")

    assert path.read_bytes() == b"data"
    assert shared.fetch(digest).read_bytes() == b"data"


# -- what has been written need not be read again --------------------------------------------------------------------

LARGE = bytes(range(256)) * (LARGE_BYTES // 256) + b"the end"


def written(blobs: Blobs, backend: Backend, data: bytes = LARGE) -> Digest:
    """The digest of ``data``, kept by way of a writer."""
    return blobs.mend([spool_by_writer(blobs, backend, data)])[0].digest


def spool_by_writer(blobs: Blobs, backend: Backend, data: bytes = LARGE) -> Path:
    path = backend.spool() / "written"
    with blobs.writer(path) as stream:
        stream.write(data)
    return path


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    path.chmod(0o444)


def flip_a_bit_and_restore_the_times(path: Path) -> None:
    before = path.stat()
    flip_a_bit(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def cut_short(path: Path) -> None:
    path.chmod(0o644)
    os.truncate(path, LARGE_BYTES)


def extend(path: Path) -> None:
    path.chmod(0o644)
    with path.open("ab") as stream:
        stream.write(b"more")


def replace_by_a_copy(path: Path) -> None:
    before = path.stat()
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes()[:-1] + b"?")
    os.utime(copy, ns=(before.st_atime_ns, before.st_mtime_ns))
    copy.replace(path)


CHANGES = pytest.mark.parametrize(
    "change",
    [flip_a_bit, flip_a_bit_and_restore_the_times, cut_short, extend, replace_by_a_copy],
    ids=lambda change: change.__name__,
)


def test_what_a_writer_wrote_is_kept_as_what_it_is(store: Store) -> None:
    for data in (LARGE, b"small", b""):
        digest = written(store.blobs, store.backend, data)

        assert digest == Digest.of(data)
        assert store.blobs.read(digest) == data
        assert store.blobs.fetch(digest).read_bytes() == data


def test_what_this_process_wrote_itself_is_never_hashed_again(
    local: LocalBackend, hashed: list[object]
) -> None:
    blobs = Blobs(local)
    digest = written(blobs, local)

    blobs.fetch(digest)
    blobs.open(digest).close()

    assert hashed == []


@CHANGES
def test_whatever_changes_it_from_then_on_is_found(
    local: LocalBackend, change: Callable[[Path], None]
) -> None:
    blobs = Blobs(local)
    digest = written(blobs, local)

    change(Path(local.url, name_of(digest)))

    for use in (blobs.fetch, blobs.open, blobs.read):
        with pytest.raises(DigestMismatch):
            use(digest)
    assert blobs.mend([LARGE])[0].digest == digest
    assert blobs.fetch(digest).read_bytes() == LARGE


@CHANGES
def test_what_changes_it_before_it_is_kept_changes_its_name(
    local: LocalBackend, change: Callable[[Path], None]
) -> None:
    blobs = Blobs(local)
    path = spool_by_writer(blobs, local)
    durable.wait_for_tick(path.stat().st_ctime_ns, str(local.spool()))
    change(path)
    content = path.read_bytes()

    digest = blobs.mend([path])[0].digest

    assert digest == Digest.of(content) != Digest.of(LARGE)
    assert blobs.read(digest) == content


def test_what_is_changed_while_it_gets_its_name_is_not_trusted(local: LocalBackend) -> None:
    class Meddling(LocalBackend):
        def create(self, uploads: Sequence[Upload]) -> Sequence[bool]:
            made = super().create(uploads)
            for upload in uploads:
                flip_a_bit(Path(self.url, upload.name))
            return made

    meddling = Meddling(local.url)
    blobs = Blobs(meddling)
    digest = written(blobs, meddling)

    assert blobs.known == {}
    with pytest.raises(DigestMismatch):
        blobs.fetch(digest)


def test_where_the_clock_of_changes_moves_in_long_steps_nothing_is_trusted(
    local: LocalBackend, hashed: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "wait_for_tick", lambda moment_ns, directory: False)
    blobs = Blobs(local)

    blobs.fetch(written(blobs, local))

    assert blobs.known == {}
    assert len(hashed) == 1


def test_what_another_had_written_before_is_hashed_when_it_is_read(
    local: LocalBackend, hashed: list[object]
) -> None:
    written(Blobs(local), local)
    blobs = Blobs(local)
    digest = written(blobs, local)
    del hashed[:]

    blobs.fetch(digest)

    assert len(hashed) == 1


def test_the_word_of_another_process_is_taken(local: LocalBackend, hashed: list[object]) -> None:
    writer, reader = Blobs(local), Blobs(local)
    digest = written(writer, local)

    reader.trust(pickle.loads(pickle.dumps(writer.known)))
    reader.fetch(digest)

    assert list(writer.known) == list(reader.known) == [digest]
    assert hashed == []


@CHANGES
def test_the_word_of_another_process_is_no_longer_true_of_what_was_changed(
    local: LocalBackend, change: Callable[[Path], None]
) -> None:
    writer, reader = Blobs(local), Blobs(local)
    digest = written(writer, local)
    reader.trust(writer.known)

    change(Path(local.url, name_of(digest)))

    with pytest.raises(DigestMismatch):
        reader.fetch(digest)


def test_of_small_blobs_nobody_is_told(local: LocalBackend) -> None:
    path = local.local_path(name_of(Blobs(local).put(b"data")))
    assert path is not None
    blobs = Blobs(local, clock_nanoseconds=long_after(path))
    blobs.fetch(Digest.of(b"data"))

    assert blobs.known == {}


def test_a_writer_that_fails_leaves_nothing_that_is_known(local: LocalBackend) -> None:
    blobs = Blobs(local)
    path = local.spool() / "written"

    with pytest.raises(ZeroDivisionError), blobs.writer(path) as stream:
        stream.write(LARGE)
        1 / 0  # noqa: B018

    assert list(blobs.list()) == []
    assert blobs.put_many([path])[0].digest == Digest.of(LARGE)
    assert blobs.known == {}
