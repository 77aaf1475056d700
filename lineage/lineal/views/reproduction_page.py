"""The report of `lineal reproduce` as one web page: no script, and nothing that has to be loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from lineal.views.reproduction import headline
from lineal.views.words import clean, seconds

Document = Mapping[str, Any]

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #1b1f24; }
h1 { font-size: 1.4rem } h2 { font-size: 1.05rem; margin-top: 2rem }
.verdict { padding: .1rem .6rem; border-radius: .3rem; color: #fff; background: #b42318 }
.identical, .within_tolerance { background: #1a7f37 }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: .25rem .8rem .25rem 0; vertical-align: top }
tr + tr td { border-top: 1px solid #e3e6ea } th { color: #667085; font-weight: 500 } code { font-size: .85em; word-break: break-all }
@media (prefers-color-scheme: dark) { body { background: #15181c; color: #e6e8eb } tr + tr td { border-color: #2d333b } }
"""


def reproduction_page(document: Document) -> str:
    """The page, as HTML."""
    title = f"Reproduction of {document['name']}"
    verdict = document["verdict"] or "planned"
    said = headline(document) if document["verdict"] else "what would be done"
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{_text(title)}</h1>",
        f"<p>{_verdict(verdict)} {_text(said)}</p>",
        _table("What", [], _facts(document)),
        _table("Artifacts", ["stage", "output", "verdict", "expected", "actual", ""], _artifacts(document)),
        _table("Likely causes", [], ([_text(cause)] for cause in document["causes"])),
        _table("Missing", ["", "what", "why"], _missing(document)),
        _table("Not executed", ["stage", "why"], _pairs(document["not_executed"])),
        _table("Environment", [], ([_text(line)] for line in document["plan"]["environment"])),
        _table("Notes", [], ([_text(note)] for note in document["notes"])),
        "</body></html>\n",
    ]
    return "\n".join(part for part in parts if part)


def _facts(document: Document) -> Iterator[list[str]]:
    made, lineal = document["made"], document["lineal"]
    yield from _pairs(
        {
            "digest": document["digest"] or "all of the run",
            "made": f"{made['at']} by {made['who']} on {made['host']}",
            "run": f"{made['run_id']} of {made['target']}",
            "logical date": made["logical_date"],
            "code": made["code_tree"],
            "commit": made["git"]["commit"] if made["git"] else None,
            "sources": ", ".join(f"{one['url']} ({one['digest']})" for one in document["plan"]["sources"]),
            "changed parameters": ", ".join(document["changes"]),
            "environment": document["environment"],
            "Python": made["python"],
            "platform": made["platform"],
            "Lineal": lineal["used"]
            if lineal["used"] == lineal["recorded"]
            else f"{lineal['used']} ({lineal['recorded']} then)",
            "executed": ", ".join(document["executed"]),
            "first difference": document["first_difference"],
            "diagnosis": document["diagnosis"],
            "reproduced": document["at"],
            "took": seconds(document["seconds"]),
        }
    )


def _artifacts(document: Document) -> Iterator[list[str]]:
    for one in document["artifacts"]:
        yield [
            _text(one["stage"]),
            _text(one["output"]),
            _verdict(one["verdict"]),
            f"<code>{_text(one['expected'])}</code>",
            f"<code>{_text(one['actual'] or '')}</code>",
            _text(one["detail"] or ""),
        ]


def _missing(document: Document) -> Iterator[list[str]]:
    for one in document["plan"]["missing"]:
        yield [_text(one["kind"]), _text(one["name"]), _text(one["problem"])]


def _pairs(values: Mapping[str, Any]) -> Iterator[list[str]]:
    for name, value in values.items():
        if value:
            yield [f"<b>{_text(name)}</b>", _text(value)]


def _table(title: str, header: list[str], rows: Iterator[list[str]]) -> str:
    body = ["".join(f"<td>{cell}</td>" for cell in row) for row in rows]
    if not body:
        return ""
    head = f"<tr>{''.join(f'<th>{_text(name)}</th>' for name in header)}</tr>" if header else ""
    return f"<h2>{_text(title)}</h2><table>{head}{''.join(f'<tr>{row}</tr>' for row in body)}</table>"


def _verdict(verdict: str) -> str:
    return f'<span class="verdict {_text(verdict)}">{_text(verdict.replace("_", " "))}</span>'


def _text(value: object) -> str:
    return escape(clean(value))
