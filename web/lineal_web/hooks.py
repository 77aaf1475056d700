"""``POST /hooks/NAME``: a call that is signed with the key of a webhook has its schedules fire."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lineal.api.log import Log
from lineal.api.serve import Served
from lineal.automation.calling import Call, NotTaken, take_call
from lineal.automation.schedule import Event, Schedule
from lineal.state import Job, StateUnavailable
from lineal_web.answers import refusal
from lineal_web.signatures import Signature

MOST_BYTES = 64 << 10
"""The longest body. None is passed on: a run's parameters are the schedule's."""
_KEY = re.compile(r"[\x21-\x7e]{1,200}", re.ASCII)


class Hooks:
    """The webhooks of all projects. A name that several schedules wait for has those fire whose key it is."""

    def __init__(
        self,
        projects: Sequence[Served],
        log: Log,
        now: Callable[[], datetime],
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._projects, self._log, self._now, self._environ = projects, log, now, environ
        self._nobodys = secrets.token_bytes(32)
        self._told: set[str] = set()

    async def call(self, request: Request) -> Response:
        """Answer a call: 202 when its jobs are durable."""
        body = await _read(request, MOST_BYTES)
        if body is None:
            message = f"the body is longer than {MOST_BYTES >> 10} KiB"
            return refusal(413, "too_large", message, "Send less: it is not passed on.", Connection="close")
        return await run_in_threadpool(self._answer, request.path_params["name"], request.headers, body)

    def _answer(self, name: str, headers: Headers, body: bytes) -> Response:
        keys = headers.getlist("idempotency-key")
        if len(keys) > 1 or (keys and _KEY.fullmatch(keys[0]) is None):
            return refusal(
                400, "idempotency_key", "Idempotency-Key is one text of at most 200 visible letters"
            )
        now = self._now()
        ours, githubs = headers.getlist("lineal-signature"), headers.getlist("x-hub-signature-256")
        signature = Signature.find(ours, githubs, body, now.timestamp())
        called = self._by_whom(name, signature) if signature is not None else []
        if signature is None or not called:
            hint = "Sign time and body with the key of the webhook; see docs/schedules.md."
            message = "there is no such webhook, or the call is not signed with its key, now"
            return refusal(401, "signature", message, hint, WWW_Authenticate="Lineal-Signature")
        call = Call.of(signature.content, keys[0] if keys else "")
        try:
            jobs = [self._take(project, schedule, call, now) for project, schedule in called]
        except NotTaken as problem:
            status = 429 if problem.reason == "full" else 503
            return refusal(status, problem.kind, str(problem), "Call again later.", Retry_After="60")
        except StateUnavailable as problem:
            self._log(now, "error", f"a webhook's call cannot be kept: {problem}", webhook=name)
            return refusal(
                503, problem.kind, "the call cannot be kept", "Call again later.", Retry_After="60"
            )
        told = [
            {"schedule": schedule.name, "job": job.id, "state": job.state}
            for (_, schedule), job in zip(called, jobs, strict=True)
        ]
        return JSONResponse({"jobs": told}, 202)

    def _by_whom(self, name: str, signature: Signature) -> list[tuple[Served, Schedule]]:
        """The schedules that wait for a webhook of that name with the key that the call is signed with.

        For a name that nobody waits for as much is done, so that it takes no less time to say so.
        """
        waiting = list(self._waiting(name))
        if not waiting:
            signature.is_by(self._nobodys)
        return [(project, schedule) for project, schedule, key in waiting if signature.is_by(key)]

    def _waiting(self, name: str) -> Iterator[tuple[Served, Schedule, bytes]]:
        for project in self._projects:
            for schedule in project.schedules.values():
                match schedule.when:
                    case Event("webhook", of, str(secret)) if of == name:
                        yield project, schedule, self._key(schedule, secret)

    def _key(self, schedule: Schedule, secret: str) -> bytes:
        """The key in the variable that ``secret`` names, as ``${NAME}``; one that nobody has where that is not set."""
        key = self._environ.get(secret[2:-1], "")
        if not key and schedule.name not in self._told:
            self._told.add(schedule.name)
            problem = f"its webhook takes no calls: {secret[2:-1]} is not set"
            self._log(self._now(), "error", problem, schedule=schedule.name)
        return key.encode() if key else self._nobodys

    def _take(self, project: Served, schedule: Schedule, call: Call, now: datetime) -> Job:
        with project.open_state() as state:
            job = take_call(state, schedule, call, now)
        self._log(now, "info", "its webhook was called", schedule=schedule.name, job=job.id)
        return job


async def _read(request: Request, most_bytes: int) -> bytes | None:
    """The body of a request; None where it is longer than that, without reading all of it."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most_bytes:
            return None
    return bytes(body)
