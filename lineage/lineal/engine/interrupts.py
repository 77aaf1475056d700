"""Ctrl-C, as long as a run goes on: told to the runner instead of raised in the middle of whatever it does."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def on_interrupt(tell: Callable[[], None]) -> Iterator[None]:
    """Inside the block SIGINT calls ``tell``. Outside the main thread there are no signals, and nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, lambda *_: tell())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
