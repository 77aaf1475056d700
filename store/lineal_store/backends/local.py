# ruff: noqa: PTH100, PTH106, PTH112, PTH116, PTH120
"""A backend in a directory of a local disk."""

# The rules above want Path, which costs several times the system call that it leads to.
from __future__ import annotations

import errno
import os
import stat
import threading
import weakref
from collections.abc import Iterable, Iterator, MutableSequence, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from lineal_store import durable
from lineal_store.errors import ObjectMissing, StoreUnavailable
from lineal_store.protocols import ObjectInfo, Upload, check_folder, check_name, is_name, split_prefix

_SPOOL = "spool"
_TWIN = ".twin-"
# A name that is a symbolic link was not made by us, and could lead out of the store.
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
_ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


class LocalBackend:
    """Objects as read-only files of an existing directory; several processes and threads may share it.

    A name appears by a hard link to a file that is complete and flushed, so a reader sees all of an object or
    none of it, and of several creators one wins. What ``spool/`` holds, and files whose names start with a dot,
    are work in progress of a living process, or left by a dead one; they are no objects.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._url = os.path.abspath(path)
        self._root = os.path.join(self._url, "")
        # Directories that this process has flushed the entry of. One that is merely there may be another process's,
        # a moment old, and gone after a power cut together with what we put into it.
        self._settled: set[str] = set()
        self._spool: tuple[int, Path] | None = None
        self._twin: tuple[bytes, str] | None = None  # what was written last that need not last, and where
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return self._url

    @property
    def remote(self) -> bool:
        return False

    def create(self, uploads: Sequence[Upload]) -> Sequence[bool]:
        for upload in uploads:
            check_name(upload.name)
            self._check_source(upload.source)
        temporaries: list[str] = []
        folders = {os.path.dirname(upload.name) for upload in uploads if upload.lasting}
        with self._unavailable(), durable.volume(self._root) if folders else nullcontext(-1) as volume:
            try:
                if any("/" in upload.name and not _is_short_lived(upload) for upload in uploads):
                    durable.make_directory(self._root + _SPOOL)
                written = [self._write(upload, temporaries) for upload in uploads]
                pairs = list(zip(uploads, written, strict=True))
                durable.flush([path for upload, path in pairs if path is not None and upload.lasting], volume)
                self._make_folders(folders)
                made = [self._publish(upload, path) for upload, path in pairs]
                self._settle(folders, volume)
                temporaries += [str(upload.source) for upload in uploads if isinstance(upload.source, Path)]
            finally:
                for path in temporaries:
                    with suppress(OSError):  # a leftover is harmless, and the first error is the one to tell
                        durable.remove(path)
        return made

    def read(self, name: str) -> bytes:
        check_name(name)
        with self._unavailable():
            try:
                return _read(self._root + name)
            except OSError as error:
                self._check_absent(error)
                raise ObjectMissing(self._url, name) from None

    def read_many(self, names: Iterable[str]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        absent: OSError | None = None
        with self._unavailable():
            for name in names:
                check_name(name)
                try:
                    found[name] = _read(self._root + name)
                except OSError as error:
                    absent = _absence(error)
            if absent is not None and not found:
                self._check_absent(absent)
        return found

    def open(self, name: str) -> BinaryIO:
        check_name(name)
        with self._unavailable():
            try:
                return open(self._root + name, "rb", opener=_open)
            except OSError as error:
                self._check_absent(error)
                raise ObjectMissing(self._url, name) from None

    def find(self, names: Iterable[str]) -> dict[str, ObjectInfo]:
        found: dict[str, ObjectInfo] = {}
        absent: OSError | None = None
        with self._unavailable():
            for name in names:
                check_name(name)
                try:
                    status = os.stat(self._root + name, follow_symlinks=False)
                except OSError as error:
                    absent = _absence(error)
                else:
                    if stat.S_ISREG(status.st_mode):
                        found[name] = _info(name, status)
            if absent is not None and not found:
                self._check_absent(absent)
        return found

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        folder, start = split_prefix(prefix)
        return self._walk(folder, start)

    def folders(self, prefix: str) -> Sequence[str]:
        check_folder(prefix)
        with self._unavailable():
            return sorted(key[:-1] for key, _ in self._entries(prefix) if key.endswith("/"))

    def delete(self, names: Iterable[str]) -> None:
        with self._unavailable():
            os.stat(self._root)  # of a disk that is not mounted nothing is deleted
            for name in names:
                check_name(name)
                with suppress(*_ABSENT):
                    durable.remove(self._root + name)

    def local_path(self, name: str) -> Path | None:
        check_name(name)
        return Path(self._root + name)

    def spool(self) -> Path:
        process = os.getpid()
        with self._lock, self._unavailable():
            if self._spool is None or self._spool[0] != process or not self._spool[1].is_dir():
                durable.make_directory(self._root + _SPOOL)
                path = Path(self._root + _SPOOL, f"{process}-{os.urandom(8).hex()}")
                durable.make_directory(str(path))
                self._spool = process, path
                weakref.finalize(self, _remove_spool, process, str(path))
            return self._spool[1]

    def discard_spool(self) -> None:
        if self._spool is not None and self._spool[0] == os.getpid():
            import shutil  # takes milliseconds, and an unchanged run needs none of it

            shutil.rmtree(self._spool[1], ignore_errors=True)

    def _check_source(self, source: bytes | Path) -> None:
        """ValueError unless ``source`` is ours to consume."""
        if isinstance(source, bytes):
            return
        inside = os.path.join(os.path.realpath(self._root), _SPOOL, "")
        if not os.path.realpath(source.parent).startswith(inside) or not stat.S_ISREG(source.lstat().st_mode):
            raise ValueError(f"{source} is no file in the spool directory of {self._url}")

    def _write(self, upload: Upload, temporaries: MutableSequence[str]) -> str | None:
        """The complete file that is to get the name, not yet flushed; None when the name is taken."""
        source = upload.source
        if isinstance(source, bytes) and _is_short_lived(upload):
            return self._write_twin(source)  # the link tells whether the name is taken
        if not upload.replace and _exists(self._root + upload.name):
            return None
        if not isinstance(source, bytes) and source.lstat().st_nlink == 1:
            durable.make_read_only(str(source))
            return str(source)
        # The store's header is written beside itself: a directory that is being made into a store holds
        # nothing else that would show, until it is one.
        folder = self._root + _SPOOL + "/" if "/" in upload.name else self._root
        temporaries.append(folder + durable.temporary_name())
        if isinstance(source, bytes):
            durable.write_temporary(temporaries[-1], source)
        else:  # someone has another name for this file, and could write to it
            durable.copy_temporary(str(source), temporaries[-1])
        return temporaries[-1]

    def _write_twin(self, data: bytes) -> str:
        """A file with ``data`` that gets name after name: what need not last says the same again and again."""
        if self._twin is None or self._twin[0] != data or not _exists(self._twin[1]):
            path = f"{self.spool()}/{_TWIN}{os.urandom(8).hex()}"
            durable.write_temporary(path, data)
            self._twin = data, path
        return self._twin[1]

    def _publish(self, upload: Upload, temporary: str | None) -> bool:
        if temporary is None:
            return False
        target = self._root + upload.name
        publish = durable.publish_replacing if upload.replace else durable.publish_new
        try:
            return publish(temporary, target) is not False
        except (
            FileNotFoundError
        ):  # the directory was known to us, and somebody has removed it since; or nothing is to last
            if upload.lasting:
                self._settled.clear()
            self._make_folders({os.path.dirname(upload.name)})
            return publish(temporary, target) is not False

    def _make_folders(self, folders: Iterable[str]) -> None:
        """Make ``folders`` and those above them, each after the one it lies in."""
        for folder in sorted(_chains(folders, self._settled)):
            durable.make_directory(self._root + folder)

    def _settle(self, folders: set[str], volume: int) -> None:
        """Flush ``folders``, and those above them that hold an entry not known to be on the disk."""
        unsettled = _chains(folders, self._settled)
        above = {os.path.dirname(folder) for folder in unsettled}
        durable.flush_directories([self._root + folder for folder in sorted(folders | above)], volume)
        self._settled |= unsettled

    def _walk(self, folder: str, start: str) -> Iterator[ObjectInfo]:
        with self._unavailable():
            entries = self._entries(folder)
        for key, entry in entries:
            if not key.startswith(start):
                continue
            if key.endswith("/"):
                yield from self._walk(folder + key, "")
                continue
            with self._unavailable():
                try:
                    info = _info(folder + key, entry.stat(follow_symlinks=False))
                except FileNotFoundError:  # deleted since
                    continue
            yield info

    def _entries(self, folder: str) -> Sequence[tuple[str, os.DirEntry[str]]]:
        """Objects and folders in ``folder``, the folders with a final slash, in the order of full names."""
        try:
            with os.scandir(self._root + folder) as scan:
                entries = list(scan)
        except _ABSENT as error:
            self._check_absent(error)
            return []
        found = []
        for entry in entries:
            if not is_name(folder + entry.name) or (not folder and entry.name == _SPOOL):
                continue
            if entry.is_dir(follow_symlinks=False):
                found.append((entry.name + "/", entry))
            elif entry.is_file(follow_symlinks=False):
                found.append((entry.name, entry))
        return sorted(found, key=lambda item: item[0])

    def _check_absent(self, error: OSError) -> None:
        """Raise ``error`` unless it says that an object is not there.

        The store's directory itself must be there: an unmounted disk has no objects either.
        """
        if not _says_absent(error) or not os.path.isdir(self._root):
            raise error

    @contextmanager
    def _unavailable(self) -> Iterator[None]:
        """Tell the operating system's errors as StoreUnavailable."""
        try:
            yield
        except OSError as error:
            raise _explained(self._url, error) from error


