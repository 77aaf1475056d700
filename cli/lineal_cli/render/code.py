"""The document of ``fingerprint``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lineal_cli.render.text import clean, counted, paint, table


def render_fingerprint(document: Mapping[str, Any]) -> str:
    covers, blind_spots = document["covers"], document["blind_spots"]
    rows = [(clean(unit["unit"]), _place(unit), paint(clean(unit["hash"])[:12], "dim")) for unit in covers]
    parts = [
        f"fingerprint {paint(clean(document['hex']), 'bold')}",
        f"covers {counted(len(covers), 'unit')} of code\n\n{table(rows, ('unit', 'place', 'hash'))}",
    ]
    distributions = document["distributions"]
    if distributions:
        versions = [(clean(name), clean(version)) for name, version in distributions.items()]
        named = table(versions, ("distribution", "version"))
        parts.append(f"and the versions of {counted(len(versions), 'distribution')}\n\n{named}")
    if blind_spots:
        rows = [(clean(spot["kind"]), clean(spot["detail"]), _place(spot)) for spot in blind_spots]
        title = paint(f"does not see {counted(len(blind_spots), 'thing')}", "yellow")
        parts.append(
            f"{title}: declare what matters with reads=, depends_on= or version=\n\n"
            + table(rows, ("kind", "what", "place"))
        )
    return "\n\n".join(parts)


def _place(item: Mapping[str, Any]) -> str:
    return f"{clean(item['file'])}:{item['line']}" if item["file"] else ""
