"""The caching backend conforms, asks for nothing twice, and never gives a wrong byte, whatever becomes of its folder."""

from __future__ import annotations

import errno
import gc
import os
import random
import shutil
import signal
import stat
import tempfile
import threading
import time
import traceback
import tracemalloc
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from io import BytesIO, RawIOBase
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from s3_servers import Server

from lineal_store import Digest, ObjectMissing, StoreUnavailable, copies, testing
from lineal_store.backends.caching import CachingBackend
from lineal_store.backends.local import LocalBackend
from lineal_store.backends.memory import MemoryBackend
from lineal_store.backends.s3 import S3Backend
from lineal_store.blobs import name_of
from lineal_store.errors import LinealError
from lineal_store.protocols import Backend, ObjectInfo, Upload
from lineal_store.testing import BackendTests

MEBIBYTE = 1 << 20
BLOCK = 4096
RECORD = "actions/ab/cdef.0"
DATA = b"what a stage returned " * 500
BLOB = name_of(Digest.of(DATA))
SECOND = 1_000_000_000


class Remote(MemoryBackend):
    """Objects that are far away; ``asked`` tells what for."""

    def __init__(self) -> None:
        super().__init__("remote")
        self.asked: list[tuple[str, ...]] = []

    @property
    def remote(self) -> bool:
        return True

    def create(self, uploads: Sequence[Upload]) -> Sequence[bool]:
        self.asked.append(("create", *(upload.name for upload in uploads)))
        return super().create(uploads)

    def read(self, name: str) -> bytes:
        self.asked.append(("read", name))
        return super().read(name)

    def read_many(self, names: Iterable[str]) -> dict[str, bytes]:
        names = list(names)
        self.asked.append(("read_many", *names))
        return super().read_many(names)

    def open(self, name: str) -> BinaryIO:
        self.asked.append(("open", name))
        return BytesIO(MemoryBackend.read(self, name))

    def plant(self, name: str, data: bytes) -> None:
        self._objects[name] = data, ObjectInfo(name, len(data), datetime.now(UTC))

    def peek(self, name: str) -> bytes | None:
        return self._objects[name][0] if name in self._objects else None


class DistantLocal(LocalBackend):
    """Objects that are as good as far away, and that several processes share."""

    @property
    def remote(self) -> bool:
        return True


@pytest.fixture
def remote() -> Remote:
    return Remote()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "caches" / "store"


@pytest.fixture
def cache(remote: Remote, folder: Path) -> CachingBackend:
    return CachingBackend(remote, folder, MEBIBYTE)


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def read(backend: Backend, name: str) -> bytes:
    return backend.read(name)


def read_many(backend: Backend, name: str) -> bytes:
    return backend.read_many([name])[name]


def stream(backend: Backend, name: str) -> bytes:
    with backend.open(name) as opened:
        return opened.read()


def spooled(backend: Backend, data: bytes) -> Path:
    path = backend.spool() / os.urandom(4).hex()
    path.write_bytes(data)
    return path


def refusing(code: int) -> Callable[..., object]:
    """A system call that fails."""

    def refuse(*_: object, **__: object) -> object:
        raise OSError(code, os.strerror(code))

    return refuse


reading = pytest.mark.parametrize("how", [read, read_many, stream])
naming = pytest.mark.parametrize("name", [RECORD, BLOB])


