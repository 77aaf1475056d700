"""Canonical MessagePack: one value, one encoding, so that records can be compared and hashed as bytes.

Values are None, bool, int, float, str, bytes, list and dict with str keys; nothing else, and no subclasses.
Maps are sorted by the UTF-8 bytes of their keys. Every length and every int takes its shortest form; an int
beyond 64 bits is extension type 1 (two's complement, big-endian, as few bytes as hold it). A float is always
float64; every NaN is 7ff8000000000000; -0.0 stays itself. ``docs/formats.md`` has test vectors.

What msgpack decodes is accepted when it encodes to the very same bytes, as msgspec, which sorts maps, is quick to tell. The decoder that says what is wrong, and reads
what has long lists, is written out here: msgpack sizes a list by what its header announces, and a few kilobytes of nested
headers would reserve gigabytes. This one grows only by what it has read.
"""

from __future__ import annotations

import struct
import sys
from contextlib import suppress
from math import isnan

import msgpack

from lineal_store.errors import CorruptRecord, RecordTooLarge

MAX_RECORD_BYTES = 1 << 20
MAX_DEPTH = 64
"""How many containers may enclose one another."""

_BIG_INTEGER = 1
_LONGEST_LIST = 1 << 12  # that msgpack may reserve, for each of the 512 levels that it can be led into
_NAN_BYTES = bytes.fromhex("7ff8000000000000")
_NAN: float = struct.unpack(">d", _NAN_BYTES)[0]
_FLOAT64 = struct.Struct(">d")
_NO_CONTAINERS = bytes(lead for lead in range(256) if not (0x80 <= lead < 0xA0 or 0xDC <= lead < 0xE0))


def encode(value: object, *, limit: int = MAX_RECORD_BYTES) -> bytes:
    """The one encoding of ``value``.

    TypeError for a type outside the list above (a tuple, a subclass, a key that is no str), ValueError for a
    surrogate or more than MAX_DEPTH containers deep, RecordTooLarge beyond ``limit`` bytes.

    >>> encode({"b": 1, "a": [True, None]}).hex()
    '82a16192c3c0a16201'
    """
    data: bytes = msgpack.packb(value if _is_normal([value], -1) else _normal(value, 0))
    if len(data) > limit:
        raise RecordTooLarge(len(data), limit)
    return data


def decode(data: bytes, *, what: str = "a record", limit: int = MAX_RECORD_BYTES) -> object:
    """The value that ``data`` is the encoding of; CorruptRecord (naming ``what``) for any other bytes.

    Whatever is accepted encodes to ``data`` again.

    >>> decode(bytes.fromhex("82a16192c3c0a16201"))
    {'a': [True, None], 'b': 1}
    """
    if len(data) > limit:
        raise CorruptRecord(what, f"{len(data)} bytes are more than the {limit} allowed")
    with suppress(Exception):  # whatever it is, the reader below says it in our words
        value = msgpack.unpackb(data, max_array_len=_LONGEST_LIST, max_ext_len=0)
        if _is_encoding(data, value):
            return value
    reader = _Reader(data)
    try:
        value = reader.value(0)
    except IndexError:
        raise CorruptRecord(what, "it ends too early") from None
    except UnicodeDecodeError:
        raise CorruptRecord(what, "it holds text that is not UTF-8") from None
    except _NotCanonical as refusal:
        raise CorruptRecord(what, str(refusal)) from None
    if reader.at != len(data):
        raise CorruptRecord(what, f"{len(data) - reader.at} bytes follow its end")
    return value


def _is_encoding(data: bytes, value: object) -> bool:
    """Whether ``data``, which msgpack has read as ``value``, is what `encode` makes of it; False, too, for the rare NaN."""
    msgspec = sys.modules.get("msgspec")
    if msgspec is None:  # to import it would cost more than a few records do
        return _is_normal([value], -1) and msgpack.packb(value) == data
    if may_hold_nan(data) or len(data.translate(None, _NO_CONTAINERS)) > MAX_DEPTH:
        return False
    return bool(msgspec.msgpack.encode(value, order="sorted") == data)


