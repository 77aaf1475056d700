"""The daemon: what is due fires once, whoever is killed and whatever the clock does."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from depth import one_of
from hypothesis import given, settings
from hypothesis import strategies as st

from lineal.automation.daemon import DETACHED, Daemon
from lineal.automation.notices import (
    ClockSetBack,
    Ended,
    Fired,
    Late,
    Lost,
    Missed,
    Notice,
    Started,
    Stopping,
)
from lineal.automation.schedule import Event, Schedule
from lineal.state import Backfill, Job, NewJob, State

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@dataclass
class Clock:
    time: datetime = NOON

    def now(self) -> datetime:
        return self.time


@dataclass
class Seen:
    """Sensors that see what a test says."""

    what: dict[str, str] = field(default_factory=dict)

    def watch(self, events: Mapping[str, Event]) -> None:
        pass

    def seen(self) -> Mapping[str, str]:
        return self.what


@dataclass
class Machine:
    """A machine on which jobs run, and end when a test says so; a daemon may be killed and started again."""

    path: Path
    schedules: dict[str, Schedule]
    most_runs: int = 100
    clock: Clock = field(default_factory=Clock)
    sensors: Seen = field(default_factory=Seen)
    told: list[Notice] = field(default_factory=list)
    tokens: dict[int, str] = field(default_factory=dict)
    began: list[Job] = field(default_factory=list)
    stopped: list[int] = field(default_factory=list)
    broken: bool = False

    def __post_init__(self) -> None:
        self.state = State(self.path)  # what processes of jobs see
        self.begin()

    def begin(self) -> None:
        """Start a daemon, where the one before was killed or not."""
        own = State(self.path)
        self.daemon = Daemon(own, self, self.sensors, self.told.append, self.clock, most_runs=self.most_runs)
        self.daemon.configure(self.schedules)

    # what a launcher does

    def start(self, job: Job, token: str) -> None:
        if self.broken:
            raise OSError("no more processes")
        begun = self.state.begin(job.id, token, self.clock.now())
        assert begun is not None
        self.tokens[job.id] = token
        self.began.append(begun)

    def stop(self, job: Job) -> None:
        self.stopped.append(job.id)

    def is_gone(self, job: Job) -> bool:
        return job.id not in self.tokens

    def forget(self, job: Job) -> None:
        self.tokens.pop(job.id, None)

    # what a test does

    def step(self, passes: timedelta = timedelta(0)) -> None:
        """Let that time pass, and the daemon do all that is to be done."""
        self.clock.time += passes
        for _ in range(50):
            before = len(self.told), len(self.began)
            wait = self.daemon.step()
            if wait > 0 and (len(self.told), len(self.began)) == before:
                return

    def end(self, job: Job, state: str = "succeeded") -> None:
        assert self.state.end(job.id, self.tokens[job.id], state, self.clock.now())  # type: ignore[arg-type]

    def kill(self, job: Job) -> None:
        del self.tokens[job.id]

    def dates(self) -> list[str]:
        return [job.logical_date[:16] for job in self.began]

    def kinds(self) -> list[type[Notice]]:
        return [type(notice) for notice in self.told]


def hourly(**fields: object) -> dict[str, Schedule]:
    table = {"name": "s", "cron": "0 * * * *", "catch_up": "all", **fields}
    return {"s": Schedule.of(table)}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "state.sqlite", hourly())


# -- firing -----------------------------------------------------------------------------------


def test_what_is_due_is_started_and_ends(machine: Machine) -> None:
    machine.step(59 * MINUTE)
    assert machine.began == []

    machine.step(MINUTE)
    assert machine.dates() == ["2026-11-28T13:00"]

    machine.end(machine.began[0])
    machine.step(MINUTE)
    assert machine.kinds() == [Fired, Started, Ended]
    assert isinstance(machine.told[-1], Ended)
    assert machine.told[-1].job.state == "succeeded"


def test_as_long_as_it_holds_what_is_due_waits(machine: Machine) -> None:
    machine.daemon.holds = True
    machine.step(HOUR)
    machine.step(HOUR)
    assert (machine.began, machine.kinds().count(Fired)) == ([], 2)

    machine.daemon.holds = False
    machine.step()
    assert machine.dates() == ["2026-11-28T13:00"]


def test_parameters_and_target_are_the_schedules(tmp_path: Path) -> None:
    fields = {
        "pipeline": "flights.py:flights",
        "parameters": {"learning_rate": 0.1},
        "logical_date_offset": "-1d",
    }
    machine = Machine(tmp_path / "state.sqlite", hourly(**fields))

    machine.step(HOUR)

    [job] = machine.began
    assert (job.target, job.parameters) == ("flights.py:flights", {"learning_rate": 0.1})
    assert job.logical_date == "2026-11-27T13:00:00+00:00"


def test_the_second_of_a_schedule_waits_for_the_first(machine: Machine) -> None:
    machine.step(HOUR)
    machine.step(HOUR)
    assert machine.dates() == ["2026-11-28T13:00"]

    machine.end(machine.began[0])
    machine.step(MINUTE)
    assert machine.dates() == ["2026-11-28T13:00", "2026-11-28T14:00"]


def test_with_skip_it_does_not_run(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "state.sqlite", hourly(when_running="skip"))

    machine.step(HOUR)
    machine.step(HOUR)
    machine.end(machine.began[0])
    machine.step(HOUR)

    assert machine.dates() == ["2026-11-28T13:00", "2026-11-28T15:00"]
    assert [job.state for job in machine.state.jobs()] == ["succeeded", "skipped", "running"]


def test_with_cancel_the_first_is_stopped_for_it(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "state.sqlite", hourly(when_running="cancel"))

    machine.step(HOUR)
    machine.step(HOUR)
    machine.step(HOUR)
    assert machine.stopped == [machine.began[0].id]

    machine.end(machine.began[0], "cancelled")
    machine.step(MINUTE)
    assert machine.dates() == ["2026-11-28T13:00", "2026-11-28T15:00"]
    assert machine.kinds().count(Stopping) == 1
    assert [job.state for job in machine.state.jobs()] == ["cancelled", "cancelled", "running"]


def test_no_more_run_at_once_than_there_is_room_for(tmp_path: Path) -> None:
    schedules = {name: Schedule.of({"name": name, "cron": "0 * * * *"}) for name in ("a", "b", "c")}
    machine = Machine(tmp_path / "state.sqlite", schedules, most_runs=2)

    machine.step(HOUR)
    assert len(machine.began) == 2

    machine.end(machine.began[0])
    machine.step(MINUTE)
    assert len(machine.began) == 3


def test_a_paused_schedule_fires_when_it_is_resumed(machine: Machine) -> None:
    machine.state.pause("s", "ann", NOON)
    machine.step(2 * HOUR)
    assert machine.began == []

    machine.state.resume("s")
    machine.step(MINUTE)
    assert machine.dates() == ["2026-11-28T13:00"]
    machine.end(machine.began[0])
    machine.step(MINUTE)
    assert machine.dates() == ["2026-11-28T13:00", "2026-11-28T14:00"]


def test_a_job_that_waits_for_long_is_late_once(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "state.sqlite", hourly(), most_runs=0)

    machine.step(HOUR)
    machine.step(6 * MINUTE)
    machine.step(HOUR)

    assert machine.kinds().count(Late) == 2  # the one of 13:00, and that of 14:00


# -- nobody was there -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("catch_up", "dates", "missed"),
    [("all", 24, 0), ("latest", 1, 1), ("none", 0, 1)],
)
def test_a_daemon_that_was_away_catches_up_as_the_schedule_says(
    catch_up: str, dates: int, missed: int, tmp_path: Path
) -> None:
    machine = Machine(tmp_path / "state.sqlite", hourly(catch_up=catch_up))
    machine.step(MINUTE)

    machine.clock.time += DAY + 10 * MINUTE
    machine.begin()
    machine.step()

    assert len(machine.state.jobs()) == dates
    assert machine.kinds().count(Missed) == missed


def test_an_edited_schedule_fires_nothing_that_was_due_before(machine: Machine) -> None:
    machine.step(HOUR)
    machine.end(machine.began[0])

    machine.clock.time += DAY
    machine.schedules = {"s": Schedule.of({"name": "s", "cron": "30 * * * *", "catch_up": "all"})}
    machine.daemon.configure(machine.schedules)
    machine.step(MINUTE)
    assert len(machine.began) == 1

    machine.step(HOUR)
    assert machine.dates()[1:] == ["2026-11-29T13:30"]


def test_purged_history_fires_nothing_again(machine: Machine) -> None:
    machine.step(HOUR)
    machine.end(machine.began[0])
    machine.step(MINUTE)
    assert machine.state.purge(machine.clock.now() + DAY) == 1

    machine.clock.time -= HOUR  # also where the clock goes back
    machine.begin()
    machine.step(MINUTE)
    machine.step(HOUR)
    assert len(machine.began) == 1


# -- processes end ----------------------------------------------------------------------------


def test_a_job_whose_process_was_killed_is_begun_again(machine: Machine) -> None:
    machine.step(HOUR)
    machine.kill(machine.began[0])
    machine.step(MINUTE)

    assert machine.dates() == 2 * ["2026-11-28T13:00"]
    assert machine.kinds() == [Fired, Started, Lost, Started]


def test_a_job_that_kills_its_process_each_time_fails(machine: Machine) -> None:
    machine.step(HOUR)
    for _ in range(3):
        machine.kill(machine.began[-1])
        machine.step(timedelta(seconds=1))

    assert len(machine.began) == 3
    assert [job.state for job in machine.state.jobs()] == ["failed"]
    assert isinstance(machine.told[-1], Ended)


def test_a_machine_that_starts_no_process_fails_the_job(machine: Machine) -> None:
    machine.broken = True
    machine.step(HOUR)
    machine.step()

    assert [job.state for job in machine.state.jobs()] == ["failed"]


def test_jobs_go_on_when_the_daemon_is_killed_and_the_next_one_finds_them(machine: Machine) -> None:
    machine.step(HOUR)

    machine.begin()
    machine.step(MINUTE)
    assert len(machine.began) == 1

    machine.end(machine.began[0])
    machine.begin()
    machine.step(HOUR)
    assert machine.dates() == ["2026-11-28T13:00", "2026-11-28T14:00"]


# -- events -----------------------------------------------------------------------------------


def test_an_event_fires_for_what_is_new_and_not_for_what_was_there(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "state.sqlite", {"s": Schedule.of({"name": "s", "on": {"path": "raw/*"}})})
    machine.sensors.what["s"] = "first"
    machine.step(MINUTE)
    assert machine.began == []

    machine.sensors.what["s"] = "second"
    machine.step(MINUTE)
    machine.step(MINUTE)
    assert machine.dates() == ["2026-11-28T12:02"]

    machine.begin()
    machine.step(MINUTE)
    assert len(machine.began) == 1


def test_data_that_is_gone_fires_nothing_and_data_that_comes_does(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "state.sqlite", {"s": Schedule.of({"name": "s", "on": {"path": "raw/*"}})})
    for what, runs in (("first", 0), ("", 0), ("first", 1)):
        machine.sensors.what["s"] = what
        machine.step(MINUTE)
        assert len(machine.began) == runs


# -- backfills --------------------------------------------------------------------------------


def backfill(machine: Machine, **fields: object) -> Backfill:
    facts = {"id": "b", "target": None, "state": "open", "most_at_once": 2, "newest_first": False}
    made = Backfill(**{**facts, "options": {DETACHED: True}, "made_at": NOON, "made_by": "ann", **fields})  # type: ignore[arg-type]
    days = [NOON + n * DAY for n in range(4)]
    machine.state.add_backfill(made, [NewJob(made.origin, day.isoformat(), day) for day in days], NOON)
    return made


def test_a_backfill_runs_so_many_at_once(machine: Machine) -> None:
    backfill(machine)
    machine.step(MINUTE)
    assert machine.dates() == ["2026-11-28T12:00", "2026-11-29T12:00"]

    machine.end(machine.began[1])
    machine.step(MINUTE)
    assert machine.dates()[2:] == ["2026-11-30T12:00"]


def test_a_backfill_may_begin_with_the_newest(machine: Machine) -> None:
    backfill(machine, newest_first=True, most_at_once=1)
    machine.step(MINUTE)

    assert machine.dates() == ["2026-12-01T12:00"]


def test_a_backfill_that_is_paused_begins_nothing_more(machine: Machine) -> None:
    backfill(machine, most_at_once=1)
    machine.step(MINUTE)
    machine.state.set_backfill("b", "paused", NOON)
    machine.end(machine.began[0])
    machine.step(MINUTE)
    assert len(machine.began) == 1

    machine.state.set_backfill("b", "open", NOON)
    machine.step(MINUTE)
    assert len(machine.began) == 2


def test_schedules_come_before_backfills(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "state.sqlite", hourly(), most_runs=1)
    backfill(machine)
    machine.clock.time += HOUR

    machine.step()

    assert machine.dates() == ["2026-11-28T13:00"]
    assert machine.began[0].origin == "schedule s"


# -- clocks -----------------------------------------------------------------------------------


def test_a_clock_that_is_set_back_is_told(machine: Machine) -> None:
    machine.step(HOUR)
    machine.step(-HOUR)

    assert ClockSetBack in machine.kinds()


JUMPS = [timedelta(0), HOUR, -HOUR, DAY, -DAY, 365 * DAY, -365 * DAY]


@settings(max_examples=one_of(15, 300), deadline=None)
@given(st.lists(st.tuples(st.sampled_from(JUMPS), st.integers(0, 180)), min_size=1, max_size=8))
def test_whatever_the_clock_does_no_date_is_lost_or_fired_twice(
    tmp_path_factory: pytest.TempPathFactory, moves: list[tuple[timedelta, int]]
) -> None:
    """Every hour that the clock has shown as past, since the schedule was there, has one job."""
    folder = tmp_path_factory.mktemp("clock")
    schedule = Schedule.of({"name": "s", "cron": "0 0 * * *", "catch_up": "all"})
    machine = Machine(folder / "state.sqlite", {"s": schedule}, most_runs=0)
    expected: set[datetime] = set()
    for jump, minutes in moves:
        for passes in (jump, minutes * MINUTE):
            before = machine.clock.time
            machine.step(passes)
            day = before.replace(hour=0, minute=0, second=0, microsecond=0)
            while (day := day + DAY) <= machine.clock.time:
                expected.add(day)

    fired = [datetime.fromisoformat(job.logical_date) for job in machine.state.jobs()]
    assert sorted(fired) == sorted(expected)


# -- two at once, and killed at any instant ---------------------------------------------------


class Killed(BaseException):
    """The daemon is gone, in the middle of whatever it did."""


class Dying:
    """A state or a launcher, whose user is killed before or after one of the calls."""

    def __init__(self, inner: object, chance: random.Random, rate: float) -> None:
        self._inner, self._chance, self._rate = inner, chance, rate

    def __getattr__(self, name: str) -> object:
        found = getattr(self._inner, name)
        if not callable(found):
            return found

        def call(*args: object, **kwargs: object) -> object:
            if self._chance.random() < self._rate:
                raise Killed
            answer = found(*args, **kwargs)
            if self._chance.random() < self._rate:
                raise Killed
            return answer

        return call


def test_two_daemons_that_are_killed_again_and_again_start_each_date_once(tmp_path: Path) -> None:
    chance = random.Random(20261128)
    schedules = hourly() | {"t": Schedule.of({"name": "t", "cron": "*/20 * * * *", "catch_up": "all"})}
    machine = Machine(tmp_path / "state.sqlite", schedules)
    lives: Iterator[int] = iter(range(10**9))
    daemons: list[Daemon | None] = [None, None]
    deaths = 0
    hours = one_of(50, 250)
    until = NOON + hours * HOUR
    while machine.clock.time < until or any(job.state != "succeeded" for job in machine.state.jobs()):
        at = next(lives) % 2
        machine.clock.time += (
            timedelta(minutes=chance.choice([0, 1, 7, 30])) if machine.clock.time < until else MINUTE
        )
        machine.clock.time = min(until, machine.clock.time)
        try:
            daemon = daemons[at]
            if daemon is None:
                own = Dying(State(machine.path), chance, 0.02)
                daemon = daemons[at] = Daemon(
                    own,
                    Dying(machine, chance, 0.02),
                    machine.sensors,
                    machine.told.append,
                    machine.clock,
                    most_runs=100,
                )  # type: ignore[arg-type]
                daemon.configure(schedules)
            daemon.step()
        except Killed:
            deaths += 1
            daemons[at] = None
        for job in machine.state.jobs(states=["running"]):
            if chance.random() < 0.5:
                machine.end(job)

    jobs = machine.state.jobs()
    assert len(jobs) == 4 * hours
    assert len({(job.origin, job.logical_date) for job in jobs}) == len(jobs)
    assert len(machine.began) == len(jobs)
    assert deaths > hours / 5
