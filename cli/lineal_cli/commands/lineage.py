"""``trace`` and ``impact``: ancestors and descendants."""

from __future__ import annotations

import click

from lineal_cli.session import Answer, Session, command


@command(
    "lineal trace model.joblib                a file found anywhere, whatever its name",
    "lineal trace sha256:0f3a9c44d1e2",
    "lineal trace flights.train.model@latest --json",
)
@click.argument("what")
def trace(session: Session, what: str) -> Answer:
    """Show where a file or artifact comes from, down to raw data.

    WHAT is an existing file (by its bytes), sha256: with 8 or more hex digits, a run id, or
    pipeline[.stage][.output]@VERSION, where VERSION is latest, a tag, a run id or a date.
    Exits with 1 when nothing is known of it.
    """
    from lineal_cli.render.lineage import render_trace

    document = session.open().trace(what)
    return Answer(document, lambda: render_trace(document, what), 0 if document["found"] else 1)


@command("lineal impact data/flights.parquet", "lineal impact flights.ingest@2013-06-30")
@click.argument("what")
def impact(session: Session, what: str) -> Answer:
    """Show what was made from a file or artifact.

    WHAT is an existing file (by its bytes), sha256: with 8 or more hex digits, a run id, or
    pipeline[.stage][.output]@VERSION. Exits with 1 when nothing is known of it.
    """
    from lineal_cli.render.lineage import render_impact

    document = session.open().impact(what)
    return Answer(document, lambda: render_impact(document, what), 0 if document["found"] else 1)
