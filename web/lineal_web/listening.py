"""A server that answers beside the scheduler, in threads of its own."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from lineal.api.log import Log
from lineal.api.serve import Beside, Served
from lineal.errors import UsageError
from lineal_web.address import Address, hosts_of
from lineal_web.app import make_app
from lineal_web.watching import Watched, checker, names_of, watching

if TYPE_CHECKING:
    from lineal_web.prometheus import Metrics

ANSWER_SECONDS = 30.0
"""A connection that has not got a whole answer for so long, or asked for none, is closed."""
_MOST_CONNECTIONS = 100
_AGAIN_SECONDS = 1.0
_END_SECONDS = 3


def answering_at(listen: str, host_names: Sequence[str]) -> Beside:
    """What answers at the address ``listen``, ``HOST:PORT``, which may be called one of ``host_names`` as well; `UsageError` where it cannot be listened on.

    Where another process listens there, perhaps the daemon that this one is to follow, it waits for that to end.
    """
    address = Address.parse(listen)
    hosts_of(address, host_names)  # tells of a wrong one before anything is begun

    @contextmanager
    def answer(served: Sequence[Served], log: Log) -> Iterator[None]:
        if not address.is_loopback:
            told = "whoever reaches this address may read /health, /ready and /metrics"
            log(datetime.now(UTC), "warning", told, address=address)
        names = names_of([project.root for project in served])
        projects = dict(zip(names, served, strict=True))
        watched = [Watched(name, checker(project)) for name, project in projects.items()]
        metrics = _metrics(projects)
        text = metrics.text if metrics is not None else None
        server = _Server(
            address, lambda at: make_app(projects, watched, text, hosts_of(at, host_names), log), log
        )
        server.start()
        try:
            with watching(list(zip(served, watched, strict=True)), metrics, log):
                yield
        finally:
            server.end()

    return answer


def _metrics(projects: Mapping[str, Served]) -> Metrics | None:
    if find_spec("prometheus_client") is None:
        return None
    from lineal_web.prometheus import Metrics

    metrics = Metrics(projects, lambda: datetime.now(UTC))
    for name, project in projects.items():
        project.listeners.append(metrics.listener(name))
    return metrics


class _Server(threading.Thread):
    """Answers at ``address``; ``app`` is made when the port is known."""

    def __init__(self, address: Address, app: Callable[[Address], ASGIApp], log: Log) -> None:
        super().__init__(name="lineal-http", daemon=True)
        self._address, self._app, self._log = address, app, log
        self._ending = threading.Event()
        self._server: uvicorn.Server | None = None
        self._socket = self._bind()

    def end(self) -> None:
        """Answer what was asked, and no more."""
        self._ending.set()
        if self._server is not None:
            self._server.should_exit = True
        self.join(_END_SECONDS + 2.0)

    def run(self) -> None:
        if self._socket is None:
            told = "another process listens there: HTTP is answered when that ends"
            self._log(datetime.now(UTC), "warning", told, address=self._address)
        while self._socket is None:
            if self._ending.wait(_AGAIN_SECONDS):
                return
            self._socket = self._bind()
        host, port = self._socket.getsockname()[:2]
        at = Address(host, port)
        self._log(datetime.now(UTC), "info", f"answering HTTP on http://{at}")
        config = uvicorn.Config(
            self._app(at),
            http=_Connection,
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            log_level="critical",  # what hostile clients send is not worth a line each
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=_END_SECONDS,
            h11_max_incomplete_event_size=16 << 10,
        )
        self._server = uvicorn.Server(config)
        if self._ending.is_set():
            self._socket.close()
            return
        self._server.run(sockets=[self._socket])

    def _bind(self) -> socket.socket | None:
        """A socket that listens; None where another process does."""
        family = socket.AF_INET6 if ":" in self._address.host else socket.AF_INET
        try:
            return socket.create_server((self._address.host, self._address.port), family=family)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return None
            raise UsageError(
                f"{self._address} cannot be listened on: {error.strerror or error}",
                "Name another address with --listen, or use --no-http.",
            ) from None


class _Connection(H11Protocol):
    """A connection that cannot be held open by who sends or reads slowly: uvicorn itself waits for ever."""

    _patience: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._patience = self.loop.call_later(ANSWER_SECONDS, transport.abort)

    def on_response_complete(self) -> None:
        self._patience.cancel()
        self._patience = self.loop.call_later(ANSWER_SECONDS, self.transport.abort)
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._patience.cancel()
        super().connection_lost(exc)
