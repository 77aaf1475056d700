"""``fingerprint`` and ``dag``: what a stage's code is, and how stages hang together."""

from __future__ import annotations

import click

from lineal_cli.session import Answer, Session, command, split_target


@command(
    "lineal fingerprint flights.py:featurize",
    "lineal fingerprint company.features:rolling_mean --json",
)
@click.argument("target", metavar="TARGET[:NAME]")
def fingerprint(session: Session, target: str) -> Answer:
    """Show what the code hash of a function or stage covers.

    NAME is any function of the module, else a stage of its pipeline. Blind spots are what syntax
    cannot show; they are declared with reads=, depends_on= or version=.
    """
    from lineal_cli.render.code import render_fingerprint

    document = session.open(target).fingerprint(target)
    return Answer(document, lambda: render_fingerprint(document))


@command(
    "lineal dag flights.py",
    "lineal dag --format mermaid > flights.mmd",
    "lineal dag --format dot | dot -Tsvg > flights.svg",
)
@click.argument("arguments", nargs=-1, metavar="[TARGET] [NAME=VALUE]...")
@click.option("--format", "form", type=click.Choice(["text", "mermaid", "dot", "json"]), default="text")
def dag(session: Session, arguments: tuple[str, ...], form: str) -> Answer:
    """Show a pipeline's graph."""
    from lineal_cli.render import dag as shown_as
    from lineal_cli.session import to_json

    target, assignments = split_target(arguments)
    document = session.open(target).dag(target, assignments)
    render = {
        "text": shown_as.render_dag,
        "mermaid": shown_as.render_mermaid,
        "dot": shown_as.render_dot,
        "json": to_json,
    }[form]
    return Answer(document, lambda: render(document))
