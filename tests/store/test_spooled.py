from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineal_store import Digest
from lineal_store.identity import LARGE_BYTES, identity_of
from lineal_store.spooled import SpooledFile, Written


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


@given(cuts=st.lists(st.integers(0, 3 * LARGE_BYTES), max_size=6))
def test_the_digest_is_that_of_the_whole_file_however_it_was_written(
    cuts: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("spool") / "file"
    data = os.urandom(1000) * (3 * LARGE_BYTES // 1000 + 1)

    with SpooledFile(path, flush=False) as file:
        ends = [*sorted(cuts), len(data)]
        for start, end in zip([0, *ends], ends, strict=False):
            assert file.write(memoryview(data)[start:end]) == end - start

    assert file.written == Written(Digest.of(data), identity_of(path))
    assert path.read_bytes() == data


def test_what_its_owner_does_to_the_bytes_afterwards_is_not_digested(path: Path) -> None:
    data = bytearray(LARGE_BYTES)

    with SpooledFile(path, flush=False) as file:
        for number in range(16):
            file.write(data)
            data[number] = 1

    assert file.written is not None
    assert file.written.digest == Digest.of_file(path)[0]


def test_nobody_else_may_write_to_it_and_there_is_one_of_it(path: Path) -> None:
    SpooledFile(path, flush=False).close()

    assert path.stat().st_mode & 0o777 == 0o444
    with pytest.raises(FileExistsError):
        SpooledFile(path, flush=False)


def test_a_small_file_is_left_to_whoever_reads_it(path: Path) -> None:
    with SpooledFile(path, flush=True) as file:
        file.write(b"data")

    assert file.written is None
    assert path.read_bytes() == b"data"


def test_a_large_file_is_flushed_when_it_is_closed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append(os.fstat(descriptor).st_ino))

    with SpooledFile(path, flush=True) as file:
        file.write(bytes(LARGE_BYTES))

    assert flushed == [path.stat().st_ino]


def test_a_disk_that_fails_is_told_and_no_thread_is_left(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    file = SpooledFile(path, flush=True)
    file.write(bytes(LARGE_BYTES))

    with pytest.raises(OSError, match="Input/output"):
        file.close()

    assert file.written is None
    assert "digest" not in threads()


@pytest.mark.parametrize("what", ["unreadable", "cut short"])
def test_of_what_cannot_be_read_back_no_digest_is_known(
    path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def pread(descriptor: int, size: int, at: int) -> bytes:
        if what == "unreadable":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return b""

    monkeypatch.setattr(os, "pread", pread)

    with SpooledFile(path, flush=False) as file:
        file.write(bytes(LARGE_BYTES))

    assert file.written is None
