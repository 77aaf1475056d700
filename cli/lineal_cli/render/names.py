"""Tags and refs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lineal_cli.render.text import clean, moment, short, table


def render_tag(name: str, document: Mapping[str, Any], *, deleted: bool) -> str:
    if deleted:
        return f"{clean(name)} is deleted; its history stays"
    return f"{clean(document['name'])} → {short(document['digest'])}"


def render_refs(document: Mapping[str, Any]) -> str:
    rows = [
        (clean(ref["name"]), short(ref["digest"]), moment(ref["at"]), clean(ref["who"]))
        for ref in document["refs"]
    ]
    return table(rows, ("name", "digest", "since", "by")) if rows else "no names were given yet"
