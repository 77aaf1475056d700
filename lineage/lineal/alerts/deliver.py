"""Delivers what waits in an outbox: ``python -m lineal.alerts.deliver ROOT``, in a process that no run waits for."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from lineal.alerts.outbox import Entry, Outbox, postponed
from lineal.alerts.send import Undelivered, send

PATIENCE_SECONDS = 300.0
_LOOKS_AGAIN_SECONDS = 1.0


def deliver(
    outbox: Outbox,
    send: Callable[[Entry], None],
    *,
    now: Callable[[], float],
    sleep: Callable[[float], None],
    jitter: Callable[[], float],
) -> None:
    """Send everything that is due, and what becomes due within `PATIENCE_SECONDS`; a later run looks after the rest.

    One process at a time delivers; another returns at once. Who adds a message and then meets a deliverer can leave it to that
    one: it looks again after it has given the lock back.
    """
    until = now() + PATIENCE_SECONDS
    while _first(outbox) <= until:
        with outbox.locked() as mine:
            if not mine:
                return
            outbox.clear_left_behind(now())
            while (moment := _first(outbox)) <= until:
                if moment > now():
                    sleep(min(moment - now(), _LOOKS_AGAIN_SECONDS))
                    continue
                for due, entry_id in outbox.due():
                    if due <= now():
                        _attempt(outbox, entry_id, send, now, jitter)


def _first(outbox: Outbox) -> float:
    return min((due for due, _ in outbox.due()), default=float("inf"))


def _attempt(
    outbox: Outbox,
    entry_id: str,
    send: Callable[[Entry], None],
    now: Callable[[], float],
    jitter: Callable[[], float],
) -> None:
    entry = outbox.find(entry_id)
    if entry is None:
        return
    for_good = False
    try:
        send(entry)
    except Undelivered as error:
        problem, for_good = error.problem, error.for_good
        if error.left is not None:
            entry = replace(entry, alert=replace(entry.alert, to=error.left))
    except Exception as error:  # noqa: BLE001 — one message that cannot be sent must not keep the others
        problem = f"{type(error).__name__}: {error}"
    else:
        outbox.remove(entry)  # who dies before this sends it again, under the same id
        return
    later = None if for_good else postponed(entry, problem, now=now(), jitter=jitter())
    if later is not None:
        outbox.put(later)
    else:
        outbox.give_up(replace(entry, attempts=entry.attempts + 1, problem=problem))


def main(root: Path) -> None:
    def really_send(entry: Entry) -> None:
        send(entry.alert, entry.message, root=root, environ=os.environ, now=time.time())

    deliver(Outbox(root), really_send, now=time.time, sleep=time.sleep, jitter=random.random)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
