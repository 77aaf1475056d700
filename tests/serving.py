"""``lineal serve`` in a process of its own, and what it says."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

from support import Project
from waiting import PATIENCE_SECONDS

from lineal.api.job import FILE, LOCKS
from lineal.automation.launching import lock_path
from lineal.automation.locks import holder
from lineal.state import Job, State


class Serving:
    """A daemon that was just started for ``projects`` (the first one's folder is where it is started)."""

    def __init__(self, *projects: Project, options: tuple[str, ...] = (), **variables: str) -> None:
        folders = [str(project.root) for project in projects[1:]]
        self.process = subprocess.Popen(
            [
                *(
                    sys.executable,
                    "-m",
                    "lineal_cli",
                    "serve",
                    "--json",
                    "--no-http",
                    "--log",
                    "json",
                    *options,
                ),
                *([str(projects[0].root), *folders] if folders else []),
            ],
            cwd=projects[0].root,
            env=projects[0].environment(variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[dict[str, Any]] = []
        self._heard: queue.Queue[dict[str, Any]] = queue.Queue()
        assert self.process.stderr is not None
        threading.Thread(target=self._listen, args=(self.process.stderr,), daemon=True).start()

    def until(self, message: str, **facts: object) -> dict[str, Any]:
        """The next line whose message begins like that, with those facts; it is waited for."""
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                line = self._heard.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"nobody says {message!r} {facts}: {self.lines[-20:]}") from None
            if line["message"].startswith(message) and facts.items() <= line.items():
                return line

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE_SECONDS)

    def tell(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> dict[str, Any]:
        """What it says when it was told to end."""
        self.tell(signal.SIGTERM)
        return self.ended()

    def ended(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        # Runs that go on hold stderr, not stdout.
        document = json.loads(self.process.stdout.read())
        assert self.process.wait(PATIENCE_SECONDS) == 0
        return dict(document)

    def _listen(self, stream: IO[str]) -> None:
        for text in stream:
            try:
                line = json.loads(text)
            except ValueError:
                line = {"message": text, "level": "no JSON"}
            self.lines.append(line)
            self._heard.put(line)


def folder_of(project: Project) -> Path:
    return project.root / ".lineal" / "state"


def jobs(project: Project) -> list[Job]:
    """The jobs that the state knows, those that were due first in front."""
    with State(folder_of(project) / FILE) as state:
        return state.jobs()


def process_of(project: Project, job: Job) -> int | None:
    """The process that a job runs in."""
    return holder(lock_path(folder_of(project) / LOCKS, job.id))


def end_what_is_left(project: Project) -> None:
    """Kill the processes of jobs that nobody has waited for."""
    for path in (folder_of(project) / LOCKS).glob("*.lock"):
        if process := holder(path):
            os.kill(process, signal.SIGKILL)
