"""Requests to S3, sent side by side by one thread of a process, and again where that may help.

s3fs finds the endpoint and the credentials, and signs. Of its retries, botocore's and aiohttp's none is left: whoever
asks for something to be created must know whether an earlier try may have done it.
"""

from __future__ import annotations

import asyncio
import functools
import io
import os
import random
import threading
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from lineal_store.backends.s3_errors import Doubtful, RequestFailed

AT_ONCE = 16
BODY_BYTES = 32 << 20
"""What the bodies of files under way may take of memory, in bytes; one that is larger goes alone."""

_LEAST_TRIES = 2
_SMALL_BYTES = 1 << 20
_CANCEL_SECONDS = 5.0

Result = TypeVar("Result")
Item = TypeVar("Item")
Reply = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a request may take, and how often it is sent.

    Before the n-th try after the first a random part of ``base_seconds * 2**(n - 1)`` is waited, at most
    ``cap_seconds`` (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015). After
    ``total_seconds`` none is made but the second.
    """

    tries: int = 6
    base_seconds: float = 0.5
    cap_seconds: float = 8.0
    total_seconds: float = 20.0
    connect_seconds: float = 5.0
    read_seconds: float = 30.0
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    random: Callable[[], float] = random.random
    clock: Callable[[], float] = time.monotonic

    def delay_seconds(self, failures: int) -> float:
        """How long to wait after so many failures (from 1)."""
        return self.random() * min(self.cap_seconds, self.base_seconds * 2.0 ** (failures - 1))


class Requests:
    """The requests of this process to one bucket; several threads may share it. Useless in a forked child."""

    def __init__(self, bucket: str, patience: Patience) -> None:
        self._bucket, self._patience = bucket, patience
        self._has_given_up = False
        self._gate = asyncio.Semaphore(AT_ONCE)
        self.bodies = Budget(BODY_BYTES)
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._filesystems: list[Any] = []
        weakref.finalize(self, _close, os.getpid(), self._filesystems)

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """The result of a coroutine, which uses this; it is cancelled when waiting for it is interrupted."""
        ended = threading.Event()

        async def noted() -> Result:
            try:
                return await work
            finally:
                ended.set()

        future = self.begin(noted())
        try:
            return future.result()
        except BaseException:
            if not future.done():  # Ctrl-C, say: what is under way is to leave nothing behind
                future.cancel()
                ended.wait(_CANCEL_SECONDS)
            raise

    def begin(self, work: Coroutine[Any, Any, Result]) -> Future[Result]:
        """Start a coroutine, which uses this."""
        import s3fs  # noqa: F401 — here, so that the thread that all requests share need not wait for it
        from fsspec.asyn import get_loop

        return asyncio.run_coroutine_threadsafe(work, get_loop())

    async def persist(self, attempt: Callable[[], Awaitable[Result]], *, tries: int | None = None) -> Result:
        """The result of ``attempt``, which is called again when it raised a RequestFailed that may pass.

        Where that was of no use, the requests that follow are sent but twice, until one succeeds: nobody waits for the same server
        over and over.
        """
        patience, failures = self._patience, 0
        tries = tries or patience.tries
        begun = patience.clock()
        while True:
            try:
                result = await attempt()
            except RequestFailed as failed:
                if not failed.is_transient:
                    raise
                failures += 1
                late = patience.clock() - begun >= patience.total_seconds
                self._has_given_up |= late or failures >= patience.tries
                if failures >= tries or (self._has_given_up and failures >= _LEAST_TRIES):
                    raise
            else:
                self._has_given_up = False
                return result
            await patience.sleep(patience.delay_seconds(failures))

    async def ask(self, operation: str, *, tries: int | None = None, **parameters: Any) -> Reply:
        """The reply to a request that may be sent again without harm."""
        return await self.persist(lambda: self.send(operation, **parameters), tries=tries)

    async def send(self, operation: str, **parameters: Any) -> Reply:
        """The reply to one request, sent once; RequestFailed."""
        async with self._gate:
            return await self._send(operation, parameters)

    async def receive(
        self, limit_bytes: int | None = None, **parameters: Any
    ) -> tuple[Reply, bytes | memoryview]:
        """An object, or a range of one, asked for once; of more than ``limit_bytes`` so many, from the start."""
        async with self._gate:
            reply = await self._send("get_object", parameters)
            expected = reply.get("ContentLength")
            try:
                async with reply["Body"] as body:
                    if limit_bytes is None or expected is None or expected <= _SMALL_BYTES:
                        data = await body.read()
                    else:
                        data = await _received(body, expected, limit_bytes)
                        expected = min(expected, limit_bytes)
            except Exception as error:
                raise RequestFailed("get_object", error) from error
        if expected is not None and len(data) != expected:
            raise RequestFailed("get_object", Doubtful(f"{len(data)} bytes came of {expected}"))
        return reply, data

    def lock(self, name: str) -> asyncio.Lock:
        """What one of the coroutines that use ``name`` can hold at a time."""
        return self._locks.setdefault(name, asyncio.Lock())

    async def _send(self, operation: str, parameters: Mapping[str, Any]) -> Reply:
        body = parameters.get("Body")
        if isinstance(body, io.BytesIO):
            body.seek(0)  # an earlier try has read it
        try:
            if not self._filesystems:
                self._filesystems.append(_new_filesystem(self._patience))
            reply: Reply = await self._filesystems[0]._call_s3(operation, Bucket=self._bucket, **parameters)
        except Exception as error:
            raise RequestFailed(operation, error) from error
        return reply


class Budget:
    """So many bytes, taken and given back."""

    def __init__(self, size_bytes: int) -> None:
        self._size = self._free = size_bytes
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def taken(self, size_bytes: int) -> AsyncIterator[None]:
        """Wait until so many are free, and take them; all, where it is more than all."""
        size = min(size_bytes, self._size)
        async with self._changed:
            await self._changed.wait_for(lambda: self._free >= size)
            self._free -= size
        try:
            yield
        finally:
            async with self._changed:
                self._free += size
                self._changed.notify_all()


async def side_by_side(work: Callable[[Item], Awaitable[Result]], items: Iterable[Item]) -> Sequence[Result]:
    """What ``work`` makes of each item, in their order; of several errors the first, when all work has ended."""
    left = iter(enumerate(items))
    results: dict[int, Result] = {}

    async def lane() -> None:
        for number, item in left:
            results[number] = await work(item)

    try:
        async with asyncio.TaskGroup() as lanes:
            for _ in range(AT_ONCE):
                lanes.create_task(lane())
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [results[number] for number in sorted(results)]


def preload() -> None:
    """Import s3fs, and read what it needs of files, so that processes forked from this one need not.

    Starts no thread, opens no socket, and looks at no credentials.
    """
    import s3fs  # noqa: F401
    from aiobotocore.session import AioSession
    from botocore.exceptions import BotoCoreError

    session = AioSession()
    with suppress(BotoCoreError):  # of settings that are wrong, the first request will tell
        loader = _loader(session.get_config_variable("data_path"))
        for name in ("_retry", "endpoints", "partitions", "sdk-default-configuration"):
            loader.load_data_with_path(name)
        for kind in ("service-2", "endpoint-rule-set-1"):
            loader.load_service_model("s3", kind)
        verify = session.get_config_variable("ca_bundle") or True
        with suppress(OSError):
            _session_class()(verify=verify)._build_ssl_contexts(None)


async def _received(body: Any, size_bytes: int, limit_bytes: int) -> memoryview:
    """A body of that size, or so much of it, in memory once; to read all of it at a time would take twice as much."""
    data = memoryview(bytearray(min(size_bytes, limit_bytes)))
    at = 0
    while at < len(data) and (piece := await body.read(len(data) - at)):
        data[at : at + len(piece)] = piece
        at += len(piece)
    if at == size_bytes:
        await body.read(1)  # at the end, the sum is looked at
    return data[:at]


def _new_filesystem(patience: Patience) -> Any:
    """A file system whose requests are sent once; to be used by coroutines of one loop alone."""
    from aiobotocore.session import AioSession
    from s3fs import S3FileSystem

    session = AioSession()
    session.register_component("data_loader", _loader(session.get_config_variable("data_path")))
    # Other kits of AWS go by AWS_REGION; botocore alone does not look at it.
    region = os.environ.get("AWS_REGION")
    filesystem = S3FileSystem(
        session=session,
        asynchronous=True,  # else it closes itself, through sockets that a forked child shares with its parent
        skip_instance_cache=True,
        use_listings_cache=False,
        client_kwargs={"region_name": region} if region else {},
        config_kwargs={
            "connect_timeout": patience.connect_seconds,
            "read_timeout": patience.read_seconds,
            "retries": {"total_max_attempts": 1, "mode": "standard"},
            "max_pool_connections": 2 * AT_ONCE,
            # Of a range there is no sum, yet some servers send that of the whole. ``read`` asks for it by itself.
            "response_checksum_validation": "when_required",
            "http_session_cls": _session_class(),
        },
    )
    filesystem.retries = 1
    return filesystem


@functools.cache
def _loader(data_path: str | None) -> Any:
    """botocore's descriptions of services, kept once they are read: they take longer than many requests."""
    from botocore.loaders import create_loader

    return create_loader(data_path)


