"""What was packed into a capsule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lineal_cli.render.text import clean, counted, paint, short, size


def render_created(document: Mapping[str, Any]) -> str:
    name, path = clean(document["name"]), clean(document["path"])
    content = f"{counted(document['files'], 'file')} of {size(document['content_bytes'])}"
    lines = [
        paint(f"{name} {short(document['digest'])}".rstrip() + f" is packed into {path}", "green"),
        f"{size(document['size_bytes'])}: {content}, of run {clean(document['run_id'])}",
    ]
    secrets = [clean(one["name"]) for one in document["needs"] if one["kind"] == "secret"]
    if secrets:
        given = " ".join(f"--with {name}=…" for name in secrets)
        lines.append(
            f"{paint('secrets are not in it:', 'yellow')} `lineal capsule run` is to be given {given}"
        )
    lines.append(paint(f"rebuild it anywhere: lineal capsule run {path}", "dim"))
    return "\n".join(lines)
