"""Capsules as files: tar, compressed by zstd, of regular files with plain names in order, and nothing else.

The same content makes the same bytes. Whoever reads one does not trust it: links, devices, paths that lead elsewhere, names
out of order or twice, content that is not what its name says, and more than fits are refused, before anything is written
that would have to be undone elsewhere than in the folder that was given.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from lineal.errors import LinealError, StoreUnavailable

if TYPE_CHECKING:
    from pyarrow import CompressedInputStream, OSFile

ABOUT = "capsule.json"
MOST_FILES = 4_000_000
MOST_BYTES = 4 << 40
MOST_TIMES = 500
"""What is unpacked may be so many times as large as the file, beyond SMALL_BYTES."""

SMALL_BYTES = 1 << 30

_BLOCK = 512
_CHUNK = 1 << 20
_MOST_ABOUT_BYTES = 8 << 20
_SEGMENT = "[A-Za-z0-9_][A-Za-z0-9._-]{0,254}"
_BLOB = re.compile(r"store/blobs/([0-9a-f]{2})/([0-9a-f]{62})")
_NAME = re.compile(
    rf"capsule\.json|store/lineal-store\.json|{_BLOB.pattern}|store/(actions|refs|runs)(/{_SEGMENT})+"
)


class CapsuleRefused(LinealError):
    """A file is no capsule, or one that is damaged or made to harm."""

    exit_code = 4
    kind = "corrupt"
    hint = "Get the file again from where it was made: `lineal capsule create`."

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path, self.problem = path, problem

    def __str__(self) -> str:
        return f"{self.path} cannot be used as a capsule: {self.problem}"


class TooCompressible(LinealError):
    """What is to be packed becomes so small that the capsule could not be told from a bomb."""

    kind = "too_compressible"
    hint = "Store such data compressed: as a table, or packed by the stage that makes it."

    def __init__(self, path: str, content_bytes: int, size_bytes: int) -> None:
        super().__init__(path, content_bytes, size_bytes)
        self.path, self.content_bytes, self.size_bytes = path, content_bytes, size_bytes

    def __str__(self) -> str:
        return f"{self.path} would hold {self.content_bytes} bytes in {self.size_bytes}, and be refused by whoever opens it"


class Packed(NamedTuple):
    """What a capsule came to: how many files it holds, their size, and its own."""

    files: int
    content_bytes: int
    size_bytes: int


def write_capsule(path: Path, files: Iterable[tuple[str, bytes | Path]]) -> Packed:
    """Write ``files``, sorted by name, to ``path``, which is replaced when it is whole. OSError as the system gives it.

    `TooCompressible` where `extract_capsule` would refuse it.
    """
    import pyarrow as pa

    part = path.with_name(f".{path.name}-{os.urandom(4).hex()}")
    count = total = 0
    try:
        with pa.OSFile(str(part), "wb") as raw, pa.CompressedOutputStream(raw, "zstd") as out:
            for name, content in files:
                size = len(content) if isinstance(content, bytes) else content.stat().st_size
                out.write(_header(name, size))
                for chunk in _chunks(content, size):
                    out.write(chunk)
                out.write(bytes(-size % _BLOCK))
                count, total = count + 1, total + size
            out.write(bytes(2 * _BLOCK))
        with part.open("rb") as written:
            os.fsync(written.fileno())
        packed = Packed(count, total, part.stat().st_size)
        if total > max(SMALL_BYTES, MOST_TIMES * packed.size_bytes):
            raise TooCompressible(str(path), total, packed.size_bytes)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return packed


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    # USTAR writes sizes to 8 GiB; GNU's way is understood by every tar, too
    return info.tobuf(tarfile.USTAR_FORMAT if size < 8 << 30 else tarfile.GNU_FORMAT)


def _chunks(content: bytes | Path, size: int) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as stream:
        left = size
        while left:
            chunk = stream.read(min(left, _CHUNK))
            if not chunk:
                raise OSError(errno.EIO, f"{content} became shorter while it was read")
            left -= len(chunk)
            yield chunk


# --- reading -----------------------------------------------------------------------------------------


def extract_capsule(path: Path, folder: Path) -> None:
    """Unpack the capsule ``path`` into the empty ``folder``. `CapsuleRefused`; what was written by then stays there.

    Blobs hash to their names when this returns.
    """
    import pyarrow as pa

    try:
        with pa.OSFile(str(path), "rb") as raw, pa.CompressedInputStream(raw, "zstd") as stream:
            _Extraction(_Source(path, raw, stream), folder).run()
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            hint = "Make room there, or set TMPDIR to a folder that has some."
            raise StoreUnavailable(str(folder), error.strerror or str(error), hint) from error
        raise CapsuleRefused(str(path), _said(error)) from None


def _said(error: Exception) -> str:
    strerror = getattr(error, "strerror", None)
    return strerror or str(error).partition("\n")[0] or type(error).__name__


class _Source:
    """The unpacked bytes in order, as long as there are not too many of them."""

    def __init__(self, path: Path, raw: OSFile, stream: CompressedInputStream) -> None:
        self._path, self._raw, self._stream = path, raw, stream
        self._read_bytes = 0

    def refuse(self, problem: str) -> CapsuleRefused:
        return CapsuleRefused(str(self._path), problem)

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes, at most a chunk."""
        data = self._stream.read(size)
        while len(data) < size:
            more = self._stream.read(size - len(data))
            if not more:
                raise self.refuse("it is not whole")
            data += more
        self._count(len(data))
        return bytes(data)

    def is_at_end(self) -> bool:
        rest = self._stream.read(1)
        return not rest

    def _count(self, size: int) -> None:
        self._read_bytes += size
        if self._read_bytes > max(SMALL_BYTES, MOST_TIMES * self._raw.tell()):
            raise self.refuse(f"it would unpack to more than {MOST_TIMES} times its size")


