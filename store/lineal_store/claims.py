"""What a run is executing just now, so that no other run executes the same at the same time.

Under each action that a run executes it leaves a **claim**, created once, which counts as long as the run lives
(`lineal_store.signs`). A run is dead when its process is gone, where that can be seen from here, or when its sign has not
changed for `EXPIRES_SECONDS` by the clock of whoever looks: no two clocks are ever compared. The claim of a dead run is
taken over by the next one, under the next number.

A run that was suspended for longer than that has lost its claims without knowing. It asks (`lost`) before it files a
result. All this is for economy and never for truth: an action result is created once, whoever executes it how often.

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

_ACTIONS = "claims/actions/"
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
        self._held: dict[str, int] = {}
        self._doubtful: set[str] = set()  # claims that were held while a sign was late
        self._beats = 0
        self._last_beat = -signs.EXPIRES_SECONDS
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def claim(self, key: str) -> str | None:
        """Claim the action; None when it is this run's now, else the id of the living run that has it."""
        if not self._beats:
            self.beat()
        if key in self._held:
            if not self.lost([key]):
                return None
            del self._held[key]
        number = 0
        while True:
            name = _name(key, number)
            if self._create(name, self._token()):
                self._held[key] = number
                return None
            holder = self._holder(name)
            if holder is None:  # released since
                continue
            if holder not in ("", self._run_id) and self._signs.lives(holder):
                return holder
            number += 1

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
            if found.get(ours) != self._token() or next_one in found
        }

    def release(self, keys: Iterable[str]) -> None:
        """Give up the claims on ``keys``, as far as may be: what stays in the store expires. Others are left alone."""
        released = [key for key in keys if key in self._held]
        gone = self.lost(released)
        names = [
            _name(key, number)
            for key in released
            for number in range(self._held.pop(key) + 1)
            if key not in gone
        ]
        self._delete(names)

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

    def _token(self) -> bytes:
        return seal({"run_id": self._run_id})

    def _create(self, name: str, data: bytes) -> bool:
        return self._backend.create([Upload(name, data, lasting=False)])[0]

    def _delete(self, names: Sequence[str]) -> None:
        if names:
            with suppress(StoreUnavailable):  # not everybody who may write may delete
                self._backend.delete(names)

    def _holder(self, name: str) -> str | None:
        """The run whose claim that is; empty where that cannot be read, None when it has been released."""
        try:
            found = unseal(self._backend.read(name), what=name)
        except ObjectMissing:
            return None
        except CorruptRecord:
            return ""
        return str(found["run_id"]) if isinstance(found, dict) and "run_id" in found else ""


def _name(key: str, number: int) -> str:
    return f"{_ACTIONS}{key}.{number}"
