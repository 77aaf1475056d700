"""Work that is killed before each of its acts in turn: what it leaves has to be good for whoever comes next."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def die_at(step: int, folder: Path, work: Callable[[], None]) -> bool:
    """Do ``work`` in a process that is killed before its ``step``-th act upon ``folder`` or another process.

    True when it was done before that.
    """
    child = os.fork()
    if child == 0:
        try:
            acts = 0

            def count(event: str, given: tuple[Any, ...]) -> None:
                nonlocal acts
                ours = event in _ACTS and (isinstance(given[0], int) or str(folder) in str(given[0]))
                if ours or event == "subprocess.Popen":
                    acts += 1
                    if acts == step:
                        os.kill(os.getpid(), signal.SIGKILL)

            sys.addaudithook(count)
            work()
        except BaseException:  # noqa: BLE001 — told by the status
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert not os.WIFEXITED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFEXITED(status)


_ACTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.scandir", "os.utime")


def until_done(work: Callable[[int], bool]) -> int:
    """Call ``work`` with 1, 2, 3, … until it says that it was done; how often it was not."""
    step = 1
    while not work(step):
        step += 1
    return step - 1
