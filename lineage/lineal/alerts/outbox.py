"""Messages that have to be told, each a file until it has been: whoever dies meanwhile, none is lost.

``.lineal/outbox/<id>.json`` waits, ``.lineal/outbox/failed/<id>.json`` was given up. A file appears and changes in one step;
its modification time is when it is due, so that what there is to do is known by looking at the folder.
Only who holds the lock changes what is there; adding needs no lock.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from lineal.alerts.message import Message
from lineal.alerts.rules import Alert

FORMAT = 1
_FIRST_DELAY_SECONDS = 5.0
_LONGEST_DELAY_SECONDS = 3600.0
_GIVEN_UP_AFTER_SECONDS = 86400.0
_LEFT_BEHIND_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Entry:
    """A message for one alert. Times are seconds since 1970; ``problem`` is what the last attempt met."""

    alert: Alert
    message: Message
    created: float
    due: float
    attempts: int = 0
    problem: str = ""

    @property
    def id(self) -> str:
        return str(self.message["id"])


def postponed(entry: Entry, problem: str, *, now: float, jitter: float) -> Entry | None:
    """The entry after an attempt that failed: due later, each time twice as late, up to an hour; None after a day.

    ``jitter`` from 0 to 1 spreads what failed together: half of the delay to all of it.
    """
    attempts = entry.attempts + 1
    delay = min(_FIRST_DELAY_SECONDS * 2.0 ** min(attempts - 1, 30), _LONGEST_DELAY_SECONDS) * (
        0.5 + jitter / 2
    )
    if now + delay > entry.created + _GIVEN_UP_AFTER_SECONDS:
        return None
    return replace(entry, attempts=attempts, due=now + delay, problem=problem)


class Outbox:
    """The messages of the project in ``root``."""

    def __init__(self, root: Path) -> None:
        self.folder = root / ".lineal" / "outbox"
        self.failed_folder = self.folder / "failed"

    def put(self, entry: Entry) -> None:
        """Add an entry, or change it: when this returns it outlives everything but its disk."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(self.folder / f"{entry.id}.json", entry)

    def due(self) -> list[tuple[float, str]]:
        """(when it is due, its id) of all that wait, the first one first."""
        found = []
        for entry in _files(self.folder):
            if entry.name.endswith(".json"):
                with suppress(FileNotFoundError):  # delivered in this very moment
                    found.append((entry.stat().st_mtime, entry.name.removesuffix(".json")))
        return sorted(found)

    def find(self, entry_id: str) -> Entry | None:
        """The entry; None where it is not there, or is none: then it is moved to those that failed."""
        path = self.folder / f"{entry_id}.json"
        try:
            return _entry(json.loads(path.read_bytes()))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError):
            self._move_to_failed(entry_id)
            return None

    def remove(self, entry: Entry) -> None:
        (self.folder / f"{entry.id}.json").unlink(missing_ok=True)

    def give_up(self, entry: Entry) -> None:
        """Keep it where nobody tries it again, with what was the matter."""
        self.put(entry)
        self._move_to_failed(entry.id)

    def failed(self) -> list[str]:
        """The ids of those that were given up."""
        return sorted(entry.name.removesuffix(".json") for entry in _files(self.failed_folder))

    def find_failed(self, entry_id: str) -> Entry | None:
        try:
            return _entry(json.loads((self.failed_folder / f"{entry_id}.json").read_bytes()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Whether this process is the one that delivers. The lock goes with its process, however that ends."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(descriptor)

    def clear_left_behind(self, now: float) -> None:
        """Remove what processes left that died while they wrote."""
        for entry in _files(self.folder):
            with suppress(FileNotFoundError):  # written in this very moment
                if entry.name.endswith(".new") and entry.stat().st_ctime < now - _LEFT_BEHIND_SECONDS:
                    Path(entry.path).unlink()

    def _move_to_failed(self, entry_id: str) -> None:
        self.failed_folder.mkdir(exist_ok=True, mode=0o700)
        name = f"{entry_id}.json"
        (self.folder / name).replace(self.failed_folder / name)


def _files(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from [entry for entry in entries if entry.is_file()]
    except FileNotFoundError:
        return


def _write(path: Path, entry: Entry) -> None:
    fields = {**asdict(entry), "format": FORMAT, "alert": entry.alert.table()}
    temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(json.dumps(fields, ensure_ascii=False).encode())
        file.flush()
        os.utime(file.fileno(), (entry.due, entry.due))
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _entry(fields: Any) -> Entry:
    if fields["format"] != FORMAT:
        raise ValueError("an entry of another version")
    return Entry(
        Alert.of(fields["alert"]),
        fields["message"],
        float(fields["created"]),
        float(fields["due"]),
        int(fields["attempts"]),
        str(fields["problem"]),
    )
