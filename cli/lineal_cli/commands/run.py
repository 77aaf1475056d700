"""``run`` and ``rerun``: execute, show what goes on, and sum up."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lineal_cli.session import Answer, Document, Session, command, split_target

if TYPE_CHECKING:
    from lineal_cli.progress import Progress

_executor = click.option("--executor", metavar="WHERE", help="Where stages run: process, inline, …")
_jobs = click.option(
    "-j", "--jobs", type=click.IntRange(min=1), metavar="N", help="Stages at a time, at most."
)


@command(
    "lineal run                                       the project's only pipeline",
    "lineal run flights.py run_date=2013-06-30",
    "lineal run flights.py:flights --until train -n   what would run, as far as train",
    "lineal run --force 'train*' --params nightly.toml",
)
@click.argument("arguments", nargs=-1, metavar="[TARGET] [NAME=VALUE]...")
@click.option("-n", "--dry-run", is_flag=True, help="Show what would run, as `lineal status` does.")
@click.option("--force", multiple=True, metavar="STAGE", help="Run this stage again, hit or not.")
@click.option("--only", multiple=True, metavar="STAGE", help="Run this stage alone; the others must be hits.")
@click.option("--until", multiple=True, metavar="STAGE", help="Run this stage and what it needs.")
@click.option("--fail-fast", is_flag=True, help="Start nothing more after a failure.")
@_jobs
@_executor
@click.option(
    "--params",
    "params_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Parameters from TOML or JSON.",
)
def run(session: Session, arguments: tuple[str, ...], dry_run: bool, **options: Any) -> Answer:
    """Run what is invalid in a pipeline, and nothing else.

    TARGET is path/to/file.py[:pipeline], package.module:pipeline or a configured name; it may be left
    out when the project has one pipeline. STAGE is a name, an id or a glob.
    """
    from lineal.engine.memo import Typed

    target, assignments = split_target(arguments)
    if dry_run:
        from lineal_cli.render.status import render_status

        plan = session.open(target).run(target, assignments, dry_run=True, **options)
        return Answer(plan, lambda: render_status(plan))
    given = click.get_current_context().obj
    typed = Typed(*given) if given is not None else None
    return _executed(
        lambda listener: session.open(target).run(
            target, assignments, listener=listener, typed=typed, **options
        )
    )


@command("lineal rerun 20261122-173120-4f9ac2", "lineal rerun 20261122-173120-4f9ac2 -j 1 --executor inline")
@click.argument("run_id", metavar="RUN")
@_jobs
@_executor
def rerun(session: Session, run_id: str, **options: Any) -> Answer:
    """Run a past run's pipeline and parameters with today's code.

    What is unchanged is a hit: after a failure this goes on from the last good stage.
    """
    return _executed(lambda listener: session.open().rerun(run_id, listener=listener, **options))


def _executed(execute: Callable[[Progress], Document]) -> Answer:
    from lineal_cli.progress import open_progress
    from lineal_cli.render.run import render_run

    started = time.monotonic()
    with open_progress() as progress:
        document = execute(progress)
    elapsed = time.monotonic() - started
    code = {"failed": 1, "cancelled": 130}.get(document["state"], 0)
    return Answer(
        document, lambda: render_run(document, elapsed_seconds=elapsed, details=progress.details), code
    )
