"""Concurrency groups (``limit="warehouse:2"``): so many places in each, for all runs of this machine that use one store.

A place is a file that is locked (flock(2)) as long as it is taken: the system gives it back however a process ends, so nothing has to be
cleaned up, and no clock is asked whether somebody is still alive.
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from lineal.errors import LinealError


class LimitUnavailable(LinealError):
    """The places of a group cannot be counted, so that nobody can say whether one is free."""

    kind = "limit"
    exit_code = 5
    hint = "Whoever runs stages with a limit has to be able to write there."

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path, self.problem = path, problem

    def __str__(self) -> str:
        return f"the places of a concurrency group cannot be kept in {self.path}: {self.problem}"


@dataclass(frozen=True, slots=True)
class Place:
    """A place that was taken; it is free again after `release`, or when this process has ended."""

    descriptor: int

    def release(self) -> None:
        os.close(self.descriptor)


class Limits:
    """The groups whose places are kept in ``folder``, by all who name the same one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def take(self, limit: str) -> Place | None:
        """One of the places of ``limit``, a group and the number of its places; None where all are taken. `LimitUnavailable`."""
        group, _, places = limit.rpartition(":")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for number in range(int(places)):
                place = _lock(self._folder / f"{group}.{number}")
                if place is not None:
                    return place
        except OSError as error:
            raise LimitUnavailable(str(self._folder), error.strerror or str(error)) from error
        return None

    def is_free(self, limit: str) -> bool:
        """Whether a place could be taken now."""
        place = self.take(limit)
        if place is not None:
            place.release()
        return place is not None


def _lock(path: Path) -> Place | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return Place(descriptor)
