"""One artifact, file or run: the documents of ``get`` and ``show``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lineal_cli.render.run import render_run
from lineal_cli.render.text import (
    clean,
    indent,
    moment,
    paint,
    seconds,
    short,
    size,
    some,
    table,
    value,
    values,
)


def render_get(document: Mapping[str, Any]) -> str:
    return clean(document["path"])


def render_show(document: Mapping[str, Any]) -> str:
    if document["kind"] == "run" and "stages" in document:
        return _run(document)
    hidden = {"kind", "preview", "observed"}
    rows = [
        (clean(name.removesuffix("_bytes")).replace("_", " "), _cell(name, item))
        for name, item in document.items()
        if name not in hidden
    ]
    rows += _observed(document.get("observed") or {})
    text = f"{paint(clean(document['kind']), 'bold')}\n{indent(table(row for row in rows if row[1]))}"
    preview = document.get("preview")
    if preview:
        shown = preview if isinstance(preview, str) else value(preview, most=2000)
        text += f"\n\n{clean(shown)}"
    return text


def _observed(seen: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the stage ran and looked at, as far as it was seen."""
    loose = [*seen.get("files", ()), *seen.get("variables", ()), *seen.get("connections", ())]
    loose += [f"the URL of {name}" for name in seen.get("urls", ())]
    return [
        ("ran", clean(some(seen.get("units", ())))),
        ("not declared", clean(some(loose))),
        ("not reused", clean(seen.get("refused") or "")),
        ("note", clean(seen.get("note") or "")),
    ]


def _run(document: Mapping[str, Any]) -> str:
    rows = [
        ("lost", clean(document.get("lost") or "")),
        ("parameters", values(document.get("parameters"))),
        ("logical date", clean(document.get("logical_date") or "")),
        ("namespace", clean(document.get("namespace") or "")),
        ("started", moment(document["started_at"]) if document.get("started_at") else ""),
        ("by", clean(document.get("who") or "")),
        ("code", _git(document.get("git"))),
    ]
    facts = table(row for row in rows if row[1])
    summary = render_run(
        {"warnings": [], "outputs": {}, **document}, elapsed_seconds=document.get("seconds"), in_full=True
    )
    return f"{summary}\n\n{facts}" if facts else summary


def _git(git: object) -> str:
    if not isinstance(git, Mapping) or not git.get("commit"):
        return ""
    return f"git {clean(git['commit'])[:12]}{' with uncommitted changes' if git.get('dirty') else ''}"


def _cell(name: str, item: object) -> str:
    if item is None or item in ({}, []):
        return ""
    if name.endswith("bytes") and isinstance(item, int):
        return size(item)
    if name.endswith("seconds") and isinstance(item, int | float):
        return seconds(item)
    if name.endswith("_at"):
        return moment(item)
    if name in ("action_key", "fingerprint"):
        return short(item)
    if name == "made_by" and isinstance(item, Mapping):
        return f"{clean(item['stage'])} · run {clean(item['run_id'])} · {moment(item['at'])}"
    if isinstance(item, Mapping):
        return values(item)
    return value(item, most=200)
