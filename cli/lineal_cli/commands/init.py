"""``init``: a working project to start from."""

from __future__ import annotations

from pathlib import Path

import click

from lineal_cli.session import Answer, Session, command


@command("lineal init", "lineal init travel && cd travel && lineal run", opens_project=False)
@click.argument("folder", required=False, default=".", metavar="[DIR]", type=click.Path(path_type=Path))
def init(session: Session, folder: Path) -> Answer:
    """Write a small working project to start from.

    Three stages fit a line to a small table. Files that exist are left as they are.
    """
    from lineal_cli.render.init import render_init
    from lineal_cli.scaffold import write_project

    document = write_project(folder)
    return Answer(document, lambda: render_init(document))
