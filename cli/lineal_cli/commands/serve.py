"""``serve``: fire schedules until told to end."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lineal_cli.session import Answer, Session, command, print_text

if TYPE_CHECKING:
    from lineal.api.serve import Beside

_LISTEN = "127.0.0.1:8420"


@command(
    "lineal serve",
    "lineal serve --profile production --log json",
    "lineal serve --listen 0.0.0.0:8420 --host-name lineal      for other machines",
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
    "--listen",
    metavar="HOST:PORT",
    help=f"Where HTTP is answered; by default {_LISTEN}, which only this machine reaches.",
)
@click.option("--no-http", is_flag=True, help="Answer no HTTP.")
@click.option(
    "--host-name",
    "host_names",
    multiple=True,
    metavar="NAME",
    help="A name by which others ask for that address, for instance through a proxy.",
)
@click.option(
    "--drain",
    is_flag=True,
    help="When told to end, wait for the runs that go on; else they go on by themselves.",
)
def serve(
    session: Session,
    projects: tuple[Path, ...],
    most_runs: int,
    log_form: str,
    listen: str | None,
    host_names: tuple[str, ...],
    *,
    no_http: bool,
    drain: bool,
) -> Answer:
    """Fire schedules, until told to end.

    It looks after the schedules of this project, or of those in the folders PROJECT, until SIGTERM or Ctrl-C. Each date of a schedule is run once, whatever is killed or started twice. Runs are processes of their own: they go on when this
    one ends, and the next `lineal serve` looks after them. It reads the configuration anew when that changes.

    By HTTP it answers GET /health, /ready and /metrics, and POST /hooks/NAME for schedules on webhooks.
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
        beside=None if no_http else _web(listen, host_names),
    )
    return Answer(document, lambda: render_served(document))


def _web(listen: str | None, host_names: tuple[str, ...]) -> Beside | None:
    """What answers HTTP; None where that is not installed and nobody has asked for it."""
    from lineal.errors import UsageError

    missing = [name for name in ("starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        told = f"HTTP needs {' and '.join(missing)}, which is not installed here"
        hint = "pip install 'lineal[web,metrics]'"
        if listen is not None:
            raise UsageError(told, hint)
        print_text(f"{told}: {hint}", err=True)
        return None
    from lineal_web.listening import answering_at

    return answering_at(listen or _LISTEN, host_names)
