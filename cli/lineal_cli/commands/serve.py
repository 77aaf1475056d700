"""``serve``: fire schedules until told to end."""

from __future__ import annotations

from pathlib import Path

import click

from lineal_cli.session import Answer, Session, command


@command(
    "lineal serve",
    "lineal serve --profile production --log json",
    "lineal serve ../churn ../flights                 several projects in one process",
)
@click.argument("projects", nargs=-1, metavar="[PROJECT]...", type=click.Path(path_type=Path))
@click.option(
    "--runs",
    "most_runs",
    type=click.IntRange(min=1),
    default=4,
    metavar="N",
    help="Runs at a time, at most; by default 4.",
)
@click.option(
    "--log", "log_form", type=click.Choice(["text", "json"]), default="text", help="How lines on stderr look."
)
@click.option(
    "--drain",
    is_flag=True,
    help="When told to end, wait for the runs that go on; else they go on by themselves.",
)
def serve(
    session: Session, projects: tuple[Path, ...], most_runs: int, log_form: str, *, drain: bool
) -> Answer:
    """Look after the schedules of this project, or of those in the folders PROJECT, until SIGTERM or Ctrl-C.

    Each date of a schedule is run once, whatever is killed or started twice. Runs are processes of their own: they go on when this
    one ends, and the next `lineal serve` looks after them. It reads the configuration anew when that changes.
    """
    from lineal.api.serve import serve_projects
    from lineal_cli.render.serve import render_served

    folders = projects or (Path.cwd(),)
    document = serve_projects(
        [(folder, session.loader(folder)) for folder in folders],
        session.variables(),
        most_runs=most_runs,
        log_form=log_form,
        drain=drain,
    )
    return Answer(document, lambda: render_served(document))
