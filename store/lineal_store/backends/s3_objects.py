"""Objects of S3: created once, read whole, found, listed and deleted, by coroutines."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import io
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Any, cast

from lineal_store.backends import s3_errors
from lineal_store.backends.s3_errors import Doubtful, RequestFailed
from lineal_store.backends.s3_requests import Reply, Requests, side_by_side
from lineal_store.errors import ObjectMissing, StoreUnavailable
from lineal_store.protocols import ObjectInfo, Upload, is_name

PART_BYTES = 8 << 20
"""Objects up to this size are sent in one request, and larger files in parts of it."""

_MOST_PARTS = 10_000
_DELETED_AT_ONCE = 1000
_CLEANING_TRIES = 2
_HASHED_HERE_BYTES = 1 << 18
_ERROR_DOCUMENT_BYTES = 4096
_MULTIPART = re.compile(r'"[^"]*-[0-9]+"')


class Objects:
    """What lies under a prefix of a bucket (empty, or ending in ``/``), for one process.

    RequestFailed where a request failed for good. With ``single_writer`` nobody else creates objects here, and what the
    server says of conditions and of sums is not believed.
    """

    def __init__(self, url: str, prefix: str, requests: Requests, *, single_writer: bool) -> None:
        self.requests = requests
        self._url, self._prefix, self._single_writer = url, prefix, single_writer

    # -- writing -----------------------------------------------------------------------------------------------------

    async def create(self, upload: Upload) -> bool:
        """Whether this put the object there; False: the name existed, and is untouched."""
        if not self._single_writer or upload.replace:
            return await self._send(upload)
        async with self.requests.lock(upload.name):  # two threads of this process are one writer
            if await self.find(upload.name) is not None:
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
            is_short = len(source) <= _HASHED_HERE_BYTES  # a long one would keep all other requests waiting
            digest = _hash(source) if is_short else await asyncio.to_thread(_hash, source)
            return await self._put(upload.name, source, digest, upload.replace)
        size = source.stat().st_size
        if size > PART_BYTES:
            return await self._put_parts(upload.name, source, size, upload.replace)
        async with self.requests.bodies.taken(size):
            body, digest = await asyncio.to_thread(_part, source, 0, size)
            return await self._put(upload.name, body, digest, upload.replace)

    async def _put(self, name: str, body: bytes | io.BytesIO, digest: bytes, replace: bool) -> bool:
        parameters = {"Key": self._prefix + name, "Body": body, "ChecksumSHA256": _base64(digest)}
        made, is_certain = await self._create_once("put_object", parameters, replace)
        if made or is_certain:
            return made
        return await self.read(name) == (body if isinstance(body, bytes) else body.getvalue())

    async def _put_parts(self, name: str, path: Path, size: int, replace: bool) -> bool:
        if not replace and await self.find(name) is not None:
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
                if replace and not made:
                    raise RequestFailed("complete_multipart_upload", Doubtful("an upload was lost"))
        except BaseException:
            await asyncio.shield(self._abort(upload))
            raise
        if not made:
            await self._abort(upload)
        return made

    async def _put_part(
        self, path: Path, size: int, part_bytes: int, upload: Mapping[str, Any], number: int
    ) -> Mapping[str, object]:
        start = number * part_bytes
        length = min(part_bytes, size - start)
        async with self.requests.bodies.taken(length):
            body, digest = await asyncio.to_thread(_part, path, start, length)
            part: dict[str, Any] = {"PartNumber": number + 1, "ChecksumSHA256": _base64(digest)}
            reply = await self._ask_for("ETag", "upload_part", Body=body, **upload, **part)
        return {**part, "ETag": reply["ETag"]}

    async def _create_once(
        self, operation: str, parameters: Mapping[str, Any], replace: bool
    ) -> tuple[bool, bool]:
        """Whether the request made the object, and whether that is certain.

        It is not where the object was there after a try of which nobody knows what came.
        """
        condition = {} if replace else {"IfNoneMatch": "*"}
        is_certain = True

        async def attempt() -> bool:
            nonlocal is_certain
            try:
                reply = await self.requests.send(operation, **parameters, **condition)
                _check_reply(operation, reply, "ETag")
            except RequestFailed as failed:
                is_refused = failed.code in s3_errors.REFUSED_BY_CONDITION and not replace
                # An upload that was completed is no more, and one that was not cannot be completed any more.
                if is_refused or (failed.code == "NoSuchUpload" and not is_certain):
                    return False
                is_certain = is_certain and not failed.may_have_worked
                raise
            return True

        return await self.requests.persist(attempt), is_certain

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
        for start in range(0, size, PART_BYTES):
            length = min(PART_BYTES, size - start)
            ours, _ = await asyncio.to_thread(_part, path, start, length)
            if await self.read_range(name, reply["ETag"], start, length, size) != ours.getbuffer():
                return False
        return True

    async def _abort(self, upload: Mapping[str, str]) -> None:
        """Let the server forget the parts; what it keeps of them, it shows to nobody."""
        with suppress(RequestFailed):
            await self.requests.ask("abort_multipart_upload", tries=_CLEANING_TRIES, **upload)

    async def delete(self, names: Sequence[str]) -> None:
        """Delete objects; absent ones are fine."""
        batches = [names[at : at + _DELETED_AT_ONCE] for at in range(0, len(names), _DELETED_AT_ONCE)]
        await side_by_side(self._delete, batches)

    async def _delete(self, names: Sequence[str]) -> None:
        keys = [self._prefix + name for name in names]
        wanted = {"Objects": [{"Key": key} for key in keys]}

        async def attempt() -> None:
            reply = await self.requests.send("delete_objects", Delete=wanted)
            refused = reply.get("Errors") or ()
            for error in refused:
                if error.get("Code") not in s3_errors.ABSENT:
                    raise RequestFailed("delete_objects", _refusal("DeleteObjects", error))
            told = {entry.get("Key") for entry in (*(reply.get("Deleted") or ()), *refused)}
            if left := [key for key in keys if key not in told]:
                raise RequestFailed("delete_objects", Doubtful(f"of {left[0]} nothing was said"))

        await self.requests.persist(attempt)

    async def is_refused(self, name: str, data: bytes) -> bool:
        """Whether the server refuses to create an object that exists: ``name``, which holds ``data``, as it will after."""
        parameters: dict[str, Any] = {"Key": self._prefix + name, "Body": data, "IfNoneMatch": "*"}
        parameters["ChecksumSHA256"] = _base64(_hash(data))
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

    async def read(self, name: str) -> bytes | None:
        """The bytes of an object, None when there is none."""
        read = await self.receive(name)
        return bytes(read[1]) if read is not None else None

    async def receive(
        self, name: str, limit_bytes: int | None = None
    ) -> tuple[Reply, bytes | memoryview] | None:
        """An object, or the start of it, and the reply's head; None when there is none."""
        # What a careless server says of its objects may be what it was told of others.
        parameters = {} if self._single_writer else {"ChecksumMode": "ENABLED"}
        known: Reply | None = None

        async def attempt() -> tuple[Reply, bytes | memoryview]:
            nonlocal known
            reply, data = await self.requests.receive(limit_bytes, Key=self._prefix + name, **parameters)
            _check_reply("get_object", reply, "ETag")
            # A server that stumbles after it has said 200 can only put the error into the body; but an object may
            # hold the like of it too. Its sum has been checked, or it is what another request says that it is.
            if _is_error_document(data) and not _has_checksum(reply):
                if known is None:
                    known = await self._head(name) or {}
                if (known.get("ETag"), known.get("ContentLength")) != (reply["ETag"], len(data)):
                    raise RequestFailed("get_object", Doubtful("an error came in place of an object"))
            return reply, data

        try:
            return await self.requests.persist(attempt)
        except RequestFailed as failed:
            if failed.code not in s3_errors.ABSENT:
                raise
            return None

    async def read_range(
        self, name: str, etag: str, start: int, length: int, size: int
    ) -> bytes | memoryview:
        """A range of an object that has been read from before; StoreUnavailable when it has been replaced since."""
        wanted = f"bytes={start}-{start + length - 1}"

        async def attempt() -> bytes | memoryview:
            reply, data = await self.requests.receive(
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
            return await self.requests.persist(attempt)
        except RequestFailed as failed:
            if failed.code in s3_errors.ABSENT:
                raise ObjectMissing(self._url, name) from None
            if failed.code in s3_errors.REFUSED_BY_CONDITION | s3_errors.BEYOND_THE_END:
                hint = "Run the same again."
                raise StoreUnavailable(
                    self._url, f"{name} was replaced while it was read", hint, True
                ) from None
            raise

    async def find(self, name: str) -> ObjectInfo | None:
        """What is known of an object, None when there is none."""
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
                # A reply to HEAD has no room for the reason; to this it is told, unless it is another.
                await self.look()
            raise

    async def list(self, prefix: str) -> Sequence[ObjectInfo]:
        """Every object whose name starts with ``prefix``, sorted by name.

        Servers list in orders of their own: SeaweedFS, say, has ``a/x`` before ``a-b``, as directories have it.
        """
        found = []
        for page in await self._pages(Prefix=self._prefix + prefix):
            for entry in page.get("Contents") or ():
                name = entry["Key"].removeprefix(self._prefix)
                if is_name(name) and name.startswith(prefix):
                    found.append(ObjectInfo(name, entry["Size"], entry["LastModified"].astimezone(UTC)))
        return sorted(found, key=lambda info: info.name)

    async def folders(self, prefix: str) -> Sequence[str]:
        """The segments that follow ``prefix`` in names that go on below them, sorted."""
        key = self._prefix + prefix
        pages = await self._pages(Prefix=key, Delimiter="/")
        found = [common["Prefix"] for page in pages for common in page.get("CommonPrefixes") or ()]
        segments = [folder.removeprefix(key).removesuffix("/") for folder in found if folder.startswith(key)]
        return sorted({name for name in segments if is_name(prefix + name) and "/" not in name})

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

    async def look(self, *, tries: int | None = None) -> Reply:
        """Ask for the least that shows that the bucket is there, and whose refusal comes with a reason."""
        least: dict[str, Any] = {"Prefix": self._prefix, "MaxKeys": 1}
        return await self._ask_for("IsTruncated", "list_objects_v2", tries=tries, **least)

    async def clock_skew(self) -> timedelta | None:
        """How far the server's clock is ahead of ours, within a second or so; None where it does not say."""

        async def attempt() -> timedelta | None:
            begun = datetime.now(UTC)
            try:
                reply = await self.requests.send("list_objects_v2", Prefix=self._prefix, MaxKeys=1)
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

        return await self.requests.persist(attempt)

    async def _ask_for(
        self, field: str, operation: str, *, tries: int | None = None, **parameters: Any
    ) -> Reply:
        """The reply to a request that may be sent again without harm, and which has ``field``."""

        async def attempt() -> Reply:
            reply = await self.requests.send(operation, **parameters)
            _check_reply(operation, reply, field)
            return reply

        return await self.requests.persist(attempt, tries=tries)


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
