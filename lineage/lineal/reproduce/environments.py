"""Stand-in until the real module is merged."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Interpreter:
    python: Path
    kind: Literal["same", "rebuilt", "current"]
    notes: tuple[str, ...] = ()


def find_python(recorded: object, *, rebuild: bool) -> Interpreter:
    return Interpreter(Path(sys.executable), "same" if rebuild else "current")
