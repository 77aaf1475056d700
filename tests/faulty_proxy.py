"""A proxy in front of an S3 server that fails as it is told to, and counts what passes.

    with FaultyProxy(server.endpoint) as proxy:
        proxy.fail(LoseReply(), operation="PutObject")       # the next one, once
        proxy.fail(Answer(503, "SlowDown"), times=ALWAYS)    # every request from now on
        …                                                    # the client under test, with ``proxy.endpoint``
        assert proxy.count("PutObject") == 2

Heads and bodies pass as they came, the Host that the signature covers among them; faults apply to whole exchanges.
"""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import BinaryIO, Self
from urllib.parse import parse_qs, unquote, urlsplit

ALWAYS = 1_000_000

_PIECE_BYTES = 1 << 16
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass
class Exchange:
    """One request that passed; ``status`` is that of the reply as the client was given it, None where it got none."""

    method: str
    target: str
    headers: Mapping[str, str]
    status: int | None = None

    @property
    def key(self) -> str:
        """The object that is asked for, without the bucket; empty for a request of the bucket itself."""
        return unquote(urlsplit(self.target).path.lstrip("/")).partition("/")[2]

    @property
    def query(self) -> Mapping[str, list[str]]:
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)

    @property
    def operation(self) -> str:
        """What S3's reference calls the request."""
        query = self.query
        if not self.key:
            named = {"GET": "ListObjectsV2" if "list-type" in query else "GetBucket", "HEAD": "HeadBucket"}
            named["POST"] = "DeleteObjects" if "delete" in query else "PostBucket"
            named["PUT"] = "CreateBucket"
        elif "uploadId" in query:
            named = {"PUT": "UploadPart", "POST": "CompleteMultipartUpload", "DELETE": "AbortMultipartUpload"}
            named["GET"] = "ListParts"
        elif "uploads" in query:
            named = {"POST": "CreateMultipartUpload"}
        else:
            named = {"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject", "DELETE": "DeleteObject"}
        return named.get(self.method, self.method)

    def __str__(self) -> str:
        return f"{self.operation} {self.key or urlsplit(self.target).query} -> {self.status}"


# -- faults: what happens to an exchange instead of what should ---------------------------------------------------


@dataclass(frozen=True)
class ResetRequest:
    """The connection is reset when the server has got the head and ``after_bytes`` of the body; None: nothing at all."""

    after_bytes: int | None = None


@dataclass(frozen=True)
class LoseReply:
    """The server does what it is asked, and the connection is reset after ``after_bytes`` of its reply."""

    after_bytes: int = 0


@dataclass(frozen=True)
class Stall:
    """Nothing happens any more: before the request reaches the server, or with ``performed`` before its reply comes.

    With ``after_bytes`` of the reply, where they are more than none.
    """

    performed: bool = False
    after_bytes: int = 0


@dataclass(frozen=True)
class Answer:
    """An error as S3 words it. With ``status`` 200 it is the error in the body of a success.

    The server never sees the request, unless it is ``performed`` all the same. A ``document`` takes the error's place;
    ``header`` is a further line of the head.
    """

    status: int
    code: str
    performed: bool = False
    document: bytes | None = None
    header: str | None = None


@dataclass(frozen=True)
class Truncate:
    """The body ends after ``to_bytes``. ``admitted``: its length says so, else the connection just ends."""

    to_bytes: int
    admitted: bool = False


@dataclass(frozen=True)
class Flip:
    """One bit of the body is another: of the byte ``at``."""

    at: int = 0


@dataclass(frozen=True)
class Delay:
    """The reply comes late."""

    seconds: float


Fault = ResetRequest | LoseReply | Stall | Answer | Truncate | Flip | Delay


@dataclass
class Rule:
    """Which requests ``fault`` befalls: of those that match, the ``times`` that follow the first ``skip``."""

    fault: Fault
    matches: Callable[[Exchange], bool]
    skip: int
    times: int
    first: Callable[[], object] | None
    seen: int = 0

    @property
    def befell(self) -> int:
        """How many requests it has befallen."""
        return max(0, min(self.seen - self.skip, self.times))


