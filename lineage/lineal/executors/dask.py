"""Attempts on the workers of a Dask cluster.

Dask carries orders and outcomes, and knows who is there. Supervision is ours on both sides: an attempt is
given to one process of one worker, and to no other, whatever becomes of that; it is repeated by the engine alone.
"""

from __future__ import annotations

import os
import platform
import queue
import socket
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dask
from distributed import Client, Future
from msgspec.structs import replace as replace_fields

from lineal.errors import LinealError
from lineal.events import Failure
from lineal.executors import dask_worker
from lineal.executors.dask_worker import Answer, Fitness, Job, topic_of
from lineal.executors.protocol import Begun, Captured, Envelope, Outcome, Report, Setup
from lineal.executors.wire import Order, log_of
from lineal.version import VERSION
from lineal_store import Digest, Store
from lineal_store.tree import Tree, TreeEntry

_CONNECT_SECONDS = 10.0
_LOOK_SECONDS = 1.0  # between two looks at who is there
_OURS = ("cpu", "memory")  # resources that our own supervision sees to


class DaskUnavailable(LinealError):
    """The Dask cluster cannot be used."""

    exit_code = 2
    kind = "dask"

    def __init__(self, address: str, problem: str, hint: str | None = None) -> None:
        super().__init__(address, problem, hint)
        self.address, self.problem, self.hint = address, problem, hint

    def __str__(self) -> str:
        return f"{self.address} cannot be used: {self.problem}"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long, in seconds, what may never come is waited for.

    ``silence``: a scheduler, or a worker with attempts, that says nothing; a worker in place of the last one. ``stop``: the end of an attempt that was to be
    stopped. ``events``: what an attempt wrote, when its outcome is there. ``close``: workers that tidy up.
    """

    silence: float = 60.0
    stop: float = 20.0
    events: float = 5.0
    close: float = 20.0


class DaskExecutor:
    """Runs attempts on the workers of the scheduler at ``address``, as many at once as they have threads.

    ``declared`` are the environment variables whose values are part of keys: they alone are sent. ``distributions`` are
    the versions in the keys, which workers must have. DaskUnavailable where there is no scheduler, or
    no worker that could run the attempts.
    """

    gathers = False

    def __init__(
        self,
        address: str,
        setup: Setup,
        store: Store,
        slots: int,
        *,
        declared: Collection[str] = (),
        distributions: Mapping[str, str] | None = None,
        patience: Patience = Patience(),
    ) -> None:
        self.slots = slots
        self._address, self._patience = address, patience
        self._job = _job(setup, store, declared, distributions or {})
        self._news: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._sites: dict[str, _Site] = {}
        self._seen: list[Mapping[str, float]] = []  # what workers had, gone ones included: they may come back
        self._running: dict[str, _Attempt] = {}
        self._reports: list[Report] = []
        self._heard_at = time.monotonic()
        self._closing = threading.Event()
        try:
            where = urlsplit(address)
            with socket.create_connection((where.hostname, where.port), _CONNECT_SECONDS):
                pass  # Dask would try again and again where nobody is
            self._client = Client(
                address.replace("dask", _scheme(), 1), timeout=_CONNECT_SECONDS, set_as_default=False
            )
        except (OSError, ValueError) as error:
            hint = "Start one with `dask scheduler`, or correct executor = in the configuration."
            raise DaskUnavailable(address, f"no scheduler answers there ({error})", hint) from error
        self._helpers = ThreadPoolExecutor(4, thread_name_prefix="lineal-dask")
        try:
            with suppress(TimeoutError):
                self._client.wait_for_workers(1, timeout=_CONNECT_SECONDS)
            found = self._look({})
            self._use(self._fit(found))
            self._client.subscribe_topic(topic_of(self._job.run_id), self._heard)
        except BaseException:
            self._client.close()
            raise
        self._watcher = threading.Thread(
            target=self._watch, args=[found], name="lineal-dask-watch", daemon=True
        )
        self._watcher.start()

    def submit(self, envelope: Envelope) -> None:
        attempt = self._running[envelope.attempt_id] = _Attempt(envelope)
        while self._take_news(0.0):
            pass  # nobody may have listened for long
        if not any(_has(resources, attempt.resources) for resources in self._seen):
            self._end(attempt, self._no_site(attempt), repeatable=False)
        else:
            self._hand_out()

    def wait(self, timeout_seconds: float | None) -> Sequence[Report]:
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        while True:
            if self._reports or not self._running:
                reports, self._reports = self._reports, []
                return reports
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return []
            self._listen(_LOOK_SECONDS if left is None else min(left, _LOOK_SECONDS))

    def kill(self, attempt_id: str) -> None:
        attempt = self._running.get(attempt_id)
        if attempt is None or attempt.given_up_at is not None:
            return
        if attempt.site is None:
            self._end(attempt, Failure("killed", "NotBegun", "the attempt was stopped before it began"))
            return
        attempt.given_up_at = time.monotonic() + self._patience.stop
        self._helpers.submit(
            self._ask, dask_worker.kill, [attempt.site.address], self._job.run_id, attempt_id
        )

    def interrupt(self) -> None:
        pass  # this process makes none

    def close(self) -> None:
        if self._closing.is_set():
            return
        self._closing.set()
        closed = self._helpers.submit(self._ask, dask_worker.close, [*self._sites], self._job.run_id)
        with suppress(TimeoutError):
            closed.result(self._patience.close)
        for attempt in self._running.values():
            if attempt.future is not None:
                attempt.future.cancel()
        self._watcher.join(self._patience.close)
        self._client.close(timeout=self._patience.close)
        self._helpers.shutdown(wait=False, cancel_futures=True)

    # -- who is there -------------------------------------------------------------------------

    def _look(self, known: Mapping[str, _Site]) -> dict[str, _Site]:
        """The workers that are there; those that have come since are examined. Blocks, and may raise anything."""
        info = self._client.scheduler_info(n_workers=-1)["workers"]
        stamps = {address: f"{facts['id']} {facts['local_directory']}" for address, facts in info.items()}
        new = [address for address in info if address not in known or known[address].stamp != stamps[address]]
        found: Mapping[str, Fitness | BaseException] = (
            self._client.run(dask_worker.examine, self._job, workers=new, on_error="return") if new else {}
        )
        sites = {}
        for address, facts in info.items():
            if address not in new:
                sites[address] = known[address]
            elif address in found:
                fitness = found[address]
                if not isinstance(fitness, Fitness):
                    fitness = Fitness("", f"it has no Lineal {VERSION} ({type(fitness).__name__}: {fitness})")
                resources = dict(facts.get("resources") or {})
                sites[address] = _Site(address, stamps[address], int(facts["nthreads"]), resources, fitness)
        return sites

    def _watch(self, known: Mapping[str, _Site]) -> None:
        """Look who is there from time to time, in a thread of its own: a scheduler that hangs holds up nobody."""
        while not self._closing.wait(_LOOK_SECONDS):
            with suppress(Exception):  # it may be back; silence is counted
                known = self._look(known)
                self._news.put(("sites", known))

    def _fit(self, sites: Mapping[str, _Site]) -> dict[str, _Site]:
        """The workers that can be used; DaskUnavailable, with the reason, where there is none."""
        if not sites:
            hint = f"Start some with `dask worker {self._address.partition('://')[2]}`."
            raise DaskUnavailable(self._address, "it has no workers", hint)
        fit = {address: site for address, site in sites.items() if site.fitness.problem is None}
        if not fit:
            site = next(iter(sites.values()))
            raise DaskUnavailable(
                self._address, f"worker {site.address}: {site.fitness.problem}", site.fitness.hint
            )
        return fit

    # -- attempts -----------------------------------------------------------------------------

    def _hand_out(self) -> None:
        """Give attempts that wait to workers with a free thread, those with the most free ones first."""
        for attempt in self._running.values():
            if attempt.site is not None:
                continue
            free = [
                (site.threads - len(mine), site)
                for site in self._sites.values()
                if len(mine := self._on(site)) < site.threads and _has(site.left_by(mine), attempt.resources)
            ]
            if free:
                self._give(attempt, max(free, key=lambda pair: pair[0])[1])

    def _on(self, site: _Site) -> list[_Attempt]:
        return [attempt for attempt in self._running.values() if attempt.site is site]

    def _give(self, attempt: _Attempt, site: _Site) -> None:
        attempt_id = attempt.order.attempt_id
        key = f"{topic_of(self._job.run_id)}-{attempt_id}"
        attempt.site, attempt.heard_at = site, time.monotonic()
        attempt.future = self._client.submit(
            dask_worker.attempt,
            self._job,
            site.fitness.process,
            key,
            attempt.order,
            key=key,
            workers=[site.address],
            allow_other_workers=False,
            resources=dict(attempt.resources) or None,
            retries=0,
            pure=False,
        )
        attempt.future.add_done_callback(
            lambda future: self._news.put(("done", (attempt_id, _answer(future))))
        )

    def _heard(self, event: tuple[float, Any]) -> None:
        self._news.put(("event", event[1]))

    def _listen(self, timeout_seconds: float) -> None:
        """Take what comes in time, and give up what is lost."""
        while self._take_news(timeout_seconds):
            timeout_seconds = 0.0  # all that is there: silence is judged by it
        now = time.monotonic()
        silent = now - self._heard_at > self._patience.silence
        for attempt in list(self._running.values()):
            self._check(attempt, now, silent=silent)
        self._hand_out()

    def _take_news(self, timeout_seconds: float) -> bool:
        """Take one piece of news, and say whether there was one in time."""
        try:
            what, news = (
                self._news.get(timeout=timeout_seconds) if timeout_seconds else self._news.get_nowait()
            )
        except queue.Empty:
            return False
        if what == "sites":
            self._heard_at = time.monotonic()
            self._use({one.address: one for one in news.values() if one.fitness.problem is None})
        elif what == "event":
            self._take_event(*news)
        else:
            self._take_answer(*news)
        return True

    def _use(self, sites: dict[str, _Site]) -> None:
        self._sites = sites
        self._seen += [site.resources for site in sites.values() if site.resources not in self._seen]

    def _take_event(self, process: str, attempt_id: str, what: str, text: str) -> None:
        now = time.monotonic()
        for attempt in self._running.values():
            if attempt.site is not None and attempt.site.fitness.process == process:
                attempt.heard_at = now
        attempt_ = self._running.get(attempt_id)
        if attempt_ is None:
            return
        attempt_.events += 1
        if what == "begun":
            attempt_.has_begun = True
            self._reports.append(Begun(attempt_id))
        else:
            with attempt_.log.open("a") as log:
                log.write(text)
            self._reports.append(Captured(attempt_id, text))

    def _take_answer(self, attempt_id: str, answer: Answer | Failure) -> None:
        attempt = self._running.get(attempt_id)
        if attempt is None:
            return
        if isinstance(answer, Failure):
            self._end(attempt, answer)
        else:
            attempt.answer, attempt.answered_at = answer, time.monotonic()

    def _check(self, attempt: _Attempt, now: float, *, silent: bool) -> None:
        """Finish the attempt, or give it up, where it is time to."""
        site = attempt.site
        if attempt.answer is not None:
            if attempt.events >= attempt.answer.told or now - attempt.answered_at > self._patience.events:
                self._finish(attempt, attempt.answer.outcome)
        elif silent:
            self._end(attempt, _lost("the Dask scheduler"))
        elif site is None:
            if any(_has(one.resources, attempt.resources) for one in self._sites.values()):
                attempt.has_place_at = now
            elif now - attempt.has_place_at > self._patience.silence:
                self._end(attempt, self._no_site(attempt))
        elif self._sites.get(site.address) is not site or (
            attempt.has_begun and now - attempt.heard_at > self._patience.silence
        ):
            self._end(attempt, _lost(f"the Dask worker at {site.address}"))
        elif attempt.given_up_at is not None and now > attempt.given_up_at:
            self._end(
                attempt,
                Failure("killed", "Stopped", f"the attempt was stopped, and {site.address} is silent"),
            )

    def _no_site(self, attempt: _Attempt) -> Failure:
        if not self._sites:
            hint = "Start some, and run again: what is done is not done again."
            return Failure("killed", "WorkerLost", f"no Dask worker is left at {self._address}", hint)
        wanted = ", ".join(f"{name} {amount:g}" for name, amount in sorted(attempt.resources.items()))
        found = sorted({f"{k} {v:g}" for site in self._sites.values() for k, v in site.resources.items()})
        option = " ".join(f"{name}={amount:g}" for name, amount in sorted(attempt.resources.items()))
        return Failure(
            "contract",
            "NoSuchWorker",
            f"the stage needs {wanted}, and no Dask worker at {self._address} has that: there is "
            f"{', '.join(found) or 'none of it'}",
            f'Start a worker that has it, with `dask worker … --resources "{option}"`, or ask for less.',
        )

    def _end(self, attempt: _Attempt, failure: Failure, *, repeatable: bool = True) -> None:
        if attempt.future is not None:
            attempt.future.cancel()
        seconds = time.monotonic() - attempt.heard_at if attempt.has_begun else 0.0
        self._finish(
            attempt,
            Outcome(
                attempt.order.attempt_id,
                failure=failure,
                raised=(failure.type,),
                seconds=seconds,
                repeatable=repeatable,
            ),
        )

    def _finish(self, attempt: _Attempt, outcome: Outcome) -> None:
        del self._running[outcome.attempt_id]
        attempt.future = None  # what nobody holds Dask forgets
        self._reports.append(replace_fields(outcome, log=str(attempt.log) if attempt.log.exists() else None))

    def _ask(self, what: Any, workers: list[str], *arguments: object) -> None:
        """Have ``what`` called on those workers; one that does not answer is found to be lost by other means."""
        with suppress(Exception):
            self._client.run(what, *arguments, workers=workers, on_error="ignore")


@dataclass(frozen=True, slots=True, eq=False)
class _Site:
    """A worker that is there; ``stamp`` tells it from another that has its address later."""

    address: str
    stamp: str
    threads: int
    resources: Mapping[str, float]
    fitness: Fitness

    def left_by(self, attempts: Sequence[_Attempt]) -> Mapping[str, float]:
        """What of the resources these attempts leave."""
        return {
            name: amount - sum(attempt.resources.get(name, 0.0) for attempt in attempts)
            for name, amount in self.resources.items()
        }


@dataclass(slots=True, eq=False)
class _Attempt:
    """The executor's notes on an attempt that has not ended; ``site`` is None until a worker has room."""

    envelope: Envelope
    order: Order = field(init=False)
    resources: Mapping[str, float] = field(init=False)
    log: Path = field(init=False)
    has_place_at: float = field(default_factory=time.monotonic)  # when a worker last had all that it needs
    site: _Site | None = None
    future: Future[Any] | None = None
    has_begun: bool = False
    events: int = 0
    heard_at: float = 0.0
    given_up_at: float | None = None
    answer: Answer | None = None
    answered_at: float = 0.0

    def __post_init__(self) -> None:
        self.order = Order.of(self.envelope)
        self.resources = {n: a for n, a in self.envelope.resources.items() if n not in _OURS and a > 0}
        self.log = Path(log_of(self.envelope.scratch))


