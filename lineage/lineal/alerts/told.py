"""What every alert was told, and when: small files in ``.lineal/outbox/told``, one for each address.

They save people from hearing the same again and again; who loses them is told once more.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lineal.alerts.restraint import Held, Pace, Told
from lineal.alerts.rules import key_of
from lineal.notes import write_note

FORMAT = 1
_KEPT_SECONDS = 30 * 86400.0
_MOST_KEPT = 1000
_PATIENCE_SECONDS = 2.0


@dataclass(slots=True)
class State:
    """What an alert was ``told`` last, by name of what it was told of, and its ``pace``."""

    told: dict[str, Told] = field(default_factory=dict)
    pace: Pace = field(default_factory=Pace)


class Ledger:
    """What the alerts of the project in ``root`` were told."""

    def __init__(self, root: Path) -> None:
        self._folder = root / ".lineal" / "outbox" / "told"

    @property
    def is_used(self) -> bool:
        """Whether anybody was ever told of anything."""
        return self._folder.is_dir()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """While what is read is decided about and written. Nobody waits long: told twice is better than a run that stands still."""
        for folder in (self._folder.parent, self._folder):  # the mode is that of the last one alone
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            end = time.monotonic() + _PATIENCE_SECONDS
            while time.monotonic() < end:
                with suppress(BlockingIOError):
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                time.sleep(0.01)
            yield
        finally:
            os.close(descriptor)

    def read(self, to: str) -> State:
        """The state of an alert; a new one where there is none that can be read."""
        try:
            known = json.loads(self._path(to).read_bytes())
            if known["format"] != FORMAT:
                return State()
            told = {
                str(name): Told(float(at), str(what), int(since))
                for name, (at, what, since) in known["told"].items()
            }
            held = known["held"]
            pace = Pace(
                tuple(map(float, known["sent"])),
                Held(float(held["due"]), int(held["count"]), tuple(map(str, held["subjects"])))
                if held
                else None,
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return State()
        return State(told, pace)

    def write(self, to: str, state: State, now: float) -> None:
        """Keep the state, without what is so old that it is news again in any case."""
        newest = sorted(state.told.items(), key=lambda item: item[1].at, reverse=True)[:_MOST_KEPT]
        fields = {
            "format": FORMAT,
            "told": {
                name: [told.at, told.what, told.since]
                for name, told in newest
                if now - told.at < _KEPT_SECONDS
            },
            "sent": list(state.pace.sent),
            "held": asdict(state.pace.held) if state.pace.held is not None else None,
        }
        write_note(self._path(to), json.dumps(fields).encode())

    def _path(self, to: str) -> Path:
        return self._folder / f"{key_of(to)}.json"