class FaultyProxy:
    """A proxy on a free port of the loopback, in threads of this process, until it is closed."""

    def __init__(self, server: str) -> None:
        parts = urlsplit(server)
        assert parts.hostname is not None and parts.port is not None
        self._server = (parts.hostname, parts.port)
        self._lock = threading.Lock()
        self._closed = False
        self._rules: list[Rule] = []
        self._open: set[socket.socket] = set()
        self._stopped, self._stop = (
            socket.socketpair()
        )  # the first is readable from the moment the proxy is closed
        self.exchanges: list[Exchange] = []

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.close()
        self._threads[0].join()
        self._listener.close()
        with self._lock:
            self._closed = True
            for connection in self._open:
                with suppress(OSError):  # its other end may be gone
                    connection.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads from it
        for thread in self._threads:
            thread.join()
        self._stopped.close()

    @property
    def endpoint(self) -> str:
        host, port = self._listener.getsockname()
        return f"http://{host}:{port}"

    def fail(
        self,
        fault: Fault,
        *,
        operation: str | None = None,
        key: str | None = None,
        matches: Callable[[Exchange], bool] = lambda _: True,
        skip: int = 0,
        times: int = 1,
        first: Callable[[], object] | None = None,
    ) -> Rule:
        """From now on ``fault`` befalls matching requests: the ``times`` after the first ``skip``.

        ``operation`` is S3's name of it, ``key`` a part of the object's key; ``first`` is called before the fault.
        Of several rules that match, the oldest that is not used up counts.
        """

        def all_match(exchange: Exchange) -> bool:
            return (
                operation in (None, exchange.operation)
                and (key is None or key in exchange.key)
                and matches(exchange)
            )

        rule = Rule(fault, all_match, skip, times, first)
        with self._lock:
            self._rules.append(rule)
        return rule

    def heal(self) -> None:
        """Nothing fails any more."""
        with self._lock:
            self._rules.clear()

    def forget(self) -> None:
        """Count from none again."""
        with self._lock:
            self.exchanges.clear()

    def count(self, operation: str | None = None, key: str = "") -> int:
        """How many requests came since the last ``forget``."""
        with self._lock:
            return sum(operation in (None, one.operation) and key in one.key for one in self.exchanges)

    def counts(self) -> dict[str, int]:
        """How many requests came since the last ``forget``, by operation."""
        with self._lock:
            return dict(sorted(Counter(one.operation for one in self.exchanges).items()))

    # -- one thread for each connection ----------------------------------------------------------------------------

    def _accept(self) -> None:
        while self._stopped not in select.select([self._listener, self._stopped], [], [])[0]:
            client, _ = self._listener.accept()
            thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        try:
            with self._registered(client), client.makefile("rb") as requests:
                while self._pass_on(client, requests):
                    pass
        except OSError:
            _reset(client)
        finally:
            client.close()

    @contextmanager
    def _registered(self, connection: socket.socket) -> Iterator[None]:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            if self._closed:
                raise ConnectionResetError
            self._open.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._open.remove(connection)

    def _pass_on(self, client: socket.socket, requests: BinaryIO) -> bool:
        """Serve one request; whether another may follow on this connection. ConnectionError: reset it."""
        head = _Head.read(requests)
        if head is None:
            return False
        method, target, _ = head.words
        exchange = Exchange(method, target, head.headers)
        with self._lock:
            self.exchanges.append(exchange)
            rule = self._rule_for(exchange)
        if rule is not None and rule.first is not None:
            rule.first()
        fault = rule.fault if rule is not None else None

        if isinstance(fault, ResetRequest) and fault.after_bytes is None:
            raise ConnectionResetError
        if isinstance(fault, Stall | Answer) and not fault.performed:
            if head.waits:
                client.sendall(_CONTINUE)
            for _ in head.body(requests):
                pass
            return self._end_without(client, exchange, fault)
        with (
            socket.create_connection(self._server) as server,
            self._registered(server),
            server.makefile("rb") as replies,
        ):
            try:
                limit = fault.after_bytes if isinstance(fault, ResetRequest) else None
                reply = _ask(client, requests, server, replies, head, limit)
                return self._reply(client, replies, exchange, reply, fault) and head.keeps_alive
            except OSError:
                _reset(server)
                raise

    def _reply(
        self, client: socket.socket, replies: BinaryIO, exchange: Exchange, head: _Head, fault: Fault | None
    ) -> bool:
        """Give the client the reply that begins with ``head``; whether another request may follow."""
        bodiless = exchange.method == "HEAD" or head.status in (
            HTTPStatus.NO_CONTENT,
            HTTPStatus.NOT_MODIFIED,
        )
        if isinstance(fault, Delay):
            select.select([self._stopped], [], [], fault.seconds)
        if isinstance(fault, LoseReply | Stall | Answer):
            whole = head.raw + (b"" if bodiless else b"".join(head.body(replies)))  # so it was performed
            if isinstance(fault, Answer):
                return self._end_without(client, exchange, fault)
            client.sendall(whole[: fault.after_bytes])
            if isinstance(fault, LoseReply):
                raise ConnectionResetError
            return self._end_without(client, exchange, fault)
        exchange.status = head.status
        if isinstance(fault, Truncate | Flip) and not bodiless and head.status < HTTPStatus.MULTIPLE_CHOICES:
            body = head.decoded_body(replies)
            changed = bytearray(body)
            if isinstance(fault, Flip):
                changed[fault.at] ^= 0x10
                client.sendall(head.with_length(len(body)) + changed)
                return head.keeps_alive
            del changed[fault.to_bytes :]
            client.sendall(head.with_length(len(changed) if fault.admitted else len(body)) + changed)
            return fault.admitted and head.keeps_alive
        client.sendall(head.raw)
        if not bodiless:
            for piece in head.body(replies) if head.is_framed else [replies.read()]:
                client.sendall(piece)
        return head.keeps_alive and (bodiless or head.is_framed)

    def _end_without(self, client: socket.socket, exchange: Exchange, fault: Stall | Answer) -> bool:
        """End the exchange as ``fault`` says, without the server's reply; whether another may follow."""
        if isinstance(fault, Answer):
            exchange.status = fault.status
            client.sendall(_error(fault, exchange))
            return True
        select.select([client, self._stopped], [], [])  # until the client gives up, or the proxy is closed
        return False

    def _rule_for(self, exchange: Exchange) -> Rule | None:
        for rule in self._rules:
            if rule.seen < rule.skip + rule.times and rule.matches(exchange):
                rule.seen += 1
                return rule if rule.seen > rule.skip else None
        return None


