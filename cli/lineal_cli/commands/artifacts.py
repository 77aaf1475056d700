"""``get`` and ``show``: an artifact's bytes, and a look at it."""

from __future__ import annotations

from pathlib import Path

import click

from lineal_cli.session import Answer, Session, command


@command(
    "lineal get flights.train.model@latest -o model.joblib",
    "lineal get sha256:0f3a9c44d1e2 -o features.parquet",
)
@click.argument("what")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="PATH", help="Where to write it.")
def get(session: Session, what: str, output: Path | None) -> Answer:
    """Take an artifact's exact bytes out of the store.

    WHAT is as for `lineal trace`. Without -o they get a fitting name in the current folder.
    """
    from lineal_cli.render.artifacts import render_get

    document = session.open().get(what, output)
    return Answer(document, lambda: render_get(document))


@command(
    "lineal show 20261122-173120-4f9ac2       a run, the failing stage first",
    "lineal show flights.featurize@latest",
)
@click.argument("what")
def show(session: Session, what: str) -> Answer:
    """Show a run, or a safe preview of an artifact.

    WHAT is as for `lineal trace`. Nothing is ever unpickled for a preview.
    """
    from lineal_cli.render.artifacts import render_show

    document = session.open().show(what)
    return Answer(document, lambda: render_show(document))
