# ruff: noqa: PTH100, PTH102, PTH103, PTH108, PTH116, PTH120
"""Copies of a store's objects in a folder of this machine: a saving, never a duty, and never wrong bytes."""

# The rules above want Path, which costs several times the system call that it leads to.
from __future__ import annotations

import hashlib
import io
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from lineal_store import durable
from lineal_store.identity import Identity, identity_of

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_T = TypeVar("_T")

_BLOB = re.compile(r"blobs/([0-9a-f]{2})/([0-9a-f]{62})")
_LEFTOVER = re.compile(r"(?:\.tmp-)?([0-9]+)-[0-9a-f]+")
_MAGIC = b"\xc1LNC"
_HEADER_BYTES = len(_MAGIC) + hashlib.sha256().digest_size
_CHUNK_BYTES = 1 << 20
_BLOCK_BYTES = 4096
_FEWEST_COPIES = 4
_TRIMS_PER_LIMIT = 16
_KEPT_OF_LIMIT = 0.8

_SECOND = 1_000_000_000
_TOUCH_NANOSECONDS = 600 * _SECOND
_LEFTOVER_NANOSECONDS = 24 * 3600 * _SECOND


class Copies:
    """Files under ``objects/`` in a folder, named as the objects are; ``tmp/`` holds those that are being written.

    A blob's file holds its bytes alone, so that it can be linked, and is checked by its name. Any other starts with a
    checksum of the object's name and bytes. The time of a file's last change is when it was last used, to ten minutes.
    """

    def __init__(self, folder: Path, limit_bytes: int, clock_nanoseconds: Callable[[], int]) -> None:
        self._folder, self._limit, self._clock = os.path.abspath(folder), limit_bytes, clock_nanoseconds
        self._objects = os.path.join(self._folder, "objects", "")
        self._temporaries = os.path.join(self._folder, "tmp", "")
        self._spool = os.path.join(self._folder, "spool", "")
        self._verified: dict[str, Identity] = {}
        self._undroppable: set[str] = set()
        self._counting_process = 0
        self._bytes_until_trim = 0.0

    def read(self, name: str) -> bytes | None:
        """The bytes of an object, checked; None when there is no copy of it that can be read and is right."""
        file = self._find(name)
        if file is None:
            return None
        with file, suppress(OSError):
            header, data = file.header(), file.read()
            if _header(name, _hash(name, data)) == header:
                self._touch(file)
                return data
        self.drop(name)
        return None

    def open(self, name: str) -> BinaryIO | None:
        """An object as a stream, checked once per process and identity of its file; None as of ``read``."""
        file = self._find(name)
        if file is None:
            return None
        try:
            self._touch(file)  # first, since it changes the identity
            if self._is_right(name, file):
                return io.BufferedReader(file)
        except OSError:
            pass
        except BaseException:
            file.close()
            raise
        file.close()
        self.drop(name)
        return None

    def find_raw(self, name: str) -> Path | None:
        """The file that holds a blob's bytes and nothing else, unchecked, or None."""
        path = self._objects + name
        is_known = is_blob(name) and name not in self._undroppable and _is_file(path)
        return Path(path) if is_known else None

    def keep(self, name: str, data: bytes) -> None:
        """Keep a copy of an object, if it fits and is what its name says."""
        header = _header(name, _hash(name, data)) if self._fits(len(data)) else None
        if header is None:
            return
        with self._temporary() as temporary, suppress(OSError):
            self._in_folder(temporary, lambda path: durable.write_temporary(path, header + data))
            self._publish(temporary, name)

    def keep_stream(self, name: str, fetch: Callable[[str], BinaryIO]) -> BinaryIO:
        """What ``fetch(name)`` gives, read to its end into a file and given from there, which is kept as by ``keep``.

        Where no more can be written, what was, and then the rest from where it comes. A mebibyte at most is in memory.
        """
        source = fetch(name)
        if not self._fits(0):
            return source
        with self._temporary() as temporary:
            try:
                file = self._in_folder(temporary, lambda path: _File(path, "x+b", _header_bytes(name)))
            except OSError:
                return source
            try:
                return self._pour(name, source, file, temporary)
            except BaseException:
                source.close()
                file.close()
                raise

    def link(self, source: Path) -> str | None:
        """A further name of ``source``, for ``adopt``; of a copy, where it has one or can have none. None where it does not fit."""
        temporary = self._new_temporary()
        try:
            status = source.lstat()
            if stat.S_ISREG(status.st_mode) and self._fits(status.st_size):
                # A file with another name is somebody's, who could write to it.
                link = _link_or_copy if status.st_nlink == 1 else durable.copy_temporary
                self._in_folder(temporary, lambda path: link(str(source), path))
                return temporary
        except OSError:
            _remove(temporary)
        return None

    def adopt(self, name: str, temporary: str) -> None:
        """Keep the file ``temporary`` as the copy of a blob. It is not read: copies are checked when they are used."""
        with suppress(OSError):
            durable.make_read_only(temporary)
            os.utime(temporary)
            self._publish(temporary, name)

    def discard(self, temporaries: Iterable[str]) -> None:
        """Remove what ``link`` made, if it is still there."""
        for temporary in temporaries:
            _remove(temporary)

    def drop(self, name: str) -> None:
        """Have no copy of an object. Where it cannot be removed, it is not used by this process from now on."""
        if not _remove(self._objects + name) and _is_file(self._objects + name):
            self._undroppable.add(name)

    def trim(self) -> int:
        """Remove the copies used longest ago, to four fifths of the limit if they exceed it; the bytes removed.

        Also removes what processes that died more than a day ago have left in ``tmp/`` and ``spool/``.
        """
        self._bytes_until_trim = self._limit / _TRIMS_PER_LIMIT
        for folder in (self._temporaries, self._spool):
            self._remove_leftovers(folder)
        copies = sorted(_files(self._objects))
        total, removed = sum(size for _, size, _ in copies), 0
        if total <= self._limit:
            return 0
        for _, size, path in copies:
            if total <= self._limit * _KEPT_OF_LIMIT:
                break
            if _remove(path):
                total, removed = total - size, removed + size
        return removed

    def _find(self, name: str) -> _File | None:
        if name in self._undroppable:
            return None
        try:
            return _File(self._objects + name, "rb", _header_bytes(name))
        except OSError:
            return None

    def _is_right(self, name: str, file: _File) -> bool:
        """Whether ``file`` holds that object; leaves it at its start."""
        identity = identity_of(file.fileno())
        if self._verified.get(name) == identity:
            return True
        begun, running = self._clock(), _hash(name)
        while chunk := file.read(_CHUNK_BYTES):
            running.update(chunk)
        file.seek(0)
        if _header(name, running) != file.header():
            return False
        if identity.is_settled(begun) and identity_of(file.fileno()) == identity:
            self._verified[name] = identity
        return True

    def _touch(self, file: _File) -> None:
        """Note that a copy was used."""
        now = self._clock()
        if abs(now - os.fstat(file.fileno()).st_mtime_ns) > _TOUCH_NANOSECONDS:
            with suppress(OSError):
                os.utime(file.fileno(), ns=(now, now))

    def _pour(self, name: str, source: BinaryIO, file: _File, temporary: str) -> BinaryIO:
        running, size = _hash(name), 0
        while chunk := source.read(_CHUNK_BYTES):
            written = _write(file, chunk) if self._fits(size + len(chunk)) else 0
            if written < len(chunk):
                file.seek(0)
                return io.BufferedReader(_Joined(file, io.BytesIO(chunk[written:]), source))
            running.update(chunk)
            size += written
        source.close()
        header = _header(name, running)
        if header is not None:
            with suppress(OSError):
                os.pwrite(file.fileno(), header, 0)
                self._publish(temporary, name)
        file.seek(0)
        return io.BufferedReader(file)

    def _publish(self, temporary: str, name: str) -> None:
        """Make the file ``temporary`` the copy of an object, at once, over any other."""
        size = os.stat(temporary).st_size
        self._in_folder(self._objects + name, lambda path: durable.publish_replacing(temporary, path))
        self._undroppable.discard(name)
        self._count(size)

    def _count(self, size: int) -> None:
        """Trim when this process has added enough since the last time."""
        process = os.getpid()
        if self._counting_process != process:
            # Many processes that each add little must not grow the folder for ever. Where each begins its count at
            # random, one of them is due about as often as if they counted together.
            self._counting_process = process
            fraction = int.from_bytes(os.urandom(4), "big") / 2**32
            self._bytes_until_trim = fraction * self._limit / _TRIMS_PER_LIMIT
        self._bytes_until_trim -= _occupied(size)
        if self._bytes_until_trim < 0:
            self.trim()

    def _fits(self, size: int) -> bool:
        return _occupied(size) * _FEWEST_COPIES <= self._limit

    @contextmanager
    def _temporary(self) -> Iterator[str]:
        """The path of a file to make; if it is still there in the end, it is removed."""
        path = self._new_temporary()
        try:
            yield path
        finally:
            _remove(path)

    def _new_temporary(self) -> str:
        return self._temporaries + durable.temporary_name()

    def _in_folder(self, path: str, make: Callable[[str], _T]) -> _T:
        """``make(path)``, in a folder that is made first if it is missing."""
        try:
            return make(path)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(self._folder), exist_ok=True)
            with suppress(FileExistsError):
                os.mkdir(self._folder, 0o700)  # what a bucket keeps from others, this machine does too
            os.makedirs(os.path.dirname(path), exist_ok=True)
            return make(path)

    def _remove_leftovers(self, folder: str) -> None:
        """Remove what dead processes have left in ``folder``."""
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                match = _LEFTOVER.fullmatch(entry.name)
                # A process that we cannot see may live: in another container, with the same folder.
                if match is None or _is_alive(int(match[1])):
                    continue
                with suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    if status.st_mtime_ns > self._clock() - _LEFTOVER_NANOSECONDS:
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        import shutil  # takes milliseconds, and is seldom needed

                        shutil.rmtree(entry.path, ignore_errors=True)
                    else:
                        os.unlink(entry.path)