class _Extraction:
    def __init__(self, source: _Source, folder: Path) -> None:
        self._source, self._folder = source, folder

    def run(self) -> None:
        before, total = "", 0
        for _ in range(MOST_FILES):
            info = self._next_header()
            if info is None:
                if before:
                    return
                raise self._source.refuse("it is empty")
            total += info.size
            self._check(info, before, total)
            self._write(info)
            before = info.name
        raise self._source.refuse(f"it holds more than {MOST_FILES} files")

    def _next_header(self) -> tarfile.TarInfo | None:
        block = self._source.take(_BLOCK)
        if block == bytes(_BLOCK):
            if self._source.take(_BLOCK) != block or not self._source.is_at_end():
                raise self._source.refuse("something follows its end")
            return None
        try:
            return tarfile.TarInfo.frombuf(block, "ascii", "strict")
        except (tarfile.TarError, ValueError):
            raise self._source.refuse("it is no archive") from None

    def _check(self, info: tarfile.TarInfo, before: str, total: int) -> None:
        name = repr(info.name)[:200]
        if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or info.linkname:
            raise self._source.refuse(f"{name} is no regular file")
        if not _NAME.fullmatch(info.name):
            raise self._source.refuse(f"it holds {name}, which belongs into no capsule")
        if info.name <= before:
            raise self._source.refuse(f"{name} is there twice, or out of order")
        if not before and info.name != ABOUT:
            raise self._source.refuse(f"it does not begin with {ABOUT}")
        if info.size < 0 or total > MOST_BYTES or (info.name == ABOUT and info.size > _MOST_ABOUT_BYTES):
            raise self._source.refuse(f"{name} is too large")

    def _write(self, info: tarfile.TarInfo) -> None:
        path = self._folder / info.name
        hasher = hashlib.sha256()
        left = info.size
        with self._create(path, info.name) as file:
            while left:
                chunk = self._source.take(min(left, _CHUNK))
                hasher.update(chunk)
                file.write(chunk)
                left -= len(chunk)
        if self._source.take(-info.size % _BLOCK).strip(b"\0"):
            raise self._source.refuse(f"something follows the end of {info.name}")
        blob = _BLOB.fullmatch(info.name)
        if blob is not None and hasher.hexdigest() != blob[1] + blob[2]:
            raise self._source.refuse(f"{info.name} holds something else")

    @contextlib.contextmanager
    def _create(self, path: Path, name: str) -> Iterator[BinaryIO]:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("xb")
        except (FileExistsError, NotADirectoryError):  # a file as a folder, or a system that ignores case
            raise self._source.refuse(f"{name} is in the way of another") from None
        with file:
            yield file