def _has(there: Mapping[str, float], wanted: Mapping[str, float]) -> bool:
    return all(there.get(name, 0.0) >= amount for name, amount in wanted.items())


def _answer(future: Future[Any]) -> Answer | Failure:
    """What came of it; called in a thread that may wait."""
    try:
        answer = future.result(timeout=30)
    except BaseException as error:  # noqa: BLE001 — whatever Dask says, the attempt has ended
        return Failure("killed", type(error).__name__, f"Dask gave the attempt up: {error}")
    assert isinstance(answer, Answer)
    return answer


def _lost(who: str) -> Failure:
    return Failure(
        "killed",
        "WorkerLost",
        f"{who} was lost while it had the attempt",
        "See its log; it may have been killed.",
    )


def _scheme() -> str:
    """How schedulers are spoken to: as Dask is configured, tcp or tls."""
    return str(dask.config.get("distributed.comm.default-scheme", "tcp"))


def _job(setup: Setup, store: Store, declared: Collection[str], distributions: Mapping[str, str]) -> Job:
    """What workers have to know of the run, with its code in the store."""
    inside = {name: data for name, data in setup.sources.items() if not name.startswith("/")}
    entries = (TreeEntry(name, 0o644, Digest.of(data), len(data)) for name, data in sorted(inside.items()))
    tree = Tree(tuple(entries)).encode()
    code = Digest.of(tree)
    if code not in store.blobs.sizes([code]):  # a run has it there
        store.blobs.put_many([*inside.values(), tree])
    sent = {*declared, "PYTHONHASHSEED"}
    return Job(
        os.urandom(8).hex(),
        VERSION,
        platform.python_version_tuple()[:2],
        replace_fields(
            setup,
            sources={},
            variables={name: value for name, value in setup.variables.items() if name in sent},
            store=setup.store._replace(cache=None),
            bounded=(),
        ),
        str(code),
        {name: data for name, data in setup.sources.items() if name.startswith("/")},
        tuple(name for name in sorted(declared) if name not in setup.variables),
        {name: version for name, version in distributions.items() if not name.startswith("module ")},
    )
