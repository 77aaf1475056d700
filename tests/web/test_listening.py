"""The server itself: what it lets slow and hostile clients do, and whose port it takes."""

from __future__ import annotations

import queue
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest

from lineal.errors import UsageError
from lineal_web import listening
from lineal_web.listening import answering_at

PATIENCE_SECONDS = 60.0


class Logged:
    """What the server logs, as it comes."""

    def __init__(self) -> None:
        self.lines: queue.Queue[tuple[str, str]] = queue.Queue()

    def __call__(self, at: datetime, level: str, message: str, **facts: object) -> None:
        self.lines.put((level, message))

    def wait_for(self, pattern: str) -> str:
        """The first line that fits; those before it are forgotten."""
        while True:
            _, message = self.lines.get(timeout=PATIENCE_SECONDS)
            if re.search(pattern, message):
                return message


@contextmanager
def answering(site: Any, address: str, *names: str) -> Iterator[Logged]:
    logged = Logged()
    with answering_at(address, names)([site.served], logged):
        yield logged


@pytest.fixture
def port(site: Any) -> Iterator[int]:
    with answering(site, "127.0.0.1:0") as logged:
        yield port_of(logged)


def port_of(logged: Logged) -> int:
    return int(logged.wait_for("answering HTTP").rpartition(":")[2])


@contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as connection:
        yield connection


def all_of(connection: socket.socket) -> bytes:
    """What is answered until the server closes the connection."""
    found = b""
    try:
        while more := connection.recv(65536):
            found += more
    except ConnectionError:  # cut off, not closed
        pass
    return found


def asked(port: int, text: str) -> tuple[int, bytes]:
    """The status, 0 where there is none, and all of the answer to a request written by hand."""
    with connected(port) as connection:
        connection.sendall(text.replace("\n", "\r\n").replace("PORT", str(port)).encode())
        found = all_of(connection)
    return int(found.split(maxsplit=2)[1]) if found else 0, found


def test_it_answers_who_asks_for_it_and_does_not_say_what_it_is(port: int) -> None:
    status, found = asked(port, "GET /health HTTP/1.1\nHost: 127.0.0.1:PORT\nConnection: close\n\n")

    assert status == 200
    assert b"server:" not in found.lower()
    assert b"uvicorn" not in found.lower()


@pytest.mark.parametrize(
    ("text", "statuses"),
    [
        ("GET /health HTTP/1.1\nConnection: close\n\n", {400}),
        ("GET /health HTTP/1.0\n\n", {421}),
        ("GET http://evil.example/health HTTP/1.1\nHost: evil.example\nConnection: close\n\n", {421}),
        ("GET /health HTTP/1.1\nHost: 127.0.0.1:PORT\nHost: evil.example\n\n", {400}),
        ("GET /health HTTP/1.1\nHost : 127.0.0.1:PORT\n\n", {400}),
        ("GET /static/../health HTTP/1.1\nHost: 127.0.0.1:PORT\nConnection: close\n\n", {404}),
        ("GET /%2e%2e/health HTTP/1.1\nHost: 127.0.0.1:PORT\nConnection: close\n\n", {404}),
        ("GET /\xff HTTP/1.1\nHost: 127.0.0.1:PORT\n\n", {400}),
        ("NONSENSE\n\n", {400}),
        ("\x16\x03\x01\x02\x00\x01\n\n", {400}),  # TLS
        ("GET /" + "a" * 70_000 + " HTTP/1.1\n", {400}),
        ("GET /health HTTP/1.1\nHost: 127.0.0.1:PORT\nX: " + "a" * 70_000, {400}),
        ("POST /hooks/a HTTP/1.1\nHost: 127.0.0.1:PORT\nContent-Length: 1\nContent-Length: 2\n\n", {400}),
        ("POST /hooks/a HTTP/1.1\nHost: 127.0.0.1:PORT\nTransfer-Encoding: chunked\n\nZZ\n", {0, 400, 401}),
        ("POST /hooks/a HTTP/1.1\nHost: 127.0.0.1:PORT\nContent-Length: -1\n\n", {400}),
        ("GET /health HTTP/1.1\nHost: 127.0.0.1:PORT\nConnection: upgrade, close\nUpgrade: websocket\n\n", {200}),
        ("GET /health HTTP/1.1\nHost: 127.0.0.1:PORT\nUpgrade: h2c\nConnection: Upgrade, close\n\n", {200}),
    ],
)  # fmt: skip
def test_what_is_no_good_request_gets_a_plain_answer(port: int, text: str, statuses: set[int]) -> None:
    assert asked(port, text)[0] in statuses


