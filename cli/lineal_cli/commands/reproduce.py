"""``reproduce``: rebuild a past model in a clean place, and compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lineal_cli.session import Answer, Session, command, print_text


@command(
    "lineal reproduce model.joblib                    a file found anywhere, whatever its name",
    "lineal reproduce flights.train.model@production -n",
    "lineal reproduce model.joblib --current-env      would today's packages give the same model?",
    "lineal reproduce model.joblib --with learning_rate=0.2",
    "lineal reproduce 20261122-173120-4f9ac2 --rtol 1e-6 --html report.html",
)
@click.argument("what")
@click.option("-n", "--dry-run", is_flag=True, help="Show what would be done, and what is missing for it.")
@click.option("--until", multiple=True, metavar="STAGE", help="Execute this stage and what it needs.")
@click.option(
    "--with",
    "changes",
    multiple=True,
    metavar="NAME=VALUE",
    help="What if this parameter had been another? Also how a secret is given.",
)
@click.option(
    "--current-env",
    "current_environment",
    is_flag=True,
    help="Use the packages that are installed here, whatever they are.",
)
@click.option(
    "--rtol", type=click.FloatRange(min=0), metavar="X", help="Numbers may differ by this share of theirs."
)
@click.option("--atol", type=click.FloatRange(min=0), metavar="X", help="Numbers may differ by this much.")
@click.option(
    "--trust", is_flag=True, help="Load pickles of the store to compare models: this runs what they name."
)
@click.option(
    "--keep", is_flag=True, help="Keep the folder in which everything was done, and say where it is."
)
@click.option(
    "--html", type=click.Path(path_type=Path), metavar="FILE", help="Write the report as a web page."
)
def reproduce(session: Session, what: str, html: Path | None, **options: Any) -> Answer:
    """Rebuild a past model in a clean place, and compare.

    WHAT is as for `lineal trace`; a run is rebuilt as a whole. Code, inputs and environment come out of the store, every stage
    on the way is executed again in a temporary folder, and every artifact is compared with what it was then. Effects are never
    executed. Nothing of the project is touched; the report is kept in the store. Exits with 4 unless everything is identical, or within the tolerance.
    """
    document = session.open().reproduce(what, **options, told=tell_plan)
    return answer_reproduction(document, options["dry_run"], html)


def tell_plan(plan: dict[str, Any]) -> None:
    """What is going to be done, on stderr, before it is."""
    from lineal_cli.render.reproduce import render_start

    print_text(render_start(plan), err=True)


def answer_reproduction(document: dict[str, Any], dry_run: bool, html: Path | None) -> Answer:
    """The answer that a reproduction, or its plan, comes to; as a page as well, where one is asked for."""
    from lineal_cli.render.reproduce import render_plan, render_reproduction

    if html is not None:
        from lineal.views.reproduction_page import reproduction_page

        html.write_text(reproduction_page(document), "utf-8")
    if dry_run:
        is_possible = not any(one["is_fatal"] for one in document["plan"]["missing"])
        return Answer(document, lambda: render_plan(document), 0 if is_possible else 4)
    fits = document["verdict"] in ("identical", "within_tolerance")
    return Answer(document, lambda: render_reproduction(document), 0 if fits else 4)
