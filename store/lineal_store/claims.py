"""What a run is executing just now, so that no other run executes the same at the same time.

Under each action that a run executes it leaves a **claim**, created once, which counts as long as the run lives
(`lineal_store.signs`). A run is dead when its process is gone, where that can be seen from here, or when its sign has not
changed for `EXPIRES_SECONDS` by the clock of whoever looks: no two clocks are ever compared. The claim of a dead run is
taken over by the next one, under the next number.

A run that was suspended for longer than that has lost its claims without knowing. It asks (`lost`) before it files a
result. All this is for economy and never for truth: an action result is created once, whoever executes it how often.

A **place** in a concurrency group is claimed like an action: of so many places the first that no living run has.

The scheme is that of leases with fencing (Gray and Cheriton, 1989; Burrows, The Chubby lock service, 2006).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from lineal_store import signs
from lineal_store.errors import CorruptRecord, ObjectMissing, StoreUnavailable
from lineal_store.protocols import Backend, Upload
from lineal_store.sealed import seal, unseal
from lineal_store.signs import Process, Signs, StopRequest, boot_seconds

_CLAIMS = "claims/"
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_.-")
_LOOK_SECONDS = 0.25  # between two looks for a request to stop, where a look costs next to nothing


class Claims:
    """The claims of the run ``run_id`` in the store behind ``backend``, and what it can tell of those of others.

    ``process`` is the one that lives as long as the run; ``clock`` counts seconds and never goes back.
    """

    def __init__(
        self,
        backend: Backend,
        run_id: str,
        *,
        process: Process | None = None,
        clock: Callable[[], float] = boot_seconds,
    ) -> None:
        self._backend, self._run_id, self._clock = backend, run_id, clock
        self._signs = Signs(backend, clock=clock)
        self._process = process if process is not None else Process.current()
        self._token = seal({"run_id": run_id})
        self._held: dict[str, int] = {}
        self._doubtful: set[str] = set()  # claims that were held while a sign was late
        self._beats = 0
        self._last_beat = -signs.EXPIRES_SECONDS
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def claim(self, key: str) -> str | None:
        """Claim an action or a place; None when it is this run's now, else the id of the living run that has it."""
        if not self._beats:
            self.beat()
        if key in self._held:
            if not self.lost([key]):
                return None
            del self._held[key]
        number, dead = 0, ""
        while True:
            name = _name(key, number)
            if self._create(name, self._token):
                if number == 0 or self._holder(_name(key, number - 1)) == dead:
                    self._held[key] = number
                    return None
                # Another took it over and has released it since: who comes now begins at 0 again, and so do we.
                self._delete([name])
                number = 0
                continue
            holder = self._holder(name)
            if holder is None:  # released since
                number = 0
                continue
            if holder not in ("", self._run_id) and self._signs.find_living([holder]):
                return holder
            number, dead = number + 1, holder

    def claim_place(self, group: str, places: int) -> str | None:
        """Claim one of so many ``places`` in ``group``; the key to release it by, or None where other runs have them all.

        A run may have several. It costs two requests where a place is vacant, and otherwise reads every claim in the group.
        """
        if not self._beats:
            self.beat()
        folder = _folder(group)
        claimed: dict[str, list[str]] = {}
        for info in self._backend.list(f"{_CLAIMS}{folder}/"):
            claimed.setdefault(info.name.removeprefix(_CLAIMS).rpartition(".")[0], []).append(info.name)
        occupied: dict[str, list[str]] = {}
        for key in (f"{folder}/{number}" for number in range(places)):
            if key in self._held:
                continue
            if key in claimed:
                occupied[key] = claimed[key]
            elif self.claim(key) is None:
                return key
        found = self._backend.read_many(name for names in occupied.values() for name in names)
        holders = {name: _run_in(name, data) for name, data in found.items()}
        living = self._signs.find_living(
            {holder for holder in holders.values() if holder not in ("", self._run_id)}
        )
        for key, names in occupied.items():
            if living.isdisjoint(holders.get(name, "") for name in names) and self.claim(key) is None:
                return key
        return None

    def is_alone(self) -> bool:
        """Whether no other run lives in this store; one that is looked at for the first time may only seem to."""
        return not self._signs.find_living(self._signs.shown() - {self._run_id})

    def lost(self, keys: Iterable[str]) -> set[str]:
        """Those claims of this run that another run has taken over, because this one showed no sign for too long."""
        late = self._is_late(self._clock())
        held = {key: self._held[key] for key in keys if key in self._held and (late or key in self._doubtful)}
        if not held:
            return set()
        names = {key: (_name(key, number), _name(key, number + 1)) for key, number in held.items()}
        found = self._backend.read_many(name for pair in names.values() for name in pair)
        return {
            key
            for key, (ours, next_one) in names.items()
            if found.get(ours) != self._token or next_one in found
        }

    def release(self, keys: Iterable[str]) -> None:
        """Give up the claims on ``keys``, as far as may be: what stays in the store expires. Others are left alone."""
        released = [key for key in keys if key in self._held]
        gone = self.lost(released)
        held = {key: self._held.pop(key) for key in released}
        held = {key: number for key, number in held.items() if key not in gone}
        # What was taken over goes first: who sees it gone does not believe that it can be taken over once more.
        self._delete([_name(key, below) for key, number in held.items() for below in range(number)])
        self._delete([_name(key, number) for key, number in held.items()])

    def beat(self) -> None:
        """Show a sign of life."""
        self._beats += 1
        before = self._clock()
        if self._is_late(before):
            self._doubtful.update(self._held)
        self._signs.show(self._run_id, self._process, self._beats)
        self._last_beat = before

    def keep_beating(self, asked: Callable[[StopRequest], None]) -> None:
        """Show signs of life from a thread, until `close`. Should the run be asked to stop, it calls ``asked``, once."""
        self._thread = threading.Thread(
            target=self._beat_on, args=(asked,), name="lineal-claims", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Release everything, and show no sign any more."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join()
        if self._beats:
            self.release(list(self._held))
            self._signs.remove(self._run_id)

    def _beat_on(self, asked: Callable[[StopRequest], None]) -> None:
        beat_seconds = signs.BEAT_SECONDS
        pause = beat_seconds if self._backend.remote else min(_LOOK_SECONDS, beat_seconds)
        last_beat, is_asked = time.monotonic(), False
        while not self._ending.wait(pause):
            with suppress(StoreUnavailable):  # the run will be told by what it does itself
                if time.monotonic() - last_beat >= beat_seconds:
                    last_beat = time.monotonic()
                    self.beat()
                request = None if is_asked else self._signs.find_request(self._run_id)
                if request is not None:
                    is_asked = True
                    asked(request)

    def _is_late(self, now: float) -> bool:
        """Whether others may have taken this run for dead."""
        return now - self._last_beat >= signs.EXPIRES_SECONDS - signs.BEAT_SECONDS

    def _create(self, name: str, data: bytes) -> bool:
        return self._backend.create([Upload(name, data, lasting=False)])[0]

    def _delete(self, names: Sequence[str]) -> None:
        if names:
            with suppress(StoreUnavailable):  # not everybody who may write may delete
                self._backend.delete(names)

    def _holder(self, name: str) -> str | None:
        """The run whose claim that is; empty where that cannot be read, None when it has been released."""
        try:
            return _run_in(name, self._backend.read(name))
        except ObjectMissing:
            return None


def _run_in(name: str, data: bytes) -> str:
    """The run whose claim ``data`` is, read under ``name``; empty where that cannot be told."""
    try:
        found = unseal(data, what=name)
    except CorruptRecord:
        return ""
    return str(found["run_id"]) if isinstance(found, dict) and "run_id" in found else ""


def _name(key: str, number: int) -> str:
    """The object of a claim: the key of an action has no folder of its own, that of a place has its group's."""
    return f"{_CLAIMS}{key if '/' in key else f'actions/{key}'}.{number}"


def _folder(group: str) -> str:
    """Where the places of ``group`` are claimed; what cannot be in a name is told by its code."""
    return "limits/" + "".join(letter if letter in _PLAIN else f"={ord(letter):x}=" for letter in group)
