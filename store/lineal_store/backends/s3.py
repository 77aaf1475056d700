"""A backend in a bucket of S3, or of a server that speaks as S3 does."""

from __future__ import annotations

import io
import os
import re
import shutil
import stat
import threading
import weakref
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

from lineal_store.backends.s3_errors import RequestFailed
from lineal_store.backends.s3_objects import PART_BYTES, Objects
from lineal_store.backends.s3_ranges import RANGE_BYTES, Ranges
from lineal_store.backends.s3_requests import Patience, Requests, preload, side_by_side
from lineal_store.errors import ObjectMissing, StoreUnavailable
from lineal_store.protocols import (
    MAX_NAME_LENGTH,
    ObjectInfo,
    Upload,
    check_folder,
    check_name,
    split_prefix,
)

__all__ = ["PART_BYTES", "Patience", "S3Backend", "preload"]

_FIRST_CONTACT_TRIES = 3
_BUFFER_BYTES = 1 << 18
_KEY_BYTES = 1024

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_SEGMENT = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._=+@,-]+")

Result = TypeVar("Result")

_forks = 0


def _count_fork() -> None:
    global _forks
    _forks += 1


os.register_at_fork(after_in_child=_count_fork)


class S3Backend:
    """Objects under a prefix of a bucket that exists; many processes, threads and machines may share it.

    An object appears by one conditional request (``If-None-Match: *``), and the server compares its bytes with
    a SHA-256 that is sent along. With ``single_writer`` the caller vouches that nobody else writes: an object is then
    looked for before it is created, which does for a server that ignores conditions, and sums with them.

    Endpoint, region and credentials are those of the usual variables and files of AWS. Making one asks nothing of
    anybody; each process connects when it first needs to, after a fork anew.

    ``is_known`` says that the bucket has been seen by who opened it before. Spools are made in the folder ``spool_root``,
    that of the system where it is None.
    """

    def __init__(
        self,
        url: str,
        *,
        single_writer: bool = False,
        is_known: bool = False,
        patience: Patience | None = None,
    ) -> None:
        self._bucket, prefix = _parse(url)
        self._url = f"s3://{self._bucket}{prefix and '/' + prefix}"
        self._prefix = f"{prefix}/" if prefix else ""
        self._single_writer, self._is_known = single_writer, is_known
        self.spool_root: Path | None = None
        self._patience = patience or Patience()
        # By the number of forks before: what a parent has opened is of no use here, and not ours to close.
        self._objects_by_fork: dict[int, Objects] = {}
        self._spools: dict[int, Path] = {}
        self._spool_locks: dict[int, threading.Lock] = {}

    @property
    def url(self) -> str:
        return self._url

    @property
    def remote(self) -> bool:
        return True

    def create(self, uploads: Sequence[Upload]) -> Sequence[bool]:
        by_name: dict[str, list[int]] = {}
        for number, upload in enumerate(uploads):
            check_name(upload.name)
            self._check_source(upload.source)
            by_name.setdefault(upload.name, []).append(number)
        made = [False] * len(uploads)

        async def create_in_turn(numbers: Sequence[int]) -> None:
            for number in numbers:
                made[number] = await self._objects.create(uploads[number])

        if uploads:
            self._run(side_by_side(create_in_turn, by_name.values()))
        for upload in uploads:
            if isinstance(upload.source, Path):
                upload.source.unlink(missing_ok=True)
        return made

    def read(self, name: str) -> bytes:
        check_name(name)
        data = self._run(self._objects.read(name))
        if data is None:
            raise ObjectMissing(self._url, name)
        self._is_known = True
        return data

    def read_many(self, names: Iterable[str]) -> dict[str, bytes]:
        wanted = _checked(names)
        read = self._run(side_by_side(self._objects.read, wanted)) if wanted else ()
        return {name: data for name, data in zip(wanted, read, strict=True) if data is not None}

    def open(self, name: str) -> BinaryIO:
        check_name(name)
        objects = self._objects
        first = self._run(objects.receive(name, limit_bytes=RANGE_BYTES))
        if first is None:
            raise ObjectMissing(self._url, name)
        reply, data = first
        size, etag = reply.get("ContentLength", len(data)), reply["ETag"]
        if size == len(data):
            return io.BytesIO(data)

        def begin(start: int) -> Future[bytes | memoryview]:
            length = min(RANGE_BYTES, size - start)
            return objects.requests.begin(objects.read_range(name, etag, start, length, size))

        return cast(BinaryIO, io.BufferedReader(Ranges(size, data, begin, self._result), _BUFFER_BYTES))

    def find(self, names: Iterable[str]) -> dict[str, ObjectInfo]:
        wanted = _checked(names)
        if not wanted:
            return {}
        infos = self._run(side_by_side(self._objects.find, wanted))
        found = {info.name: info for info in infos if info is not None}
        if not found and not self._is_known:
            # A reply to HEAD has no room to say that it is the bucket that is missing.
            self._run(self._objects.look())
        self._is_known = True
        return found

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """As the protocol says; all of them are in memory before the first is given."""
        split_prefix(prefix)
        return self._listed(prefix)

    def folders(self, prefix: str) -> Sequence[str]:
        check_folder(prefix)
        return self._run(self._objects.folders(prefix))

    def delete(self, names: Iterable[str]) -> None:
        if unwanted := _checked(names):
            self._run(self._objects.delete(unwanted))

    def local_path(self, name: str) -> Path | None:
        check_name(name)
        return None

    def spool(self) -> Path:
        # A lock that a parent's thread held while it forked would never be free here; hence one for each process.
        with self._spool_locks.setdefault(_forks, threading.Lock()):
            path = self._spools.get(_forks)
            if path is None or not path.is_dir():
                import tempfile

                root = self._made_spool_root() or Path(tempfile.gettempdir())
                path = self._spools[_forks] = root / f"{os.getpid()}-{os.urandom(8).hex()}"
                path.mkdir(mode=0o700)
                weakref.finalize(self, _remove_spool, os.getpid(), str(path))
            return path

    def discard_spool(self) -> None:
        if (path := self._spools.get(_forks)) is not None:
            shutil.rmtree(path, ignore_errors=True)

    def _made_spool_root(self) -> Path | None:
        """The folder that spools are made in, or None for the system's, also where it cannot be made."""
        with suppress(OSError):
            if self.spool_root is not None:
                self.spool_root.parent.mkdir(parents=True, exist_ok=True)
                self.spool_root.mkdir(mode=0o700, exist_ok=True)
                return self.spool_root
        return None

    def check_bucket(self) -> None:
        """StoreUnavailable unless the bucket is there, and may be listed; told soon, since people wait for it."""
        self._run(self._objects.look(tries=_FIRST_CONTACT_TRIES))

    def honours_conditions(self, name: str, data: bytes) -> bool:
        """Whether the server refuses to create an object that exists: ``name``, which holds ``data``, as it will after."""
        check_name(name)
        return self._run(self._objects.is_refused(name, data))

    def clock_skew(self) -> timedelta | None:
        """How far the server's clock is ahead of this machine's, within a second or so; None where it does not say."""
        return self._run(self._objects.clock_skew())

    def _check_source(self, source: bytes | Path) -> None:
        """ValueError unless ``source`` is ours to consume; FileNotFoundError when it is not there."""
        if isinstance(source, bytes):
            return
        inside = os.path.join(os.path.realpath(self.spool()), "")
        parent = os.path.join(os.path.realpath(source.parent), "")
        if not stat.S_ISREG(source.lstat().st_mode) or not parent.startswith(inside):
            raise ValueError(f"{source} is no file in the spool directory of {self._url}")

    def _listed(self, prefix: str) -> Iterator[ObjectInfo]:
        yield from self._run(self._objects.list(prefix))

    @property
    def _objects(self) -> Objects:
        objects = self._objects_by_fork.get(_forks)
        if objects is None:
            requests = Requests(self._bucket, self._patience)
            made = Objects(self._url, self._prefix, requests, single_writer=self._single_writer)
            objects = self._objects_by_fork.setdefault(_forks, made)  # of two threads one is first
        return objects

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """The result of a coroutine; StoreUnavailable when a request of it failed."""
        with self._explaining():
            return self._objects.requests.run(work)

    def _result(self, begun: Future[Result]) -> Result:
        """The result of a coroutine that was begun before; StoreUnavailable when a request of it failed."""
        with self._explaining():
            return begun.result()

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except RequestFailed as failed:
            raise failed.explained(self._url) from failed.error


