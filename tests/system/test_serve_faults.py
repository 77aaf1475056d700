"""A thousand ticks, two daemons that are killed again and again, and a clock that jumps: each date is run once."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jumping
from depth import one_of
from serving import end_what_is_left, folder_of, jobs
from support import Project
from waiting import wait_until

from lineal.api.job import FILE
from lineal.automation.schedule import Schedule
from lineal.state import ScheduleState, State

SEED = int(os.environ.get("LINEAL_TEST_SEED", "20261128"))
HOUR, DAY, YEAR = timedelta(hours=1), timedelta(days=1), timedelta(days=365)
JUMPS = (HOUR, -HOUR, DAY, -DAY, YEAR, -YEAR)
FARTHEST = YEAR + 2 * DAY
MOMENTS = one_of(8, 300)
OF_A_KIND = one_of(1, 5)
# Some are due as time passes, some when it jumps by hours or a day, some when it jumps by a year.
EVERY = {
    "3s": timedelta(seconds=one_of(12, 60)),
    one_of("12h", "2h"): 3 * DAY,
    one_of("60d", "60h"): 2 * YEAR,
}


@dataclass
class Machine:
    """A project, the daemons that look after it, and a clock."""

    project: Project
    random: random.Random
    journal: Path
    clock: Path
    offset: timedelta = timedelta(0)
    farthest: timedelta = timedelta(0)
    daemons: list[subprocess.Popen[bytes]] = field(default_factory=list)
    kills: int = 0
    jumps: Counter[timedelta] = field(default_factory=Counter)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset

    def set_clock(self, offset: timedelta) -> None:
        self.offset, self.farthest = offset, max(self.farthest, offset)
        jumping.set_clock(self.clock, offset)

    def jump(self) -> None:
        by = self.random.choice([by for by in JUMPS if abs(self.offset + by) <= FARTHEST])
        self.jumps[by] += 1
        self.set_clock(self.offset + by)

    def start_daemons(self, many: int) -> None:
        """Have so many of them, where fewer live."""
        while len(self.daemons) < many:
            with (self.project.root / "log.txt").open("ab") as log:
                self.daemons.append(
                    subprocess.Popen(
                        [sys.executable, jumping.__file__, "serve", "--no-http", "--log", "json"],
                        cwd=self.project.root,
                        env=self.project.environment(jumping.variables(self.clock, self.journal)),
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                    )
                )

    def kill(self, daemon: subprocess.Popen[bytes]) -> None:
        daemon.kill()
        daemon.wait()
        self.daemons.remove(daemon)
        self.kills += 1

    def known(self) -> dict[str, ScheduleState]:
        with State(folder_of(self.project) / FILE) as state:
            return state.schedules()

    def ran(self) -> Counter[tuple[str, str]]:
        """How often which date of what was run."""
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        pairs = [line.rpartition(" ") for line in lines]
        return Counter((origin, date) for origin, _, date in pairs)


@contextmanager
def machine(folder: Path, seed: int) -> Iterator[tuple[Machine, dict[str, Schedule]]]:
    project = Project(folder / "project")
    start, tables = datetime.now(UTC).replace(microsecond=0), []
    for number in range(OF_A_KIND):
        since = start + timedelta(seconds=3 + number)
        for every, lasts in EVERY.items():
            tables.append(
                {
                    "name": f"{every} {number}",
                    "pipeline": "none.py",
                    "every": every,
                    "start": since.isoformat(),
                    "end": (since + lasts).isoformat(),
                    "catch_up": "all",
                }
            )
    lines = [
        "[[schedules]]\n" + "".join(f'{key} = "{value}"\n' for key, value in table.items())
        for table in tables
    ]
    project.write("lineal.toml", "\n".join(lines))
    it = Machine(project, random.Random(seed), folder / "journal.txt", folder / "clock")
    it.set_clock(timedelta(0))
    try:
        yield it, {table["name"]: Schedule.of(table) for table in tables}
    finally:
        for daemon in list(it.daemons):
            it.kill(daemon)
        end_what_is_left(project)


def test_each_date_is_run_once_whoever_is_killed_and_however_the_clock_jumps(tmp_path: Path) -> None:
    with machine(tmp_path, SEED) as (it, schedules):
        it.start_daemons(1)
        wait_until(lambda: (folder_of(it.project) / FILE).exists() and len(it.known()) == len(schedules))
        begun = it.known()
        for _ in range(MOMENTS):
            it.start_daemons(2)
            time.sleep(it.random.uniform(0, 1.5))  # somewhere in what they do
            if it.random.random() < 0.6:
                it.kill(it.random.choice(it.daemons))
            else:
                it.jump()
        it.set_clock(it.farthest)
        it.start_daemons(2)
        until = it.now()
        wanted = {
            (f"schedule {name}", tick.logical_date.isoformat())
            for name, schedule in schedules.items()
            for tick in schedule.ticks(begun[name].handled_at)
            if tick.fires_at <= until
        }
        wait_until(lambda: it.ran().keys() >= wanted, seconds=one_of(120, 3600))
        wait_until(lambda: all(job.state == "succeeded" for job in jobs(it.project)))

        ran = it.ran()
        told = f"{len(wanted)} dates, {it.kills} kills, jumps {dict(it.jumps)}, seed {SEED}"
        print(told)
        assert {date: often for date, often in ran.items() if often != 1} == {}, told
        assert ran.keys() >= wanted, told
        # Some are forgotten: they ended when the clock was a year behind, and then it was one ahead.
        assert ran.keys() >= {(job.origin, job.logical_date) for job in jobs(it.project)}, told
        if one_of(0, 1):
            assert len(wanted) >= 1000
            assert it.jumps.keys() == set(JUMPS)
