"""A process and all that it started: ended as one, and measured as one."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator

import psutil

_SHARES = re.compile(rb"^Pss_(?:Anon|Shmem): +(\d+) kB", re.MULTILINE)


class Family:
    """The processes that descend from ``pid``, as long as the way to them can be seen.

    Whoever was seen once stays a member, so that one whose parent has died since is not forgotten. What
    slips through (a process that left both its parent and its session before anybody looked) is left to the zygote,
    which adopts it when the worker has ended.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._members: dict[int, psutil.Process] = {}
        self._look()

    def terminate(self) -> None:
        """Ask all of them to end."""
        self._look()
        for process in self._living():
            _signal(process, signal.SIGTERM)

    def kill(self) -> None:
        """End all of them; to be called again until they are `gone`, since one may just have started another."""
        self._look()
        for process in self._living():
            _signal(process, signal.SIGKILL)
        try:
            os.killpg(self._pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass

    def gone(self) -> bool:
        """Whether none of them runs any more; one that nobody has waited for yet does not."""
        return not any(self._living())

    def memory_bytes(self) -> int:
        """What they use of the machine's memory together, in bytes.

        Pages that nobody else could give back: private ones and shared memory, a page that several hold divided among
        them. Files that are mapped or cached do not count, since the system can drop them. Where it does
        not tell that apart: the resident set, with all it shares.
        """
        self._look()
        return sum(_memory_bytes(process) for process in self._living())

    def resident_bytes(self) -> int:
        """Never less than `memory_bytes`, and quick to be known."""
        self._look()
        return sum(_resident_bytes(process) for process in self._living())

    def _look(self) -> None:
        """Note who has been started since."""
        reached: set[int] = set()
        for known in [*self._members.values()] or _processes(self._pid):
            if known.pid not in reached:
                for process in (known, *_descendants(known)):
                    reached.add(process.pid)
                    self._members.setdefault(process.pid, process)

    def _living(self) -> Iterator[psutil.Process]:
        for pid, process in list(self._members.items()):
            try:
                if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                    yield process
                    continue
            except psutil.NoSuchProcess:
                pass
            del self._members[pid]


def _processes(pid: int) -> list[psutil.Process]:
    try:
        return [psutil.Process(pid)]
    except psutil.NoSuchProcess:
        return []


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        pass


def _resident_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0


def _memory_bytes(process: psutil.Process) -> int:
    try:
        with open(f"/proc/{process.pid}/smaps_rollup", "rb") as rollup:
            shares = _SHARES.findall(rollup.read())
    except OSError:
        shares = []
    return sum(map(int, shares)) * 1024 if shares else _resident_bytes(process)
