"""Attempts in this very process, one at a time: for debuggers and for tests.

A timeout cannot be kept here, nor a limit of memory or threads, and a stage that ends the process ends the run. What an
attempt does to the working directory, the environment and the states of random generators is undone after it;
modules that it imports or changes, and the hash seed, are this process's.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from lineal.executors.attempt import StageOf, perform
from lineal.executors.observe import Observer
from lineal.executors.protocol import Envelope, Outcome, Report
from lineal_store import Store


class InlineExecutor:
    """Runs each attempt when its outcome is waited for. ``stage_of`` gives the stage of a module and qualified name."""

    slots = 1
    gathers = True

    def __init__(self, store: Store, stage_of: StageOf, observer: Observer) -> None:
        self._store, self._stage_of, self._observer = store, stage_of, observer
        self._submitted: deque[Envelope] = deque()
        self._killed: list[Outcome] = []
        self._interruptible = _Interruptible()

    def submit(self, envelope: Envelope) -> None:
        self._submitted.append(envelope)

    def wait(self, timeout_seconds: float | None) -> Sequence[Report]:
        killed, self._killed = self._killed, []
        if killed or not self._submitted:
            return killed
        envelope = self._submitted.popleft()
        try:
            with self._interruptible, _undone():
                return [perform(envelope, self._stage_of, self._store, self._observer)]
        except KeyboardInterrupt:
            self._killed.append(Outcome(envelope.attempt_id))
            raise

    def kill(self, attempt_id: str) -> None:
        for envelope in list(self._submitted):
            if envelope.attempt_id == attempt_id:
                self._submitted.remove(envelope)
                self._killed.append(Outcome(attempt_id))

    def interrupt(self) -> None:
        self._interruptible.interrupt()

    def close(self) -> None:
        self._submitted.clear()
        self._observer.close()


@contextmanager
def _undone() -> Iterator[None]:
    """What the block does to this process's working directory, environment and random generators is undone."""
    folder, variables, drawn = os.getcwd(), dict(_VARIABLES), random.getstate()  # noqa: PTH109
    numpy = sys.modules.get("numpy")
    drawn_by_numpy = numpy.random.get_state() if numpy is not None else None
    try:
        yield
    finally:
        if numpy is not None:
            numpy.random.set_state(drawn_by_numpy)
        random.setstate(drawn)
        if variables != _VARIABLES:
            os.environ.clear()
            os.environ.update({os.fsdecode(name): os.fsdecode(value) for name, value in variables.items()})
        with suppress(OSError):  # it is gone
            os.chdir(folder)


_VARIABLES: dict[bytes, bytes] = os.environ._data  # type: ignore[attr-defined]
"""What `os.environ` wraps: to copy it and compare it costs a hundredth of what asking for each variable does."""


class _Interruptible:
    """A block in which Ctrl-C raises KeyboardInterrupt, as debuggers and stages expect, whatever it does outside.

    Outside the main thread there are no signals, and nothing interrupts it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_inside = False
        self._before: Any = None

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self._before = _set_handler(signal.SIGINT, signal.default_int_handler)
            self._is_inside = True

    def interrupt(self) -> None:
        """Press Ctrl-C, from another thread, if somebody is inside."""
        with self._lock:
            if self._is_inside:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def __exit__(self, *_: object) -> None:
        if self._is_inside:
            try:
                with self._lock:  # whoever presses just now has done so before the handler is another
                    self._is_inside = False
            finally:
                _set_handler(signal.SIGINT, self._before)


_set_handler: Any = getattr(sys.modules.get("_signal"), "signal", signal.signal)
"""`signal.signal` without its search for names of what it takes and returns, which costs ten times the call."""
