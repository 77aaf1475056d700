"""A backend in a bucket of S3, or of a server that speaks as S3 does."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import io
import os
import re
import shutil
import stat
import weakref
from base64 import b64decode, b64encode
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

from lineal_store.backends import s3_errors
from lineal_store.backends.s3_errors import Doubtful, RequestFailed
from lineal_store.backends.s3_requests import Patience, Reply, Requests, preload, side_by_side
from lineal_store.digest import Digest
from lineal_store.errors import ObjectMissing, StoreUnavailable
from lineal_store.protocols import (
    MAX_NAME_LENGTH,
    ObjectInfo,
    Upload,
    check_folder,
    check_name,
    is_name,
    split_prefix,
)

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["Patience", "S3Backend", "preload"]

PART_BYTES = 8 << 20
"""Objects up to this size are sent in one request, and larger files in parts of it; streams are read by so much."""

_MOST_PARTS = 10_000
_DELETED_AT_ONCE = 1000
_RANGES_AHEAD = 3
_FIRST_CONTACT_TRIES = 3
_CLEANING_TRIES = 2
# A stream whose first bytes alone are looked at, as previews do, is not worth reading ahead in.
_LOOKED_AT_BYTES = 1 << 20
_BUFFER_BYTES = 1 << 18
_HASHED_HERE_BYTES = 1 << 18
_ERROR_DOCUMENT_BYTES = 4096
_KEY_BYTES = 1024

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_SEGMENT = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._=+@,-]+")
_MULTIPART = re.compile(r'"[^"]*-[0-9]+"')

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
    """

    def __init__(self, url: str, *, single_writer: bool = False, patience: Patience | None = None) -> None:
        self._bucket, prefix = _parse(url)
        self._url = f"s3://{self._bucket}{prefix and '/' + prefix}"
        self._prefix = f"{prefix}/" if prefix else ""
        self._single_writer = single_writer
        self._patience = patience or Patience()
        # By the number of forks before: what a parent has opened is of no use here, and not ours to close.
        self._requests_by_fork: dict[int, Requests] = {}
        self._spools: dict[int, Path] = {}

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
                made[number] = await self._create(uploads[number])

        if uploads:
            self._run(side_by_side(create_in_turn, by_name.values()))
        for upload in uploads:
            if isinstance(upload.source, Path):
                upload.source.unlink(missing_ok=True)
        return made

    def read(self, name: str) -> bytes:
        check_name(name)
        data = self._run(self._read(name))
        if data is None:
            raise ObjectMissing(self._url, name)
        return data

    def read_many(self, names: Iterable[str]) -> dict[str, bytes]:
        wanted = _checked(names)
        read = self._run(side_by_side(self._read, wanted)) if wanted else ()
        return {name: data for name, data in zip(wanted, read, strict=True) if data is not None}

    def open(self, name: str) -> BinaryIO:
        check_name(name)
        first = self._run(self._receive(name, limit_bytes=PART_BYTES))
        if first is None:
            raise ObjectMissing(self._url, name)
        reply, data = first
        size, etag = reply.get("ContentLength", len(data)), reply["ETag"]
        if size == len(data):
            return io.BytesIO(data)

        def begin(start: int) -> Future[bytes | memoryview]:
            length = min(PART_BYTES, size - start)
            return self._requests.begin(self._read_range(name, etag, start, length, size))

        return cast(BinaryIO, io.BufferedReader(_Ranges(size, data, begin, self._result), _BUFFER_BYTES))

    def find(self, names: Iterable[str]) -> dict[str, ObjectInfo]:
        wanted = _checked(names)
        if not wanted:
            return {}
        infos = self._run(side_by_side(self._find, wanted))
        found = {info.name: info for info in infos if info is not None}
        if not found:
            # A reply to HEAD has no room to say that it is the bucket that is missing.
            self._run(self._look())
        return found

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """As the protocol says; all of them are in memory before the first is given.

        Servers list in orders of their own: SeaweedFS, say, has ``a/x`` before ``a-b``, as directories have it.
        """
        split_prefix(prefix)
        return self._listed(prefix)

    def folders(self, prefix: str) -> Sequence[str]:
        check_folder(prefix)
        key = self._prefix + prefix
        pages = self._run(self._pages(Prefix=key, Delimiter="/"))
        found = [common["Prefix"] for page in pages for common in page.get("CommonPrefixes") or ()]
        segments = {folder.removeprefix(key).removesuffix("/") for folder in found if folder.startswith(key)}
        return sorted(segment for segment in segments if is_name(prefix + segment) and "/" not in segment)

    def delete(self, names: Iterable[str]) -> None:
        keys = [self._prefix + name for name in _checked(names)]
        batches = [keys[at : at + _DELETED_AT_ONCE] for at in range(0, len(keys), _DELETED_AT_ONCE)]
        if batches:
            self._run(side_by_side(self._delete, batches))

    def local_path(self, name: str) -> Path | None:
        check_name(name)
        return None

    def spool(self) -> Path:
        path = self._spools.get(_forks)
        if path is None or not path.is_dir():
            import tempfile

            made = Path(tempfile.mkdtemp(prefix="lineal-spool-"))
            weakref.finalize(self, _remove_spool, os.getpid(), str(made))
            path = self._spools[_forks] = made
        return path

    def check_bucket(self) -> None:
        """StoreUnavailable unless the bucket is there, and may be listed; told soon, since people wait for it."""
        self._run(self._look(tries=_FIRST_CONTACT_TRIES))

    def honours_conditions(self, name: str, data: bytes) -> bool:
        """Whether the server refuses to create an object that exists: ``name``, which holds ``data``, as it will after."""
        check_name(name)
        return self._run(self._is_refused(self._prefix + name, data))

    def clock_skew(self) -> timedelta | None:
        """How far the server's clock is ahead of this machine's, within a second or so; None where it does not say."""
        return self._run(self._clock_skew())

    # -- writing -----------------------------------------------------------------------------------------------------

    def _check_source(self, source: bytes | Path) -> None:
        """ValueError unless ``source`` is ours to consume; FileNotFoundError when it is not there."""
        if isinstance(source, bytes):
            return
        inside = os.path.join(os.path.realpath(self.spool()), "")
        parent = os.path.join(os.path.realpath(source.parent), "")
        if not stat.S_ISREG(source.lstat().st_mode) or not parent.startswith(inside):
            raise ValueError(f"{source} is no file in the spool directory of {self._url}")

    async def _create(self, upload: Upload) -> bool:
        if not self._single_writer or upload.replace:
            return await self._send(upload)
        async with self._requests.lock(upload.name):  # two threads of this process are one writer
            if await self._find(upload.name) is not None:
                return False
            try:
                return await self._send(upload)
            except RequestFailed as failed:
                if failed.code not in s3_errors.CONDITION_UNKNOWN:
                    raise
                return await self._send(Upload(upload.name, upload.source, replace=True))

    async def _send(self, upload: Upload) -> bool:
        source = upload.source
        if isinstance(source, bytes):
            is_long = (
                len(source) > _HASHED_HERE_BYTES
            )  # to hash it here would keep all other requests waiting
            digest = await asyncio.to_thread(_hash, source) if is_long else _hash(source)
            return await self._put(upload.name, source, digest, upload.replace)
        size = source.stat().st_size
        if size > PART_BYTES:
            return await self._put_parts(upload.name, source, size, upload.replace)
        async with self._requests.bodies.taken(size):
            body, digest = await asyncio.to_thread(_part, source, 0, size)
            return await self._put(upload.name, body, digest, upload.replace)

    async def _put(self, name: str, body: bytes | io.BytesIO, digest: bytes, replace: bool) -> bool:
        parameters = {"Key": self._prefix + name, "Body": body, "ChecksumSHA256": _base64(digest)}
        made, is_certain = await self._create_once("put_object", parameters, replace)
        if made or is_certain:
            return made
        return await self._read(name) == (body if isinstance(body, bytes) else body.getvalue())

    async def _put_parts(self, name: str, path: Path, size: int, replace: bool) -> bool:
        if not replace and await self._find(name) is not None:
            return False
        key = self._prefix + name
        part_bytes = max(PART_BYTES, -(-size // _MOST_PARTS))
        begun = await self._ask_for(
            "UploadId", "create_multipart_upload", Key=key, ChecksumAlgorithm="SHA256"
        )
        upload = {"Key": key, "UploadId": begun["UploadId"]}
        try:
            send = partial(self._put_part, path, size, part_bytes, upload)
            parts = await side_by_side(send, range(-(-size // part_bytes)))
            parameters = {**upload, "MultipartUpload": {"Parts": parts}}
            made, is_certain = await self._create_once("complete_multipart_upload", parameters, replace)
            if not made and not is_certain:
                made = await self._holds_parts(name, path, size, parts)
        except BaseException:
            await asyncio.shield(self._abort(upload))
            raise
        if not made:
            await self._abort(upload)
        return made

    async def _put_part(
        self, path: Path, size: int, part_bytes: int, upload: Mapping[str, str], number: int
    ) -> Mapping[str, object]:
        start = number * part_bytes
        length = min(part_bytes, size - start)
        async with self._requests.bodies.taken(length):
            body, digest = await asyncio.to_thread(_part, path, start, length)
            part = {"PartNumber": number + 1, "ChecksumSHA256": _base64(digest)}
            reply = await self._ask_for("ETag", "upload_part", Body=body, **upload, **part)
        return {**part, "ETag": reply["ETag"]}

    async def _create_once(
        self, operation: str, parameters: Mapping[str, object], replace: bool
    ) -> tuple[bool, bool]:
        """Whether the request made the object, and whether that is certain.

        It is not where the object was there after a try of which nobody knows what came.
        """
        condition = {} if replace else {"IfNoneMatch": "*"}
        is_certain = True

        async def attempt() -> bool:
            nonlocal is_certain
            try:
                reply = await self._requests.send(operation, **parameters, **condition)
                _check_reply(operation, reply, "ETag")
            except RequestFailed as failed:
                is_refused = failed.code in s3_errors.REFUSED_BY_CONDITION and not replace
                # An upload that was completed is no more, and one that was not cannot be completed any more.
                if is_refused or (failed.code == "NoSuchUpload" and not is_certain):
                    return False
                is_certain = is_certain and not failed.may_have_worked
                raise
            return True

        return await self._requests.persist(attempt), is_certain

    async def _holds_parts(
        self, name: str, path: Path, size: int, parts: Sequence[Mapping[str, object]]
    ) -> bool:
        """Whether the object is what these parts of the file make."""
        reply = await self._head(name)
        if reply is None or reply["ContentLength"] != size:
            return False
        told = str(reply.get("ChecksumSHA256") or "")
        if "-" in told:
            digests = b"".join(b64decode(str(part["ChecksumSHA256"])) for part in parts)
            return told == f"{_base64(_hash(digests))}-{len(parts)}"
        return await asyncio.to_thread(self._holds, name, path)

    def _holds(self, name: str, path: Path) -> bool:
        with self.open(name) as theirs, path.open("rb") as ours:
            return Digest.of_stream(theirs) == Digest.of_stream(ours)

    async def _abort(self, upload: Mapping[str, str]) -> None:
        """Let the server forget the parts; what it keeps of them, it shows to nobody."""
        with suppress(RequestFailed):
            await self._requests.ask("abort_multipart_upload", tries=_CLEANING_TRIES, **upload)

    async def _delete(self, keys: Sequence[str]) -> None:
        wanted = {"Objects": [{"Key": key} for key in keys]}

        async def attempt() -> None:
            reply = await self._requests.send("delete_objects", Delete=wanted)
            refused = reply.get("Errors") or ()
            for error in refused:
                if error.get("Code") not in s3_errors.ABSENT:
                    raise RequestFailed("delete_objects", _refusal("DeleteObjects", error))
            told = {entry.get("Key") for entry in (*(reply.get("Deleted") or ()), *refused)}
            if left := [key for key in keys if key not in told]:
                raise RequestFailed("delete_objects", Doubtful(f"of {left[0]} nothing was said"))

        await self._requests.persist(attempt)

    async def _is_refused(self, key: str, data: bytes) -> bool:
        checksum = _base64(_hash(data))
        parameters = {"Key": key, "Body": data, "ChecksumSHA256": checksum, "IfNoneMatch": "*"}
        try:
            await self._ask_for("ETag", "put_object", **parameters)
        except RequestFailed as failed:
            if failed.code in s3_errors.CONDITION_UNKNOWN:
                return False
            if failed.code not in s3_errors.REFUSED_BY_CONDITION:
                raise
            return True
        return False

    # -- reading -----------------------------------------------------------------------------------------------------

    async def _read(self, name: str) -> bytes | None:
        """The bytes of an object, None when there is none."""
        read = await self._receive(name)
        return bytes(read[1]) if read is not None else None

    async def _receive(
        self, name: str, limit_bytes: int | None = None
    ) -> tuple[Reply, bytes | memoryview] | None:
        """An object, or the start of it, and the reply's head; None when there is none."""
        # What a careless server says of its objects may be what it was told of others.
        parameters = {} if self._single_writer else {"ChecksumMode": "ENABLED"}

        async def attempt() -> tuple[Reply, bytes | memoryview]:
            reply, data = await self._requests.receive(limit_bytes, Key=self._prefix + name, **parameters)
            _check_reply("get_object", reply, "ETag")
            # A server that stumbles after it has said 200 can only put the error into the body; but an object may
            # hold the like of it too. Its sum has been checked, or it is what another request says that it is.
            if _is_error_document(data) and not _has_checksum(reply):
                known = await self._head(name) or {}
                if (known.get("ETag"), known.get("ContentLength")) != (reply["ETag"], len(data)):
                    raise RequestFailed("get_object", Doubtful("an error came in place of an object"))
            return reply, data

        try:
            return await self._requests.persist(attempt)
        except RequestFailed as failed:
            if failed.code not in s3_errors.ABSENT:
                raise
            return None

    async def _read_range(
        self, name: str, etag: str, start: int, length: int, size: int
    ) -> bytes | memoryview:
        """A range of an object that has been read from before; StoreUnavailable when it has been replaced since."""
        wanted = f"bytes={start}-{start + length - 1}"

        async def attempt() -> bytes | memoryview:
            reply, data = await self._requests.receive(
                length, Key=self._prefix + name, Range=wanted, IfMatch=etag
            )
            given = reply.get("ContentRange")
            if (
                given != f"{wanted.replace('=', ' ')}/{size}"
                or len(data) != length
                or reply.get("ETag") != etag
            ):
                raise RequestFailed("get_object", Doubtful(f"{given} came for {wanted} of {size} bytes"))
            return data

        try:
            return await self._requests.persist(attempt)
        except RequestFailed as failed:
            if failed.code in s3_errors.ABSENT:
                raise ObjectMissing(self._url, name) from None
            if failed.code in s3_errors.REFUSED_BY_CONDITION | s3_errors.BEYOND_THE_END:
                hint = "Run the same again."
                raise StoreUnavailable(
                    self._url, f"{name} was replaced while it was read", hint, True
                ) from None
            raise

    async def _find(self, name: str) -> ObjectInfo | None:
        reply = await self._head(name)
        if reply is None:
            return None
        sha256 = None if self._single_writer else _sha256(reply)
        return ObjectInfo(name, reply["ContentLength"], reply["LastModified"].astimezone(UTC), sha256)

    async def _head(self, name: str) -> Reply | None:
        """What is known of an object, None when there is none."""
        try:
            return await self._ask_for(
                "LastModified", "head_object", Key=self._prefix + name, ChecksumMode="ENABLED"
            )
        except RequestFailed as failed:
            if failed.code in s3_errors.ABSENT:
                return None
            if failed.status and not failed.is_transient:
                await (
                    self._look()
                )  # a reply to HEAD has no room for the reason; to this it is told, unless it is another
            raise

    def _listed(self, prefix: str) -> Iterator[ObjectInfo]:
        pages = self._run(self._pages(Prefix=self._prefix + prefix))
        found = []
        for page in pages:
            for entry in page.get("Contents") or ():
                name = entry["Key"].removeprefix(self._prefix)
                if is_name(name) and name.startswith(prefix):
                    found.append(ObjectInfo(name, entry["Size"], entry["LastModified"].astimezone(UTC)))
        yield from sorted(found, key=lambda info: info.name)

    async def _pages(self, **parameters: Any) -> Sequence[Reply]:
        pages: list[Reply] = []
        more: dict[str, Any] = {}
        while True:
            page = await self._ask_for("IsTruncated", "list_objects_v2", **parameters, **more)
            pages.append(page)
            if not page.get("IsTruncated"):
                return pages
            token = page.get("NextContinuationToken")
            if not token or token == more.get("ContinuationToken"):
                raise RequestFailed("list_objects_v2", Doubtful("a list that goes on, without saying where"))
            more = {"ContinuationToken": token}

    async def _look(self, *, tries: int | None = None) -> Reply:
        """Ask for the least that shows that the bucket is there, and whose refusal comes with a reason."""
        least = {"Prefix": self._prefix, "MaxKeys": 1}
        return await self._ask_for("IsTruncated", "list_objects_v2", tries=tries, **least)

    async def _clock_skew(self) -> timedelta | None:
        async def attempt() -> timedelta | None:
            begun = datetime.now(UTC)
            try:
                reply = await self._requests.send("list_objects_v2", Prefix=self._prefix, MaxKeys=1)
                headers = reply["ResponseMetadata"]["HTTPHeaders"]
            except RequestFailed as failed:
                headers = failed.headers  # where the clocks differ by much, it is a refusal that tells
                if failed.is_transient or "date" not in headers:
                    raise
            now = begun + (datetime.now(UTC) - begun) / 2
            try:
                second = parsedate_to_datetime(headers["date"])
            except (KeyError, ValueError):
                return None
            return second + timedelta(seconds=0.5) - now  # which is half over, on average

        return await self._requests.persist(attempt)

    # -- asking ------------------------------------------------------------------------------------------------------

    @property
    def _requests(self) -> Requests:
        requests = self._requests_by_fork.get(_forks)
        if requests is None:
            # Of two threads one is first, and both get its own.
            requests = self._requests_by_fork.setdefault(_forks, Requests(self._bucket, self._patience))
        return requests

    async def _ask_for(
        self, field: str, operation: str, *, tries: int | None = None, **parameters: Any
    ) -> Reply:
        """The reply to a request that may be sent again without harm, and which has ``field``."""

        async def attempt() -> Reply:
            reply = await self._requests.send(operation, **parameters)
            _check_reply(operation, reply, field)
            return reply

        return await self._requests.persist(attempt, tries=tries)

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """The result of a coroutine; StoreUnavailable when a request of it failed."""
        try:
            return self._requests.run(work)
        except RequestFailed as failed:
            raise failed.explained(self._url) from failed.error

    def _result(self, begun: Future[Result]) -> Result:
        """The result of a coroutine that was begun before; StoreUnavailable when a request of it failed."""
        try:
            return begun.result()
        except RequestFailed as failed:
            raise failed.explained(self._url) from failed.error


class _Ranges(io.RawIOBase):
    """An object of ``size_bytes``, read by ranges, of which a few are under way ahead of who reads on.

    ``begin`` asks for the range that starts at an offset, ``result`` waits for it; ``first`` is what is known already.
    """

    def __init__(
        self,
        size_bytes: int,
        first: bytes | memoryview,
        begin: Callable[[int], Future[bytes | memoryview]],
        result: Callable[[Future[bytes | memoryview]], bytes | memoryview],
    ) -> None:
        self._size, self._begin, self._result = size_bytes, begin, result
        self._position = 0
        self._held: tuple[int, memoryview] | None = (0, memoryview(first))
        self._ahead: dict[int, Future[bytes | memoryview]] = {}

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError(f"there is nothing before the start: {start + offset}")
        self._position = start + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        target = memoryview(buffer).cast("B")
        piece = self._rest()[: len(target)]
        target[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def readall(self) -> bytes:
        pieces = []
        while piece := self._rest():
            pieces.append(piece)
            self._position += len(piece)
        return b"".join(pieces)

    def close(self) -> None:
        for range_ in self._ahead.values():
            range_.cancel()
        self._ahead.clear()
        super().close()

    def _rest(self) -> memoryview:
        """What is held, or comes next, from the position on; empty at the end."""
        if self._position >= self._size:
            return memoryview(b"")
        start = self._position - self._position % PART_BYTES
        if self._held is None or self._held[0] != start:
            self._held = None
            self._read_ahead(start, start)
            self._held = start, memoryview(self._result(self._ahead.pop(start)))
        if self._position >= _LOOKED_AT_BYTES:
            self._read_ahead(start + PART_BYTES, start)
        return self._held[1][self._position - start :]

    def _read_ahead(self, start: int, position: int) -> None:
        """See that the ranges from ``start`` on are under way, and none that is not near ``position``."""
        end = min(position + (_RANGES_AHEAD + 1) * PART_BYTES, self._size)
        for other in [other for other in self._ahead if not position <= other < end]:
            self._ahead.pop(other).cancel()
        for wanted in range(start, end, PART_BYTES):
            if wanted not in self._ahead:
                self._ahead[wanted] = self._begin(wanted)


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


def _part(path: Path, start: int, length: int) -> tuple[io.BytesIO, bytes]:
    """So many bytes of a file, and their SHA-256; OSError when there are fewer.

    As a file again, since botocore would make one of bytes, and a copy of them.
    """
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        data = file.read(length) or b""
        while len(data) < length:
            more = file.read(length - len(data))
            if not more:
                raise OSError(errno.EIO, "the file became shorter while it was sent", str(path))
            data += more
    return io.BytesIO(data), _hash(data)


def _hash(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _base64(digest: bytes) -> str:
    return b64encode(digest).decode()


def _check_reply(operation: str, reply: Reply, field: str) -> None:
    """RequestFailed when the reply lacks what every good one has: it came from a server that stumbled, or from none."""
    if reply.get(field) in (None, ""):
        raise RequestFailed(operation, Doubtful(f"a reply without {field} came"))


def _is_error_document(data: bytes | memoryview) -> bool:
    return len(data) <= _ERROR_DOCUMENT_BYTES and re.match(rb"\s*(<\?xml[^>]*>)?\s*<Error>", data) is not None


def _has_checksum(reply: Reply) -> bool:
    """Whether botocore has compared the bytes with a sum that the server has sent along."""
    sums = [reply.get(kind) for kind in ("ChecksumSHA256", "ChecksumSHA1", "ChecksumCRC32")]
    return any(told and "-" not in told for told in sums)


def _sha256(reply: Reply) -> str | None:
    """What the server says of the object's bytes, in hex; None of one made of parts, whose sum is of their sums."""
    told = reply.get("ChecksumSHA256") or ""
    is_whole = reply.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT"
    if not told or "-" in told or not is_whole or _MULTIPART.fullmatch(reply.get("ETag") or ""):
        return None
    try:
        return b64decode(told, validate=True).hex()
    except ValueError:
        return None


def _refusal(operation: str, refused: Mapping[str, str]) -> Exception:
    """What botocore would have raised, had this been the whole reply."""
    from botocore.exceptions import ClientError

    return cast(Exception, ClientError({"Error": dict(refused)}, operation))


def _remove_spool(process: int, path: str) -> None:
    if os.getpid() == process:
        shutil.rmtree(path, ignore_errors=True)
