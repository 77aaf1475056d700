"""The project objects that a pickle names, read without unpickling."""

from __future__ import annotations

import io
import re
import zlib

_STRINGS = frozenset(
    {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE", "SHORT_BINSTRING", "BINSTRING", "STRING"}
)
_TEXT = re.compile(rb"\x8c([\x01-\xff])([A-Za-z_][\w.]*)", re.DOTALL)
_LOOK_UP = re.compile(rb"(?:\x94|q.|r.{4})?\x93", re.DOTALL)
_GLOBAL = re.compile(rb"c([A-Za-z_][\w.]*)\n([A-Za-z_][\w.]*)\n")


def find_pickled_names(data: bytes) -> list[tuple[str, str]]:
    """The ``(module, qualified name)`` pairs that the pickles in ``data`` import when they are loaded,
    sorted.

    ``data`` may be a pickle, several in a row, one with raw arrays in between (joblib), or such compressed
    with zlib. In one with raw arrays a name may be given with every module that it could belong to. What is
    no pickle names nothing; a damaged one names what comes before the damage.
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
    if any(module.startswith("joblib.") for module, _ in found):
        found |= _between_arrays(data)
    return sorted(found)


def _scan(data: bytes, start: int, found: set[tuple[str, str]]) -> int:
    """Take in the names of the pickle at ``start``; returns where it ends, or ``start`` when none is there."""
    import pickletools  # takes milliseconds, and most runs have no pickles

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
                memo[int(argument or 0)] = strings[-1] if strings else ""
            elif name in ("GET", "BINGET", "LONG_BINGET"):
                strings.append(memo.get(int(argument or 0), ""))
            elif name == "GLOBAL":
                module, _, qualname = str(argument).partition(" ")
                found.add((module, qualname))
            elif name == "STACK_GLOBAL" and len(strings) >= 2:
                found.add((strings[-2], strings[-1]))
    except Exception:  # noqa: BLE001 - hostile bytes may raise anything here
        return end
    return end


def _between_arrays(data: bytes) -> set[tuple[str, str]]:
    """The names in a pickle that cannot be followed, for raw arrays lie in it: every text that is looked up
    as one.
    """
    texts = [
        (found.end(), found[2].decode()) for found in _TEXT.finditer(data) if len(found[2]) == found[1][0]
    ]
    modules = {text for _, text in texts}
    names = {text for end, text in texts if _LOOK_UP.match(data, end)}
    pairs = {(module, name) for name in names for module in modules if module != name}
    return pairs | {(found[1].decode(), found[2].decode()) for found in _GLOBAL.finditer(data)}
