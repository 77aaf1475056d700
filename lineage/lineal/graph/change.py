"""One thing in which two actions differ, as it is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from lineal.graph.action import Reason


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A difference with its words. ``before`` and ``after`` are values that JSON can hold, None where it was not there.

    ``title`` is the sentence for people and ``details`` what follows it; ``file``, ``line`` and ``diff`` are of code,
    and ``through`` the units by which the stage comes to it, itself first.
    """

    kind: Reason
    name: str
    before: Any
    after: Any
    file: str | None = None
    line: int | None = None
    diff: str | None = None
    title: str
    details: Sequence[str] = ()
    through: Sequence[str] = ()
