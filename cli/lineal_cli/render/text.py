"""Words, numbers, colours and tables: what all renderers share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from lineal.views.words import STATE_COLORS, cells, clean, clean_log, counted, reason, seconds

__all__ = [
    "clean",
    "clean_log",
    "counted",
    "indent",
    "moment",
    "paint",
    "paint_state",
    "plain",
    "reason",
    "seconds",
    "short",
    "size",
    "some",
    "table",
    "value",
    "values",
]

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_COLORS = {"bold": 1, "dim": 2, "red": 31, "green": 32, "yellow": 33, "cyan": 36}


def paint(text: str, color: str | None) -> str:
    return f"\x1b[{_COLORS[color]}m{text}\x1b[0m" if color and text else text


def paint_state(state: object) -> str:
    return paint(clean(state), STATE_COLORS.get(str(state)))


def plain(text: str) -> str:
    """Without colours."""
    return _ANSI.sub("", text)


def table(rows: Iterable[Sequence[object]], header: Sequence[str] = (), *, right: Iterable[int] = ()) -> str:
    """Rows in aligned columns, two spaces apart; the columns in ``right`` are flush right.

    Cells may be coloured; those that hold document values are to be cleaned by the caller.
    """
    lines = [[str(cell) for cell in row] for row in rows]
    if header:
        lines.insert(0, [paint(title, "dim") for title in header])
    columns = max((len(line) for line in lines), default=0)
    widths = [max((cells(line[at]) for line in lines if at < len(line)), default=0) for at in range(columns)]
    flush_right = set(right)
    shown = []
    for line in lines:
        padded = []
        for at, cell in enumerate(line):
            gap = " " * (widths[at] - cells(cell))
            padded.append(gap + cell if at in flush_right else cell + gap)
        shown.append("  ".join(padded).rstrip())
    return "\n".join(shown)


def indent(text: str, by: str = "  ") -> str:
    return "\n".join(by + line if line else line for line in text.splitlines())


def size(value: int) -> str:
    """
    >>> [size(value) for value in (0, 999, 1234, 56_700_000)]
    ['0 B', '999 B', '1.2 kB', '56.7 MB']
    """
    amount, unit = float(value), "B"
    for unit in ("B", "kB", "MB", "GB", "TB", "PB"):
        if amount < 1000 or unit == "PB":
            break
        amount /= 1000
    return f"{value} B" if unit == "B" else f"{amount:.1f} {unit}"


def short(name: object) -> str:
    """A digest or key with 12 of its hex digits; anything else as it is.

    >>> short("sha256:" + 64 * "a"), short("xxh3:" + 32 * "b"), short(None)
    ('sha256:aaaaaaaaaaaa', 'xxh3:bbbbbbbbbbbb', '-')
    """
    if name is None:
        return "-"
    algorithm, colon, hexadecimal = clean(name).partition(":")
    return f"{algorithm}:{hexadecimal[:12]}" if colon and algorithm in ("sha256", "xxh3") else clean(name)


def moment(text: object) -> str:
    """An ISO time as the person's clock shows it, to the minute; what is no time as it is."""
    try:
        return datetime.fromisoformat(str(text)).astimezone().strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return "-" if text is None else clean(text)


def values(parameters: Mapping[str, Any] | None, *, most: int = 60) -> str:
    """``name=value`` of every parameter on one line, cut where a value is long."""
    return " ".join(f"{clean(name)}={value(item, most=most)}" for name, item in (parameters or {}).items())


def value(item: object, *, most: int = 60) -> str:

    if not isinstance(item, str):
        import json  # an unchanged run has no use for it

        item = json.dumps(item, default=str, ensure_ascii=False)
    text = clean(item)
    return text if len(text) <= most else text[: most - 1] + "…"


def some(names: Sequence[str], *, most: int = 8) -> str:
    """The names on one line, the last ones as a number where they are many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
