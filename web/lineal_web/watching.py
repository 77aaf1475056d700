"""Whether the projects are well: what their schedulers said last, and what was found of their states and stores.

Finding that out may take as long as a store that does not answer: it is done from time to time in a thread for each project, and
whoever asks gets what was found last.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from lineal.api.checks import sentence, without_secrets
from lineal.api.log import Log
from lineal.api.serve import Served
from lineal.automation.notices import Ended, Notice, Stepped
from lineal.errors import LinealError
from lineal.state import Job
from lineal.views.figures import Figures, read_figures
from lineal_store import open_store

HEALTHY_SECONDS = 60.0
"""After so long without a step a scheduler hangs: SQLite may keep it waiting for 30 seconds."""
LOOKS_SECONDS = 15.0
FRESH_SECONDS = 60.0
"""What was found longer ago counts no more: whoever looks is kept waiting."""
_MOST_ENDED = 10_000


class Counting(Protocol):
    """Counts what ended of the project with that name (`lineal_web.prometheus`)."""

    def recall(self, name: str) -> None:
        """Learn what was before this process began."""

    def count(self, name: str, job: Job, figures: Figures | None) -> None:
        """A job has ended, with these figures where its run has any."""


class Watched:
    """One project. ``check`` says what is the matter with its state and its store, as a sentence, or None; ``monotonic`` is in seconds."""

    def __init__(
        self, name: str, check: Callable[[], str | None], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.name, self._check, self._monotonic = name, check, monotonic
        self._stepped_at = monotonic()
        self._has_begun = False
        self._found: tuple[float, str | None] | None = None

    def hear(self, notice: Notice) -> None:
        """What the scheduler says, in its own thread."""
        if isinstance(notice, Stepped):
            self._stepped_at, self._has_begun = self._monotonic(), True

    def look(self) -> None:
        """Find out whether state and store can be used, however long that takes."""
        began = self._monotonic()
        self._found = (began, self._check())

    @property
    def idle_seconds(self) -> float:
        """How long ago the scheduler made its last step, or was begun."""
        return self._monotonic() - self._stepped_at

    @property
    def is_alive(self) -> bool:
        return self.idle_seconds <= HEALTHY_SECONDS

    @property
    def problem(self) -> str | None:
        """Why it is not ready; None where it is."""
        if not self._has_begun:
            return "its scheduler has not begun"
        if not self.is_alive:
            return f"its scheduler hangs: its last step was {self.idle_seconds:.0f} s ago"
        if self._found is None:
            return "its state and store were not looked at yet"
        at, problem = self._found
        if self._monotonic() - at > FRESH_SECONDS:
            return f"its state or its store does not answer: looked at {self._monotonic() - at:.0f} s ago"
        return problem


def names_of(roots: Sequence[Path]) -> list[str]:
    """What projects are called: by their folders, and by the whole path where two folders have one name."""
    names = [root.name for root in roots]
    return [name if names.count(name) == 1 else str(root) for name, root in zip(names, roots, strict=True)]


def checker(project: Served) -> Callable[[], str | None]:
    """What looks at a project's state and store."""

    def check() -> str | None:
        configuration = project.configuration
        try:
            with project.open_state() as state:
                state.schedules()
            by_default = configuration.origins.get("store") == "default"
            if not (by_default and not Path(configuration.store).exists()):  # its first run makes it
                open_store(configuration.place, create=False)
        except LinealError as problem:
            return without_secrets(sentence(problem))
        except Exception as problem:  # noqa: BLE001 — whatever a file system raises
            return without_secrets(f"{type(problem).__name__}: {problem}")
        return None

    return check


@contextmanager
def watching(
    projects: Sequence[tuple[Served, Watched]], counting: Counting | None, log: Log
) -> Iterator[None]:
    """Watch the projects inside the block, and have counted what ends."""
    threads = [_Watcher(project, watched, counting, log) for project, watched in projects]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.end()


class _Watcher(threading.Thread):
    # A daemon: it may hang as long as a store does, and nothing waits for it.

    def __init__(self, project: Served, watched: Watched, counting: Counting | None, log: Log) -> None:
        super().__init__(name=f"lineal-watch {watched.name}", daemon=True)
        self._project, self._watched, self._counting, self._log = project, watched, counting, log
        self._ended: queue.Queue[Job | None] = queue.Queue(_MOST_ENDED)
        project.listeners += [watched.hear, self._hear]

    def end(self) -> None:
        try:
            self._ended.put_nowait(None)
        except queue.Full:  # it hangs
            pass

    def run(self) -> None:
        if self._counting is not None:
            self._counting.recall(self._watched.name)
        due = time.monotonic()
        while True:
            if time.monotonic() >= due:
                self._watched.look()
                due = time.monotonic() + LOOKS_SECONDS
            try:
                job = self._ended.get(timeout=max(0.0, due - time.monotonic()))
            except queue.Empty:
                continue
            if job is None:
                return
            self._tell(job, self._figures(job))

    def _hear(self, notice: Notice) -> None:
        if isinstance(notice, Ended) and self._counting is not None:
            try:
                self._ended.put_nowait(notice.job)
            except queue.Full:  # the store hangs: what is known without it counts all the same
                self._tell(notice.job, None)

    def _tell(self, job: Job, figures: Figures | None) -> None:
        if self._counting is not None:
            self._counting.count(self._watched.name, job, figures)

    def _figures(self, job: Job) -> Figures | None:
        if job.run_id is None:
            return None
        try:
            return read_figures(open_store(self._project.configuration.place, create=False), job.run_id)
        except Exception as problem:  # noqa: BLE001 — whatever a store raises, the next one is counted
            told = f"its figures cannot be read: {type(problem).__name__}: {problem}"
            self._log(datetime.now(UTC), "warning", told, run_id=job.run_id)
            return None
