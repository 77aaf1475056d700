"""What the channels of alerts answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lineal_cli.render.text import clean, paint, table


def render_alerts_test(document: Mapping[str, Any]) -> str:
    return table(
        (
            paint("ok", "green") if result["ok"] else paint("failed", "red"),
            clean(result["to"]),
            clean(result["detail"]),
        )
        for result in document["results"]
    )
