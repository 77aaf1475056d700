"""Recorded parameter values as JSON can show them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lineal.artifacts import UnreadableValue
from lineal.artifacts.values import Unresolved, decode_value


def plain_value(encoded: Any) -> Any:
    """The value for people: JSON where it is JSON, else its text. No class of the project is imported."""
    try:
        return _plain(decode_value(encoded))
    except UnreadableValue as error:
        return f"(unreadable: {error})"


def _plain(value: Any) -> Any:
    if isinstance(value, Unresolved):
        return repr(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value)
