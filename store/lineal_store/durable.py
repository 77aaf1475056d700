# ruff: noqa: PTH101, PTH102, PTH104, PTH108, PTH112, PTH116
"""The few primitives by which anything becomes durable on a local disk; no other module writes there.

A batch costs two waits for the disk, whatever its size: write every temporary, one flush, link or rename each to its
name, one flush of the directories. In that order a name never leads to bytes that a power cut could take
away. Up to ``FEW`` things are flushed one by one; more by one ``syncfs``, which also waits for what others have
written to the same file system, where the operating system has it (Linux). On macOS ``fsync`` hands
the bytes to the drive, which may still keep them in its own cache.

Every function raises OSError as the operating system gave it.
"""

# The rules above want Path; these are the system calls themselves.
from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

FEW = 8
READ_ONLY = 0o444

_COPY_BYTES = 1 << 20
_MOST_MILLISECONDS_OF_A_TICK = 20  # Linux counts in steps of 1 to 10
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_CLOEXEC


@contextmanager
def volume(directory: str) -> Iterator[int]:
    """A descriptor of ``directory``, for the flushes of one batch.

    It is opened before anything is written, for ``syncfs`` reports the write errors that came after the opening.
    """
    descriptor = os.open(directory, _READ | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def temporary_name() -> str:
    """A name for a temporary file: hidden, and no other process or thread makes the same."""
    return f".tmp-{os.getpid()}-{os.urandom(8).hex()}"


def create_file(path: str) -> int:
    """A descriptor of the new file ``path``, to write and to read, which nobody else may write to."""
    return os.open(path, _CREATE, READ_ONLY)


def write_all(descriptor: int, data: Buffer) -> int:
    """Write all of ``data``; its size in bytes."""
    left = memoryview(data).cast("B")
    size = len(left)
    while left:
        left = left[os.write(descriptor, left) :]
    return size


def write_temporary(path: str, data: bytes) -> None:
    """Write ``data`` to the new, read-only file ``path``; nothing is flushed yet."""
    descriptor = create_file(path)
    try:
        write_all(descriptor, data)
    finally:
        os.close(descriptor)


def copy_temporary(source: str, path: str) -> None:
    """Copy the file ``source`` to the new, read-only file ``path``; nothing is flushed yet."""
    with open(source, "rb", buffering=0) as stream:
        descriptor = create_file(path)
        try:
            while chunk := stream.read(_COPY_BYTES):
                write_all(descriptor, chunk)
        finally:
            os.close(descriptor)


def make_read_only(path: str) -> None:
    """Take the right to write ``path`` away from everyone."""
    os.chmod(path, READ_ONLY)


def flush(paths: Collection[str], volume: int) -> None:
    """Wait until the contents of the files ``paths`` are on the disk; ``volume`` lies on the same file system."""
    _flush(paths, volume, _READ)


def flush_directories(paths: Collection[str], volume: int) -> None:
    """Wait until the entries of the directories ``paths`` are on the disk."""
    _flush(paths, volume, _READ | os.O_DIRECTORY)


def publish_new(temporary: str, path: str) -> bool:
    """Give the file ``temporary`` the further name ``path``, at once; False when that name is taken."""
    try:
        os.link(temporary, path, follow_symlinks=False)
    except FileExistsError:
        return False
    return True


def publish_replacing(temporary: str, path: str) -> None:
    """Rename the file ``temporary`` to ``path``, at once, over whatever file has that name."""
    os.rename(temporary, path)


def make_directory(path: str) -> None:
    """Make the directory ``path`` unless it is there; its parent exists."""
    try:
        os.mkdir(path)
    except FileExistsError:
        if not os.path.isdir(path):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path) from None


def wait_for_tick(moment_ns: int, directory: str) -> bool:
    """Wait until what is changed is noted with a later time than ``moment_ns``, by the clock of the file system of ``directory``.

    That is a matter of milliseconds; False where the clock's steps are longer. The directory's own times change.
    """
    for _ in range(_MOST_MILLISECONDS_OF_A_TICK):
        os.utime(directory)
        if os.stat(directory).st_ctime_ns > moment_ns:
            return True
        time.sleep(0.001)
    return False


def remove(path: str) -> None:
    """Delete the file ``path``; fine when it is gone."""
    with suppress(FileNotFoundError):
        os.unlink(path)


def _flush(paths: Collection[str], volume: int, flags: int) -> None:
    if len(paths) > FEW:
        syncfs = _find_syncfs()
        if syncfs is not None:
            syncfs(volume)
            return
    for path in paths:
        descriptor = os.open(path, flags)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@cache
def _find_syncfs() -> Callable[[int], None] | None:
    """Linux's syncfs(2), or None elsewhere; looked for when first needed, since ctypes takes milliseconds to import."""
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "syncfs"):
        return None
    function = library.syncfs

    def syncfs(descriptor: int) -> None:
        if function(descriptor) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))

    return syncfs
