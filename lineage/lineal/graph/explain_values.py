"""What distinguishes two values of a parameter, in the words of whoever wrote them.

>>> explain_values(0.1, 0.2)
['0.1 → 0.2']
>>> explain_values(1, 1.0)
['int 1 → float 1.0']
>>> explain_values({"dict": [["depth", 3], ["trees", 10]]}, {"dict": [["depth", 4], ["trees", 10]]})
['["depth"]: 3 → 4']
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date, time
from pathlib import PurePath
from typing import Any, NamedTuple
from unicodedata import normalize
from uuid import UUID

from lineal.artifacts import Directory, File, UnreadableValue
from lineal.artifacts.values import Unresolved, decode_value
from lineal_store.canonical import encode

MOST_PLACES = 5
_LONGEST = 60
_BEFORE_DIFFERENCE = 12  # characters that are shown of two long texts before they part


class _Place(NamedTuple):
    """A part of two values in which they differ, and where it lies in them; `_ABSENT` on the side that has none."""

    path: str
    before: Any
    after: Any


_ABSENT = object()


def explain_values(before: Any, after: Any) -> list[str]:
    """The places in which two encoded values differ, outermost first; the last line counts those that are left out."""
    found: list[str] = []
    more = 0
    for path, old, new in _places(before, after, "", 0):
        if len(found) == MOST_PLACES:
            more += 1
        elif old is _ABSENT:
            found.append(f"{path} is new: {show_value(new)}")
        elif new is _ABSENT:
            found.append(f"{path} is gone, was {show_value(old)}")
        else:
            was, now = _pair(old, new)
            found.append(f"{path}: {was} → {now}" if path else f"{was} → {now}")
    return [*found, f"and {more} more differences"] if more else found


def show_value(encoded: Any, *, most: int = _LONGEST) -> str:
    """An encoded value as it would be written in Python or, where that is plainer, on the command line."""
    return _cut(_text(_decoded(encoded)), most)


def _places(before: Any, after: Any, path: str, depth: int) -> Iterator[_Place]:
    if _same(before, after):
        return
    (tag, old), (other, new) = _taken_apart(before), _taken_apart(after)
    if tag != other or depth > 8:
        yield _Place(path, before, after)
    elif tag in ("list", "tuple"):
        yield from _in_order(before, after, old, new, path, depth)
    elif tag == "dict":
        yield from _in_pairs(before, after, old, new, path, depth, lambda key: f"[{_quoted(key)}]")
    elif tag in ("dataclass", "namedtuple") and old[0] == new[0]:
        yield from _in_pairs(before, after, old[1], new[1], path, depth, lambda key: f".{key}")
    elif tag in ("set", "frozenset"):
        yield from _in_sets(old, new, path)
    else:
        yield _Place(path, before, after)


def _in_order(
    before: Any, after: Any, old: list[Any], new: list[Any], path: str, depth: int
) -> Iterator[_Place]:
    if len(old) != len(new) and max(len(old), len(new)) <= 6:
        yield _Place(path, before, after)  # short enough to be shown whole
        return
    for index, (one, other) in enumerate(zip(old, new, strict=False)):
        yield from _places(one, other, f"{path}[{index}]", depth + 1)
    for index in range(len(new), len(old)):
        yield _Place(f"{path}[{index}]", old[index], _ABSENT)
    for index in range(len(old), len(new)):
        yield _Place(f"{path}[{index}]", _ABSENT, new[index])


def _in_pairs(
    before: Any, after: Any, old: list[Any], new: list[Any], path: str, depth: int, step: Any
) -> Iterator[_Place]:
    was = {encode(key): (key, item) for key, item in old}
    now = {encode(key): (key, item) for key, item in new}
    if was.keys() == now.keys() and all(_same(was[key][1], now[key][1]) for key in was):
        yield _Place(f"{path} in the order of keys".strip(), [key for key, _ in old], [key for key, _ in new])
        return
    for key, (name, item) in now.items():
        if key not in was:
            yield _Place(path + step(name), _ABSENT, item)
        else:
            yield from _places(was[key][1], item, path + step(name), depth + 1)
    for key, (name, item) in was.items():
        if key not in now:
            yield _Place(path + step(name), item, _ABSENT)


def _in_sets(old: list[Any], new: list[Any], path: str) -> Iterator[_Place]:
    was, now = [encode(item) for item in old], [encode(item) for item in new]
    for item, code in zip(new, now, strict=True):
        if code not in was:
            yield _Place(f"{path} an item".strip(), _ABSENT, item)
    for item, code in zip(old, was, strict=True):
        if code not in now:
            yield _Place(f"{path} an item".strip(), item, _ABSENT)


def _taken_apart(encoded: Any) -> tuple[str, Any]:
    """The kind of a structure, and what is in it."""
    if isinstance(encoded, dict) and len(encoded) == 1:
        ((tag, content),) = encoded.items()
        shaped = {"dict": _are_pairs, "dataclass": _is_record, "namedtuple": _is_record}.get(tag, _is_list)
        return (tag, content) if shaped(content) else ("", None)
    return ("list", encoded) if isinstance(encoded, list) else ("", None)


def _is_list(content: Any) -> bool:
    return isinstance(content, list)


def _are_pairs(content: Any) -> bool:
    return isinstance(content, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in content)


def _is_record(content: Any) -> bool:
    return isinstance(content, list) and len(content) == 2 and _are_pairs(content[1])


def _same(before: Any, after: Any) -> bool:
    return encode(before) == encode(after)


# -- words ------------------------------------------------------------------------------------


def _pair(before: Any, after: Any) -> tuple[str, str]:
    """Two values so that they look different: with their types where those differ, from where they begin to differ."""
    old, new = _decoded(before), _decoded(after)
    was, now = _text(old), _text(new)
    if old is not None and new is not None and _type(old) != _type(new):
        return f"{_type(old)} {_cut(was)}", f"{_type(new)} {_cut(now)}"
    if normalize("NFC", was) == normalize("NFC", now):  # it looks alike
        was, now = ascii(old), ascii(new)
    if len(was) <= _LONGEST and len(now) <= _LONGEST:
        return was, now
    common = next((at for at, (one, other) in enumerate(zip(was, now, strict=False)) if one != other), None)
    start = max(0, (min(len(was), len(now)) if common is None else common) - _BEFORE_DIFFERENCE)
    lead = "…" if start else ""
    return lead + _cut(was[start:]), lead + _cut(now[start:])


class _Unreadable(NamedTuple):
    problem: str


def _decoded(encoded: Any) -> Any:
    try:
        return decode_value(encoded)
    except UnreadableValue as error:
        return _Unreadable(str(error))


def _type(value: Any) -> str:
    if isinstance(value, _Unreadable):
        return "a value"
    return value.class_name.rpartition(":")[2] if isinstance(value, Unresolved) else type(value).__name__


def _text(value: Any) -> str:
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, _Unreadable):
        return f"(unreadable: {value.problem})"
    if isinstance(value, (date, time, PurePath, UUID)):  # a datetime is a date
        return str(value)
    if isinstance(value, (File, Directory)):
        return value.url
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    try:
        return repr(value)
    except ValueError:  # an int of more digits than Python prints
        return f"a very long {type(value).__name__}"


def _quoted(value: Any) -> str:
    text = repr(value)
    return f'"{text[1:-1]}"' if isinstance(value, str) and text[0] == "'" and '"' not in text else text


def _cut(text: str, most: int = _LONGEST) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