# -- HTTP/1.1, as far as it takes ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Head:
    """The head of a request or of a reply, as it came; ``headers`` with their names in lowercase."""

    raw: bytes
    headers: Mapping[str, str] = field(repr=False)

    @classmethod
    def read(cls, stream: BinaryIO) -> _Head | None:
        """The next one, or None at the end."""
        lines = [stream.readline()]
        while lines[-1] not in (b"\r\n", b""):
            lines.append(stream.readline())
        if lines[-1] == b"":
            return None
        fields = (line.decode("latin-1").partition(":") for line in lines[1:-1])
        return cls(b"".join(lines), {name.strip().lower(): value.strip() for name, _, value in fields})

    @classmethod
    def read_reply(cls, stream: BinaryIO) -> _Head:
        head = cls.read(stream)
        if head is None:
            raise ConnectionResetError
        return head

    @property
    def words(self) -> list[str]:
        return self.raw.partition(b"\r\n")[0].decode("latin-1").split(" ", 2)

    @property
    def status(self) -> int:
        return int(self.words[1])

    @property
    def keeps_alive(self) -> bool:
        return b"HTTP/1.1" in self.raw.partition(b"\r\n")[0] and self.headers.get("connection", "") != "close"

    @property
    def is_framed(self) -> bool:
        """Whether the end of a body that follows can be told from the end of the connection."""
        return "content-length" in self.headers or self._is_chunked

    @property
    def _is_chunked(self) -> bool:
        return self.headers.get("transfer-encoding", "").lower() == "chunked"

    @property
    def waits(self) -> bool:
        """Whether the client of this request sends its body only when it is asked to."""
        return self.headers.get("expect", "").lower() == "100-continue"

    def body(self, stream: BinaryIO) -> Iterator[bytes]:
        """The body as it is on the wire; none where no word of its length is given."""
        if not self._is_chunked:
            yield from _pieces(stream, int(self.headers.get("content-length", 0)))
            return
        size = -1
        while size:
            line = _line(stream)
            size = int(line.partition(b";")[0], 16)
            yield line
            yield from _pieces(stream, size)
            while size == 0 and line != b"\r\n":  # trailers, and the empty line after them
                line = _line(stream)
                yield line
            if size:
                yield _line(stream)

    def decoded_body(self, stream: BinaryIO) -> bytes:
        if not self.is_framed:
            return stream.read()
        if not self._is_chunked:
            return b"".join(self.body(stream))
        whole = []
        while size := int(_line(stream).partition(b";")[0], 16):
            whole += [*_pieces(stream, size)]
            _line(stream)
        while _line(stream) != b"\r\n":
            pass
        return b"".join(whole)

    def with_length(self, size: int) -> bytes:
        """The head of the same reply with a body of ``size`` bytes, in one piece."""
        dropped = (b"content-length:", b"transfer-encoding:")
        lines = [line for line in self.raw.splitlines(keepends=True) if not line.lower().startswith(dropped)]
        return b"".join([*lines[:-1], b"Content-Length: %d\r\n" % size, lines[-1]])


