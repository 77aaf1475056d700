"""By what others know that a run lives, and by what they ask it to stop.

A run shows **signs of life**: one object that it writes anew every `BEAT_SECONDS`, from before it is recorded to have begun
until after it is recorded to have finished. A **stop request** is an object beside it, created once by whoever wants the
run to stop, which the run looks for at least as often as it shows a sign.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from lineal_store.errors import CorruptRecord, ObjectMissing, StoreUnavailable
from lineal_store.protocols import Backend, Upload
from lineal_store.sealed import seal, unseal

BEAT_SECONDS = 5.0
EXPIRES_SECONDS = 30.0
"""Several beats: one that is late, or lost on the way, is no death."""
SILENT_SECONDS = 120.0
"""Longer still: where somebody looks only once, the clocks of two machines are compared."""

_SIGNS = "claims/runs/"
_REQUESTS = "claims/stops/"


def boot_seconds() -> float:
    """Seconds since this machine was started, those that it slept included, where the system tells."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class Process(NamedTuple):
    """A process as others can tell whether it still lives: ``machine`` is empty where they cannot.

    ``machine`` is this boot of a machine, and the part of its processes that can be seen; ``started`` tells the process
    from a later one of the same id.
    """

    machine: str
    pid: int
    started: int

    @classmethod
    def current(cls) -> Process:
        """This one."""
        pid = os.getpid()
        return cls(_machine(), pid, _started(pid) or 0)

    def is_here(self) -> bool:
        """Whether it can be seen from this process, if it lives."""
        return self.machine != "" and self.machine == _machine()

    def is_gone(self) -> bool:
        """Whether it has surely ended."""
        return self.is_here() and _started(self.pid) != self.started


class StopRequest(NamedTuple):
    """Who wants a run to stop, and on which machine they said so."""

    who: str
    host: str


class Signs:
    """The signs of life of all runs in the store behind ``backend``; ``clock`` counts seconds and never goes back."""

    def __init__(self, backend: Backend, *, clock: Callable[[], float] = boot_seconds) -> None:
        self._backend, self._clock = backend, clock
        self._seen: dict[
            str, tuple[bytes, float]
        ] = {}  # signs of other runs, and since when they are the same

    def show(self, run_id: str, process: Process, beat: int) -> None:
        """Show the ``beat``-th sign of life of a run that ends with ``process``."""
        sign = {
            "beat": beat,
            "host": os.uname().nodename,
            "machine": process.machine,
            "pid": process.pid,
            "started": process.started,
        }
        self._backend.create([Upload(_SIGNS + run_id, seal(sign), replace=True, lasting=False)])

    def remove(self, run_id: str) -> None:
        """Remove the sign of a run that has ended, and what was asked of it, as far as may be."""
        self._delete([_SIGNS + run_id, _REQUESTS + run_id])

    def shown(self) -> set[str]:
        """The ids of all runs that show a sign, or have left one behind."""
        return {info.name.removeprefix(_SIGNS) for info in self._backend.list(_SIGNS)}

    def find_living(self, run_ids: Iterable[str]) -> set[str]:
        """Those of ``run_ids`` that are not dead, as far as is known from all the times that this was asked."""
        names = {run_id: _SIGNS + run_id for run_id in run_ids}
        found = self._backend.read_many(names.values()) if names else {}
        return {
            run_id
            for run_id, name in names.items()
            if name in found and self._lives(run_id, name, found[name])
        }

    def _lives(self, run_id: str, name: str, data: bytes) -> bool:
        process = _process(name, data)
        if process is None or process.is_gone():
            return False
        now = self._clock()
        known, since = self._seen.get(run_id, (b"", now))
        if known != data:
            self._seen[run_id] = data, now
            return True
        return now - since < EXPIRES_SECONDS

    def find_silent(self, run_ids: Collection[str], now: datetime) -> dict[str, float | None]:
        """Those of ``run_ids`` that show no sign of life, by one look, ``now`` (aware) by this machine's clock.

        For each the seconds since its last sign, or None where its process has surely ended.
        """
        if not run_ids:
            return {}
        infos = {info.name: info for info in self._backend.list(_SIGNS)}
        names = {run_id: _SIGNS + run_id for run_id in run_ids}
        read = self._backend.read_many(name for name in names.values() if name in infos)
        silent: dict[str, float | None] = {}
        for run_id, name in names.items():
            process = _process(name, read[name]) if name in read else None
            if process is None or process.is_gone():
                silent[run_id] = None
            elif not process.is_here():
                seconds = (now - infos[name].modified).total_seconds()
                if seconds >= SILENT_SECONDS:
                    silent[run_id] = seconds
        return silent

    def ask_to_stop(self, run_id: str, request: StopRequest) -> None:
        """Ask a run to stop. Who was first to ask stays the one who did."""
        self._backend.create([Upload(_REQUESTS + run_id, seal(request._asdict()), lasting=False)])

    def forget_request(self, run_id: str) -> None:
        """Forget what a run that has ended was asked, as far as may be."""
        self._delete([_REQUESTS + run_id])

    def find_request(self, run_id: str) -> StopRequest | None:
        """What the run is asked. A request that cannot be read is one of nobody known."""
        name = _REQUESTS + run_id
        try:
            found = unseal(self._backend.read(name), what=name)
        except ObjectMissing:
            return None
        except CorruptRecord:
            found = None
        said = found if isinstance(found, dict) else {}
        return StopRequest(str(said.get("who", "somebody")), str(said.get("host", "an unknown machine")))

    def _delete(self, names: Sequence[str]) -> None:
        with suppress(StoreUnavailable):  # not everybody who may write may delete
            self._backend.delete(names)


def _process(name: str, data: bytes) -> Process | None:
    """The process whose sign that is; None where it cannot be read."""
    try:
        sign = unseal(data, what=name)
    except CorruptRecord:
        return None
    if not isinstance(sign, dict):
        return None
    pid, started = sign.get("pid"), sign.get("started")
    return Process(
        str(sign.get("machine", "")),
        pid if isinstance(pid, int) else 0,
        started if isinstance(started, int) else 0,
    )


def _machine() -> str:
    """This boot of this machine, and the namespace of processes that we are in; empty where it cannot be told."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115
    except OSError:
        return ""


def _started(pid: int) -> int | None:
    """When the process began, in ticks since the boot; None when there is none that lives."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])
