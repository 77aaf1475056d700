"""What distinguishes the content of an input from what it was: by its description, its files, its first difference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lineal.graph.explain_files import (
    EXPLAINERS,
    explain_columns,
    explain_files,
    explain_numbers,
    explain_size,
)
from lineal.graph.explain_values import explain_values
from lineal.graph.records import TREES, Origin

_MOST_FILES = 8
_MOST_VALUES = 8
_NUMBERS = {"length": "length", "features": "features", "files": "files", "items": "items"}
_TEXTS = {"class": "class", "dtype": "dtype", "sklearn": "scikit-learn", "file_name": "called"}


def _nowhere() -> None:
    return None


@dataclass(frozen=True, slots=True)
class Content:
    """What one side took through a port, as far as it is known.

    ``local`` gives a file with the bytes where they can be had cheaply; ``files`` are the digests of a directory's,
    by path; ``made_by`` is the stage that made it in the run ``run_id``, ``at`` when that was or, of outside data,
    when it was last written (ISO 8601).
    """

    type: str
    origin: Origin | None = None
    size_bytes: int | None = None
    description: Mapping[str, Any] = field(default_factory=dict)
    made_by: str | None = None
    run_id: str | None = None
    at: str | None = None
    local: Callable[[], Path | None] = _nowhere
    files: Callable[[], Mapping[str, str] | None] = _nowhere

    @property
    def name(self) -> str:
        """What the file is called; empty where it has no name."""
        url = self.origin.url if self.origin is not None else None
        return url or str(self.description.get("file_name", ""))


def explain_contents(before: Content, after: Content) -> list[str]:
    """In what two contents differ, the most telling first; empty where nothing is known."""
    if before.type != after.type:
        return [f"kept as {before.type} → {after.type}"]
    found = explain_descriptions(before.description, after.description)
    if before.type in TREES:
        found = _explain_directories(before, after) or found
    elif before.type in ("file", "bytes") or (not found and before.type in EXPLAINERS):
        old, new = before.local(), after.local()
        if old is not None and new is not None:
            explain = EXPLAINERS.get(before.type)
            found += explain(old, new) if explain is not None else explain_files(old, new, after.name)
    if before.type in ("file", "bytes") or not found:
        found += explain_size(before.size_bytes, after.size_bytes)
    return found


def explain_descriptions(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """In what the descriptions differ that codecs gave two values."""
    found: list[str] = []
    for key, noun in _TEXTS.items():
        if key in before and key in after and before[key] != after[key]:
            found.append(f"{noun} {before[key]} → {after[key]}")
    was, now = before.get("columns"), after.get("columns")
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        columns = explain_columns(was, now)
        found += columns
        if not columns:
            left_out = [one.get("columns_left_out", 0) for one in (before, after)]
            if all(isinstance(count, int) for count in left_out):
                found += explain_numbers("columns", len(was) + left_out[0], len(now) + left_out[1])
    found += explain_numbers("rows", before.get("rows"), after.get("rows"))
    shapes = [one.get("shape") for one in (before, after)]
    if shapes[0] != shapes[1] and all(isinstance(shape, list) for shape in shapes):
        found.append(f"shape {' → '.join('×'.join(map(str, shape or ())) for shape in shapes)}")
    found += _explain_value(before.get("value"), after.get("value"))
    if "rows" not in after and "value" not in after:
        for key, noun in _NUMBERS.items():
            found += explain_numbers(noun, before.get(key), after.get(key))
    return found


def _explain_value(before: Any, after: Any) -> list[str]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        both = [key for key in after if key in before and repr(before[key]) != repr(after[key])]
        found = [f"`{key}`: {before[key]} → {after[key]}" for key in both]
        found += [f"`{key}` is new: {after[key]}" for key in after if key not in before]
        found += [f"`{key}` is gone" for key in before if key not in after]
        more = len(found) - _MOST_VALUES
        return found if more <= 0 else [*found[:_MOST_VALUES], f"and {more} more values"]
    if before is None or after is None or isinstance(before, Mapping) or isinstance(after, Mapping):
        return []
    return explain_values(before, after)


def _explain_directories(before: Content, after: Content) -> list[str]:
    was, now = before.files(), after.files()
    if was is None or now is None:
        return []
    found = [f"{path} changed" for path in now if path in was and was[path] != now[path]]
    found += [f"{path} is new" for path in now if path not in was]
    found += [f"{path} is gone" for path in was if path not in now]
    more = len(found) - _MOST_FILES
    return found if more <= 0 else [*found[:_MOST_FILES], f"and {more} more files"]
