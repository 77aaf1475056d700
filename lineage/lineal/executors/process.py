"""Attempts in child processes of this machine, one clean process each."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

from lineal.events import Failure
from lineal.executors.protocol import Begun, Captured, Envelope, Outcome, Report, Setup
from lineal.executors.wire import LOG_FILE, NO_OUTCOME, OUTCOME_FILE, Exited, Forked, NotImported, Spawn

KILL_GRACE_SECONDS = 2.0
_TAIL_SECONDS = 0.1


class ProcessExecutor:
    """Forks a worker for each attempt from a zygote that has imported the project (`lineal.executors.zygote`).

    The zygote starts with the first attempt, and again should it die.
    """

    gathers = False

    def __init__(self, setup: Setup, slots: int) -> None:
        self.slots = slots
        self._setup = setup
        self._zygote: subprocess.Popen[bytes] | None = None
        self._connection: Connection[Any, Any] | None = None
        self._running: dict[str, _Attempt] = {}
        self._reports: deque[Report] = deque()
        self._not_imported: Failure | None = None

    def submit(self, envelope: Envelope) -> None:
        self._running[envelope.attempt_id] = _Attempt(envelope)
        if self._not_imported is not None:
            self._end(envelope.attempt_id, failure=self._not_imported, repeatable=False)
            return
        try:
            self._connected().send(Spawn.of(envelope))
        except OSError:  # the zygote died since: its attempts are reported by wait
            self._zygote_died()

    def wait(self, timeout_seconds: float | None) -> Sequence[Report]:
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        while True:
            captured = [text for attempt in self._running.values() if (text := attempt.read_log())]
            if captured or self._reports or not self._running:
                reports, self._reports = self._reports, deque()
                return [*captured, *reports]
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return []
            self._listen(_TAIL_SECONDS if left is None else min(left, _TAIL_SECONDS))

    def kill(self, attempt_id: str) -> None:
        attempt = self._running.get(attempt_id)
        if attempt is None:
            return
        attempt.killed = True
        deadline = time.monotonic() + KILL_GRACE_SECONDS
        while attempt.pid is None and attempt_id in self._running and time.monotonic() < deadline:
            self._listen(_TAIL_SECONDS)  # the zygote may be about to fork it
        if attempt_id not in self._running:
            return
        if attempt.pid is not None:
            _kill_tree(attempt.pid)
        elif self._zygote is not None:  # it still imports the project, and nothing runs yet
            _kill_tree(self._zygote.pid)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()  # the zygote then kills, at once, the workers and all that they started
        if self._zygote is not None:
            try:
                self._zygote.wait(KILL_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                _kill_tree(self._zygote.pid)
                self._zygote.wait()

    # -- the zygote ---------------------------------------------------------------------------

    def _connected(self) -> Connection[Any, Any]:
        if self._connection is None:
            ours, theirs = socket.socketpair()
            with theirs:
                self._zygote = subprocess.Popen(
                    [sys.executable, "-P", "-m", "lineal.executors.zygote", str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    env=dict(self._setup.variables),
                    cwd=self._setup.root,
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                )
            self._connection = Connection(ours.detach())
            self._connection.send(self._setup)
        return self._connection

    def _listen(self, timeout_seconds: float | None) -> None:
        """Take one message from the zygote, if one comes in time."""
        if self._connection is None:
            return
        try:
            if not self._connection.poll(timeout_seconds):
                return
            message = self._connection.recv()
        except (EOFError, OSError):
            self._zygote_died()
            return
        match message:
            case Forked(attempt_id, pid):
                self._running[attempt_id].pid = pid
                self._reports.append(Begun(attempt_id))
            case Exited(attempt_id, status):
                self._exited(attempt_id, status)
            case NotImported(failure):
                self._not_imported = failure
                for attempt_id in list(self._running):
                    self._end(attempt_id, failure=failure, repeatable=False)

    def _zygote_died(self) -> None:
        if self._connection is not None:
            self._connection.close()
        status = self._zygote.wait() if self._zygote is not None else None
        self._connection = self._zygote = None
        for attempt_id, attempt in list(self._running.items()):
            if attempt.pid is not None:
                _kill_tree(attempt.pid)
            self._end(attempt_id, failure=_death("the worker's parent process", status or 0, ""))

    # -- attempts -----------------------------------------------------------------------------

    def _exited(self, attempt_id: str, status: int) -> None:
        attempt = self._running.get(attempt_id)
        if attempt is None:
            return
        try:
            outcome = pickle.loads((Path(attempt.envelope.scratch) / OUTCOME_FILE).read_bytes())
        except FileNotFoundError:
            outcome = None
        if outcome is None and status == NO_OUTCOME:
            self._end(attempt_id, failure=_not_handed_over(attempt.envelope.scratch))
        elif outcome is None or attempt.killed:
            self._end(attempt_id, failure=_death("the stage's process", status, attempt.last_lines()))
        else:
            self._running.pop(attempt_id)
            self._finish(attempt, outcome)

    def _end(self, attempt_id: str, *, failure: Failure, repeatable: bool = True) -> None:
        attempt = self._running.pop(attempt_id)
        outcome = Outcome(
            attempt_id,
            failure=failure,
            raised=(failure.type,),
            seconds=time.monotonic() - attempt.started,
            repeatable=repeatable,
        )
        self._finish(attempt, outcome)

    def _finish(self, attempt: _Attempt, outcome: Outcome) -> None:
        if (rest := attempt.read_log(to_the_end=True)) is not None:
            self._reports.append(rest)
        if attempt.log.exists():
            outcome = replace(outcome, log=str(attempt.log))
        self._reports.append(outcome)


class _Attempt:
    """The executor's notes on an attempt that runs."""

    def __init__(self, envelope: Envelope) -> None:
        self.envelope = envelope
        self.pid: int | None = None
        self.killed = False
        self.started = time.monotonic()
        self.log = Path(envelope.scratch) / LOG_FILE
        self._read = 0

    def read_log(self, *, to_the_end: bool = False) -> Captured | None:
        """What was written to the log since the last call, up to its last full line unless it is ``to_the_end``."""
        try:
            with self.log.open("rb") as log:
                log.seek(self._read)
                new = log.read(1 << 20)
        except FileNotFoundError:
            return None
        whole = new if to_the_end else new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        return Captured(self.envelope.attempt_id, whole.decode(errors="replace")) if whole else None

    def last_lines(self, count: int = 10) -> str:
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - 8192))
                return "\n".join(log.read().decode(errors="replace").splitlines()[-count:])
        except FileNotFoundError:
            return ""


