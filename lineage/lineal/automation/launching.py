"""Starting the processes that jobs run in, and finding those that another daemon has started."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from lineal.automation.locks import holder
from lineal.state import Job


class Launcher:
    """Starts each job as ``command`` with the job's id and token, in ``folder``, in a session of its own: it goes on when
    whoever started it ends. A job's process holds the lock `lock_of` as long as it lives. ``variables`` are its environment.
    """

    def __init__(
        self, command: Sequence[str], folder: Path, locks: Path, variables: Mapping[str, str]
    ) -> None:
        self._command, self._folder, self._locks, self._variables = tuple(command), folder, locks, variables
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._leaving: list[subprocess.Popen[bytes]] = []

    def start(self, job: Job, token: str) -> None:
        """Start a process for the job; OSError where there can be none."""
        self._children[job.id] = subprocess.Popen(
            [*self._command, str(job.id), token],
            cwd=self._folder,
            env=self._variables,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def stop(self, job: Job) -> None:
        """Ask the job's process to end its run in an orderly way, as Ctrl-C does."""
        child = self._children.get(job.id)
        process = child.pid if child is not None and child.poll() is None else holder(self.lock_of(job))
        if process:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGINT)

    def is_gone(self, job: Job) -> bool:
        """Whether nobody is at work on a job that is under way."""
        child = self._children.get(job.id)
        if child is not None:
            if child.poll() is None:
                return False
            del self._children[job.id]
        return holder(self.lock_of(job)) is None

    def forget(self, job: Job) -> None:
        """The job has ended: its process is about to."""
        child = self._children.pop(job.id, None)
        self._leaving = [each for each in (*self._leaving, child) if each is not None and each.poll() is None]
        self.lock_of(job).unlink(missing_ok=True)

    def lock_of(self, job: Job) -> Path:
        return lock_path(self._locks, job.id)


def lock_path(locks: Path, job_id: int) -> Path:
    """The lock of a job's process, in the folder ``locks``."""
    return locks / f"{job_id}.lock"
