"""Waits for a next attempt that outlive the process: a run that takes the work up waits for the rest of the delay."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from lineal.engine.clock import Clock
from lineal.events import Failure
from lineal.notes import write_note


class Wait(Struct, frozen=True):
    """``attempts`` of an action have failed, the last one of ``run_id`` with ``failure``; the next is due in ``left_seconds``."""

    run_id: str
    attempts: int
    left_seconds: float
    failure: Failure


class Waits:
    """One small file in ``folder`` for each action that waits, by its key.

    They are kept on this machine alone, and losing one costs a delay: nothing here raises where the folder cannot be used.
    The folder is listed once: what others leave behind later is theirs to wait for.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder, self._clock = folder, clock
        self._keys: set[str] | None = None

    def find(self, key: str) -> Wait | None:
        """The wait that was left behind for that action, unless it is over."""
        return self._read(key) if key in self._listed() else None

    def _listed(self) -> set[str]:
        if self._keys is None:
            self._keys = set()
            with suppress(OSError):
                self._keys.update(name.removesuffix(".json") for name in os.listdir(self._folder))
        return self._keys

    def _read(self, key: str) -> Wait | None:
        try:
            with open(f"{self._folder}/{key}.json", "rb") as note:
                kept: Any = json.load(note)
            left = (datetime.fromisoformat(kept["due"]) - self._clock.now()).total_seconds()
            # a clock that was set back must not make the wait longer than it was
            left = min(left, float(kept["delay_seconds"]))
            wait = Wait(str(kept["run_id"]), int(kept["attempts"]), left, Failure(**kept["failure"]))
        except (OSError, ValueError, LookupError, TypeError):
            return None
        return wait if left > 0 else None

    def keep(self, key: str, wait: Wait) -> None:
        """Note that the next attempt of that action is due in ``wait.left_seconds`` from now."""
        due = self._clock.now() + timedelta(seconds=wait.left_seconds)
        kept = {
            "run_id": wait.run_id,
            "attempts": wait.attempts,
            "due": due.isoformat(),
            "delay_seconds": wait.left_seconds,
            "failure": asdict(wait.failure),
        }
        self._listed().add(key)
        with suppress(OSError):
            write_note(self._path(key), json.dumps(kept).encode())
            for path in self._folder.glob("*.json"):
                if self._read(path.stem) is None:  # an action that nobody asked for again
                    path.unlink(missing_ok=True)

    def forget(self, key: str) -> None:
        """Nothing waits for that action any more."""
        with suppress(OSError):
            self._path(key).unlink()

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.json"
