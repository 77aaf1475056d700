"""``lineal serve``: one process that looks after the schedules of one project or several, until it is told to end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias

from lineal.api.alerts_automation import AutomationAlerts
from lineal.api.config import PROJECT_FILES, Configuration, find_root
from lineal.api.job import DAEMON_LOCK, FILE, LOCKS, launcher_of
from lineal.api.log import VARIABLE, Log, make_log
from lineal.api.notices import log_notice
from lineal.api.project import Project
from lineal.api.sensors import Sensors, looker
from lineal.automation.daemon import Daemon
from lineal.automation.launching import lock_path
from lineal.automation.locks import held, holder
from lineal.automation.notices import Notice, Stepped, Tell
from lineal.automation.schedule import Schedule
from lineal.errors import LinealError, UsageError
from lineal.state import Job, State, StateUnavailable

Document = dict[str, Any]
Beside: TypeAlias = "Callable[[Sequence[Served], Log], AbstractContextManager[object]]"
"""What goes on beside the scheduler, in threads of its own, for as long as things are fired."""
_STANDBY_SECONDS = 1.0
_RELOAD_SECONDS = 2.0
_HELD_UP_SECONDS = 5.0


class Served:
    """One project that is looked after. ``load`` reads its configuration; ``options`` are what was given in place of it, as variables.

    ``listeners`` are told what happens, in the scheduler's thread, which waits for them. What other threads may look at is
    ``root``, ``configuration``, ``schedules``, ``stands_by`` and `open_state`.
    """

    def __init__(
        self,
        load: Callable[[], Configuration],
        options: Mapping[str, str],
        log: Log,
        *,
        most_runs: int,
        log_form: str,
    ) -> None:
        self._load, self._log = load, log
        self.configuration = load()
        self.root = self.configuration.root
        self._folder = self.configuration.state
        self._variables = {**os.environ, **options, VARIABLE: log_form}
        self._most_runs = most_runs
        self._alerts = AutomationAlerts(self._cannot_tell, _tell_stale)
        self._held = ExitStack()
        self._daemon: Daemon | None = None
        self._sensors: Sensors | None = None
        self.listeners: list[Tell] = []
        self.schedules = _schedules(self.configuration)
        self.stands_by = False
        self._files: Mapping[str, object] | None = None  # those that the configuration was read from
        self._is_broken = False
        self._looked = 0.0
        self._held_up_by = ""

    def open_state(self) -> State:
        """The project's state, for one thread."""
        return State(self._folder / FILE)

    @property
    def running(self) -> list[Job]:
        """Jobs under way, as far as is known here."""
        return self._daemon.under_way if self._daemon is not None else []

    def is_at_work(self) -> bool:
        """Whether a job's process lives."""
        return any(holder(lock_path(self._folder / LOCKS, job.id)) is not None for job in self.running)

    def step(self, *, reload: bool) -> float:
        """Do what is to be done; in so many seconds there may be more."""
        started = time.monotonic()
        try:
            wait = self._step(reload=reload)
            self._held_up_by = ""
        except StateUnavailable as error:
            if self._daemon is None:
                raise
            wait = self._hold_up(error)
        self._tell_listeners(Stepped(_now(), time.monotonic() - started))
        return wait

    def _step(self, *, reload: bool) -> float:
        if self._daemon is None and not self._begin():
            return _STANDBY_SECONDS
        assert self._daemon is not None
        now = time.monotonic()
        if reload or now - self._looked > _RELOAD_SECONDS:
            self._looked = now
            if self._read(always=reload):
                self._configure(self._daemon)
            self._daemon.holds = self._is_broken
        wait = self._daemon.step()
        self._alerts.look(self._daemon.waiting, _now())
        return wait

    def _hold_up(self, error: StateUnavailable) -> float:
        """The state cannot be used just now: the disk is full, say. What is due stays due."""
        assert self._daemon is not None
        self._daemon.doubt()
        if self._held_up_by != str(error):
            self._held_up_by = str(error)
            self._log(_now(), "error", f"nothing is fired: {error}", project=self.root, hint=error.hint)
        return _HELD_UP_SECONDS

    def close(self) -> None:
        if self._sensors is not None:
            self._sensors.close()
        self._held.close()

    def _begin(self) -> bool:
        """Become the one daemon of the project; False as long as another one is."""
        lock = self._folder / DAEMON_LOCK
        with ExitStack() as stack:
            try:
                is_alone = stack.enter_context(held(lock))
            except OSError as error:
                raise StateUnavailable(str(self._folder), error.strerror or str(error)) from error
            if not is_alone:
                if not self.stands_by:
                    self.stands_by = True
                    self._log(
                        _now(),
                        "warning",
                        "another daemon looks after this project; waiting for it to end",
                        project=self.root,
                        process=holder(lock),
                    )
                return False
            # It may have changed since: whoever takes over with an older one would begin schedules anew.
            self._read(always=False)
            if self._is_broken:
                return False
            state = self.open_state()
            stack.callback(state.close)
            self._sensors = Sensors(looker(lambda: self.configuration), self._cannot_look, time.monotonic)
            launcher = launcher_of(self.configuration, self._variables)
            daemon = Daemon(state, launcher, self._sensors, self._tell, _Clock(), most_runs=self._most_runs)
            self._configure(daemon)
            self._daemon, self._held = daemon, stack.pop_all()
        self.stands_by = False
        return True

    def _read(self, *, always: bool) -> bool:
        """Read the configuration where its files have changed; whether there is a new one. One that cannot be used is told."""
        files = _identities(self.root)
        if files == self._files and not always:
            return False
        self._files = files
        try:
            self.configuration = self._load()
        except LinealError as error:
            self._is_broken = True
            self._log(
                _now(),
                "error",
                f"the configuration cannot be used, and no run begins until it can: {error}",
                project=self.root,
                hint=error.hint,
            )
            return False
        self._is_broken = False
        return True

    def _configure(self, daemon: Daemon) -> None:
        self.schedules = _schedules(self.configuration)
        daemon.configure(self.schedules)
        self._alerts.configure(self.configuration, self.schedules)
        names = ", ".join(self.schedules)
        self._log(
            _now(),
            "info",
            f"looking after {len(self.schedules)} schedules: {names}" if names else "there are no schedules",
            project=self.root,
        )

    def _cannot_look(self, schedule: str, problem: str) -> None:
        self._log(_now(), "warning", f"cannot look at what it waits for: {problem}", schedule=schedule)

    def _cannot_tell(self, problem: str) -> None:
        self._log(_now(), "warning", problem, project=self.root)

    def _tell_listeners(self, notice: Notice) -> None:
        for listener in self.listeners:
            listener(notice)

    def _tell(self, notice: Notice) -> None:
        self._tell_listeners(notice)
        self._alerts.hear(notice)
        log_notice(notice, self._log)


