"""Lines for a log that somebody collects: text for people, or one JSON document each.

What a line is about are its ``facts``: a run's id is always called ``run_id``, a schedule's name ``schedule``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Literal, TextIO, TypeAlias

Level = Literal["info", "warning", "error"]
Log: TypeAlias = Callable[..., None]
VARIABLE = "LINEAL_LOG"
"""Which form the processes of jobs write: ``text``, ``json``, or ``quiet``."""


def make_log(form: str, stream: TextIO | None = None) -> Log:
    """What writes lines in that form to ``stream``, stderr by default: ``log(at, level, message, **facts)``.

    Where it is ``quiet``, only of errors.
    """
    write = _json_line if form == "json" else _text_line

    def log(at: datetime, level: Level, message: str, **facts: object) -> None:
        if form == "quiet" and level != "error":
            return
        known = {name: fact for name, fact in facts.items() if fact not in (None, "")}
        print(write(at, level, message, known), file=stream or sys.stderr, flush=True)

    return log


def _json_line(at: datetime, level: Level, message: str, facts: dict[str, object]) -> str:
    document = {"at": at.isoformat(), "level": level, "message": message, **facts}
    return json.dumps(document, ensure_ascii=False, default=str)


def _text_line(at: datetime, level: Level, message: str, facts: dict[str, object]) -> str:
    # One line whatever a fact holds, so that nothing that a stage is called or says forges another.
    words = " ".join(f"{name}={_one_line(fact)}" for name, fact in facts.items())
    mark = "" if level == "info" else f"{level}: "
    return f"{at:%Y-%m-%dT%H:%M:%SZ} {mark}{_one_line(message)}" + (f"  {words}" if words else "")


def _one_line(value: object) -> str:
    text = str(value)
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