def _not_handed_over(scratch: str) -> Failure:
    return Failure(
        "exception",
        "OSError",
        f"how the stage ended could not be written into {scratch}",
        "Is that disk full?",
    )


def _death(who: str, status: int, last_lines: str) -> Failure:
    if status < 0:
        try:
            how = signal.Signals(-status).name
        except ValueError:
            how = f"signal {-status}"
        message = f"{who} was killed by {how}"
        hint = {
            "SIGKILL": "Often the machine was out of memory; see the system's log.",
            "SIGSEGV": "A native library crashed; the last lines of its output may say where.",
        }.get(how)
    else:
        message = f"{who} ended with status {status} before the stage returned"
        hint = "Does something call os._exit, or a native library exit()?"
        how = "ProcessExit"
    return Failure("killed", how, message, hint, last_lines)


def _kill_tree(pid: int) -> None:
    """SIGTERM to the process and all its descendants, SIGKILL to what is left after the grace period."""
    try:
        parent = psutil.Process(pid)
        family = [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        family = []
    for ask in (_terminate, _kill):
        for process in family:
            ask(process)
        _, family = psutil.wait_procs(family, timeout=KILL_GRACE_SECONDS)
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def _terminate(process: psutil.Process) -> None:
    try:
        process.terminate()
    except psutil.NoSuchProcess:
        pass


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        pass
