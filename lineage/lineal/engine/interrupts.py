"""Ctrl-C, as long as a run goes on: told to the runner instead of raised in the middle of whatever it does.

The first is a request to stop in an orderly way; whoever presses it again waits for nothing more.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class AtOnce(KeyboardInterrupt):
    """Ctrl-C for the second time."""


@contextmanager
def on_interrupt(tell: Callable[[], None]) -> Iterator[None]:
    """Inside the block the first SIGINT calls ``tell``, and each further one raises `AtOnce`.

    Outside the main thread there are no signals, and nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    told = False

    def take(*_: object) -> None:
        nonlocal told
        if told:
            raise AtOnce
        told = True
        tell()

    before = signal.signal(signal.SIGINT, take)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