def serve_projects(
    projects: Sequence[tuple[Path, Callable[[], Configuration]]],
    options: Mapping[str, str],
    *,
    most_runs: int,
    log_form: str,
    drain: bool,
    beside: Beside | None = None,
) -> Document:
    """Look after the projects in those folders until SIGTERM or SIGINT; SIGHUP reads their configurations anew.

    Each comes with what reads its configuration; ``options`` are settings that stand over it, as variables. At most ``most_runs`` of each run at
    once. Runs that go on when it ends are the next daemon's; with ``drain`` they are waited for, and nothing new is begun: a
    second signal ends that. What is ``beside`` it ends before that. `UsageError` for a project that is named twice or has no folder.
    """
    log = make_log(log_form)
    served = [
        Served(load, options, log, most_runs=most_runs, log_form=log_form) for _, load in _distinct(projects)
    ]
    with _signals() as told, ExitStack() as stack:
        for project in served:
            stack.callback(project.close)
        with beside(served, log) if beside is not None else nullcontext():
            while not told.ending:
                reload, told.reload = told.reload, False
                wait = min(project.step(reload=reload) for project in served)
                told.wait(wait)
        if drain and any(project.is_at_work() for project in served):
            log(_now(), "info", "waiting for runs to end")
            while any(project.is_at_work() for project in served) and told.ending < 2:
                told.wait(0.1)
        going_on = [job for project in served for job in project.running if project.is_at_work()]
    return {
        "going_on": [
            {"origin": job.origin, "logical_date": job.logical_date, "run_id": job.run_id} for job in going_on
        ]
    }


def _schedules(configuration: Configuration) -> Mapping[str, Schedule]:
    return {table["name"]: Schedule.of(table) for table in configuration.schedules}


def _distinct(
    projects: Sequence[tuple[Path, Callable[[], Configuration]]],
) -> Sequence[tuple[Path, Callable[[], Configuration]]]:
    for folder, _ in projects:
        if not folder.is_dir():
            raise UsageError(f"there is no folder {folder}", "Name the folder of a project.")
    roots = [find_root(folder) for folder, _ in projects]
    for root in roots:
        if roots.count(root) > 1:
            raise UsageError(f"the project in {root} is named twice")
    return projects


class _Told:
    """What signals have said."""

    def __init__(self) -> None:
        self.ending, self.reload = 0, False
        # Not an Event: a handler may run while the same thread holds that one's lock, and would wait for it for ever.
        self._heard: SimpleQueue[None] = SimpleQueue()

    def wake(self) -> None:
        self._heard.put(None)

    def wait(self, seconds: float) -> None:
        """Until a signal has come since the last time, or so long."""
        with suppress(Empty):
            self._heard.get(timeout=max(0.0, seconds))
        self._heard = SimpleQueue()  # what has come with it is told by now


@contextmanager
def _signals() -> Iterator[_Told]:
    told = _Told()

    def end(*_: object) -> None:
        told.ending += 1
        told.wake()

    def reload(*_: object) -> None:
        told.reload = True
        told.wake()

    handlers = {signal.SIGTERM: end, signal.SIGINT: end, signal.SIGHUP: reload}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Clock:
    def now(self) -> datetime:
        return _now()


def _now() -> datetime:
    return datetime.now(UTC)


def _tell_stale(configuration: Configuration) -> None:
    Project(configuration).tell_stale()


def _identities(root: Path) -> dict[str, object]:
    """What tells whether a file of the configuration has changed."""
    found: dict[str, object] = {}
    for name in (*PROJECT_FILES, "lineal.local.toml"):
        try:
            status = (root / name).stat()
        except OSError:
            continue
        found[name] = (status.st_ino, status.st_size, status.st_mtime_ns)
    return found