def may_hold_nan(data: bytes) -> bool:
    """Whether an encoding may hold a NaN; other bytes look like one, but a text or a usual number does not."""
    return b"\xcb\x7f" in data or b"\xcb\xff" in data


def _normal(value: object, depth: int) -> object:
    """``value`` with maps sorted, NaN made one, and big ints wrapped: what msgpack then encodes canonically."""
    kind = type(value)
    if kind is str or kind is bool or value is None or kind is bytes:
        return value
    if kind is int:
        assert isinstance(value, int)
        if -(1 << 63) <= value < 1 << 64:
            return value
        # One more bit than the magnitude, for the sign: ~value turns a negative into its magnitude less one.
        width = ((value if value >= 0 else ~value).bit_length() + 8) // 8
        return msgpack.ExtType(_BIG_INTEGER, value.to_bytes(width, "big", signed=True))
    if isinstance(value, float) and kind is float:
        return _NAN if isnan(value) else value
    if depth >= MAX_DEPTH:
        raise ValueError(f"a record may nest at most {MAX_DEPTH} containers")
    if isinstance(value, list) and kind is list:
        return [_normal(item, depth + 1) for item in value]
    if isinstance(value, dict) and kind is dict:
        for key in value:
            if type(key) is not str:
                raise TypeError(f"a record's keys are str, not {type(key).__name__}: {key!r:.80}")
        # str sorts by code point, which is the order of the UTF-8 bytes.
        return {key: _normal(value[key], depth + 1) for key in sorted(value)}
    raise TypeError(f"a record cannot hold a {kind.__name__}: {value!r:.80}")


_WITHOUT_PARTS = frozenset({type(None), bool, str, bytes})


def _is_normal(container: list[object] | dict[str, object], depth: int) -> bool:
    """Whether `_normal` would leave it as it is; False, too, for the rare NaN."""
    if depth >= MAX_DEPTH:
        return False
    if isinstance(container, dict):
        if {*map(type, container)} - {str} or list(container) != sorted(container):
            return False
        parts = list(container.values())
    else:
        parts = container
    for part in parts:
        kind = type(part)
        if kind in _WITHOUT_PARTS:
            continue
        if kind is int:
            if not -(1 << 63) <= part < 1 << 64:  # type: ignore[operator]
                return False
        elif kind is dict or kind is list:
            if not _is_normal(part, depth + 1):  # type: ignore[arg-type]
                return False
        elif kind is not float or part != part:  # noqa: PLR0124
            return False
    return True


class _NotCanonical(Exception):
    """Well-formed or not, these bytes are not what ``encode`` writes."""


_NOT_SHORTEST = "it holds a number or a length that is not in its shortest form"

# Lead byte → (bytes of the length that follows, the smallest length that needs this form).
_TEXT = {0xD9: (1, 32), 0xDA: (2, 1 << 8), 0xDB: (4, 1 << 16)}
_BINARY = {0xC4: (1, 0), 0xC5: (2, 1 << 8), 0xC6: (4, 1 << 16)}
_LIST = {0xDC: (2, 16), 0xDD: (4, 1 << 16)}
_MAP = {0xDE: (2, 16), 0xDF: (4, 1 << 16)}
_EXTENSION = {0xC7: (1, 0), 0xC8: (2, 1 << 8), 0xC9: (4, 1 << 16)}
# Lead byte → (bytes of the number that follows, the first number on the way from zero that needs this form).
_UNSIGNED = {0xCC: (1, 1 << 7), 0xCD: (2, 1 << 8), 0xCE: (4, 1 << 16), 0xCF: (8, 1 << 32)}
_SIGNED = {
    0xD0: (1, -(1 << 5) - 1),
    0xD1: (2, -(1 << 7) - 1),
    0xD2: (4, -(1 << 15) - 1),
    0xD3: (8, -(1 << 31) - 1),
}
_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}