class TestCachingBackend(BackendTests):
    """It conforms, also where there is no room, no folder, or a shared one that other instances keep emptying."""

    @pytest.fixture(params=["usual", "tiny", "off", "unusable", "local"])
    def backend(self, request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
        limit = {"tiny": 4 * BLOCK, "off": 0}.get(request.param, MEBIBYTE)
        folder = tmp_path / "cache"
        if request.param == "unusable":
            folder.write_text("no folder")
        if request.param != "local":
            return CachingBackend(Remote(), folder, limit)
        (tmp_path / "store").mkdir()
        return CachingBackend(DistantLocal(tmp_path / "store"), folder, limit)

    def plant(self, backend: Backend, name: str, data: bytes) -> None:
        assert isinstance(backend, CachingBackend)
        if isinstance(backend.wrapped, Remote):
            backend.wrapped.plant(name, data)
        else:
            path = Path(backend.url, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def peek(self, backend: Backend, name: str) -> bytes | None:
        assert isinstance(backend, CachingBackend)
        if isinstance(backend.wrapped, Remote):
            return backend.wrapped.peek(name)
        path = Path(backend.url, name)
        return path.read_bytes() if path.is_file() else None


class TestCachingBackendOnS3(BackendTests):
    """It conforms on a real server, too."""

    client: Any

    @pytest.fixture
    def backend(
        self, bucket: str, s3_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Backend:
        monkeypatch.setattr(testing, "WRITERS", 4)  # SeaweedFS makes a race wait a second
        monkeypatch.setattr(testing, "ROUNDS", 3)
        self.client = s3_server.client()
        return CachingBackend(S3Backend(f"s3://{bucket}"), tmp_path / "cache", MEBIBYTE)

    def plant(self, backend: Backend, name: str, data: bytes) -> None:
        self.client.put_object(Bucket=backend.url.removeprefix("s3://"), Key=name, Body=data)

    def peek(self, backend: Backend, name: str) -> bytes | None:
        try:
            found = self.client.get_object(Bucket=backend.url.removeprefix("s3://"), Key=name)
        except self.client.exceptions.NoSuchKey:
            return None
        return bytes(found["Body"].read())

    def test_what_was_opened_or_created_is_here(self, backend: Backend) -> None:
        large = os.urandom(200_000)
        objects = {RECORD: DATA, BLOB: DATA, "a/x": large, name_of(Digest.of(large)): large}
        sources = [DATA, spooled(backend, DATA), large, spooled(backend, large)]
        self.plant(backend, "a/planted", large)
        with backend.open("a/planted") as opened:
            assert opened.read() == large

        assert backend.create([Upload(*pair) for pair in zip(objects, sources, strict=True)]) == [True] * 4
        backend.wrapped = MemoryBackend()  # type: ignore[attr-defined]  # nothing is there any more

        for how in (read, read_many, stream):
            assert {name: how(backend, name) for name in objects} == objects
            assert how(backend, "a/planted") == large


# -- asked once ------------------------------------------------------------------------------------------------------


@reading
@naming
def test_what_was_read_once_is_read_here(
    cache: CachingBackend, remote: Remote, name: str, how: Callable[[Backend, str], bytes]
) -> None:
    remote.plant(name, DATA)

    assert [how(cache, name) for _ in range(3)] == [DATA] * 3
    assert [asked[1:] for asked in remote.asked] == [(name,)]
    assert read(cache, name) == read_many(cache, name) == stream(cache, name) == DATA
    assert len(remote.asked) == 1


@reading
@naming
def test_another_process_reads_what_this_one_has_read(
    cache: CachingBackend, remote: Remote, folder: Path, name: str, how: Callable[[Backend, str], bytes]
) -> None:
    remote.plant(name, DATA)
    cache.read(name)

    assert how(CachingBackend(remote, folder, MEBIBYTE), name) == DATA
    assert len(remote.asked) == 1


def test_reading_many_asks_once_for_those_that_are_not_here(cache: CachingBackend, remote: Remote) -> None:
    for name in ("a", "b", "c/d", "e"):
        remote.plant(name, name.encode())
    cache.read("b")

    assert list(cache.read_many(["a", "b", "absent", "c/d", "a"]).items()) == [
        ("a", b"a"),
        ("b", b"b"),
        ("c/d", b"c/d"),
    ]
    assert cache.read_many(["c/d", "b"]) == {"c/d": b"c/d", "b": b"b"}
    assert remote.asked == [("read", "b"), ("read_many", "a", "absent", "c/d")]
    assert cache.fetched == 3


def test_a_stream_of_a_copy_can_be_walked_like_a_file(cache: CachingBackend, remote: Remote) -> None:
    remote.plant(RECORD, b"0123456789")

    for _ in range(2):  # as it arrives, and from the copy
        with cache.open(RECORD) as opened:
            assert (opened.read(3), opened.tell()) == (b"012", 3)
            assert (opened.seek(7), opened.read()) == (7, b"789")
            assert (opened.seek(-2, os.SEEK_END), opened.read(1)) == (8, b"8")
            assert (opened.seek(-4, os.SEEK_CUR), opened.read(1)) == (5, b"5")
            assert (opened.seek(0), opened.read()) == (0, b"0123456789")


@reading
def test_absence_is_never_remembered(
    cache: CachingBackend, remote: Remote, how: Callable[[Backend, str], bytes]
) -> None:
    with pytest.raises(KeyError if how is read_many else ObjectMissing):
        how(cache, RECORD)
    remote.plant(RECORD, DATA)

    assert how(cache, RECORD) == DATA


def test_the_store_is_asked_what_there_is(cache: CachingBackend, remote: Remote) -> None:
    remote.plant(RECORD, DATA)
    cache.read(RECORD)
    remote.delete([RECORD])

    assert cache.find([RECORD]) == {}
    assert list(cache.list("")) == []
    assert cache.folders("") == []


def test_it_is_where_and_what_the_wrapped_one_is(folder: Path) -> None:
    for wrapped in (Remote(), MemoryBackend("here")):
        backend: Backend = CachingBackend(wrapped, folder, MEBIBYTE)
        assert (backend.url, backend.remote) == (wrapped.url, wrapped.remote)
        assert isinstance(backend, CachingBackend) and backend.wrapped is wrapped
    assert not folder.exists()  # nothing is made before there is something to keep


# -- written through -------------------------------------------------------------------------------------------------


@reading
@naming
def test_what_was_created_is_read_here(
    cache: CachingBackend, remote: Remote, name: str, how: Callable[[Backend, str], bytes]
) -> None:
    assert cache.create([Upload(name, DATA)]) == [True]

    assert remote.peek(name) == how(cache, name) == DATA
    assert remote.asked == [("create", name)]


def test_of_a_spooled_blob_no_second_copy_is_made(cache: CachingBackend, remote: Remote) -> None:
    source = spooled(cache, DATA)
    inode = source.stat().st_ino

    cache.create([Upload(BLOB, source)])

    path = cache.local_path(BLOB)
    assert path is not None and path.stat().st_ino == inode and path.stat().st_nlink == 1
    assert not source.exists()
    assert (cache.read(BLOB), remote.peek(BLOB)) == (DATA, DATA)
    assert remote.asked == [("create", BLOB)]


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EPERM, errno.EMLINK])
def test_a_spooled_blob_is_copied_where_it_cannot_be_linked(
    cache: CachingBackend, remote: Remote, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(os, "link", refusing(code))
    cache.create([Upload(BLOB, spooled(cache, DATA))])

    assert cache.read(BLOB) == DATA
    assert remote.asked == [("create", BLOB)]


def test_a_spooled_file_that_has_another_name_is_copied(cache: CachingBackend, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_bytes(DATA)
    os.link(mine, cache.spool() / "file")

    cache.create([Upload(BLOB, cache.spool() / "file")])
    mode = stat.S_IMODE(mine.stat().st_mode)
    mine.write_bytes(b"edited")

    path = cache.local_path(BLOB)
    assert path is not None and path.read_bytes() == DATA
    assert mode & stat.S_IWUSR


def test_another_creators_record_is_not_taken_for_ours(cache: CachingBackend, remote: Remote) -> None:
    remote.plant(RECORD, b"theirs")

    assert cache.create([Upload(RECORD, b"ours")]) == [False]
    assert cache.read(RECORD) == b"theirs"


def test_a_record_that_was_deleted_elsewhere_and_made_again_is_read_again(
    cache: CachingBackend, remote: Remote
) -> None:
    cache.create([Upload(RECORD, b"first"), Upload("a/b", b"first")])
    remote.delete([RECORD, "a/b"])
    remote.plant(RECORD, b"second")

    assert cache.create([Upload(RECORD, b"third"), Upload("a/b", b"third")]) == [False, True]
    assert (cache.read(RECORD), cache.read("a/b")) == (b"second", b"third")


@pytest.mark.parametrize("from_file", [False, True], ids=["bytes", "file"])
def test_a_blob_that_was_there_is_ours_by_its_name(
    cache: CachingBackend, remote: Remote, from_file: bool
) -> None:
    remote.plant(BLOB, DATA)

    assert cache.create([Upload(BLOB, spooled(cache, DATA) if from_file else DATA)]) == [False]
    assert cache.read(BLOB) == DATA
    assert remote.asked == [("create", BLOB)]


@pytest.mark.parametrize("from_file", [False, True], ids=["bytes", "file"])
def test_a_copy_that_is_here_is_not_written_again(
    cache: CachingBackend, folder: Path, from_file: bool
) -> None:
    cache.create([Upload(BLOB, DATA)])
    before = (folder / "objects" / BLOB).stat()

    cache.create([Upload(BLOB, spooled(cache, DATA) if from_file else DATA)])

    assert (folder / "objects" / BLOB).stat() == before
    assert list((folder / "tmp").iterdir()) == []


@naming
def test_a_replacement_replaces_the_copy(cache: CachingBackend, remote: Remote, name: str) -> None:
    remote.plant(name, b"damaged")
    assert cache.read(name) == b"damaged"

    assert cache.create([Upload(name, DATA, replace=True)]) == [True]
    assert cache.read(name) == DATA


@naming
def test_of_a_batch_that_replaces_what_it_creates_the_last_is_kept(
    cache: CachingBackend, remote: Remote, name: str
) -> None:
    cache.create([Upload(name, b"damaged"), Upload(name, spooled(cache, DATA), replace=True)])

    assert cache.read(name) == remote.peek(name) == DATA


@naming
def test_what_the_store_did_not_take_is_not_kept(
    cache: CachingBackend, remote: Remote, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def fail(_: object) -> Sequence[bool]:
        raise StoreUnavailable(remote.url, "the server is gone", transient=True)

    source = spooled(cache, DATA)
    with monkeypatch.context() as broken:
        broken.setattr(remote, "create", fail)
        with pytest.raises(StoreUnavailable):
            cache.create([Upload(name, source), Upload("a", b"data", replace=True)])

    assert source.read_bytes() == DATA  # to be given again
    assert files(folder) == set()
    for absent in (name, "a"):
        with pytest.raises(ObjectMissing):
            cache.read(absent)


@naming
def test_what_was_deleted_is_gone_from_here(cache: CachingBackend, name: str) -> None:
    cache.create([Upload(name, DATA)])

    cache.delete(iter([name, "absent"]))

    with pytest.raises(ObjectMissing):
        cache.read(name)
    assert cache.local_path(name) is None


# -- what lies on the disk -------------------------------------------------------------------------------------------


def test_copies_are_read_only_in_a_private_folder_and_nothing_else_is_left(
    cache: CachingBackend, remote: Remote, folder: Path
) -> None:
    remote.plant("a/x", DATA)
    remote.plant("a/y", DATA)
    cache.read("a/x")
    cache.open("a/y").close()
    cache.create([Upload(BLOB, spooled(cache, DATA)), Upload(RECORD, DATA)])

    kept = files(folder)
    assert {path.relative_to(folder).as_posix() for path in kept} == {
        f"objects/{name}" for name in ("a/x", "a/y", BLOB, RECORD)
    }
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept} == {0o444}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_the_local_path_is_a_blobs_bytes_and_no_other_objects(cache: CachingBackend, remote: Remote) -> None:
    remote.plant(BLOB, DATA)
    assert cache.local_path(BLOB) is None

    cache.create([Upload(RECORD, DATA)])
    cache.open(BLOB).close()

    path = cache.local_path(BLOB)
    assert path is not None and path.read_bytes() == DATA
    assert cache.local_path(RECORD) is None


def test_opening_holds_a_chunk_in_memory_at_a_time(remote: Remote, folder: Path) -> None:
    size = 64 * MEBIBYTE

    class Long(RawIOBase):
        left = size

        def read(self, length: int = -1) -> bytes:
            assert 0 < length <= MEBIBYTE
            given = min(length, self.left)
            self.left -= given
            return bytes(given)

    opened_there: list[Long] = []

    def open_long(name: str) -> Long:
        opened_there.append(Long())
        return opened_there[-1]

    remote.open = open_long  # type: ignore[assignment, method-assign]
    for limit in (8 * size, size):  # kept, and too large to be
        tracemalloc.start()
        with CachingBackend(remote, folder, limit).open("packs/x") as opened:
            read = sum(len(chunk) for chunk in iter(lambda: opened.read(MEBIBYTE), b""))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert read == size
        assert peak < 8 * MEBIBYTE
        assert opened_there.pop().closed
        shutil.rmtree(folder)


def test_a_folder_that_vanishes_is_made_again(cache: CachingBackend, remote: Remote, folder: Path) -> None:
    remote.plant("a/x", DATA)
    remote.plant(BLOB, DATA)
    for _ in range(2):
        opened = cache.open(BLOB)
        cache.read("a/x")
        shutil.rmtree(folder)
        assert opened.read() == DATA
        opened.close()
        cache.create([Upload(BLOB, spooled(cache, DATA))])
        assert cache.local_path(BLOB) is not None


# -- damage ----------------------------------------------------------------------------------------------------------


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    overwrite(path, bytes(data))


def flip_first(path: Path) -> None:
    overwrite(path, bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])


def truncate(path: Path) -> None:
    overwrite(path, path.read_bytes()[:-1])


def empty(path: Path) -> None:
    overwrite(path, b"")


def tear(path: Path) -> None:
    """As after a power cut: the size is there, the bytes are not."""
    overwrite(path, bytes(path.stat().st_size))


def cut_to_the_header(path: Path) -> None:
    overwrite(path, path.read_bytes()[:36])


def extend(path: Path) -> None:
    overwrite(path, path.read_bytes() + b"\0")


def overwrite(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


def make_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def make_a_link(path: Path) -> None:
    target = path.with_name("elsewhere")
    path.rename(target)
    flip(target)
    path.symlink_to(target)


DAMAGE = [flip, flip_first, truncate, empty, tear, cut_to_the_header, extend, make_a_folder, make_a_link]


@reading
@naming
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_copy_is_fetched_again(
    cache: CachingBackend,
    remote: Remote,
    folder: Path,
    name: str,
    damage: Callable[[Path], None],
    how: Callable[[Backend, str], bytes],
) -> None:
    remote.plant(name, DATA)
    how(cache, name)
    damage(folder / "objects" / name)
    remote.asked.clear()

    assert [how(cache, name) for _ in range(3)] == [DATA] * 3
    assert len(remote.asked) == (3 if damage is make_a_folder else 1)  # we did not make it, so it stays


@reading
@naming
def test_a_copy_that_cannot_be_read_is_fetched_again(
    cache: CachingBackend,
    remote: Remote,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    how: Callable[[Backend, str], bytes],
) -> None:
    remote.plant(name, DATA)
    cache.read(name)
    remote.asked.clear()
    with monkeypatch.context() as bad_sector:
        bad_sector.setattr(copies._File, "read", refusing(errno.EIO))
        cache.open(name).close()
    assert [how(cache, name) for _ in range(2)] == [DATA] * 2
    assert len(remote.asked) == 1


@reading
@pytest.mark.parametrize("names", [("a/x", "a/y"), (BLOB, name_of(Digest.of(b"other"))), (RECORD, BLOB)])
def test_copies_that_changed_places_are_fetched_again(
    cache: CachingBackend,
    remote: Remote,
    folder: Path,
    names: tuple[str, str],
    how: Callable[[Backend, str], bytes],
) -> None:
    for name, data in zip(names, (DATA, b"other"), strict=True):
        remote.plant(name, DATA if name == BLOB else data)
        cache.read(name)
    first, second = (folder / "objects" / name for name in names)
    first.rename(folder / "aside")
    second.rename(first)
    (folder / "aside").rename(second)

    assert [how(cache, name) for name in names] == [remote.peek(name) for name in names]


def test_a_change_between_two_openings_is_found_also_with_its_size_and_time_restored(
    cache: CachingBackend, remote: Remote, folder: Path
) -> None:
    remote.plant(BLOB, DATA)
    path = folder / "objects" / BLOB
    for _ in range(3):
        assert stream(cache, BLOB) == DATA
    before = path.stat()

    flip(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert stream(cache, BLOB) == DATA


def test_a_copy_is_checked_once_until_it_changes(
    remote: Remote, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []

    def noted(name: str, data: bytes = b"") -> object:
        hashed.append(name)
        return original(name, data)

    original = copies._hash
    monkeypatch.setattr(copies, "_hash", noted)
    ahead = [0]
    cache = CachingBackend(remote, folder, MEBIBYTE, clock_nanoseconds=lambda: time.time_ns() + ahead[0])
    remote.plant(BLOB, DATA)

    def hashes_of(openings: int) -> int:
        hashed.clear()
        assert {stream(cache, BLOB) for _ in range(openings)} == {DATA}
        return len(hashed)

    assert hashes_of(1) == 1  # on its way here
    assert hashes_of(2) == 2  # a file that young may change without a trace
    ahead[0] = 60 * SECOND
    assert hashes_of(3) == 1
    os.utime(folder / "objects" / BLOB, ns=(0, time.time_ns()))
    assert hashes_of(3) == 1


@reading
def test_a_blob_that_is_damaged_in_the_store_is_given_as_it_is_and_not_kept(
    cache: CachingBackend, remote: Remote, folder: Path, how: Callable[[Backend, str], bytes]
) -> None:
    remote.plant(BLOB, b"damaged")

    assert how(cache, BLOB) == b"damaged"
    assert files(folder) == set()
    remote.plant(BLOB, DATA)
    assert how(cache, BLOB) == DATA


@pytest.mark.parametrize("from_file", [False, True], ids=["bytes", "file"])
def test_wrong_bytes_under_a_blobs_name_are_not_given_from_here(
    cache: CachingBackend, remote: Remote, from_file: bool
) -> None:
    cache.create([Upload(BLOB, spooled(cache, b"wrong") if from_file else b"wrong")])
    remote.plant(BLOB, DATA)

    assert cache.read(BLOB) == stream(cache, BLOB) == DATA


@pytest.mark.filterwarnings("error::ResourceWarning")  # of a file that is not closed
def test_a_fetch_that_breaks_off_leaves_nothing(
    cache: CachingBackend, remote: Remote, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Breaking(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell():
                raise StoreUnavailable("remote", "the connection was reset", transient=True)
            return super().read(10)

    source = Breaking(DATA)
    with monkeypatch.context() as broken:
        broken.setattr(remote, "open", lambda _: source)
        with pytest.raises(StoreUnavailable):
            cache.open(RECORD)

    assert source.closed
    assert files(folder) == set()
    remote.plant(RECORD, DATA)
    assert stream(cache, RECORD) == DATA


# -- a saving, not a duty --------------------------------------------------------------------------------------------


@reading
@naming
def test_what_is_larger_than_a_quarter_of_the_limit_passes_through(
    remote: Remote, folder: Path, name: str, how: Callable[[Backend, str], bytes]
) -> None:
    cache = CachingBackend(remote, folder, 3 * len(DATA))
    remote.plant(name, DATA)

    assert [how(cache, name) for _ in range(2)] == [DATA] * 2
    assert len(remote.asked) == 2
    cache.create([Upload(name, spooled(cache, DATA), replace=True), Upload("a/x", DATA)])
    assert files(folder) == set()


@reading
@naming
def test_with_a_limit_of_nothing_there_is_no_folder(
    remote: Remote, folder: Path, name: str, how: Callable[[Backend, str], bytes]
) -> None:
    cache = CachingBackend(remote, folder, 0)
    cache.create([Upload(name, b"")])
    cache.create([Upload(name, spooled(cache, b""), replace=True)])

    assert how(cache, name) == b""
    assert cache.trim() == 0
    assert not folder.exists()


CHANGES = ("open", "write", "pwrite", "link", "rename", "unlink", "mkdir", "chmod", "utime")


class Disk:
    """A disk that takes ``changes_left`` more changes, then refuses them with ``code``; half of a write is made before."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
        self.changes_left, self.code = 1 << 40, code
        for name in CHANGES:
            self._patch(monkeypatch, name)

    def _patch(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        real = getattr(os, name)

        def call(*args: object, **options: object) -> object:
            if name == "open" and not int(str(args[1])) & os.O_CREAT:
                return real(*args, **options)
            self.changes_left -= 1
            if self.changes_left >= 0:
                return real(*args, **options)
            if self.changes_left == -1 and name == "write":
                return real(args[0], memoryview(args[1])[: len(args[1]) // 2])  # type: ignore[arg-type]
            raise OSError(self.code, os.strerror(self.code))

        monkeypatch.setattr(os, name, call)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
@naming
def test_a_disk_that_fails_at_any_change_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: int
) -> None:
    for how in (read, read_many, stream):
        for turn in count():
            remote = Remote()
            remote.plant(name, DATA)
            folder = tmp_path / f"{how.__name__}-{turn}"
            cache = CachingBackend(remote, folder, MEBIBYTE)
            with monkeypatch.context() as failing:
                disk = Disk(failing, code)
                disk.changes_left = turn
                for _ in range(3):
                    assert how(cache, name) == DATA
            assert how(CachingBackend(remote, folder, MEBIBYTE), name) == DATA
            if disk.changes_left >= 0:
                break
        assert turn > 3


@pytest.mark.parametrize("from_file", [False, True], ids=["bytes", "file"])
@naming
def test_what_cannot_be_kept_is_created_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, from_file: bool
) -> None:
    for turn in count():
        remote = Remote()
        cache = CachingBackend(remote, tmp_path / str(turn), MEBIBYTE)
        cache.create([Upload(name, b"before")])
        source = spooled(cache, DATA) if from_file else DATA
        with monkeypatch.context() as failing:
            disk = Disk(failing, errno.ENOSPC)
            real = remote.create  # the disk of the spool has room

            def create(uploads: Sequence[Upload], real: object = real, disk: Disk = disk) -> Sequence[bool]:
                left, disk.changes_left = disk.changes_left, 1 << 40
                made = real(uploads)  # type: ignore[operator]
                disk.changes_left = left
                return made  # type: ignore[no-any-return]

            failing.setattr(remote, "create", create)
            disk.changes_left = turn
            assert cache.create([Upload(name, source, replace=True)]) == [True]
            assert (cache.read(name), remote.peek(name)) == (DATA, DATA)
            left = disk.changes_left
        assert cache.read(name) == DATA
        if left >= 0:
            break


def test_a_damaged_copy_is_not_offered_when_no_other_can_be_kept(
    cache: CachingBackend, remote: Remote, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for how in (read, read_many, stream):
        cache.create([Upload(BLOB, DATA, replace=True)])
        flip(folder / "objects" / BLOB)
        with monkeypatch.context() as full:
            full.setattr(os, "write", refusing(errno.ENOSPC))
            assert how(cache, BLOB) == DATA
            assert cache.local_path(BLOB) is None


def test_a_copy_of_a_spooled_file_that_fails_is_removed(
    cache: CachingBackend, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = spooled(cache, DATA)
    with monkeypatch.context() as full:
        full.setattr(os, "link", refusing(errno.EXDEV))
        full.setattr(os, "write", refusing(errno.ENOSPC))
        assert cache.create([Upload(BLOB, source)]) == [True]

    assert files(folder) == set()


@naming
def test_a_folder_that_cannot_be_changed_is_read_but_for_what_is_gone_or_damaged(
    cache: CachingBackend, remote: Remote, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for present in (name, "damaged", "deleted", "replaced"):
        remote.plant(present, DATA)
        cache.read(present)
    flip(folder / "objects" / "damaged")
    old = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    os.utime(folder / "objects" / name, (old, old))
    remote.asked.clear()

    Disk(monkeypatch, errno.EROFS).changes_left = 0
    reader = CachingBackend(remote, folder, MEBIBYTE)
    for how in (read, read_many, stream):
        assert how(reader, name) == DATA
    assert remote.asked == []
    reader.delete(["deleted"])
    with pytest.raises(ObjectMissing):
        reader.read("deleted")
    reader.create([Upload("replaced", b"new", replace=True)])
    for how in (read, read_many, stream):
        assert how(reader, "damaged") == DATA
        assert how(reader, "replaced") == b"new"
    assert reader.trim() == 0


def test_no_descriptor_is_left_open(
    cache: CachingBackend, remote: Remote, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def descriptors() -> int:
        gc.collect()
        return len(os.listdir("/dev/fd"))

    remote.plant(BLOB, DATA)
    before = descriptors()
    for turn in range(12):
        with monkeypatch.context() as failing:
            Disk(failing, errno.ENOSPC).changes_left = turn
            for how in (read, read_many, stream):
                assert how(cache, BLOB) == DATA
        if cache.local_path(BLOB) is not None:
            flip(folder / "objects" / BLOB)

    assert descriptors() == before


# -- the limit -------------------------------------------------------------------------------------------------------


def occupied(folder: Path) -> int:
    return sum((path.stat().st_size // BLOCK + 1) * BLOCK for path in files(folder / "objects"))


def test_what_was_used_longest_ago_goes_first(remote: Remote, folder: Path) -> None:
    cache = CachingBackend(remote, folder, 1 << 40)
    for number in range(20):
        remote.plant(f"a/{number}", DATA)
        cache.read(f"a/{number}")
        long_ago = (number + 1) * 3600
        os.utime(folder / "objects" / f"a/{number}", (long_ago, long_ago))
    cache.read("a/0")
    cache.open("a/1").close()
    cache.read_many(["a/2"])
    size = occupied(folder) // 20

    assert cache.trim() == 0  # it is not full
    removed = CachingBackend(remote, folder, 10 * size).trim()

    kept = {path.name for path in files(folder / "objects")}
    assert kept == {"0", "1", "2", "15", "16", "17", "18", "19"}  # four fifths of ten
    assert removed == 12 * size
    assert CachingBackend(remote, folder, 10 * size).trim() == 0


def test_a_use_is_noted_once_in_ten_minutes(remote: Remote, folder: Path) -> None:
    now = [time.time_ns()]
    cache = CachingBackend(remote, folder, MEBIBYTE, clock_nanoseconds=lambda: now[0])
    path = folder / "objects" / BLOB
    remote.plant(BLOB, DATA)
    cache.read(BLOB)
    noted = []

    for minute in (0, 9, 11, 20, 22):
        now[0] = time.time_ns() + minute * 60 * SECOND
        for how in (read, read_many, stream):
            how(cache, BLOB)
        noted.append(path.stat().st_mtime_ns)

    assert noted[0] == noted[1] < noted[2] == noted[3] < noted[4]
    now[0] = time.time_ns()  # the clock was wrong, and is set
    cache.read(BLOB)
    assert path.stat().st_mtime_ns == now[0]


def test_a_spooled_file_counts_as_used_when_it_is_created(cache: CachingBackend, folder: Path) -> None:
    source = spooled(cache, DATA)
    os.utime(source, (0, 0))

    cache.create([Upload(BLOB, source)])

    assert abs(time.time() - (folder / "objects" / BLOB).stat().st_mtime) < 600


def test_a_process_that_adds_a_sixteenth_of_the_limit_trims(remote: Remote, folder: Path) -> None:
    limit = 64 * 4 * BLOCK
    cache = CachingBackend(remote, folder, limit)
    for number in range(200):
        remote.plant(f"a/{number}", DATA)
        (read, stream)[number % 2](cache, f"a/{number}")
        assert occupied(folder) <= limit * 17 / 16

    assert occupied(folder) > limit / 2


def test_a_process_does_not_trim_for_everything_that_it_adds(
    remote: Remote, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trims = []
    trim = copies.Copies.trim

    def noted(self: copies.Copies) -> int:
        trims.append(trim(self))
        return trims[-1]

    monkeypatch.setattr(copies.Copies, "trim", noted)
    cache = CachingBackend(remote, folder, 64 * 4 * BLOCK)

    cache.create([Upload(f"a/{number}", b"x" * 3 * BLOCK) for number in range(64)])

    assert 12 <= len(trims) <= 16


def test_many_processes_that_each_add_little_trim_too(remote: Remote, folder: Path) -> None:
    limit = 64 * 4 * BLOCK
    for number in range(1000):
        remote.plant(f"a/{number}", DATA)
        CachingBackend(remote, folder, limit).read(f"a/{number}")
        assert occupied(folder) <= 2 * limit  # a chance of less than 1e-7 that none of 64 was due


def test_leftovers_of_the_dead_are_removed_after_a_day(
    remote: Remote, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deny(*_: object) -> None:
        raise PermissionError

    dead = 2**22 + 1  # above any id of a process that Linux gives
    for below in ("tmp", "spool"):
        (folder / below).mkdir(parents=True)
    for name in (f"tmp/.tmp-{dead}-ab", f"tmp/.tmp-{os.getpid()}-ab", f"tmp/.tmp-{10**30}-ab", "tmp/mine"):
        (folder / name).write_bytes(b"half a")
    for name in (f"spool/{dead}-cd", f"spool/{os.getpid()}-cd"):
        (folder / name / "attempt").mkdir(parents=True)
        (folder / name / "attempt/file").write_bytes(b"half a")
    (folder / "notes").write_bytes(b"somebody's")
    before = files(folder)
    tomorrow = time.time_ns() + 25 * 3600 * SECOND

    CachingBackend(remote, folder, MEBIBYTE).trim()
    assert files(folder) == before
    with monkeypatch.context() as another:  # all processes are somebody else's
        another.setattr(os, "kill", deny)
        CachingBackend(remote, folder, MEBIBYTE, clock_nanoseconds=lambda: tomorrow).trim()
    assert files(folder) == before
    CachingBackend(remote, folder, MEBIBYTE, clock_nanoseconds=lambda: tomorrow).trim()

    assert {path.relative_to(folder).as_posix() for path in files(folder)} == {
        f"tmp/.tmp-{os.getpid()}-ab",
        "tmp/mine",
        f"spool/{os.getpid()}-cd/attempt/file",
        "notes",
    }
    assert {path.name for path in (folder / "spool").iterdir()} == {f"{os.getpid()}-cd"}


def test_removal_does_not_disturb_a_reader(cache: CachingBackend, remote: Remote, folder: Path) -> None:
    remote.plant(BLOB, DATA)
    cache.open(BLOB).close()

    with cache.open(BLOB) as opened:
        assert opened.read(10) == DATA[:10]
        assert CachingBackend(remote, folder, 0).trim() > 0
        assert cache.local_path(BLOB) is None
        assert opened.read() == DATA[10:]
    assert cache.read(BLOB) == DATA


# -- any sequence ----------------------------------------------------------------------------------------------------

CONTENTS = [b"", b"small", b"x" * 5000, b"y" * 9000, b"z" * 30_000]
NAMES = ["a", "b/c", "b/d", RECORD, *(name_of(Digest.of(data)) for data in CONTENTS)]
names = st.sampled_from(NAMES)
contents = st.integers(0, len(CONTENTS) - 1).map(lambda number: CONTENTS[number])
instances = st.integers(0, 1)


class Caches(RuleBasedStateMachine):
    """Two instances that share a folder, before the same store, against the store's model.

    A blob may be better here than there: its right bytes were given to us, and wrong ones lie there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="lineal-test-"))
        self.now = time.time_ns()
        self.remote, self.model = Remote(), MemoryBackend()
        self.limits = (18 * BLOCK, 40 * BLOCK)
        self.caches = [self.opened(0), self.opened(1)]

    def opened(self, which: int) -> CachingBackend:
        return CachingBackend(
            self.remote, self.root / "cache", self.limits[which], clock_nanoseconds=lambda: self.now
        )

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    def same(self, name: str, ours: bytes | None) -> None:
        expected = self.model.read_many([name]).get(name)
        assert ours == expected or (ours is not None and name == name_of(Digest.of(ours)))

    def copies(self) -> Sequence[Path]:
        return sorted(files(self.root / "cache" / "objects"))

    @rule(
        which=instances, batch=st.lists(st.tuples(names, contents, st.booleans(), st.booleans()), max_size=6)
    )
    def create(self, which: int, batch: list[tuple[str, bytes, bool, bool]]) -> None:
        made = []
        for backend in (self.caches[which], self.model):
            uploads = [
                Upload(name, spooled(backend, data) if from_file else data, replace)
                for name, data, replace, from_file in batch
            ]
            made.append(backend.create(uploads))
            assert list(backend.spool().iterdir()) == []
        assert made[0] == made[1]

    @rule(which=instances, data=contents, from_file=st.booleans())
    def put(self, which: int, data: bytes, from_file: bool) -> None:
        self.create(which, [(name_of(Digest.of(data)), data, False, from_file)])

    @rule(which=instances, name=names)
    def read(self, which: int, name: str) -> None:
        for how in (read, stream):
            try:
                ours = how(self.caches[which], name)
            except ObjectMissing:
                ours = None
            self.same(name, ours)

    @rule(which=instances, some=st.lists(names, max_size=5))
    def read_some(self, which: int, some: list[str]) -> None:
        found = self.caches[which].read_many(some)
        assert found.keys() == self.model.read_many(some).keys()
        for name in some:
            self.same(name, found.get(name))

    @rule(which=instances, some=st.lists(names, max_size=4))
    def delete_some(self, which: int, some: list[str]) -> None:
        for backend in (self.caches[which], self.model):
            backend.delete(some)

    @rule(which=instances)
    def trim(self, which: int) -> None:
        self.caches[which].trim()
        assert occupied(self.root / "cache") <= self.limits[which]

    @rule(which=instances, seconds=st.sampled_from([1, 600, 90_000]))
    def open_again_later(self, which: int, seconds: int) -> None:
        self.now += seconds * SECOND
        self.caches[which] = self.opened(which)

    @rule(place=st.integers(0, 20), damage=st.sampled_from(DAMAGE[:-2]))
    def damage(self, place: int, damage: Callable[[Path], None]) -> None:
        kept = [path for path in self.copies() if path.stat().st_size]
        if kept:
            damage(kept[place % len(kept)])

    @rule(place=st.integers(0, 20), other=st.integers(0, 20))
    def swap(self, place: int, other: int) -> None:
        kept = self.copies()
        if kept:
            first, second = kept[place % len(kept)], kept[other % len(kept)]
            first.rename(self.root / "aside")
            if first != second:
                second.rename(first)
            (self.root / "aside").rename(second)

    @rule()
    def remove_the_folder(self) -> None:
        shutil.rmtree(self.root / "cache", ignore_errors=True)


TestCaches = Caches.TestCase
TestCaches.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)


# -- many at once, and killed ----------------------------------------------------------------------------------------


def test_threads_that_share_a_cache_get_what_they_ask_for(remote: Remote, folder: Path) -> None:
    objects = {name_of(Digest.of(data)): data for data in (bytes([n]) * 3000 * n for n in range(12))}
    objects |= {f"a/{n}": bytes([n]) * 2000 * n for n in range(12)}
    for name, data in objects.items():
        remote.plant(name, data)
    cache = CachingBackend(remote, folder, 30 * BLOCK)
    wrong: list[object] = []

    def work(seed: int) -> None:
        rng = random.Random(seed)
        try:
            for _ in range(200):
                name = rng.choice(sorted(objects))
                how = rng.choice([read, read_many, stream])
                if how(cache, name) != objects[name]:
                    wrong.append(name)
                if rng.random() < 0.2:
                    cache.create([Upload(name, spooled(cache, objects[name]), replace=True)])
        except (LinealError, OSError) as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []
    assert list((folder / "tmp").iterdir()) == []


def in_child(work: Callable[[], None]) -> int:
    """Run ``work`` in a forked child; its id."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            raise
        finally:  # a forked child must never return into pytest
            os._exit(1)
    return child


def die_at(turn: int) -> None:
    """Have this process killed at its ``turn``-th change of a disk, after half of a write."""
    calls = count(1)

    def patch(name: str) -> None:
        real = getattr(os, name)

        def call(*args: object, **options: object) -> object:
            if next(calls) == turn:
                if name in ("write", "pwrite"):
                    data = memoryview(args[1])  # type: ignore[arg-type]
                    real(args[0], data[: len(data) // 2], *args[2:])
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **options)

        setattr(os, name, call)

    for name in CHANGES:
        patch(name)


def test_a_process_killed_at_any_change_leaves_a_cache_that_is_right(tmp_path: Path) -> None:
    objects = {name_of(Digest.of(DATA)): DATA, RECORD: b"record", "a/long": b"long " * 1000}
    written = {name_of(Digest.of(b"new")): b"new", "a/new": b"new too"}
    (tmp_path / "store").mkdir()
    store = DistantLocal(tmp_path / "store")
    store.create([Upload(name, data) for name, data in objects.items()])

    def work(folder: Path, turn: int) -> None:
        cache = CachingBackend(store, folder, MEBIBYTE)
        sources = {name: spooled(cache, data) for name, data in written.items()}
        die_at(turn)
        assert stream(cache, name_of(Digest.of(DATA))) == DATA
        assert cache.read_many([RECORD]) == {RECORD: b"record"}
        assert stream(cache, "a/long") == objects["a/long"]
        cache.create([Upload(name, source, replace=True) for name, source in sources.items()])
        assert cache.trim() == 0

    for turn in count(1):
        folder = tmp_path / f"cache-{turn}"
        _, status = os.waitpid(in_child(lambda: work(folder, turn)), 0)  # noqa: B023
        assert status in (0, signal.SIGKILL)
        tomorrow = time.time_ns() + 25 * 3600 * SECOND
        after = CachingBackend(store, folder, MEBIBYTE, clock_nanoseconds=lambda: tomorrow)  # noqa: B023
        for name, data in objects.items():
            assert {how(after, name) for how in (read, read_many, stream)} == {data}
        for name, data in after.read_many(written).items():
            assert data == written[name] == stream(after, name)
        after.trim()
        assert files(folder / "tmp") == set()
        if status == 0:
            break
    assert turn > 30


def test_processes_that_are_killed_at_any_time_share_a_cache_that_is_right(tmp_path: Path) -> None:
    objects = {name_of(Digest.of(data)): data for data in (bytes([n]) * 5000 * n for n in range(1, 12))}
    objects |= {f"a/{n}": bytes([n]) * 4000 * n for n in range(1, 12)}
    (tmp_path / "store").mkdir()
    store = DistantLocal(tmp_path / "store")
    store.create([Upload(name, data) for name, data in objects.items()])
    folder, limit = tmp_path / "cache", 40 * 3 * BLOCK

    def work(seed: int, turns: int) -> None:
        rng = random.Random(seed)
        cache = CachingBackend(store, folder, limit)
        for turn in range(turns):
            name = rng.choice(sorted(objects))
            assert rng.choice([read, read_many, stream])(cache, name) == objects[name]
            if turn % 20 == 19:
                cache.create([Upload(name, spooled(cache, objects[name]), replace=True)])
            if turn % 50 == 49:
                kept = sorted(files(folder / "objects"))
                with suppress(OSError, IndexError):  # its folder is gone, or empty
                    torn = folder / f"torn-{os.getpid()}"
                    torn.write_bytes(rng.choice([b"", b"damage", bytes(5000)]))
                    torn.replace(rng.choice(kept))  # what a reader has open and checked stays as it is

    rng = random.Random(0)
    running = [in_child(lambda: work(seed, 10**6)) for seed in range(4)]  # noqa: B023
    try:
        for seed in range(4, 24):
            assert os.waitpid(in_child(lambda: work(seed, 60)), 0)[1] == 0  # noqa: B023
            victim = rng.randrange(4)
            os.kill(running[victim], signal.SIGKILL)
            assert os.waitpid(running[victim], 0)[1] == signal.SIGKILL  # it had found nothing wrong
            running[victim] = in_child(lambda: work(seed + 100, 10**6))  # noqa: B023
    finally:
        for child in running:
            os.kill(child, signal.SIGKILL)
    assert {os.waitpid(child, 0)[1] for child in running} == {signal.SIGKILL}

    cache = CachingBackend(store, folder, limit)
    for name, data in objects.items():
        assert {how(cache, name) for how in (read, read_many, stream)} == {data}
    cache.trim()
    assert occupied(folder) <= limit


def test_a_child_after_a_fork_uses_the_cache_as_its_parent_does(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    store = DistantLocal(tmp_path / "store")
    cache = CachingBackend(store, tmp_path / "cache", MEBIBYTE)
    mine = cache.spool()

    def work() -> None:
        assert cache.spool() != mine
        cache.create([Upload(BLOB, spooled(cache, DATA))])
        assert stream(cache, BLOB) == DATA

    assert os.waitpid(in_child(work), 0)[1] == 0
    assert cache.local_path(BLOB) is not None
    assert stream(cache, BLOB) == DATA