def _absence(error: OSError) -> OSError:
    """``error`` without the frames in it, which hold what all callers do; raised, unless it says that an object is not there."""
    if not _says_absent(error):
        raise error
    return error.with_traceback(None)


def _says_absent(error: OSError) -> bool:
    return isinstance(error, _ABSENT) or error.errno == errno.ELOOP


def _is_short_lived(upload: Upload) -> bool:
    return not upload.lasting and not upload.replace


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)


def _read(path: str) -> bytes:
    descriptor = os.open(path, _READ)
    try:
        chunks = []
        size = os.fstat(descriptor).st_size + 1
        while chunk := os.read(descriptor, size):
            chunks.append(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)
    finally:
        os.close(descriptor)


def _chains(folders: Iterable[str], known: set[str]) -> set[str]:
    """``folders`` and all folders above them, but for those ``known``."""
    chains: set[str] = set()
    for folder in folders:
        while folder and folder not in known and folder not in chains:
            chains.add(folder)
            folder = os.path.dirname(folder)
    return chains


def _exists(path: str) -> bool:
    try:
        status = os.stat(path, follow_symlinks=False)
    except _ABSENT:
        return False
    if not stat.S_ISREG(status.st_mode):
        raise FileExistsError(errno.EEXIST, "something that is no file has the name of an object", path)
    return True


