"""The project objects that a pickle names, read without unpickling."""

from __future__ import annotations

import io
import pickletools
import zlib

_STRINGS = frozenset(
    {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE", "SHORT_BINSTRING", "BINSTRING", "STRING"}
)


def find_pickled_names(data: bytes) -> list[tuple[str, str]]:
    """The ``(module, qualified name)`` pairs that the pickles in ``data`` import when they are loaded, sorted.

    ``data`` may be a pickle, several in a row, one with raw arrays in between (joblib), or such compressed with zlib.
    What is no pickle names nothing; a damaged one names what comes before the damage.
    """
    if data[:1] == b"\x78":
        try:
            data = zlib.decompress(data)
        except zlib.error:
            return []
    found: set[tuple[str, str]] = set()
    start = 0
    while 0 <= start < len(data):
        end = _scan(data, start, found)
        start = data.find(b"\x80", end) if end > start else data.find(b"\x80", start + 1)
        while 0 <= start < len(data) - 1 and not 2 <= data[start + 1] <= 5:
            start = data.find(b"\x80", start + 1)
    return sorted(found)


def _scan(data: bytes, start: int, found: set[tuple[str, str]]) -> int:
    """Take in the names of the pickle at ``start``; returns where it ends, or ``start`` when none is there."""
    stream = io.BytesIO(data)
    stream.seek(start)
    memo: dict[int, str] = {}
    strings: list[str] = []
    end = start
    try:
        for opcode, argument, position in pickletools.genops(stream):
            name = opcode.name
            end = (position or 0) + 1
            if name in _STRINGS:
                strings.append(str(argument))
            elif name == "MEMOIZE":
                memo[len(memo)] = strings[-1] if strings else ""
            elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
                memo[int(argument)] = strings[-1] if strings else ""  # type: ignore[call-overload]
            elif name in ("GET", "BINGET", "LONG_BINGET"):
                strings.append(memo.get(int(argument), ""))  # type: ignore[call-overload]
            elif name == "GLOBAL":
                module, _, qualname = str(argument).partition(" ")
                found.add((module, qualname))
            elif name == "STACK_GLOBAL" and len(strings) >= 2:
                found.add((strings[-2], strings[-1]))
    except Exception:
        return end
    return end
