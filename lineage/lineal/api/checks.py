"""Checks of an installation and of what it works with: one finding each, and none keeps another from being made."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from lineal.errors import LinealError, StoreUnavailable

State = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: its name, its state, what was found, and what to do about it, if anything."""

    name: str
    state: State
    detail: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What a check has found: a `Check` that has no name yet."""

    state: State
    detail: str
    hint: str | None = None


ok = partial(Found, "ok")
warning = partial(Found, "warning")
failed = partial(Found, "failed")


class Checks:
    """The checks made so far, in order. What a check raises is what it has found."""

    def __init__(self) -> None:
        self.made: list[Check] = []
        self._told: dict[str, str] = {}  # problem to the check that told it first

    def make(self, name: str, check: Callable[[], Found]) -> LinealError | None:
        """Make one check, and return the error that it ended with, if any.

        A problem that an earlier check has told is not told again, since one cause fails many checks.
        """
        error: LinealError | None = None
        try:
            found = check()
        except LinealError as problem:
            error, found = problem, failed(sentence(problem), problem.hint)
        except Exception as problem:  # noqa: BLE001 — whatever is wrong, the other checks are made
            found = failed(f"{type(problem).__name__}: {problem}")
        first = self._told.setdefault(found.detail, name) if found.state == "failed" else name
        if first != name:
            found = failed(f"for the same reason as {first}")
        self._add(name, found)
        return error

    def leave_out(self, name: str, reason: str) -> None:
        """Note a check as failed that it makes no sense to make."""
        self._add(name, failed(f"not tried: {reason}"))

    def _add(self, name: str, found: Found) -> None:
        hint = found.hint and without_secrets(found.hint)
        self.made.append(Check(without_secrets(name), found.state, without_secrets(found.detail), hint))


def sentence(error: LinealError) -> str:
    """What the error says; of a store that cannot be used only where and why."""
    return f"{error.url}: {error.problem}" if isinstance(error, StoreUnavailable) else str(error)


def without_secrets(text: str) -> str:
    """``text`` without the user and password of an address, and without the credentials in the environment.

    >>> without_secrets("https://ada:pass@s3.example.org/data")
    'https://***@s3.example.org/data'
    """
    text = _USER_IN_ADDRESS.sub("://***@", text)
    for variable in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID"):
        secret = os.environ.get(variable, "")
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "***")
    return text


_USER_IN_ADDRESS = re.compile(r"://[^/\s@]*@")
_SHORTEST_SECRET = 8  # a shorter one is a word of some test server, and would make holes in other words
