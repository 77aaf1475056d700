"""What ``init`` wrote, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lineal_cli.render.text import clean, indent, paint, table


def render_init(document: Mapping[str, Any]) -> str:
    rows = [(paint("created", "green"), clean(name)) for name in document["created"]]
    rows += [(paint("kept", "dim"), clean(name)) for name in document["kept"]]
    folder = document["folder"]
    steps = [
        ("lineal run", "run it; then run it again"),
        ("lineal status", "after an edit: what has to run, and why"),
    ]
    if "pipeline.py" in document["created"]:
        steps.append(("lineal trace travel.fit@latest", "where the model comes from"))
    if folder != ".":
        steps.insert(0, (f"cd {clean(folder)}", ""))
    parts = [table(rows), "next:\n" + indent(table(steps))]
    if ".gitignore" in document["kept"]:
        parts.append("Add .lineal/ and lineal.local.toml to your .gitignore.")
    return "\n\n".join(parts)
