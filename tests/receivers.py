"""Servers that alerts are sent to: real ones, on this machine, that answer as they are told."""

from __future__ import annotations

import base64
import queue
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Request:
    path: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[BaseHTTPRequestHandler], None]


def answer(status: int, body: bytes = b"", **headers: str) -> Answer:
    def give(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return give


@dataclass
class Webhooks:
    """A web server that gives its ``answers`` in turn, the last one for ever, and keeps what it was sent."""

    port: int
    answers: list[Answer] = field(default_factory=lambda: [answer(200)])
    heard: queue.Queue[Request] = field(default_factory=queue.Queue)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?token=abc"

    def next(self) -> Request:
        """What it was sent next; waits for it, not for ever."""
        return self.heard.get(timeout=PATIENCE_SECONDS)

    def all(self) -> list[Request]:
        """What it was sent until now and nobody has asked for."""
        return [self.heard.get() for _ in range(self.heard.qsize())]


@contextmanager
def webhooks(
    *answers: Answer, wrap: Callable[[socket.socket], socket.socket] | None = None
) -> Iterator[Webhooks]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            served.heard.put(Request(self.path, dict(self.headers.items()), body))
            given = served.answers[0] if len(served.answers) == 1 else served.answers.pop(0)
            given(self)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # who has enough hangs up
    if wrap is not None:
        server.socket = wrap(server.socket)
    served = Webhooks(server.server_address[1])
    if answers:
        served.answers = list(answers)
    with _serving(server):
        yield served


@dataclass(frozen=True)
class Letter:
    sender: str
    recipients: list[str]
    text: str


@dataclass
class Mailbox:
    """A mail server that refuses whom it is told to, and keeps what it was sent."""

    port: int
    refused: dict[str, str] = field(default_factory=dict)
    letters: queue.Queue[Letter] = field(default_factory=queue.Queue)
    logins: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"smtp://localhost:{self.port}"

    def next(self) -> Letter:
        return self.letters.get(timeout=PATIENCE_SECONDS)


@contextmanager
def mailbox(context: ssl.SSLContext | None = None) -> Iterator[Mailbox]:
    """A mail server; with ``context`` it offers STARTTLS, and takes logins after that."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.say("220 mail.example.org")
            self.talk(encrypted=False)

        def talk(self, *, encrypted: bool) -> None:
            sender, recipients = "", list[str]()
            while words := self.rfile.readline().decode().strip():
                match words.split(":", 1)[0].upper().split()[0]:
                    case "MAIL":
                        sender = words.partition("<")[2].partition(">")[0]
                        self.say("250 ok")
                    case "RCPT":
                        recipient = words.partition("<")[2].partition(">")[0]
                        if recipient not in box.refused:
                            recipients.append(recipient)
                        self.say(box.refused.get(recipient, "250 ok"))
                    case "DATA":
                        self.say("354 go on")
                        lines = []
                        while (line := self.rfile.readline().decode()) != ".\r\n":
                            lines.append(line)
                        box.letters.put(Letter(sender, recipients, "".join(lines)))
                        self.say("250 kept")
                    case "EHLO" if context is not None:
                        self.say("250-mail.example.org")
                        self.say("250 AUTH PLAIN" if encrypted else "250 STARTTLS")
                    case "STARTTLS" if context is not None:
                        self.say("220 go on")
                        with context.wrap_socket(self.connection, server_side=True) as inner:
                            self.rfile, self.wfile = inner.makefile("rb"), inner.makefile("wb", 0)
                            self.talk(encrypted=True)
                        return
                    case "AUTH":
                        box.logins.append(base64.b64decode(words.split()[2]).decode())
                        self.say("235 welcome" if encrypted else "530 not like this")
                    case "QUIT":
                        self.say("221 bye")
                        return
                    case _:
                        self.say("250 ok")

        def say(self, words: str) -> None:
            self.wfile.write(words.encode() + b"\r\n")

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    box = Mailbox(server.server_address[1])
    with _serving(server):
        yield box


@contextmanager
def silence() -> Iterator[int]:
    """The port of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@contextmanager
def talker(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """The port of a server that ``talk`` has its way with, whatever the protocol is, once for each connection."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):  # who has enough hangs up
                talk(self.request)

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    with _serving(server):
        yield server.server_address[1]


@contextmanager
def _serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