def _pieces(stream: BinaryIO, size: int) -> Iterator[bytes]:
    while size:
        piece = stream.read(min(size, _PIECE_BYTES))
        if not piece:
            raise ConnectionResetError
        size -= len(piece)
        yield piece


def _line(stream: BinaryIO) -> bytes:
    line = stream.readline()
    if not line.endswith(b"\n"):
        raise ConnectionResetError
    return line


def _ask(
    client: socket.socket,
    requests: BinaryIO,
    server: socket.socket,
    replies: BinaryIO,
    head: _Head,
    limit: int | None,
) -> _Head:
    """Give the server the request; the head of its reply. ConnectionResetError after ``limit`` bytes of the body."""
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server.sendall(head.raw)
    asked = True
    if head.waits:
        first = _Head.read_reply(replies)
        if first.status != HTTPStatus.CONTINUE:
            return first  # it does not want the body
        client.sendall(first.raw)
    sent = 0
    for piece in head.body(requests):
        if limit is not None and sent + len(piece) > limit:
            server.sendall(piece[: limit - sent])
            raise ConnectionResetError
        try:
            if asked:
                server.sendall(piece)
        except OSError:
            asked = False  # it has answered before the end, and that is the reply
        sent += len(piece)
    if limit is not None:
        raise ConnectionResetError
    reply = _Head.read_reply(replies)
    while reply.status == HTTPStatus.CONTINUE:
        client.sendall(reply.raw)
        reply = _Head.read_reply(replies)
    return reply


def _error(fault: Answer, exchange: Exchange) -> bytes:
    document = (
        fault.document
        or (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{fault.code}</Code>'
            f"<Message>The proxy was told to say {fault.code}.</Message><Resource>/{exchange.key}</Resource>"
            f"<RequestId>{time.monotonic_ns():016X}</RequestId></Error>"  # no two are the same
        ).encode()
    )
    lines = [
        f"HTTP/1.1 {fault.status} {HTTPStatus(fault.status).phrase}",
        "Content-Type: application/xml",
        f"Content-Length: {len(document)}",
        *([fault.header] if fault.header else ()),
    ]
    head = "".join(f"{line}\r\n" for line in [*lines, ""]).encode()
    return head if exchange.method == "HEAD" else head + document


def _reset(connection: socket.socket) -> None:
    """Have the connection end with RST when it is closed, as behind a router that has forgotten it."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
