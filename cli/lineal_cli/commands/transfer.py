"""``store push`` and ``store pull``: between this store and another one."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import click

from lineal_cli.render.text import size
from lineal_cli.session import Answer, Session, command

_SHOWN_EVERY_SECONDS = 0.2


@command(
    "lineal store push                                 everything, to the store upstream",
    "lineal store push 20261122-173120-4f9ac2          a run, with all that it stands on",
    "lineal store push flights.train.model@production --to s3://team/churn",
)
@click.argument("what", nargs=-1, metavar="[WHAT]...")
@click.option("--to", metavar="URL", help="The store to copy to; by default the only one in `upstream`.")
def push(session: Session, what: tuple[str, ...], to: str | None) -> Answer:
    """Copy runs, artifacts and names to another store.

    WHAT is as for `lineal trace`; all that it was made from goes along. Without WHAT all results, finished runs and
    names are copied. What is there is not sent again: after an interruption the same command goes on. Exits with 4
    when some of it is lost or damaged here; the rest is copied.
    """
    from lineal_cli.render.transfer import render_transfer

    with show_progress() as progress:
        document = session.open().store_push(what, _as_a_shell_means_it(to), progress=progress)
    return Answer(document, lambda: render_transfer(document, "pushed", "to"))


@command(
    "lineal store pull                                 everything, from the store upstream",
    "lineal store pull flights.train.model@latest --from s3://team/churn",
    "lineal store pull model.joblib                    where a file found anywhere comes from",
)
@click.argument("what", nargs=-1, metavar="[WHAT]...")
@click.option(
    "--from",
    "source",
    metavar="URL",
    help="The store to copy from; by default the only one in `upstream`.",
)
def pull(session: Session, what: tuple[str, ...], source: str | None) -> Answer:
    """Copy runs, artifacts and names from another store.

    WHAT is as for `lineal trace`, and is looked up in the other store; all that it was made from comes along.
    Without WHAT all results, finished runs and names are copied. Everything is checked on arrival. Exits with 4
    when some of it is lost or damaged there; the rest is copied.
    """
    from lineal_cli.render.transfer import render_transfer

    with show_progress() as progress:
        document = session.open().store_pull(what, _as_a_shell_means_it(source), progress=progress)
    return Answer(document, lambda: render_transfer(document, "pulled", "from"))


@contextmanager
def show_progress(stream: TextIO | None = None) -> Iterator[Callable[[int, int], None]]:
    """One line on a terminal that says how much is there, gone at the end; elsewhere nothing."""
    stream = stream or sys.stderr
    live = stream.isatty() and os.environ.get("TERM") != "dumb"
    shown_at = 0.0

    def show(there_bytes: int, all_bytes: int) -> None:
        nonlocal shown_at
        now = time.monotonic()
        if live and now - shown_at >= _SHOWN_EVERY_SECONDS:
            shown_at = now
            stream.write(f"\r\x1b[K{size(there_bytes)} of {size(all_bytes)}")
            stream.flush()

    try:
        yield show
    finally:
        if shown_at:
            stream.write("\r\x1b[K")
            stream.flush()


def _as_a_shell_means_it(url: str | None) -> str | None:
    """A path relative to the current folder, where the configuration's are relative to the project."""
    if url is None or "://" in url:
        return url
    return os.path.normpath(Path.cwd() / Path(url).expanduser())