@functools.cache
def _session_class() -> type[Any]:
    from aiobotocore.httpsession import AIOHTTPSession

    class SendingOnce(AIOHTTPSession):  # type: ignore[misc]
        """aiohttp sends a PUT again, in silence, when the connection ends without a reply; this one does not.

        It also reads the certificates of authorities once, and not for every client.
        """

        _contexts: ClassVar[dict[object, Any]] = {}

        async def _get_session(self, proxy_url: str | None) -> Any:
            session = await super()._get_session(proxy_url)
            session._retry_connection = False
            return session

        def _build_ssl_contexts(self, proxy_url: str | None) -> Any:
            if proxy_url or self._cert_file:
                return super()._build_ssl_contexts(proxy_url)
            if self._verify not in self._contexts:
                self._contexts[self._verify] = super()._build_ssl_contexts(None)
            return self._contexts[self._verify]

    return SendingOnce


def _close(process: int, filesystems: Sequence[Any]) -> None:
    """Close what this process has opened, and leave alone what its parent has."""
    for filesystem in filesystems:
        client = getattr(filesystem, "_s3", None)
        if client is None:
            continue
        if os.getpid() == process:
            from fsspec.asyn import get_loop

            filesystem.close_session(get_loop(), filesystem._s3creator)
            continue
        with suppress(AttributeError):
            for session in client._endpoint.http_session._sessions.values():
                # By closing it a child would take its parent's sockets off the parent's watch list (epoll(7)),
                # which they share; forgotten, it is not closed.
                connector = session.connector
                session.detach()
                connector._closed = True