def _info(name: str, status: os.stat_result) -> ObjectInfo:
    return ObjectInfo(name, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))


def _remove_spool(process: int, path: str) -> None:
    """Remove the spool directory of this process, if nothing is left in it."""
    if os.getpid() == process:
        with suppress(OSError):
            for name in os.listdir(path):
                if name.startswith(_TWIN):
                    durable.remove(f"{path}/{name}")
            os.rmdir(path)


_DENIED = "Check who owns the store's directory, and that this user may write to it."
_FULL = "Free some space on that disk, or set LINEAL_STORE to a place that has room."
_HINTS = {
    errno.ENOSPC: ("the disk is full", _FULL),
    errno.EDQUOT: ("the disk quota is used up", _FULL),
    errno.EROFS: (
        "the file system is read-only",
        "Mount it writable, or set LINEAL_STORE to a place that is.",
    ),
    errno.EACCES: ("permission denied", _DENIED),
    errno.EPERM: ("operation not permitted", f"{_DENIED} The file system must have hard links."),
    errno.ENOTSUP: ("operation not supported", "Keep the store on a file system that has hard links."),
    errno.EXDEV: ("it spans two file systems", "Keep the whole store on one file system."),
    errno.ENOENT: ("no such directory", "Check the store's path, and that its disk is mounted."),
    errno.ENOTDIR: (
        "a file stands where a directory should be",
        "Check the store's path, and move that file away.",
    ),
    errno.EIO: ("input/output error", "Check the disk; the system's log says more."),
}
_TRANSIENT = {
    errno.EAGAIN,
    errno.EBUSY,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ESTALE,
    errno.ETIMEDOUT,
}


def _explained(url: str, error: OSError) -> StoreUnavailable:
    code = error.errno or 0
    problem, hint = _HINTS.get(code, (error.strerror or str(error), None))
    where = f" ({error.filename})" if error.filename else ""
    return StoreUnavailable(url, f"{problem}{where}", hint, code in _TRANSIENT)


def prepare_directory(path: str, header: str) -> None:
    """Make ``path`` a directory that a store can be made in by writing ``header``.

    StoreUnavailable when it holds anything to be seen, unless that is a header by now.
    """
    try:
        missing = []
        above = path
        while not os.path.isdir(above):
            missing.append(above)
            above = os.path.dirname(above)
        for directory in reversed(missing):
            durable.make_directory(directory)
        if missing:
            with durable.volume(path) as volume:
                durable.flush_directories([os.path.dirname(directory) for directory in missing], volume)
        seen = sorted(name for name in os.listdir(path) if not name.startswith("."))
    except OSError as error:
        raise _explained(path, error) from error
    if seen and header not in seen:
        raise StoreUnavailable(
            path,
            f"the directory is no store, and is not empty: it holds {seen[0]}",
            "Name a directory that is empty or does not exist; a store is made in it.",
        )