class _File(io.FileIO):
    """The file of a copy, seen from behind its header on."""

    def __init__(self, path: str, mode: str, header_bytes: int) -> None:
        super().__init__(path, mode, opener=_open)
        self._header_bytes = header_bytes
        self.seek(0)

    def header(self) -> bytes:
        return os.pread(self.fileno(), self._header_bytes, 0)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_SET:
            offset += self._header_bytes
        return super().seek(offset, whence) - self._header_bytes

    def tell(self) -> int:
        return super().tell() - self._header_bytes


class _Joined(io.RawIOBase):
    """Streams, one after the other; closed with it."""

    def __init__(self, *streams: io.IOBase | BinaryIO) -> None:
        self._streams = streams
        self._left = list(streams)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        while self._left:
            data = self._left[0].read(len(view))
            if data:
                view[: len(data)] = data
                return len(data)
            del self._left[0]
        return 0

    def close(self) -> None:
        for stream in self._streams:
            stream.close()
        super().close()


def is_blob(name: str) -> bool:
    """Whether an object of that name is a blob, so that its name says what its bytes are."""
    return _BLOB.fullmatch(name) is not None


def _digest_in(name: str) -> bytes | None:
    """The SHA-256 that a blob's name says; None for any other object."""
    match = _BLOB.fullmatch(name)
    return bytes.fromhex(match[1] + match[2]) if match is not None else None


