"""Whether runs are traced (`lineal.api.otel`), found out without importing anything for it."""

from __future__ import annotations

import os
from contextlib import suppress

from lineal.engine.memo import COLLECTORS


def collectors() -> dict[str, str]:
    """The variables that name a collector, with what they say."""
    return {name: os.environ[name] for name in COLLECTORS if os.environ.get(name)}


def is_traced() -> bool:
    """Whether a collector of traces is named, and there is what sends them."""
    if not collectors():
        return False
    from importlib.util import find_spec

    with suppress(ModuleNotFoundError):
        return None not in map(find_spec, ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"))
    return False