def _parse(url: str) -> tuple[str, str]:
    """The bucket and the prefix, without slashes at its ends; StoreUnavailable when the URL is not well formed."""
    scheme, _, rest = url.partition("://")
    bucket, _, prefix = rest.partition("/")
    prefix = prefix.removesuffix("/")
    hint = "Write s3://bucket or s3://bucket/prefix."
    if scheme != "s3" or not _BUCKET.fullmatch(bucket):
        raise StoreUnavailable(url, f"{bucket!r} is no name of a bucket", hint)
    if prefix and not all(_SEGMENT.fullmatch(segment) for segment in prefix.split("/")):
        hint = "Use letters, digits and . _ - = + @ , between single slashes."
        raise StoreUnavailable(url, f"{prefix!r} cannot be a prefix of a store", hint)
    longest = _KEY_BYTES - MAX_NAME_LENGTH - 1
    if len(prefix) > longest:
        hint = f"Use one of at most {longest} characters: S3's names of objects end at {_KEY_BYTES} bytes."
        raise StoreUnavailable(url, "the prefix is too long", hint)
    return bucket, prefix


def _checked(names: Iterable[str]) -> Sequence[str]:
    """The names, each once; InvalidName where one cannot be an object's."""
    wanted = list(dict.fromkeys(names))
    for name in wanted:
        check_name(name)
    return wanted


def _remove_spool(process: int, path: str) -> None:
    if os.getpid() == process:
        shutil.rmtree(path, ignore_errors=True)