@pytest.mark.parametrize(
    "text",
    [
        "",
        "GET /health HTTP/1.1\nHost: 127.0.0.1:PORT\n",
        "POST /hooks/labels HTTP/1.1\nHost: 127.0.0.1:PORT\nContent-Length: 10\n\nabc",
        "POST /hooks/labels HTTP/1.1\nHost: 127.0.0.1:PORT\nTransfer-Encoding: chunked\n\n3\nabc\n",
    ],
)
def test_who_does_not_ask_to_the_end_is_cut_off(
    site: Any, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "ANSWER_SECONDS", 0.2)
    with answering(site, "127.0.0.1:0") as logged:
        assert asked(port_of(logged), text) == (0, b"")


def test_who_sends_more_than_may_be_is_answered_and_cut_off(site: Any) -> None:
    """A body without an end is not read to its end."""
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    with answering(site, "127.0.0.1:0") as logged, connected(port_of(logged)) as connection:
        host = f"Host: 127.0.0.1:{connection.getpeername()[1]}"
        connection.sendall(
            f"POST /hooks/labels HTTP/1.1\r\n{host}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        with pytest.raises(ConnectionError):
            while True:
                connection.sendall(chunk)


def test_when_too_many_are_connected_the_next_is_told_so_and_the_others_go_on(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "_MOST_CONNECTIONS", 3)
    with answering(site, "127.0.0.1:0") as logged:
        port = port_of(logged)
        question = "GET /health HTTP/1.1\nHost: 127.0.0.1:PORT\nConnection: close\n\n"
        with connected(port) as first, connected(port):
            assert asked(port, question)[0] == 503
            first.sendall(question.replace("\n", "\r\n").replace("PORT", str(port)).encode())
            assert all_of(first).startswith(b"HTTP/1.1 200")


def test_a_port_that_another_has_is_taken_when_it_is_free(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon that is followed ends later than the next one begins."""
    monkeypatch.setattr(listening, "_AGAIN_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with answering(site, f"127.0.0.1:{port}") as logged:
            logged.wait_for("another process listens there")
            other.close()
            assert port_of(logged) == port
            assert asked(port, "GET /health HTTP/1.1\nHost: localhost:PORT\nConnection: close\n\n")[0] == 200


def test_who_waits_for_a_port_can_be_ended(site: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        with answering(site, f"127.0.0.1:{other.getsockname()[1]}") as logged:
            logged.wait_for("another process listens there")
        assert not any(thread.name == "lineal-http" for thread in threading.enumerate())


def test_when_it_ends_its_port_is_free(site: Any) -> None:
    with answering(site, "127.0.0.1:0") as logged:
        port = port_of(logged)
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_an_address_that_is_not_this_machines_is_a_usage_error(site: Any) -> None:
    with (
        pytest.raises(UsageError, match=r"192\.0\.2\.1:8420 cannot be listened on"),
        answering(site, "192.0.2.1:8420"),
    ):
        pass
    with pytest.raises(UsageError, match="no host's name"):
        answering_at("127.0.0.1:0", ["a b"])


def test_listening_for_others_is_warned_of_and_answers_to_given_names_only(site: Any) -> None:
    with answering(site, "0.0.0.0:0", "lineal.example") as logged:
        logged.wait_for("whoever reaches this address may read /health, /ready and /metrics")
        port = port_of(logged)
        statuses = {
            host: asked(port, f"GET /metrics HTTP/1.1\nHost: {host}\nConnection: close\n\n")[0]
            for host in ("lineal.example:PORT", "lineal.example", "127.0.0.1:PORT", "evil.example:PORT")
        }
    assert list(statuses.values()) == [200, 200, 200, 421]
