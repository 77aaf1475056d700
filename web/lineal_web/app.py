"""Which address leads where. What is not named here is refused."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from lineal.api.log import Log
from lineal.api.serve import Served
from lineal_web.answers import refusal
from lineal_web.guard import Guard
from lineal_web.hooks import Hooks
from lineal_web.watching import Watched

TEXT = "text/plain; version=0.0.4; charset=utf-8"


def make_app(
    projects: Mapping[str, Served],
    watched: Collection[Watched],
    metrics: Callable[[], bytes] | None,
    hosts: Collection[str],
    log: Log,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> ASGIApp:
    """All that is answered of ``projects``, by name, to those who call this server one of ``hosts``. Without ``metrics`` there are none."""

    async def health(_: Request) -> Response:
        alive = all(each.is_alive for each in watched)
        idle = max((each.idle_seconds for each in watched), default=0.0)
        return JSONResponse({"ok": alive, "idle_seconds": round(idle, 3)}, 200 if alive else 503)

    async def ready(_: Request) -> Response:
        told = [
            {"project": each.name, "stands_by": projects[each.name].stands_by, "problem": each.problem}
            for each in watched
        ]
        fine = all(each["problem"] is None for each in told)
        return JSONResponse({"ok": fine, "projects": told}, 200 if fine else 503)

    async def figures(_: Request) -> Response:
        if metrics is None:
            hint = "pip install 'lineal[metrics]', and start `lineal serve` again."
            return refusal(
                501, "not_installed", "figures need prometheus-client, which is not installed", hint
            )
        return Response(await run_in_threadpool(metrics), media_type=TEXT)

    hooks = Hooks(list(projects.values()), log, now)
    routes = [
        Route("/health", health, methods=["GET"]),
        Route("/ready", ready, methods=["GET"]),
        Route("/metrics", figures, methods=["GET"]),
        Route("/hooks/{name}", hooks.call, methods=["POST"]),
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _refuse})
    app.router.redirect_slashes = False
    return Guard(app, hosts, log)


async def _refuse(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    refused = refusal(error.status_code, "http", HTTPStatus(error.status_code).phrase.lower())
    refused.headers.update(error.headers or {})
    return refused
