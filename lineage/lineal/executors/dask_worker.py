"""Attempts on a worker of a Dask cluster: what the functions that `lineal.executors.dask` sends there do.

A run has one process executor in each Dask worker that takes part, so that attempts are supervised there as they are at
home. A thread of ours listens to it; the threads of Dask wait for outcomes.
"""

from __future__ import annotations

import asyncio
import os
import platform
import queue
import shutil
import tempfile
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace as replace_fields

from lineal.errors import LinealError
from lineal.events import Failure
from lineal.executors.process import ProcessExecutor
from lineal.executors.protocol import Begun, Captured, Outcome, Setup
from lineal.executors.threads import bounds
from lineal.executors.wire import Order, log_of
from lineal.version import VERSION
from lineal_store import Digest, Store, open_store
from lineal_store.tree import Tree

if TYPE_CHECKING:
    from distributed import Worker

BEAT_SECONDS = 2.0
"""Whoever has attempts says so this often."""

_POLL_SECONDS = 0.05
_IDLE_SECONDS = 60.0
_PROCESS = f"{os.getpid()}-{os.urandom(8).hex()}"
"""This process, as no other was ever called: an attempt is for one process, never for its successor."""


@dataclass(frozen=True, slots=True)
class Job:
    """What the attempts of one run share.

    ``setup`` comes without sources, which are read out of the store by the digest of their tree, ``code``, and with the
    ``variables`` that stages declare alone, of which those in ``unset`` have no value. ``distributions`` are the
    versions that keys hold, ``python`` the major and the minor version.
    """

    run_id: str
    lineal: str
    python: tuple[str, ...]
    setup: Setup
    code: str
    outside: Mapping[str, bytes]
    unset: tuple[str, ...]
    distributions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Fitness:
    """A process of a Dask worker, and why the job cannot run there, if so."""

    process: str
    problem: str | None = None
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """How an attempt ended; ``told`` is how many events about it were sent before."""

    outcome: Outcome
    told: int


async def examine(job: Job, dask_worker: Worker) -> Fitness:
    """Whether the job can run in this process."""
    return await asyncio.to_thread(_examined, job)


def attempt(job: Job, process: str, key: str, order: Order) -> Answer:
    """Run an attempt in this process, if it is the one that is meant."""
    from distributed import get_worker

    if process != _PROCESS:
        return Answer(_not_here(order.attempt_id), 0)
    while (answer := _host_of(job, get_worker()).run(key, order)) is None:
        pass  # it was just ending, for want of work
    return answer


def kill(run_id: str, attempt_id: str) -> None:
    """Stop the attempt, or never begin with it."""
    _refused.add((run_id, attempt_id))
    host = _hosts.get(run_id)
    if host is not None:
        host.kill(attempt_id)


async def close(run_id: str) -> None:
    """Leave nothing of the run behind in this process."""
    with _lock:
        host = _hosts.pop(run_id, None)
    if host is not None:
        await asyncio.to_thread(host.close)
    for refused in [one for one in _refused if one[0] == run_id]:
        _refused.discard(refused)


