"""Attempts in child processes of this machine, one clean process each."""

from __future__ import annotations

import math
import os
import select
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace as replace_fields

from lineal.events import Failure
from lineal.executors import death
from lineal.executors.protocol import Begun, Captured, Envelope, Outcome, Report, Setup
from lineal.executors.wire import (
    KILL_GRACE_SECONDS,
    MOST_DESCRIPTORS,
    NO_OUTCOME,
    Exited,
    Forked,
    Imported,
    Line,
    NotImported,
    Order,
    Wanted,
    log_of,
)
from lineal_store import Digest, Identity

if TYPE_CHECKING:
    from lineal.executors.early import Early
    from lineal.executors.family import Family

_TICK_SECONDS = 0.1  # between two looks at what attempts write, and at those that are to end
_MEMORY_SECONDS = 0.25  # between two looks at what attempts use
_REAPED_SECONDS = 5.0  # for the zygote to say how a worker ended
_SPARES = 2  # workers that wait for the next attempts: no fewer, and up to twice as many


class Zygote(NamedTuple):
    """A zygote, and this end of the line to it."""

    process: subprocess.Popen[bytes]
    line: Line


def start_zygote(root: str, variables: Mapping[str, str]) -> Zygote:
    """One that waits for a `Setup`, in the folder ``root`` where there is one; ``variables`` are its environment."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "lineal.executors.zygote", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env=dict(variables),
            cwd=root if os.path.isdir(root) else None,  # noqa: PTH112  another machine need not have it
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    return Zygote(process, Line(ours))


def end_zygote(zygote: Zygote) -> None:
    """End one that nobody needs, with all that it has started."""
    zygote.line.close()
    _end(_family(zygote.process.pid))
    zygote.process.wait()


class ProcessExecutor:
    """Hands each attempt to a worker that a zygote has forked after importing the project (`lineal.executors.zygote`).

    The zygote starts with the first attempt, unless one was started `early`. Should it die, or hang (no import of the project after
    ``import_seconds``, no worker after ``fork_seconds``), another is started, once for an attempt, and what had not
    begun is given to that; ``monotonic`` is the clock for both. An attempt whose stage declares ``resources={"memory": …}`` is stopped when it uses more.
    """

    gathers = False

    def __init__(
        self,
        setup: Setup,
        slots: int,
        *,
        early: Early | None = None,
        import_seconds: float = 600.0,
        fork_seconds: float = 30.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.slots = slots
        self._setup, self._early, self._monotonic = setup, early, monotonic
        self._import_seconds, self._fork_seconds = import_seconds, fork_seconds
        self._zygote: subprocess.Popen[bytes] | None = None
        self._line: Line | None = None
        self._has_imported = False
        self._not_imported: Failure | None = None
        self._wanted = 0  # workers that were asked for
        self._waiting_since = 0.0  # for the zygote to say something
        self._selector = selectors.DefaultSelector()
        self._spares: deque[_Worker] = deque()
        self._running: dict[str, _Attempt] = {}
        self._queue: deque[_Attempt] = deque()  # of those, the ones without a worker
        self._reports: deque[Report] = deque()
        self._has_outcome = False  # among the reports
        self._known: dict[Digest, Identity] = {}
        self._read_at = self._measured_at = self._counted_at = 0.0
        self._oom_kills: int | None = None

    def submit(self, envelope: Envelope) -> None:
        self.take(Order.of(envelope))

    def take(self, order: Order) -> None:
        """Begin the attempt of an envelope that came as a pickle, which this process need not be able to read."""
        attempt = self._running[order.attempt_id] = _Attempt(order)
        if self._not_imported is not None:
            self._end(attempt, self._not_imported, repeatable=False)
            return
        self._queue.append(attempt)
        self._hand_out()

    def wait(self, timeout_seconds: float | None) -> Sequence[Report]:
        started = time.monotonic()
        deadline = math.inf if timeout_seconds is None else started + timeout_seconds
        while True:
            self._read_logs()
            now = time.monotonic()
            # What is no outcome can wait for one: most stages are over before the caller is any the wiser for it.
            held = self._reports and now < started + _TICK_SECONDS and not self._has_outcome
            if now >= deadline or not self._running or (self._reports and not held):
                reports, self._reports, self._has_outcome = self._reports, deque(), False
                return list(reports)
            self._listen(min(deadline - now, _TICK_SECONDS))

    def kill(self, attempt_id: str) -> None:
        attempt = self._running.get(attempt_id)
        if attempt is None or attempt.is_killed:
            return
        attempt.is_killed = True
        if attempt.worker is None:
            self._queue.remove(attempt)
            self._end(attempt, Failure("killed", "NotBegun", "the attempt was stopped before it began"))
        elif not attempt.is_stopped:
            self._stop(attempt, grace_seconds=KILL_GRACE_SECONDS)

    def interrupt(self) -> None:
        pass  # this process makes none

    def close(self) -> None:
        for attempt in list(self._running.values()):
            attempt.is_killed = True
            if attempt.worker is None:
                self._queue.remove(attempt)
                self._running.pop(attempt.order.attempt_id)
            else:
                self._stop(attempt)
        deadline = time.monotonic() + KILL_GRACE_SECONDS + _REAPED_SECONDS
        while self._running and time.monotonic() < deadline:
            self._listen(_TICK_SECONDS)
        self._dismiss_spares()
        for attempt in self._running.values():
            if attempt.worker is not None:
                self._leave(attempt.worker)
        self._hang_up()

    # -- the zygote ---------------------------------------------------------------------------

    def _connected(self) -> Line:
        if self._line is None:
            zygote = self._early.take(self._setup) if self._early is not None else None
            is_told = zygote is not None
            self._zygote, self._line = zygote or start_zygote(self._setup.root, self._setup.variables)
            self._selector.register(self._line, selectors.EVENT_READ)
            if not is_told:
                self._line.send(self._setup)
        return self._line

    def _hand_out(self) -> None:
        """Give what waits to workers that wait, and have more of those forked."""
        while self._queue and self._spares:
            worker, attempt = self._spares.popleft(), self._queue[0]
            try:
                worker.line.send(replace_fields(attempt.order, known=self._known_of(attempt.order)))
            except OSError:  # it has died; the zygote will say so
                self._leave(worker)
                continue
            self._queue.popleft()
            attempt.worker, worker.attempt, worker.since = worker, attempt, self._monotonic()
        spares = min(_SPARES, self.slots)
        missing = len(self._queue) + spares - len(self._spares) - self._wanted
        if self._running and missing > 0:
            # To fork several at once is cheaper: after a fork the zygote copies what it goes on to use.
            missing = min(missing + spares, MOST_DESCRIPTORS)
            at_leisure = not self._queue and len(self._running) < self.slots
            with suppress(OSError):  # the zygote has died; its line will end
                line = self._connected()
                if self._wanted == 0:
                    self._waiting_since = self._monotonic()
                line.send(Wanted(missing, at_leisure=at_leisure))
                self._wanted += missing

    def _known_of(self, order: Order) -> Mapping[Digest, Identity]:
        """What workers have found out about the inputs of an attempt, so that the next one need not hash them as well."""
        if order.inputs is None:
            return self._known
        inputs = map(Digest.parse, order.inputs) if self._known else ()
        return {digest: self._known[digest] for digest in inputs if digest in self._known}

    def _listen(self, timeout_seconds: float) -> None:
        """Take what comes in time, and look after the attempts."""
        events = self._selector.select(timeout_seconds)
        for key, _ in events:
            if key.data is not None:
                self._hear(key.data)
        if self._line is not None and any(key.fileobj is self._line for key, _ in events):
            self._hear_zygote(self._line)
        if not events:
            self._check_patience()
        self._check_memory()
        for attempt in list(self._running.values()):
            if attempt.ending is not None:
                self._press_on(attempt, attempt.ending)
        self._hand_out()

    def _hear_zygote(self, line: Line) -> None:
        try:
            messages = line.received()
        except EOFError:
            self._zygote_died()
            return
        for message in messages:
            self._waiting_since = self._monotonic()
            match message:
                case Imported():
                    self._has_imported = True
                case Forked(pids):
                    self._wanted -= len(pids)
                    for pid in pids:
                        worker = _Worker(pid, Line(socket.socket(fileno=line.take_descriptor())))
                        self._selector.register(worker.line, selectors.EVENT_READ, worker)
                        self._spares.append(worker)
                case Exited(statuses):
                    for pid, status in statuses.items():
                        self._exited(pid, status)
                case NotImported(failure):
                    self._not_imported = failure
                    self._queue.clear()
                    for attempt in list(self._running.values()):
                        self._end(attempt, failure, repeatable=False)

    def _check_patience(self) -> None:
        """End a zygote from which nothing comes, and workers that do not begin: they may be stopped."""
        now = self._monotonic()
        for attempt in self._running.values():
            given = attempt.worker
            late = given is not None and not attempt.has_begun and now - given.since > self._fork_seconds
            if late and attempt.ending is None:
                self._stop(attempt, why=_not_begun(self._fork_seconds))
                self._dismiss_spares()  # what happened to it may have happened to them
        limit = self._fork_seconds if self._has_imported else self._import_seconds
        if self._queue and self._zygote is not None and now - self._waiting_since > limit:
            self._zygote_died(_not_begun(limit))

    def _zygote_died(self, why: Failure | None = None) -> None:
        """Start anew, after ending what the zygote leaves: what had begun is lost, what had not is handed out again."""
        assert self._zygote is not None
        attempts = [attempt for attempt in self._running.values() if attempt.worker is not None]
        for attempt in attempts:
            assert attempt.worker is not None
            self._hear(attempt.worker)  # it may have ended well just before
        family = _family(self._zygote.pid)
        why = why or death.told("the worker's parent process", self._status_of_zygote())
        _end(family)
        self._dismiss_spares()
        self._hang_up()
        for attempt in [*self._running.values()]:
            if attempt.worker is None:
                self._queue.remove(attempt)
                self._again(attempt, why)
            else:
                attempt.worker.is_reaped = True  # nobody will tell how it ended
                self._stop(attempt, why=why)

    def _status_of_zygote(self) -> int:
        """How the zygote ended, whose line has: a process that dies closes its files some time before it can be reaped."""
        assert self._zygote is not None
        try:
            return self._zygote.wait(_REAPED_SECONDS)
        except subprocess.TimeoutExpired:  # it hangs on its way out
            self._zygote.kill()
            return self._zygote.wait()

    def _hang_up(self) -> None:
        """Part from the zygote: it ends, and ends what it still has."""
        if self._line is not None:
            self._selector.unregister(self._line)
            self._line.close()
        if self._zygote is not None:
            try:
                _wait(self._zygote, KILL_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                _end(_family(self._zygote.pid))
                self._zygote.wait()
        self._line = self._zygote = None
        self._has_imported, self._wanted = False, 0

    # -- workers ------------------------------------------------------------------------------

    def _hear(self, worker: _Worker) -> None:
        """Take what the worker has said; where its line has ended, it is about to exit."""
        attempt = worker.attempt
        try:
            messages = worker.line.received() if worker.is_open else []
        except EOFError:
            self._leave(worker)
            if attempt is not None and attempt.ending is None:
                attempt.ending = _Ending(_family(worker.pid), time.monotonic() + _REAPED_SECONDS)
            return
        for message in messages:
            if isinstance(message, Begun) and attempt is not None:
                attempt.begin(self._count_oom_kills())
                self._reports.append(message)
            elif isinstance(message, Outcome) and attempt is not None and not attempt.is_stopped:
                self._leave(worker)
                self._known.update(message.known)
                self._finish(attempt, message)

    def _exited(self, pid: int, status: int) -> None:
        for spare in [one for one in self._spares if one.pid == pid]:
            self._spares.remove(spare)
            self._leave(spare)
        for attempt in list(self._running.values()):
            worker = attempt.worker
            if worker is not None and worker.pid == pid:
                self._hear(worker)  # what it said last
                worker.is_reaped, worker.status = True, status
                if attempt.order.attempt_id in self._running and attempt.ending is None:
                    self._died(attempt)

    def _dismiss_spares(self) -> None:
        for worker in self._spares:
            self._leave(worker)
            with suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGKILL)
        self._spares.clear()

    def _leave(self, worker: _Worker) -> None:
        if worker.is_open:
            worker.is_open = False
            self._selector.unregister(worker.line)
            worker.line.close()

    # -- ends ---------------------------------------------------------------------------------

    def _stop(self, attempt: _Attempt, *, why: Failure | None = None, grace_seconds: float = 0.0) -> None:
        """Have the attempt's processes end. Its failure is ``why``, else the way in which they do."""
        assert attempt.worker is not None
        family = _family(attempt.worker.pid)
        attempt.ending = _Ending(family, time.monotonic() + grace_seconds, why)
        attempt.is_stopped = True
        if grace_seconds > 0:
            family.terminate()
        else:
            family.kill()

    def _press_on(self, attempt: _Attempt, ending: _Ending) -> None:
        worker, now = attempt.worker, time.monotonic()
        assert worker is not None
        if now >= ending.kill_at:
            if not attempt.is_stopped:  # it runs on, and cannot say any more how that ends
                ending.why = _NOT_HANDED_OVER
            ending.family.kill()
        if ending.family.gone() and (worker.is_reaped or now >= ending.kill_at + _REAPED_SECONDS):
            self._died(attempt)

    def _died(self, attempt: _Attempt) -> None:
        """The worker and what it had started are gone, and there is no outcome."""
        worker, why = attempt.worker, attempt.ending.why if attempt.ending is not None else None
        assert worker is not None
        self._leave(worker)
        if why is None and worker.status == NO_OUTCOME:
            why = _NOT_HANDED_OVER
        if why is None:
            status = -signal.SIGKILL if worker.status is None else worker.status
            short = not attempt.is_stopped and attempt.is_short_of_memory()
            why = death.told("the stage's process", status, attempt.last_lines(), short_of_memory=short)
        if attempt.has_begun or attempt.is_killed:
            self._end(attempt, why)
        else:
            self._again(attempt, why)

    def _again(self, attempt: _Attempt, why: Failure) -> None:
        """Hand the attempt out once more, since it had not begun; the second time it has failed."""
        if attempt.is_second:
            self._end(attempt, why)
            return
        attempt.is_second, attempt.is_stopped, attempt.worker, attempt.ending = True, False, None, None
        self._queue.append(attempt)

    def _end(self, attempt: _Attempt, failure: Failure, *, repeatable: bool = True) -> None:
        outcome = Outcome(
            attempt.order.attempt_id,
            failure=failure,
            raised=(failure.type,),
            seconds=time.monotonic() - attempt.began_at,
            repeatable=repeatable,
        )
        self._finish(attempt, outcome)

    def _finish(self, attempt: _Attempt, outcome: Outcome) -> None:
        del self._running[attempt.order.attempt_id]
        if (rest := attempt.read_log(to_the_end=True)) is not None:
            self._reports.append(rest)
        if attempt.has_log:
            outcome = replace_fields(outcome, log=str(attempt.log))
        self._reports.append(outcome)
        self._has_outcome = True

    # -- looking on ---------------------------------------------------------------------------

    def _read_logs(self) -> None:
        now = time.monotonic()
        if now - self._read_at >= _TICK_SECONDS:
            self._read_at = now
            texts = (attempt.read_log() for attempt in self._running.values())
            self._reports.extend(text for text in texts if text is not None)

    def _count_oom_kills(self) -> int | None:
        """As of a moment ago: what is read for every attempt would cost more than it tells."""
        now = time.monotonic()
        if now - self._counted_at >= _MEMORY_SECONDS:
            self._counted_at, self._oom_kills = now, death.count_oom_kills()
        return self._oom_kills

    def _check_memory(self) -> None:
        """Stop what uses more memory than it declares. There is no grace: it may be growing still."""
        now = time.monotonic()
        if now - self._measured_at < _MEMORY_SECONDS:
            return
        self._measured_at = now
        for attempt in self._running.values():
            limit = attempt.order.resources.get("memory")
            if limit is None or not attempt.has_begun or attempt.ending is not None:
                continue
            used = attempt.memory_bytes(above=limit)
            if used > limit:
                self._stop(attempt, why=death.over_limit(used, limit, attempt.last_lines()))


