"""``tag`` and ``refs``: names for what should be found again."""

from __future__ import annotations

import click

from lineal_cli.session import Answer, Session, command


@command(
    "lineal tag baseline flights.train.model@latest",
    "lineal tag production flights@20261122-173120-4f9ac2 --deployed",
    "lineal tag --delete baseline",
)
@click.argument("name")
@click.argument("what", required=False, metavar="[WHAT]")
@click.option("--deployed", is_flag=True, help="Record that this is now deployed under the name.")
@click.option("--delete", is_flag=True, help="Take the name away; its history stays.")
def tag(session: Session, name: str, what: str | None, deployed: bool, delete: bool) -> Answer:
    """Give an artifact or run a name.

    WHAT is as for `lineal trace`. A name can be moved; `lineal refs` shows where it points.
    """
    from lineal_cli.render.names import render_tag

    if delete == (what is not None) or (delete and deployed):
        raise click.UsageError("give either WHAT, or --delete alone", click.get_current_context(silent=True))
    document = session.open().tag(name, what, deployed=deployed, delete=delete)
    return Answer(document, lambda: render_tag(name, document, deleted=delete))


@command("lineal refs", "lineal refs --json")
def refs(session: Session) -> Answer:
    """List the names that were given."""
    from lineal_cli.render.names import render_refs

    document = session.open().refs()
    return Answer(document, lambda: render_refs(document))
