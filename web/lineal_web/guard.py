"""What is let through: requests that mean this server, and of those that may change something none from a page in a browser."""

from __future__ import annotations

import traceback
from collections.abc import Collection
from datetime import UTC, datetime

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lineal.api.log import Log
from lineal_web.answers import refusal

QUESTIONS = ("GET", "HEAD")
"""The methods that change nothing."""

# Nothing that is answered is a page, part of one, or worth keeping.
_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class Guard:
    """Stands before ``app``. A request's ``Host`` has to be one of ``hosts``: who makes a browser ask here by another name (DNS
    rebinding) is refused. No answer allows other sites to read it, and no site's page may ask for a change.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str], log: Log) -> None:
        self._app, self._hosts, self._log = app, hosts, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def send_safely(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message["headers"] += [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
            await send(message)

        try:
            await (self._refused(scope) or self._app)(scope, receive, send_safely)
        except ClientDisconnect:
            pass
        except Exception as error:  # noqa: BLE001 — our mistake; the server goes on
            told = "".join(traceback.format_exception(error))
            self._log(datetime.now(UTC), "error", f"a request failed: {error!r}", traceback=told)
            if not begun:
                await refusal(500, "internal", "that went wrong; the log of the server says more")(
                    scope, receive, send_safely
                )

    def _refused(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return refusal(
                421,
                "host",
                "this server is not called that",
                "Ask for the address that it listens on, or start it with --host-name NAME.",
            )
        if scope["method"] not in QUESTIONS and "origin" in headers:
            return refusal(403, "origin", "pages of other sites may change nothing here")
        return None
