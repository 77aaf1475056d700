"""Words, numbers, colours and tables: what all renderers share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

REASONS = {
    "unchanged": "unchanged",
    "new": "never run before",
    "code": "code changed",
    "input": "input changed",
    "parameter": "parameter changed",
    "environment": "environment changed",
    "schema": "schema changed",
    "forced": "forced",
    "uncached": "never cached",
    "lost": "its result was lost",
    "retired": "its result was retired",
    "condition_false": "its condition is false",
    "upstream": "depends on a stage that has to run",
}
_COLORS = {"bold": 1, "dim": 2, "red": 31, "green": 32, "yellow": 33, "cyan": 36}
STATE_COLORS = {
    "succeeded": "green",
    "hit": "green",
    "failed": "red",
    "upstream_failed": "red",
    "cancelled": "yellow",
    "up_for_retry": "yellow",
    "miss": "yellow",
    "skipped": "dim",
    "unknown": "dim",
    "queued": "dim",
}


def clean(text: object) -> str:
    """Text that cannot move the cursor, change the terminal or read other than it is: control characters, and those
    that turn the direction of writing, are spelled out.

    >>> clean("a\\x1b[2J"), clean("a\\u202eb")
    ('a\\\\x1b[2J', 'a\\\\u202eb')
    """
    return _CONTROL.sub(_spelled, str(text))


def clean_log(text: str) -> str:
    """As `clean`, but leaves colours: programs print them on purpose."""
    return _CONTROL_BUT_COLOR.sub(_spelled, text.replace("\r\n", "\n"))


def _spelled(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_CONTROL_BUT_COLOR = re.compile(r"(?!\x1b\[[0-9;]*m)[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def paint(text: str, color: str | None) -> str:
    return f"\x1b[{_COLORS[color]}m{text}\x1b[0m" if color and text else text


def paint_state(state: object) -> str:
    return paint(clean(state), STATE_COLORS.get(str(state)))


def plain(text: str) -> str:
    """Without colours."""
    return _ANSI.sub("", text)


def visible_length(text: str) -> int:
    return len(plain(text))


def table(rows: Iterable[Sequence[object]], header: Sequence[str] = (), *, right: Iterable[int] = ()) -> str:
    """Rows in aligned columns, two spaces apart; the columns in ``right`` are flush right.

    Cells may be coloured; those that hold document values are to be cleaned by the caller.
    """
    lines = [[str(cell) for cell in row] for row in rows]
    if header:
        lines.insert(0, [paint(title, "dim") for title in header])
    columns = max((len(line) for line in lines), default=0)
    widths = [
        max((visible_length(line[at]) for line in lines if at < len(line)), default=0)
        for at in range(columns)
    ]
    flush_right = set(right)
    shown = []
    for line in lines:
        cells = []
        for at, cell in enumerate(line):
            gap = " " * (widths[at] - visible_length(cell))
            cells.append(gap + cell if at in flush_right else cell + gap)
        shown.append("  ".join(cells).rstrip())
    return "\n".join(shown)


def indent(text: str, by: str = "  ") -> str:
    return "\n".join(by + line if line else line for line in text.splitlines())


def counted(number: int, noun: str) -> str:
    """
    >>> counted(1, "stage"), counted(2, "stage"), counted(2, "blob")
    ('1 stage', '2 stages', '2 blobs')
    """
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def seconds(value: float) -> str:
    """
    >>> [seconds(value) for value in (0.0, 0.214, 3.21, 62, 3725)]
    ['0.00 s', '0.21 s', '3.2 s', '1 min 02 s', '1 h 02 min']
    """
    if value < 1:
        return f"{value:.2f} s"
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


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
    import json  # the line of an unchanged run has no values in it

    text = clean(item if isinstance(item, str) else json.dumps(item, default=str, ensure_ascii=False))
    return text if len(text) <= most else text[: most - 1] + "…"


def reason(word: object, cache: object = None, state: object = None) -> str:
    """Why a stage runs or does not, in words; nothing where it was not decided.

    >>> reason("uncached", "off"), reason("uncached", "miss"), reason("upstream", None, "skipped")
    ('never cached', 'no earlier result counts', 'what it needs was skipped')
    """
    if word == "uncached" and cache == "miss":
        return "no earlier result counts"
    if word == "upstream" and state == "skipped":
        return "what it needs was skipped"
    return "" if word is None else REASONS.get(str(word), clean(word))


def some(names: Sequence[str], *, most: int = 8) -> str:
    """The names on one line, the last ones as a number where they are many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