class _Worker:
    """The executor's notes on a process that waits for an attempt, or runs one."""

    def __init__(self, pid: int, line: Line) -> None:
        self.pid, self.line = pid, line
        self.attempt: _Attempt | None = None
        self.since = 0.0
        self.is_open = True
        self.is_reaped = False
        self.status: int | None = None


@dataclass(slots=True)
class _Ending:
    """What is left of an attempt that is to end: politely until ``kill_at``, on the monotonic clock."""

    family: Family
    kill_at: float
    why: Failure | None = None


class _Attempt:
    """The executor's notes on an attempt that has not ended."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.worker: _Worker | None = None
        self.ending: _Ending | None = None
        self.has_begun = self.is_second = False
        self.is_killed = False  # since the engine asked for it
        self.is_stopped = False  # since the executor wants so: an outcome that still comes does not count
        self.began_at = time.monotonic()
        self.log = Path(log_of(order.scratch))
        self._read = 0
        self._family: Family | None = None
        self._oom_kills: int | None = None

    def begin(self, oom_kills: int | None) -> None:
        self.has_begun, self.began_at, self._oom_kills = True, time.monotonic(), oom_kills

    def is_short_of_memory(self) -> bool:
        """Whether the kernel has killed a process for want of memory since it began."""
        kills = death.count_oom_kills()
        return kills is not None and self._oom_kills is not None and kills > self._oom_kills

    def memory_bytes(self, *, above: float) -> int:
        """What its processes use together: measured exactly where that could be ``above`` so many bytes."""
        assert self.worker is not None
        self._family = self._family or _family(self.worker.pid)
        resident = self._family.resident_bytes()
        return resident if resident <= above else self._family.memory_bytes()

    @property
    def has_log(self) -> bool:
        return self._read > 0

    def read_log(self, *, to_the_end: bool = False) -> Captured | None:
        """What was written to the log since the last call, up to its last full line unless it is ``to_the_end``."""
        try:
            if self.log.stat().st_size == self._read:  # most stages write nothing
                return None
            with self.log.open("rb") as log:
                log.seek(self._read)
                new = log.read(1 << 20)
        except FileNotFoundError:
            return None
        whole = new if to_the_end else new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        return Captured(self.order.attempt_id, whole.decode(errors="replace")) if whole else None

    def last_lines(self, count: int = 20) -> str:
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - 8192))
                return "\n".join(log.read().decode(errors="replace").splitlines()[-count:])
        except FileNotFoundError:
            return ""


_NOT_HANDED_OVER = Failure(
    "exception",
    "OSError",
    "how the stage ended could not be told to the engine",
    "Does the stage close files that it did not open?",
)


def _not_begun(seconds: float) -> Failure:
    return Failure(
        "killed",
        "NotBegun",
        f"no process began with the attempt for {seconds:g} s, so what was to run it was ended",
        "Is the machine overloaded, or does a module of the project wait for something when it is imported?",
    )


def _family(pid: int) -> Family:
    # psutil takes long to import, and most runs have nothing to end
    from lineal.executors.family import Family

    return Family(pid)


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Wait for its end; subprocess.TimeoutExpired. `Popen.wait` alone would only look now and then, at last every 50 ms."""
    if sys.platform == "linux":
        with suppress(OSError):  # in a sandbox that does not know the call
            end = os.pidfd_open(process.pid)
            try:
                poll = select.poll()
                poll.register(end, select.POLLIN)
                poll.poll(1000 * seconds)
                seconds = 0
            finally:
                os.close(end)
    process.wait(seconds)


def _end(family: Family) -> None:
    """Kill all of ``family`` at once."""
    deadline = time.monotonic() + _REAPED_SECONDS
    family.kill()
    while not family.gone() and time.monotonic() < deadline:
        family.kill()
        time.sleep(0.01)