def _hash(name: str, data: bytes = b"") -> hashlib._Hash:
    """A hash of an object's bytes, and of its name where that does not follow from them."""
    running = hashlib.sha256(b"" if is_blob(name) else name.encode() + b"\0")
    running.update(data)
    return running


def _header(name: str, running: hashlib._Hash) -> bytes | None:
    """What the file of an object with that ``_hash`` starts with; None when a blob's name says otherwise."""
    expected = _digest_in(name)
    if expected is None:
        return _MAGIC + running.digest()
    return b"" if running.digest() == expected else None


def _header_bytes(name: str) -> int:
    return 0 if is_blob(name) else _HEADER_BYTES


def _occupied(size: int) -> int:
    """About what a file of that size takes from a disk, itself included."""
    return (size // _BLOCK_BYTES + 1) * _BLOCK_BYTES


def _files(folder: str) -> Iterator[tuple[int, int, str]]:
    """For each file under ``folder`` when it was used (ns since 1970), the bytes it occupies, and its path."""
    folders = [folder]
    while folders:
        with suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                    continue
                with suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    yield status.st_mtime_ns, _occupied(status.st_size), entry.path


def _is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # another user's
        return True
    return True


def _open(path: str, flags: int) -> int:
    return os.open(path, flags, durable.READ_ONLY)


def _link_or_copy(source: str, path: str) -> None:
    try:
        os.link(source, path)
    except OSError:  # another file system, or one that has no links
        durable.copy_temporary(source, path)


def _write(file: _File, data: bytes) -> int:
    """Write ``data``; how many of its bytes could be written."""
    left = memoryview(data)
    with suppress(OSError):
        while left:
            left = left[os.write(file.fileno(), left) :]
    return len(data) - len(left)


def _remove(path: str) -> bool:
    """Delete a file; whether it is gone."""
    try:
        durable.remove(path)
    except OSError:
        return False
    return True
