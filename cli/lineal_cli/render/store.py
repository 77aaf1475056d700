"""How much the store holds, and what is damaged in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lineal_cli.render.text import clean, counted, paint, size, table


def render_stats(document: Mapping[str, Any]) -> str:
    rows = []
    for name, item in document.items():
        if name.endswith("bytes") and isinstance(item, int):
            shown = size(item)
        elif isinstance(item, int) and not isinstance(item, bool):
            shown = f"{item:,}"
        else:
            shown = clean(item)
        rows.append((clean(name).replace("_", " "), shown))
    return table(rows)


def render_verify(document: Mapping[str, Any], *, read_data: bool) -> str:
    bad, checked = document["bad"], counted(document["checked"], "object")
    how = "read and hashed" if read_data else "checked for presence and size"
    if not bad:
        return paint(f"{checked} {how}, all whole", "green")
    rows = [
        (
            clean(item["digest"]),
            clean(item["problem"]),
            "the next run heals it" if item["healable"] else paint("cannot be rebuilt", "red"),
        )
        for item in bad
    ]
    return f"{checked} {how}, {paint(f'{len(bad):,} damaged', 'red')}\n\n{table(rows)}"
