"""Values that JSON can say, as their annotation reads them: scalars, containers, dataclasses, enums, dates."""

from __future__ import annotations

import json
from collections.abc import Sized
from itertools import islice
from pathlib import Path
from typing import Any

from lineal.artifacts.codecs.bytes import preview_of_file
from lineal.artifacts.codecs.protocol import (
    Description,
    InMemoryCodec,
    UnreadableValue,
    UnsupportedValue,
    class_name,
)
from lineal.artifacts.codecs.shape import Misfit, place_of
from lineal.artifacts.codecs.shapes import shape_of


class JsonCodec(InMemoryCodec):
    """UTF-8 JSON text without spaces, in the order in which dicts were filled.

    The order is kept because code can observe it: two dicts that differ in it are two values. Floats are
    written in their shortest exact form, NaN and the infinities as Python's ``json`` writes them, integers of
    any size (to Python's own limit of 4,300 digits) exactly.
    """

    name = "json"
    suffix = ".json"
    executes_code = False

    def dump(self, value: Any, annotation: object) -> tuple[bytes, Description]:
        try:
            plain = shape_of(annotation).dump(value)
            data = _ENCODER.encode(plain).encode("utf-8")
        except Misfit as misfit:
            raise UnsupportedValue(misfit.problem, misfit.hint, place_of(misfit.steps)) from None
        except RecursionError:
            raise UnsupportedValue("is nested too deeply for JSON, or contains itself") from None
        except UnicodeEncodeError as error:
            raise UnsupportedValue(
                f"holds text that is no Unicode: {error.object[error.start : error.end]!r}",
                "Decode it with errors='replace', or keep it as bytes.",
            ) from None
        except ValueError as error:  # an int of more digits than Python prints
            raise UnsupportedValue(str(error)) from None
        return data, _described(value)

    def load(self, data: bytes, annotation: object) -> Any:
        plain = _parsed(data)
        try:
            return shape_of(annotation).load(plain)
        except Misfit as misfit:
            where = place_of(misfit.steps)
            raise UnreadableValue(
                self.name, f"{where}: {misfit.problem}" if where else misfit.problem
            ) from None
        except RecursionError:
            raise UnreadableValue(self.name, "they are nested too deeply") from None

    def preview(self, path: Path, limit: int = 20) -> Description:
        if path.stat().st_size > _LARGE:
            return preview_of_file(path, limit)
        value = _parsed(path.read_bytes())
        shown = value
        if isinstance(value, list):
            shown = value[:limit]
        elif isinstance(value, dict):
            shown = dict(islice(value.items(), limit))
        return _described(value) | {"value": shown}


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False)
_LARGE = 16 * 1024 * 1024
"""Above this size in bytes only the head of the text is shown: parsing takes ten times as much memory."""


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UnreadableValue("json", str(error) or type(error).__name__) from None


def _described(value: object) -> Description:
    facts: Description = {"class": class_name(type(value))}
    if isinstance(value, (bool, int, float)) and len(repr(value)) <= 40:
        facts["value"] = value.item() if hasattr(value, "item") else value
    elif isinstance(value, Sized):
        facts["length"] = len(value)
    if isinstance(value, dict) and 0 < len(value) <= 50:
        numbers = {key: _plain_number(item) for key, item in value.items()}
        if all(isinstance(key, str) and len(key) <= 60 for key in numbers) and None not in numbers.values():
            facts["value"] = numbers
    return facts


def _plain_number(value: object) -> float | int | None:
    """``value`` where it is a number short enough for a record: metrics are to be seen in lists of runs."""
    plain: Any = value.item() if hasattr(value, "item") else value
    return plain if type(plain) in (int, float, bool) and len(repr(plain)) <= 30 else None


CODEC = JsonCodec()
