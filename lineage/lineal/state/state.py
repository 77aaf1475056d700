"""Schedules, jobs and backfills, as every process on this machine sees them."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any, Literal, Self

from msgspec import Struct

from lineal.state.database import Database

JobState = Literal["queued", "starting", "running", "succeeded", "failed", "cancelled", "skipped"]
BackfillState = Literal["open", "paused", "cancelled"]

UNDER_WAY: tuple[JobState, ...] = ("starting", "running")
ENDED: tuple[JobState, ...] = ("succeeded", "failed", "cancelled", "skipped")


class ScheduleState(Struct, frozen=True):
    """How far a schedule is: what was due until ``handled_at`` is settled, and of what was due until ``purged_at`` nothing is
    known any more. ``seen`` is what an event was last fired for.
    """

    name: str
    timing: str
    handled_at: datetime
    purged_at: datetime
    paused_at: datetime | None = None
    paused_by: str | None = None
    seen: str | None = None


class NewJob(Struct, frozen=True):
    """One run to be made. Of one origin there is one job for a logical date and ``variant``, for ever.

    ``origin`` is ``schedule NAME``, ``drill NAME`` (of a schedule, too) or ``backfill ID``; ``logical_date`` is empty where the run has none; ``parameters`` are
    values that JSON can say. One that is not to run at all is made with the state ``skipped``.
    """

    origin: str
    logical_date: str
    due_at: datetime
    target: str | None = None
    parameters: Mapping[str, Any] = {}
    variant: str = ""
    note: str = ""
    state: JobState = "queued"


class Job(Struct, frozen=True):
    """A job as it stands. ``starts`` counts how often it was begun: more than once where its process was killed."""

    id: int
    origin: str
    logical_date: str
    variant: str
    target: str | None
    parameters: Mapping[str, Any]
    due_at: datetime
    note: str
    state: JobState
    starts: int
    run_id: str | None
    queued_at: datetime
    begun_at: datetime | None
    ended_at: datetime | None

    @property
    def kind(self) -> str:
        """``schedule``, ``drill`` or ``backfill``."""
        return self.origin.partition(" ")[0]

    @property
    def name(self) -> str:
        """What the schedule is called, or the id of the backfill."""
        return self.origin.partition(" ")[2]


class Settlement(Struct, frozen=True):
    """A schedule is due for ``jobs``, and settled until ``handled_at`` by that, where it was until ``before``. ``seen`` is what an event fires for."""

    name: str
    handled_at: datetime
    jobs: Sequence[NewJob]
    before: datetime
    seen: str | None = None


class Backfill(Struct, frozen=True):
    """Many jobs that were asked for at once. ``options`` say what for, in the words of who asked."""

    id: str
    target: str | None
    state: BackfillState
    most_at_once: int
    newest_first: bool
    options: Mapping[str, Any]
    made_at: datetime
    made_by: str

    @property
    def origin(self) -> str:
        return f"backfill {self.id}"


class State:
    """What is remembered at ``path``. Every method is one transaction; an instance is for one thread.

    All times are aware. `StateUnavailable` where the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._database = Database(path)

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def version(self) -> int:
        """A number that is another one when some other process has changed something."""
        return int(self._database.rows("PRAGMA data_version")[0][0])

    # -- schedules ----------------------------------------------------------------------------

    def schedules(self) -> dict[str, ScheduleState]:
        return {row["name"]: _schedule(row) for row in self._database.rows("SELECT * FROM schedule")}

    def take_up(self, timings: Mapping[str, str], now: datetime) -> dict[str, ScheduleState]:
        """Look after the schedules so named, whose times are told by ``timings``.

        One that is new, or is due at other times than it was, starts ``now``: nothing that was due before is fired. The
        others go on from where they are.
        """
        with self._database.transaction() as connection:
            for name, timing in timings.items():
                connection.execute(
                    "INSERT INTO schedule (name, timing, handled_at, purged_at) VALUES (?, ?, ?, ?)"
                    " ON CONFLICT (name) DO UPDATE SET timing = excluded.timing, seen = NULL,"
                    " handled_at = excluded.handled_at WHERE timing != excluded.timing",
                    (name, timing, _text(now), _text(_NEVER)),
                )
            rows = connection.execute("SELECT * FROM schedule").fetchall()
        return {row["name"]: _schedule(row) for row in rows if row["name"] in timings}

    def settle_all(self, settlements: Iterable[Settlement], now: datetime) -> list[list[Job] | None]:
        """Add the jobs that schedules are due for, and note how far they are settled by that, all at once.

        For each the jobs that are new; None, and nothing is done for it, where another process has moved the schedule on, or it is
        paused.
        """
        with self._database.transaction() as connection:
            return [_settled(connection, each, now) for each in settlements]

    def settle(
        self,
        name: str,
        handled_at: datetime,
        jobs: Sequence[NewJob],
        now: datetime,
        *,
        before: datetime,
        seen: str | None = None,
    ) -> list[Job] | None:
        """The same for one schedule."""
        return self.settle_all([Settlement(name, handled_at, jobs, before, seen)], now)[0]

    def pause(self, name: str, by: str, now: datetime) -> bool:
        """Fire nothing of that schedule until `resume`; False where it is unknown or paused already."""
        return self._changed(
            "UPDATE schedule SET paused_at = ?, paused_by = ? WHERE name = ? AND paused_at IS NULL",
            (_text(now), by, name),
        )

    def resume(self, name: str) -> bool:
        """Fire again; what was due meanwhile is caught up with as the schedule says. False where it was not paused."""
        return self._changed(
            "UPDATE schedule SET paused_at = NULL, paused_by = NULL WHERE name = ? AND paused_at IS NOT NULL",
            (name,),
        )

    # -- jobs ---------------------------------------------------------------------------------

    def jobs(
        self, *, states: Collection[JobState] = (), origin: str | None = None, most: int | None = None
    ) -> list[Job]:
        """Jobs in those ``states`` (any, where none are named) and of that ``origin``, those that were due first in front.

        Of more than ``most`` the last ones.
        """
        wanted: list[str] = []
        values: list[object] = []
        if states:
            wanted.append(f"state IN ({', '.join('?' * len(states))})")
            values += states
        if origin is not None:
            wanted.append("origin = ?")
            values.append(origin)
        where = f" WHERE {' AND '.join(wanted)}" if wanted else ""
        limit = f" LIMIT {most:d}" if most is not None else ""
        rows = self._database.rows(f"SELECT * FROM job{where} ORDER BY due_at DESC, id DESC{limit}", values)
        return [_job(row) for row in reversed(rows)]

    def job(self, job_id: int) -> Job | None:
        rows = self._database.rows("SELECT * FROM job WHERE id = ?", (job_id,))
        return _job(rows[0]) if rows else None

    def find_call(self, origin: str, signed: str, key: str) -> Job | None:
        """The job that a webhook was called for (`lineal.automation.calling`): with that hash, or with that ``key`` where it is not empty."""
        rows = self._database.rows(
            "SELECT * FROM job WHERE origin = ? AND (substr(variant, 1, ?) = ? OR (? != '' AND substr(variant, ?) = ?))"
            " ORDER BY id LIMIT 1",
            (origin, len(signed), signed, key, len(signed) + 2, key),
        )
        return _job(rows[0]) if rows else None

    def counts(self) -> dict[str, dict[str, int]]:
        """For each origin how many of its jobs are in which state."""
        found: dict[str, dict[str, int]] = {}
        for row in self._database.rows(
            "SELECT origin, state, count(*) AS many FROM job GROUP BY origin, state"
        ):
            found.setdefault(row["origin"], {})[row["state"]] = row["many"]
        return found

    def add(self, jobs: Sequence[NewJob], now: datetime) -> list[Job]:
        """Add those of ``jobs`` that there are none of yet."""
        with self._database.transaction() as connection:
            return _added(connection, jobs, now)

    def offer(self, job_id: int) -> str | None:
        """Let a process be started for a job that waits: the token that it needs to `begin`. None where it waits no more."""
        token = os.urandom(16).hex()
        changed = self._changed(
            "UPDATE job SET state = 'starting', token = ? WHERE id = ? AND state = 'queued'", (token, job_id)
        )
        return token if changed else None

    def begin(self, job_id: int, token: str, now: datetime) -> Job | None:
        """The job, which is this process's from now on; None where the ``token`` is not that of its newest start."""
        with self._database.transaction() as connection:
            changed = connection.execute(
                "UPDATE job SET state = 'running', starts = starts + 1, begun_at = ?, run_id = NULL"
                " WHERE id = ? AND token = ? AND state = 'starting'",
                (_text(now), job_id, token),
            ).rowcount
            row = connection.execute("SELECT * FROM job WHERE id = ?", (job_id,)).fetchone()
        return _job(row) if changed else None

    def note_run(self, job_id: int, token: str, run_id: str) -> bool:
        """Say which run it is; False where the job is another process's by now."""
        return self._changed(
            "UPDATE job SET run_id = ? WHERE id = ? AND token = ? AND state = 'running'",
            (run_id, job_id, token),
        )

    def end(self, job_id: int, token: str, state: JobState, now: datetime, note: str = "") -> bool:
        """Say how the job ended; False where it is another process's by now."""
        return self._changed(
            "UPDATE job SET state = ?, ended_at = ?, note = CASE WHEN ? = '' THEN note ELSE ? END"
            " WHERE id = ? AND token = ? AND state = 'running'",
            (state, _text(now), note, note, job_id, token),
        )

    def drop(self, job_ids: Collection[int], state: JobState, now: datetime, note: str) -> int:
        """End those jobs that wait without running them; how many did."""
        with self._database.transaction() as connection:
            return sum(
                connection.execute(
                    "UPDATE job SET state = ?, ended_at = ?, note = ? WHERE id = ? AND state = 'queued'",
                    (state, _text(now), note, job_id),
                ).rowcount
                for job_id in job_ids
            )

    def give_back(
        self, job: Job, now: datetime, *, most_starts: int, counts: bool = False
    ) -> JobState | None:
        """A job whose process ended before it could say how the run did: it waits again, or has failed after ``most_starts`` starts.

        Those that were begun count; with ``counts`` this one does as well. What became of the job; None, and nothing is done, where
        it is not as ``job`` says any more. Whoever was started for it before cannot begin it.
        """
        starts = job.starts + counts
        state: JobState = "failed" if starts >= most_starts else "queued"
        ended = (
            (_text(now), f"{starts} times its process ended before the run did")
            if state == "failed"
            else (None, job.note)
        )
        changed = self._changed(
            "UPDATE job SET state = ?, token = '', starts = ?, ended_at = ?, note = ?"
            " WHERE id = ? AND state = ? AND starts = ? AND state IN ('starting', 'running')",
            (state, starts, *ended, job.id, job.state, job.starts),
        )
        return state if changed else None

    def purge(self, before: datetime) -> int:
        """Forget jobs of schedules that ended before that time; their schedules fire nothing that was due until then again."""
        with self._database.transaction() as connection:
            of_schedules = "origin NOT LIKE 'backfill %' AND ended_at < ?"
            for row in connection.execute(
                f"SELECT origin, max(due_at) AS due_at FROM job WHERE {of_schedules} GROUP BY origin",
                (_text(before),),
            ).fetchall():
                connection.execute(
                    "UPDATE schedule SET purged_at = max(purged_at, ?) WHERE name = ?",
                    (row["due_at"], row["origin"].partition(" ")[2]),
                )
            return connection.execute(f"DELETE FROM job WHERE {of_schedules}", (_text(before),)).rowcount

    # -- backfills ----------------------------------------------------------------------------

    def backfills(self) -> dict[str, Backfill]:
        """Those that were asked for, the newest last."""
        rows = self._database.rows("SELECT * FROM backfill ORDER BY made_at, id")
        return {row["id"]: _backfill(row) for row in rows}

    def add_backfill(self, backfill: Backfill, jobs: Sequence[NewJob], now: datetime) -> list[Job]:
        """Ask for a backfill with all its jobs."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO backfill VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    backfill.id,
                    backfill.target,
                    backfill.state,
                    backfill.most_at_once,
                    int(backfill.newest_first),
                    _json(backfill.options),
                    _text(backfill.made_at),
                    backfill.made_by,
                ),
            )
            return _added(connection, jobs, now)

    def set_backfill(self, backfill_id: str, state: BackfillState, now: datetime) -> bool:
        """Pause a backfill, go on with it, or cancel what of it waits; False where it is unknown or was cancelled.

        Where it goes on, jobs that were stopped for the pause wait again.
        """
        with self._database.transaction() as connection:
            changed = connection.execute(
                "UPDATE backfill SET state = ? WHERE id = ? AND state != 'cancelled'", (state, backfill_id)
            ).rowcount
            if changed and state == "open":
                connection.execute(
                    "UPDATE job SET state = 'queued', token = '', starts = 0, ended_at = NULL"
                    " WHERE origin = ? AND state = 'cancelled'",
                    (f"backfill {backfill_id}",),
                )
            if changed and state == "cancelled":
                connection.execute(
                    "UPDATE job SET state = 'cancelled', ended_at = ?, note = 'the backfill was cancelled'"
                    " WHERE origin = ? AND state = 'queued'",
                    (_text(now), f"backfill {backfill_id}"),
                )
        return bool(changed)

    def _changed(self, statement: str, values: Sequence[object]) -> bool:
        with self._database.transaction() as connection:
            return connection.execute(statement, values).rowcount > 0


_NEVER = datetime(1, 1, 1, tzinfo=UTC)  # sorts before all others


def _settled(connection: sqlite3.Connection, it: Settlement, now: datetime) -> list[Job] | None:
    row = connection.execute("SELECT * FROM schedule WHERE name = ?", (it.name,)).fetchone()
    if row is None or row["handled_at"] != _text(it.before) or row["paused_at"] is not None:
        return None
    connection.execute(
        "UPDATE schedule SET handled_at = ?, seen = coalesce(?, seen) WHERE name = ?",
        (_text(it.handled_at), it.seen, it.name),
    )
    return _added(connection, it.jobs, now)


def _added(connection: sqlite3.Connection, jobs: Iterable[NewJob], now: datetime) -> list[Job]:
    added = []
    for job in jobs:
        row = connection.execute(
            "INSERT INTO job (origin, logical_date, variant, target, parameters, due_at, note, state, queued_at, ended_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING *",
            (
                job.origin,
                job.logical_date,
                job.variant,
                job.target,
                _json(job.parameters),
                _text(job.due_at),
                job.note,
                job.state,
                _text(now),
                _text(now) if job.state in ENDED else None,
            ),
        ).fetchone()
        if row is not None:
            added.append(_job(row))
    return added


def _schedule(row: sqlite3.Row) -> ScheduleState:
    return ScheduleState(
        row["name"],
        row["timing"],
        _time(row["handled_at"]),
        _time(row["purged_at"]),
        _time_or_none(row["paused_at"]),
        row["paused_by"],
        row["seen"],
    )


def _job(row: sqlite3.Row) -> Job:
    return Job(
        row["id"],
        row["origin"],
        row["logical_date"],
        row["variant"],
        row["target"],
        json.loads(row["parameters"]),
        _time(row["due_at"]),
        row["note"],
        row["state"],
        row["starts"],
        row["run_id"],
        _time(row["queued_at"]),
        _time_or_none(row["begun_at"]),
        _time_or_none(row["ended_at"]),
    )


def _backfill(row: sqlite3.Row) -> Backfill:
    return Backfill(
        row["id"],
        row["target"],
        row["state"],
        row["most_at_once"],
        bool(row["newest_first"]),
        json.loads(row["options"]),
        _time(row["made_at"]),
        row["made_by"],
    )


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=_date)


def _date(value: object) -> str:
    """A date out of a configuration file, as JSON says it."""
    if isinstance(value, date | time):
        return value.isoformat()
    raise TypeError(f"JSON cannot say a {type(value).__name__}")


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _time_or_none(text: str | None) -> datetime | None:
    return _time(text) if text is not None else None