class Host:
    """The process executor of one run on this Dask worker, and the thread that listens to it."""

    def __init__(self, job: Job, worker: Worker) -> None:
        self._job, self._worker = job, worker
        self._folder = Path(tempfile.mkdtemp(prefix="lineal-", dir=worker.local_directory))
        self._place = job.setup.store._replace(cache=str(self._folder / "cache"))
        self._orders: queue.SimpleQueue[Order | str | None] = queue.SimpleQueue()
        self._keys: dict[str, str] = {}
        self._answers: dict[str, Future[Answer]] = {}
        self._told: dict[str, int] = {}
        self._lock = threading.Lock()
        self.has_ended = False
        self._thread = threading.Thread(target=self._serve, name=f"lineal-{job.run_id}", daemon=True)
        self._thread.start()

    def run(self, key: str, order: Order) -> Answer | None:
        """The end of an attempt, waited for; None where the host has ended. ``key`` is what Dask calls it."""
        answer: Future[Answer] = Future()
        scratch = self._folder / order.attempt_id
        with self._lock:
            if self.has_ended:
                return None
            self._keys[order.attempt_id], self._answers[order.attempt_id] = key, answer
            self._orders.put(replace_fields(order, scratch=str(scratch)))
        try:
            return answer.result()
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
            Path(log_of(str(scratch))).unlink(missing_ok=True)

    def kill(self, attempt_id: str) -> None:
        self._orders.put(attempt_id)

    def close(self) -> None:
        self._orders.put(None)
        self._thread.join()

    def _serve(self) -> None:
        executor: ProcessExecutor | None = None
        failure = Failure("killed", "Closed", "the run was closed on the Dask worker")
        try:
            executor = ProcessExecutor(self._setup(), self._worker.state.nthreads)
            self._listen(executor)
        except BaseException as error:  # noqa: BLE001 — those who wait for an answer have to get one
            failure = Failure(
                "killed", type(error).__name__, f"the Dask worker cannot run the stage: {error}"
            )
        finally:
            with self._lock:
                self.has_ended = True
            if executor is not None:
                executor.close()
                for report in executor.wait(0.0):
                    self._pass_on(report)
            for attempt_id in list(self._answers):
                self._pass_on(Outcome(attempt_id, failure=failure))
            shutil.rmtree(self._folder, ignore_errors=True)
            with _lock:
                if _hosts.get(self._job.run_id) is self:
                    del _hosts[self._job.run_id]

    def _listen(self, executor: ProcessExecutor) -> None:
        """Take orders and pass reports on, until the end, or until nobody has wanted anything for long."""
        beat = used = time.monotonic()
        while True:
            try:
                order = self._orders.get_nowait() if self._answers else self._orders.get(timeout=1.0)
            except queue.Empty:
                pass
            else:
                if order is None:
                    return
                self._obey(executor, order)
                continue
            now = time.monotonic()
            if self._answers:
                used = now
                for report in executor.wait(_POLL_SECONDS):
                    self._pass_on(report)
                if now - beat >= BEAT_SECONDS:
                    beat = now
                    self._tell("", "alive", "")
                    self._stop_forgotten(executor)
            elif now - used > _IDLE_SECONDS:  # the engine may be gone
                return

    def _obey(self, executor: ProcessExecutor, order: Order | str) -> None:
        if isinstance(order, str):
            executor.kill(order)
        elif (self._job.run_id, order.attempt_id) in _refused:
            self._pass_on(_not_here(order.attempt_id))
        else:
            executor.take(order)

    def _setup(self) -> Setup:
        """The job's setup as it is here: code out of the store, this machine's environment."""
        store = open_store(self._place, create=False)
        declared = {*self._job.setup.variables, *self._job.unset}
        own = {name: value for name, value in os.environ.items() if name not in declared}
        threads = bounds(self._worker.state.nthreads, {*own, *declared})
        return replace_fields(
            self._job.setup,
            store=store.place,
            sources={**_recorded(store, self._job.code), **self._job.outside},
            variables={**own, **threads, **self._job.setup.variables},
            bounded=tuple(threads),
        )

    def _stop_forgotten(self, executor: ProcessExecutor) -> None:
        """Stop attempts that the scheduler has given up, since their engine is gone or counts this worker as lost."""
        for attempt_id, key in list(self._keys.items()):
            task = self._worker.state.tasks.get(key)
            if task is None or task.state not in ("executing", "long-running"):
                executor.kill(attempt_id)

    def _pass_on(self, report: Begun | Captured | Outcome) -> None:
        match report:
            case Begun(attempt_id):
                self._tell(attempt_id, "begun", "")
            case Captured(attempt_id, text):
                self._tell(attempt_id, "captured", text)
            case Outcome(attempt_id):
                del self._keys[attempt_id]
                told = self._told.pop(attempt_id, 0)
                self._answers.pop(attempt_id).set_result(Answer(replace_fields(report, log=None), told))

    def _tell(self, attempt_id: str, what: str, text: str) -> None:
        self._told[attempt_id] = self._told.get(attempt_id, 0) + 1
        with suppress(Exception):  # the scheduler is gone; the engine will notice
            self._worker.log_event(topic_of(self._job.run_id), [_PROCESS, attempt_id, what, text])


def topic_of(run_id: str) -> str:
    """Where the events of a run are told: lists of the process, the attempt, what it is, and a text."""
    return f"lineal-{run_id}"


_hosts: dict[str, Host] = {}
_refused: set[tuple[str, str]] = set()
_lock = threading.Lock()


def _host_of(job: Job, worker: Worker) -> Host:
    with _lock:
        host = _hosts.get(job.run_id)
        if host is None or host.has_ended:
            host = _hosts[job.run_id] = Host(job, worker)
        return host


def _not_here(attempt_id: str) -> Outcome:
    message = "the attempt was stopped, or its Dask worker was lost, before it began"
    return Outcome(attempt_id, failure=Failure("killed", "NotBegun", message))


def _examined(job: Job) -> Fitness:
    python = platform.python_version_tuple()[:2]
    if (VERSION, python) != (job.lineal, job.python):
        here, there = ".".join(python), ".".join(job.python)
        problem = (
            f"it has Lineal {VERSION} on Python {here}, and the run Lineal {job.lineal} on Python {there}"
        )
        return Fitness(_PROCESS, problem, "Start the workers from the environment that you run from.")
    for name, version in job.distributions.items():
        found = _installed(name)
        if found != version:
            problem = f"it has {name} {found or 'not at all'}, and the stages' keys say {version}"
            return Fitness(_PROCESS, problem, "Start the workers from the environment that you run from.")
    place = job.setup.store._replace(known_id=None)
    try:
        store = open_store(place, create=False)
    except LinealError as error:
        return Fitness(_PROCESS, f"it does not reach the store: {error}", _STORE_HINT)
    if store.place.known_id != job.setup.store.known_id:
        return Fitness(_PROCESS, f"another store lies at {place.url} there", _STORE_HINT)
    return Fitness(_PROCESS)


_STORE_HINT = "Use a store that every worker reaches: s3://bucket/prefix, with credentials there, or a folder on a disk that all share."


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _recorded(store: Store, code: str) -> dict[str, bytes]:
    """The files of the recorded code."""
    entries = Tree.decode(store.blobs.read(Digest.parse(code))).entries
    return {entry.path: store.blobs.read(entry.digest) for entry in entries}
