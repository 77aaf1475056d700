"""A folder that survives attempts and runs: what a long stage saves of its work, so that the next attempt goes on from there.

It belongs to one action on one machine. Whoever uses it holds a lock beside it (flock(2), which the system releases however
a process ends), so that two runs of the action never write into it at once.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from lineal.errors import UsageError


def checkpoint_dir() -> Path:
    """The folder in which the running stage finds what earlier attempts at the same action have saved; empty at first.

    Earlier attempts had the same code, inputs and parameters. An attempt may be killed while it writes: write to another name and rename. The
    folder is no part of the result, and is removed when the stage has succeeded. Where another run is at work on the same action, it is
    waited for. `UsageError` outside of a stage.
    """
    held = _held.get()
    if held is None:
        raise UsageError(
            "checkpoint_dir() is called where no stage runs",
            "Call it in the stage itself, not in a thread of it; for unit tests, let a function that takes the folder do the work.",
        )
    return held.open()


@contextmanager
def checkpoints_in(folder: str | Path) -> Iterator[None]:
    """Let `checkpoint_dir` answer with ``folder`` while a stage runs."""
    held = _Held(folder)
    token = _held.set(held)
    try:
        yield
    finally:
        _held.reset(token)
        held.close()


def remove_checkpoints(folder: Path) -> None:
    """Remove the folder and what is in it, unless it is in use: whoever uses it removes it afterwards."""
    if not folder.exists():
        return
    with suppress(OSError):
        lock = _lock(folder, wait=False)
        if lock is not None:
            shutil.rmtree(folder / "files", ignore_errors=True)
            (folder / "lock").unlink()  # last: from now on the folder is whoever's comes next
            os.close(lock)
            folder.rmdir()


class _Held:
    """The folder of one attempt, locked when it is first asked for: a file for the lock, and a folder for the stage."""

    def __init__(self, folder: str | Path) -> None:
        self._folder, self._lock = folder, -1

    def open(self) -> Path:
        folder = Path(self._folder)
        files = folder / "files"
        if self._lock < 0:
            lock = _lock(folder, wait=False)
            if lock is None:
                sys.stderr.write("another run is at work on the same action: waiting for its checkpoints\n")
                lock = _lock(folder, wait=True)
            assert lock is not None
            self._lock = lock
            files.mkdir(exist_ok=True)
        return files

    def close(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)


_held: ContextVar[_Held | None] = ContextVar("lineal_checkpoints", default=None)


def _lock(folder: Path, *, wait: bool) -> int | None:
    """A descriptor that holds the folder's lock, or None where another process holds it."""
    path = folder / "lock"
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:  # removed just now
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            with suppress(FileNotFoundError):
                if os.path.samestat(path.stat(), os.fstat(lock)):
                    return lock
        except BlockingIOError:
            os.close(lock)
            return None
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)  # whoever had it has removed the file: a new one counts
