"""What was copied between two stores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lineal_cli.render.text import clean, counted, paint, size


def render_transfer(document: Mapping[str, Any], done: str, direction: str) -> str:
    """``done`` and ``direction`` are ``pushed`` and ``to``, or ``pulled`` and ``from``."""
    other = clean(document[direction])
    counts = {"result": "actions", "run": "runs", "name": "refs"}
    parts = [counted(document[key], noun) for noun, key in counts.items() if document[key]]
    if document["blobs"]:
        parts.insert(0, f"{counted(document['blobs'], 'blob')} ({size(document['bytes'])})")
    there = document["already_there"]
    if parts:
        lines = [paint(f"{done} {direction} {other}: {', '.join(parts)}", "green")]
        if there:
            were = "was" if there == 1 else "were"
            lines.append(paint(f"{counted(there, 'thing')} {were} there already", "dim"))
    else:
        all_there = f": all {counted(there, 'thing')} are there already" if there else ""
        lines = [paint(f"nothing to be {done} {direction} {other}{all_there}", "green")]
    lines += [f"{paint('warning:', 'yellow')} {clean(text)}" for text in document["warnings"]]
    return "\n".join(lines)
