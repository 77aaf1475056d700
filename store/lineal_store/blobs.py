"""Bytes under their digests: written once, checked whenever they are read."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from lineal_store.digest import Digest
from lineal_store.errors import BlobMissing, CorruptRecord, DigestMismatch, ObjectMissing, StoreUnavailable
from lineal_store.protocols import Backend, Upload

if TYPE_CHECKING:
    from pathlib import Path
    from tempfile import TemporaryDirectory

_PREFIX = "blobs/"
_NAME = re.compile(r"blobs/([0-9a-f]{2})/([0-9a-f]{62})")

# File systems note the time of a change in steps of up to two seconds (FAT); a file changed less than a step ago
# may change again without its identity showing it.
_CLOCK_STEP_NANOSECONDS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Blob:
    """Content that a store holds: its digest, and its size."""

    digest: Digest
    size_bytes: int


class Blobs:
    """The blobs of one store.

    What is read is hashed and compared with its name; a local file once per identity (device, inode, size, mtime
    and ctime) and process, so that an edit through a hard link is seen, and a second read is free.
    """

    def __init__(self, backend: Backend, *, clock_nanoseconds: Callable[[], int] = time.time_ns) -> None:
        self._backend = backend
        self._clock = clock_nanoseconds
        self._verified: dict[Digest, tuple[int, ...]] = {}
        self._copies: TemporaryDirectory[str] | None = None

    def put(self, data: bytes) -> Digest:
        """Keep ``data``; durable on return."""
        return self.put_many([data])[0].digest

    def put_many(self, sources: Sequence[bytes | Path]) -> Sequence[Blob]:
        """Keep contents, in one durable batch; the blobs, in the order of ``sources``.

        A Path lies in ``backend.spool()`` and is consumed. What the store holds at the right size is not written
        again; a blob of the wrong size is replaced. OSError when a source cannot be read: nothing is kept then.
        """
        blobs = [_blob_of(source) for source in sources]
        sizes = self.sizes({blob.digest for blob in blobs})
        self._backend.create(
            [
                Upload(
                    name_of(blob.digest), source, sizes.get(blob.digest, blob.size_bytes) != blob.size_bytes
                )
                for blob, source in zip(blobs, sources, strict=True)
            ]
        )
        return blobs

    def heal(self, source: bytes | Path) -> Digest:
        """Keep ``source`` as ``put_many`` does, and replace what lies under its digest if its bytes are wrong."""
        digest = _blob_of(source).digest
        damaged = self.verify(digest) is not None
        self._backend.create([Upload(name_of(digest), source, damaged)])
        return digest

    def read(self, digest: Digest) -> bytes:
        """The bytes under ``digest``; BlobMissing, or DigestMismatch when they are not what was kept."""
        name = name_of(digest)
        try:
            data = self._backend.read(name)
        except ObjectMissing:
            raise BlobMissing(self._backend.url, digest) from None
        actual = Digest.of(data)
        if actual != digest:
            raise DigestMismatch(digest, actual, f"{self._backend.url}/{name}")
        return data

    def fetch(self, digest: Digest) -> Path:
        """A read-only local file that holds the blob, checked; errors as of ``read``.

        On a local disk it is the store's own file: link or copy it, never write to it. It may be deleted with the
        store's object, and elsewhere when this store is closed.
        """
        self.open(digest).close()
        return self._backend.local_path(name_of(digest)) or self._copy(digest)

    def open(self, digest: Digest) -> BinaryIO:
        """The blob as a stream, checked before the first byte is given, which the caller closes."""
        name = name_of(digest)
        if self._backend.local_path(name) is None:
            return self._copy(digest).open("rb")
        try:
            stream = self._backend.open(name)
        except ObjectMissing:
            raise BlobMissing(self._backend.url, digest) from None
        try:
            self._check_file(digest, stream)
        except OSError as error:
            stream.close()
            raise self._unreadable(digest, error) from error
        except BaseException:
            stream.close()
            raise
        return stream

    def sizes(self, digests: Iterable[Digest]) -> dict[Digest, int]:
        """The sizes in bytes of those of ``digests`` that the store holds, in one batch, unread."""
        digest_by_name = {name_of(digest): digest for digest in digests}
        found = self._backend.find(digest_by_name)
        return {digest_by_name[name]: info.size_bytes for name, info in found.items()}

    def list(self) -> Iterator[Blob]:
        """Every blob, sorted by digest, unread; CorruptRecord for an object among them that is not named as one."""
        for info in self._backend.list(_PREFIX):
            yield Blob(parse_name(info.name), info.size_bytes)

    def verify(self, digest: Digest) -> str | None:
        """What is wrong with the blob, in words, after reading all of it; None when nothing is."""
        try:
            with self._backend.open(name_of(digest)) as stream:
                actual, size = Digest.of_stream(stream)
        except ObjectMissing:
            return "is missing"
        except OSError as error:
            return f"cannot be read: {error.strerror}"
        return None if actual == digest else f"holds {size} bytes of {actual}"

    def _check_file(self, digest: Digest, stream: BinaryIO) -> None:
        """DigestMismatch unless ``stream``, a local file, holds the blob; leaves it at its start."""
        identity = _identity(stream)
        if self._verified.get(digest) == identity:
            return
        begun = self._clock()
        actual, _ = Digest.of_stream(stream)
        if actual != digest:
            raise DigestMismatch(digest, actual, f"{self._backend.url}/{name_of(digest)}")
        stream.seek(0)
        *_, modified, changed = identity
        if _identity(stream) == identity and max(modified, changed) < begun - _CLOCK_STEP_NANOSECONDS:
            self._verified[digest] = identity

    def _unreadable(self, digest: Digest, error: OSError) -> StoreUnavailable:
        problem = f"{name_of(digest)} cannot be read: {error.strerror}"
        return StoreUnavailable(self._backend.url, problem, "Check the disk; the system's log says more.")

    def _copy(self, digest: Digest) -> Path:
        """A copy of the blob in a directory of this process, for a backend that has no local files."""
        import tempfile
        from pathlib import Path

        if self._copies is None:
            self._copies = tempfile.TemporaryDirectory(prefix="lineal-blobs-")
        path = Path(self._copies.name, digest.hex)
        if not path.exists() or Digest.of_file(path)[0] != digest:
            data = self.read(digest)
            path.unlink(missing_ok=True)
            path.write_bytes(data)
            path.chmod(0o444)
        return path


def name_of(digest: Digest) -> str:
    """The name in the store of the blob under ``digest``."""
    return f"{_PREFIX}{digest.hex[:2]}/{digest.hex[2:]}"


def parse_name(name: str) -> Digest:
    """The digest of the blob that is called ``name`` in the store; CorruptRecord when no blob is called so."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise CorruptRecord(name, "no blob is named so")
    return Digest(match[1] + match[2])


def _blob_of(source: bytes | Path) -> Blob:
    if isinstance(source, bytes):
        return Blob(Digest.of(source), len(source))
    return Blob(*Digest.of_file(source))


def _identity(stream: BinaryIO) -> tuple[int, ...]:
    status = os.fstat(stream.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
