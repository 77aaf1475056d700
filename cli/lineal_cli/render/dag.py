"""A pipeline's graph as text, for Mermaid, and for Graphviz."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lineal_cli.render.text import clean, counted, paint, some, table

Graph = Mapping[str, Any]


def render_dag(document: Graph) -> str:
    """Stages in the order in which they can run, by step, each with what it needs."""
    parents = _parents(document)
    steps = _steps(document)
    rows = []
    for node in sorted(document["nodes"], key=lambda node: steps[node["id"]]):
        marks = [word for word in ("effect", "conditional") if node[word]]
        stage = "" if node["stage"] == node["id"] else f" = {clean(node['stage'])}"
        rows.append(
            (
                steps[node["id"]],
                clean(node["id"]) + stage,
                "← " + some([clean(name) for name in parents[node["id"]]]) if parents[node["id"]] else "",
                paint(", ".join(marks), "yellow"),
            )
        )
    title = f"{clean(document['pipeline'])}: {counted(len(rows), 'stage')}"
    parts = [title, table(rows, ("step", "stage", "needs", ""), right=(0,)) if rows else ""]
    if document["sources"]:
        parts.append("takes in " + some([clean(source) for source in document["sources"]]))
    return "\n\n".join(part for part in parts if part)


def render_mermaid(document: Graph) -> str:
    names = _short_names(document)
    lines = ["flowchart TD"]
    for node in document["nodes"]:
        opening, closing = ("([", "])") if node["effect"] else ("[", "]")
        lines.append(f'    {names[node["id"]]}{opening}"{_mermaid_text(node["id"])}"{closing}')
    conditional = {node["id"] for node in document["nodes"] if node["conditional"]}
    for child, parent in document["edges"]:
        lines.append(f"    {names[parent]} {'-.->' if child in conditional else '-->'} {names[child]}")
    return "\n".join(lines)


def render_dot(document: Graph) -> str:
    lines = [f"digraph {_dot_text(document['pipeline'])} {{", "    node [shape=box];"]
    for node in document["nodes"]:
        shape = " [style=rounded]" if node["effect"] else ""
        lines.append(f"    {_dot_text(node['id'])}{shape};")
    conditional = {node["id"] for node in document["nodes"] if node["conditional"]}
    for child, parent in document["edges"]:
        style = " [style=dashed]" if child in conditional else ""
        lines.append(f"    {_dot_text(parent)} -> {_dot_text(child)}{style};")
    return "\n".join([*lines, "}"])


def _parents(document: Graph) -> dict[str, list[str]]:
    parents: dict[str, list[str]] = {node["id"]: [] for node in document["nodes"]}
    for child, parent in document["edges"]:
        parents[child].append(parent)
    return parents


def _steps(document: Graph) -> dict[str, int]:
    """For each stage 1 + the longest way from a stage that needs no other.

    Without recursion: pipelines may be longer than Python's stack is deep.
    """
    children: dict[str, list[str]] = {node["id"]: [] for node in document["nodes"]}
    waiting = dict.fromkeys(children, 0)
    for child, parent in document["edges"]:
        children[parent].append(child)
        waiting[child] += 1
    steps = {node: 1 for node, count in waiting.items() if count == 0}
    ready = list(steps)
    for node in ready:
        for child in children[node]:
            steps[child] = max(steps.get(child, 1), steps[node] + 1)
            waiting[child] -= 1
            if waiting[child] == 0:
                ready.append(child)
    return steps


def _short_names(document: Graph) -> dict[str, str]:
    """Mermaid's own words and most punctuation cannot be ids, so numbers are."""
    return {node["id"]: f"n{number}" for number, node in enumerate(document["nodes"])}


def _mermaid_text(text: str) -> str:
    return clean(text).replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace("#", "#35;")


def _dot_text(text: str) -> str:
    return '"' + clean(text).replace("\\", "\\\\").replace('"', '\\"') + '"'
