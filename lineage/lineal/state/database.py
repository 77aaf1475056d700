"""One SQLite file on a local disk, which several processes may use at once.

Every transaction takes the right to write at its beginning, so that none fails half way for another's sake, and is on the
disk when it has ended. The rollback journal is used and not the write-ahead log, which before SQLite 3.51.3 can damage a
file that several connections write to (https://sqlite.org/wal.html#walresetbug).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from lineal.errors import LinealError
from lineal.state.migrations import MIGRATIONS

PATIENCE_SECONDS = 30.0
"""How long a transaction waits for those of other processes."""

_APPLICATION_ID = 0x4C4E4C31  # "LNL1", as `file` shows it


class StateUnavailable(LinealError):
    """What is remembered of schedules, jobs and backfills cannot be read or written."""

    exit_code = 5
    kind = "state"

    def __init__(self, path: str, problem: str, hint: str | None = None) -> None:
        super().__init__(path, problem, hint)
        self.path, self.problem, self.hint = path, problem, hint

    def __str__(self) -> str:
        return f"the state {self.path} cannot be used: {self.problem}"


class Database:
    """A connection to the file at ``path``, which is made and brought up to date. For one thread.

    `StateUnavailable` where the file lies on a network file system, is damaged, is another program's or a later version's, or
    cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            system = file_system_of(path.parent)
            if not is_local(system):
                raise StateUnavailable(
                    str(path),
                    f"it lies on a network file system ({system}), where SQLite's locks are not to be relied upon",
                    "Keep the project on a local disk; its store may be anywhere.",
                )
            self._connection = sqlite3.connect(path, timeout=PATIENCE_SECONDS, isolation_level=None)
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """What is done inside the block is done whole and durably, or not at all."""
        with self._explained():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def rows(self, query: str, values: Sequence[object] = ()) -> list[sqlite3.Row]:
        """What a question is answered with, as of one moment."""
        with self._explained():
            return self._connection.execute(query, values).fetchall()

    def _prepare(self) -> None:
        connection = self._connection
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = TRUNCATE")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        if self._version() == len(MIGRATIONS):
            return
        with self.transaction():
            version = self._version()  # another process may have been first
            (owner,) = connection.execute("PRAGMA application_id").fetchone()
            tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if owner != _APPLICATION_ID and (version or tables):
                raise StateUnavailable(
                    str(self._path), "it is a database of something else", "Move that file away."
                )
            if version > len(MIGRATIONS):
                raise StateUnavailable(
                    str(self._path),
                    f"it was written by a later version of Lineal (its format is {version}, this one knows {len(MIGRATIONS)})",
                    "Upgrade Lineal.",
                )
            for statements in MIGRATIONS[version:]:
                for statement in statements:
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")

    def _version(self) -> int:
        return int(self._connection.execute("PRAGMA user_version").fetchone()[0])

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Tell what the system and SQLite raise as `StateUnavailable`; what is wrong with a statement is our mistake."""
        try:
            yield
        except OSError as error:
            raise StateUnavailable(str(self._path), error.strerror or str(error)) from error
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
                raise
            code = getattr(error, "sqlite_errorname", "")
            hint = next((text for name, text in _HINTS.items() if code.startswith(name)), None)
            raise StateUnavailable(str(self._path), str(error), hint) from error


_HINTS = {
    "SQLITE_CORRUPT": "Move that file away: no result is in it. Schedules go on from now, and backfills are asked for again.",
    "SQLITE_NOTADB": "Move that file away: no result is in it. Schedules go on from now, and backfills are asked for again.",
    "SQLITE_FULL": "Make room on that disk.",
    "SQLITE_READONLY": "Check that this user may write that file and its folder.",
    "SQLITE_CANTOPEN": "Check that this user may write that file and its folder.",
    "SQLITE_BUSY": "Another process holds it; `lsof` tells which.",
    "SQLITE_IOERR": "Check the disk; the system's log says more.",
}

_NOT_LOCAL = (
    "nfs",
    "cifs",
    "smb",
    "fuse",
    "9p",
    "afs",
    "ceph",
    "lustre",
    "gluster",
    "gpfs",
    "beegfs",
    "webdav",
    "davfs",
    "ncpfs",
)


def is_local(file_system: str) -> bool:
    """Whether a file system of that type, as the system calls it, lies on this machine's own disk.

    >>> is_local("ext4"), is_local("nfs4"), is_local("fuse.sshfs"), is_local("fuseblk")
    (True, False, False, True)
    """
    return file_system == "fuseblk" or not file_system.lower().startswith(_NOT_LOCAL)


def file_system_of(folder: Path) -> str:
    """The type of the file system that ``folder`` lies on; empty where the system does not tell."""
    real = os.path.realpath(folder)
    best = ("", "")
    for mounted in psutil.disk_partitions(all=True):
        point = mounted.mountpoint
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best[0]):  # of several on one point the last covers the others
            best = (point, mounted.fstype)
    return best[1]
