"""The file: brought up to date, refused where it cannot be relied upon, and whole after whatever happens."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from lineal.state import State, StateUnavailable, database
from lineal.state.migrations import MIGRATIONS


def test_the_file_is_made_with_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "state.sqlite"

    State(path).close()

    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    assert connection.execute("PRAGMA journal_mode").fetchone() != ("wal",)


@pytest.mark.parametrize("version", range(len(MIGRATIONS)))
def test_a_file_of_each_earlier_version_is_brought_up_to_date(
    version: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.sqlite"
    with monkeypatch.context() as patch:
        patch.setattr(database, "MIGRATIONS", MIGRATIONS[:version])
        database.Database(path).close()

    State(path).close()

    expected = tmp_path / "expected.sqlite"
    State(expected).close()
    assert _schema(path) == _schema(expected)


def _schema(path: Path) -> list[tuple[str, str]]:
    return sqlite3.connect(path).execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()


def test_a_step_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.sqlite"
    State(path).close()
    before = _schema(path)
    monkeypatch.setattr(
        database, "MIGRATIONS", (*MIGRATIONS, ("CREATE TABLE more (x)", "CREATE TABLE job (x)"))
    )

    with pytest.raises(StateUnavailable):
        State(path)

    assert _schema(path) == before


def test_a_file_of_a_later_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    State(path).close()
    sqlite3.connect(path).execute("PRAGMA user_version = 99")

    with pytest.raises(StateUnavailable, match="later version") as caught:
        State(path)
    assert caught.value.hint == "Upgrade Lineal."


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    sqlite3.connect(path).execute("CREATE TABLE theirs (x)")
    before = path.read_bytes()

    with pytest.raises(StateUnavailable, match="something else"):
        State(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("data", [b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_damaged_is_named_with_what_to_do(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    path.write_bytes(data)

    with pytest.raises(StateUnavailable, match=r"state\.sqlite") as caught:
        State(path)
    assert "Move that file away" in str(caught.value.hint)


def test_a_folder_that_cannot_be_made_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StateUnavailable):
        State(tmp_path / "file" / "state.sqlite")


@pytest.mark.parametrize("system", ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p"])
def test_a_network_file_system_is_refused(
    system: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "file_system_of", lambda folder: system)

    with pytest.raises(StateUnavailable, match=system) as caught:
        State(tmp_path / "state.sqlite")
    assert "local disk" in str(caught.value.hint)


def test_the_file_system_of_a_folder_is_found() -> None:
    assert database.file_system_of(Path("/proc/self")) == "proc"


_WRITER = """
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from lineal.state import NewJob, State

start = datetime(2026, 1, 1, tzinfo=UTC)
with State(Path(sys.argv[1])) as state:
    at = state.take_up({"s": ""}, start)["s"].handled_at
    print(flush=True)
    while True:
        due = at + timedelta(minutes=1)
        jobs = [NewJob("schedule s", f"{due.isoformat()} {n}", due) for n in range(3)]
        state.settle("s", due, jobs, due, before=at)
        at = due
"""


def test_a_writer_that_is_killed_leaves_each_change_whole(tmp_path: Path) -> None:
    path, chance = tmp_path / "state.sqlite", random.Random(7)
    for _ in range(10):
        writer = subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            writer.wait(chance.uniform(0, 0.1))
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        writer.stdout.close()

        with State(path) as state:
            dues = [job.due_at for job in state.jobs()]
            handled_at = state.schedules()["s"].handled_at
        assert len(dues) == 3 * len(set(dues))
        assert handled_at == max(dues, default=handled_at)
        assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)