class _Reader:
    """Reads values off ``data``, from ``at`` on; IndexError when it is too short."""

    __slots__ = ("at", "data", "size")

    def __init__(self, data: bytes) -> None:
        self.data, self.size, self.at = data, len(data), 0

    def value(self, depth: int) -> object:
        lead = self.data[self.at]
        self.at += 1
        if 0xA0 <= lead < 0xC0:
            return self.take(lead & 0x1F).decode()
        if lead < 0x80:
            return lead
        if lead in _TEXT:
            return self.take(self.length(*_TEXT[lead])).decode()
        if lead >= 0xE0:
            return lead - 0x100
        if lead < 0x90:
            return self.mapping(lead & 0x0F, depth)
        if lead < 0xA0:
            return self.sequence(lead & 0x0F, depth)
        if lead in _CONSTANTS:
            return _CONSTANTS[lead]
        if lead in _BINARY:
            return self.take(self.length(*_BINARY[lead]))
        if lead == 0xCB:
            return self.float64()
        if lead in _UNSIGNED:
            return self.length(*_UNSIGNED[lead])
        if lead in _SIGNED:
            return self.signed(*_SIGNED[lead])
        if lead in _LIST:
            return self.sequence(self.length(*_LIST[lead]), depth)
        if lead in _MAP:
            return self.mapping(self.length(*_MAP[lead]), depth)
        if lead in _EXTENSION or lead == 0xD8:
            return self.big_integer(lead)
        raise _NotCanonical(f"it holds the byte {lead:02x} where a value should start")

    def take(self, size: int) -> bytes:
        at = self.at
        self.at = end = at + size
        if end > self.size:
            raise IndexError
        return self.data[at:end]

    def length(self, width: int, smallest: int) -> int:
        number = int.from_bytes(self.take(width), "big")
        if number < smallest:
            raise _NotCanonical(_NOT_SHORTEST)
        return number

    def signed(self, width: int, first: int) -> int:
        number = int.from_bytes(self.take(width), "big", signed=True)
        if number > first:
            raise _NotCanonical(_NOT_SHORTEST)
        return number

    def float64(self) -> float:
        raw = self.take(8)
        number: float = _FLOAT64.unpack(raw)[0]
        if isnan(number) and raw != _NAN_BYTES:
            raise _NotCanonical("it holds a NaN other than 7ff8000000000000")
        return number

    def big_integer(self, lead: int) -> int:
        size = 16 if lead == 0xD8 else self.length(*_EXTENSION[lead])
        kind = self.take(1)[0]
        if kind != _BIG_INTEGER:
            raise _NotCanonical(f"it holds a value of the unknown extension type {kind}")
        number = int.from_bytes(self.take(size), "big", signed=True)
        shortest = _normal(number, 0)
        if (
            not isinstance(shortest, msgpack.ExtType)
            or len(shortest.data) != size
            or (size == 16) != (lead == 0xD8)
        ):
            raise _NotCanonical(_NOT_SHORTEST)
        return number

    def sequence(self, size: int, depth: int) -> list[object]:
        self.enter(size, depth)
        return [self.value(depth + 1) for _ in range(size)]

    def mapping(self, size: int, depth: int) -> dict[str, object]:
        self.enter(2 * size, depth)
        items: dict[str, object] = {}
        before = None
        for _ in range(size):
            key = self.value(depth + 1)
            if not isinstance(key, str):
                raise _NotCanonical("it holds a map with a key that is no text")
            if before is not None and key <= before:
                raise _NotCanonical("it holds a map whose keys are not in order, or not distinct")
            items[key] = self.value(depth + 1)
            before = key
        return items

    def enter(self, values: int, depth: int) -> None:
        if depth >= MAX_DEPTH:
            raise _NotCanonical(f"it nests more than {MAX_DEPTH} containers")
        if values > self.size - self.at:  # each takes a byte at least; do not read a million to find out
            raise IndexError
