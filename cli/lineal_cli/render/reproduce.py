"""The report of ``reproduce``: what was rebuilt, from what, in which environment, and how it came out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lineal.views.reproduction import headline
from lineal.views.words import named
from lineal_cli.render.text import clean, counted, moment, paint, seconds, short, some, table

Document = Mapping[str, Any]

_COLORS = {
    "identical": "green",
    "within_tolerance": "green",
    "different": "red",
    "not_reproducible": "red",
}
_MOST_ROWS = 40


def render_start(document: Document) -> str:
    """One line before anything is executed."""
    return f"{paint('rebuilding', 'dim')} {clean(document['name'])} in {_environment(document)}: {_stages(document)}\n"


def render_plan(document: Document) -> str:
    """What will be done, before it is."""
    lines = [
        f"{paint(clean(document['name']), 'bold')}  {short(document['digest'])}".rstrip(),
        *_facts(document),
    ]
    missing = [
        f"{paint('missing', 'red' if one['is_fatal'] else 'yellow')} {clean(one['name'])}: {clean(one['problem'])}"
        for one in document["plan"]["missing"]
    ]
    return "\n".join([*lines, *missing])


def render_reproduction(document: Document) -> str:
    """The verdict first; then what differs, and why."""
    parts = [
        f"{_verdict(document['verdict'])}: {clean(headline(document))}",
        "\n".join(_facts(document)),
        _artifacts(document),
        "\n".join(_why(document)),
        "\n".join(_rest(document)),
    ]
    return "\n\n".join(part for part in parts if part)


def _facts(document: Document) -> list[str]:
    made, plan = document["made"], document["plan"]
    date = f" for {clean(made['logical_date'])}" if made["logical_date"] else ""
    sources = [f"{clean(one['url'])} {paint(short(one['digest']), 'dim')}" for one in plan["sources"]]
    run = f"run {clean(made['run_id'])} of {clean(made['target'])}{date}"
    rows = [
        ("made", f"{moment(made['at'])} by {clean(made['who'])} on {clean(made['host'])}, {run}"),
        ("code", f"{short(made['code_tree'])}{_commit(made['git'])}"),
        ("from", some(sources)) if sources else None,
        ("with", some([clean(change) for change in document["changes"]])) if document["changes"] else None,
        ("in", _environment(document)),
        ("executed" if document["verdict"] else "to execute", _stages(document)),
    ]
    return table([(paint(row[0], "dim"), row[1]) for row in rows if row is not None]).splitlines()


def _commit(git: Document | None) -> str:
    if git is None:
        return ""
    return f", commit {clean(git['commit'])[:12]}{' with changes' if git['dirty'] else ''}"


def _environment(document: Document) -> str:
    python = document["made"]["python"]
    words = {
        "same": f"this environment, which is the one of then (Python {clean(python)})",
        "rebuilt": f"an environment rebuilt for it (Python {clean(python)})",
        "current": "today's environment",
        None: "no environment: what it ran on is lost",
    }
    lineal = document["lineal"]
    other = (
        f"; Lineal {clean(lineal['used'])}, then {clean(lineal['recorded'])}"
        if lineal["used"] != lineal["recorded"]
        else ""
    )
    return words.get(document["environment"], clean(document["environment"])) + other


def _stages(document: Document) -> str:
    plan = document["plan"]
    expected = seconds(plan["expected_seconds"])
    if document["verdict"] is None:
        ids = [stage["id"] for stage in plan["stages"]]
        return f"{named(ids)}: about {expected}" if ids else "nothing"
    if not document["executed"]:
        return "nothing"
    return (
        f"{named(document['executed'])} in {seconds(document['seconds'])} (the stages took {expected} then)"
    )


def _artifacts(document: Document) -> str:
    """Every artifact, or where they are many those that are not identical."""
    artifacts = document["artifacts"]
    shown = artifacts
    if len(artifacts) > _MOST_ROWS:
        shown = [one for one in artifacts if one["verdict"] != "identical"][:_MOST_ROWS]
    rows = [
        (
            clean(one["stage"]),
            clean(one["output"]),
            short(one["expected"]),
            _verdict(one["verdict"]),
            clean(one["detail"] or ""),
        )
        for one in shown
    ]
    left = len(artifacts) - len(shown)
    more = [paint(f"and {counted(left, 'artifact')} more, --json has all of them", "dim")] if left else []
    return "\n".join(
        [*([table(rows, ("stage", "output", "expected", "verdict", ""))] if rows else []), *more]
    )


def _verdict(verdict: str) -> str:
    return paint(clean(verdict).replace("_", " "), _COLORS.get(verdict, "yellow"))


def _why(document: Document) -> Iterator[str]:
    for one in document["plan"]["missing"]:
        yield f"{paint('missing', 'red' if one['is_fatal'] else 'yellow')} {clean(one['name'])}: {clean(one['problem'])}"
    problem = document["problem"]
    if problem is not None:
        yield f"{paint('nothing could be executed:', 'red')} {clean(problem['message'])}"
        if problem["hint"]:
            yield f"{paint('hint:', 'cyan')} {clean(problem['hint'])}"
    first = document["first_difference"]
    if document["diagnosis"] == "nondeterministic":
        yield f"{clean(first)} is not deterministic: executed twice here, it made other bytes each time"
    elif document["diagnosis"] == "drift":
        yield f"{clean(first)} makes the same bytes each time here, and others than then: something that it depends on has changed"
    elif document["diagnosis"] == "parameters":
        yield f"{clean(first)} is the first to come out otherwise with {some([clean(one) for one in document['changes']])}"
    yield from _listed(document["causes"], "likely causes")


def _rest(document: Document) -> Iterator[str]:
    yield from _listed(document["plan"]["environment"], "environment")
    for stage, why in list(document["not_executed"].items())[:_MOST_ROWS]:
        yield f"{paint('not executed', 'dim')} {clean(stage)}: {clean(why)}"
    for note in document["notes"]:
        yield f"{paint('note', 'yellow')} {clean(note)}"
    if document["folder"]:
        yield f"everything is in {clean(document['folder'])}"
    if document["report"]:
        yield f"{paint('report', 'dim')} {short(document['report'])}, which `lineal trace` tells of from now on"


def _listed(lines: Sequence[str], title: str) -> list[str]:
    if not lines:
        return []
    return [paint(f"{title}:", "dim"), *(f"  - {clean(line)}" for line in lines)]
