"""``run``, ``rerun`` and ``cancel``: execute, show what goes on, and sum up; and have it stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lineal_cli.session import Answer, Document, Session, command, split_target

if TYPE_CHECKING:
    from lineal_cli.progress import Shown

_executor = click.option(
    "--executor", metavar="WHERE", help="Where stages run: process, inline, or dask://host:8786."
)
_jobs = click.option(
    "-j", "--jobs", type=click.IntRange(min=1), metavar="N", help="Stages at a time, at most."
)


_CHECK = "--check-determinism"


class _Run(click.Command):
    """An option that takes its value after ``=`` alone, for a target may come next."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, [f"{_CHECK}=100%" if word == _CHECK else word for word in args])


@command(
    "lineal run                                       the project's only pipeline",
    "lineal run flights.py run_date=2013-06-30",
    "lineal run flights.py:flights --until train -n   what would run, as far as train",
    "lineal run --force 'train*' --params nightly.toml",
    "lineal run --check-determinism=10%               execute a tenth of the hits again, and compare",
    cls=_Run,
)
@click.argument("arguments", nargs=-1, metavar="[TARGET] [NAME=VALUE]...")
@click.option("-n", "--dry-run", is_flag=True, help="Show what would run, as `lineal status` does.")
@click.option("--force", multiple=True, metavar="STAGE", help="Run this stage again, hit or not.")
@click.option("--why", metavar="TEXT", help="Why stages are forced: kept with what that supersedes.")
@click.option("--only", multiple=True, metavar="STAGE", help="Run this stage alone; the others must be hits.")
@click.option("--until", multiple=True, metavar="STAGE", help="Run this stage and what it needs.")
@click.option("--fail-fast", is_flag=True, help="Start nothing more after a failure.")
@click.option("--timeout", metavar="TIME", help="Stop the run after this time: 90s, 30m, 2h.")
@click.option(
    _CHECK,
    metavar="[=SHARE]",
    help="Execute hits again, all or a share of them, and compare: exit code 4 where one made other bytes.",
)
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
        session,
        lambda listener: session.open(target).run(
            target, assignments, listener=listener, typed=typed, **options
        ),
        lambda document: [
            "run",
            *([target] if target else []),
            *_shown(assignments, document),
            *_given(options),
        ],
    )


@command("lineal rerun 20261122-173120-4f9ac2", "lineal rerun 20261122-173120-4f9ac2 -j 1 --executor inline")
@click.argument("run_id", metavar="RUN")
@_jobs
@_executor
def rerun(session: Session, run_id: str, **options: Any) -> Answer:
    """Run a past run's pipeline and parameters with today's code.

    What is unchanged is a hit: after a failure this goes on from the last good stage.
    """
    return _executed(
        session,
        lambda listener: session.open().rerun(run_id, listener=listener, **options),
        lambda _: ["rerun", run_id, *_given(options)],
    )


@command(
    "lineal cancel 20261122-173120-4f9ac2",
    "lineal cancel 20261122-173120-4f        enough of it to tell it apart",
)
@click.argument("run_id", metavar="RUN")
def cancel(session: Session, run_id: str) -> Answer:
    """Stop a run, from any machine that shares its store.

    The run ends as after Ctrl-C: all processes of its stages are stopped, what has succeeded stays, and
    `lineal rerun` goes on from there. Its end is waited for, a minute at most. Exit code 0: the run does
    not go on, also where it had ended before; 1: it does still, or there is no such run.
    """
    from lineal_cli.render.history import render_cancel

    document = session.open().cancel(run_id)
    return Answer(document, lambda: render_cancel(document), 1 if document["state"] == "running" else 0)


def _executed(
    session: Session, execute: Callable[[Shown], Document], again: Callable[[Document], list[str]]
) -> Answer:
    from lineal_cli.progress import open_progress
    from lineal_cli.render.run import differing, render_run

    started = time.monotonic()
    with open_progress() as progress:
        document = execute(progress)
    elapsed = time.monotonic() - started
    code = {"failed": 1, "cancelled": 130}.get(document["state"], 4 if differing(document) else 0)
    return Answer(
        document,
        lambda: render_run(
            document,
            elapsed_seconds=elapsed,
            board=progress.board,
            again=again(document),
            settings=session.options(),
        ),
        code,
    )


def _given(options: Mapping[str, Any]) -> list[str]:
    """Options as words of a command line, to go on with: what was forced is not forced again."""
    words: list[str] = []
    for name, value in options.items():
        option = {"params_file": "--params", "jobs": "-j"}.get(name, f"--{name.replace('_', '-')}")
        if value is True:
            words.append(option)
        elif name not in ("force", "check_determinism") and value not in (None, False):
            for item in value if isinstance(value, tuple) else (value,):
                words += [option, str(item)]
    return words


def _shown(assignments: Sequence[str], document: Document) -> list[str]:
    """The assignments without the secrets in them, as the run's record has them."""
    hidden = {name for name, value in document["parameters"].items() if value == "***"}
    return [f"{name}=***" if (name := word.partition("=")[0]) in hidden else word for word in assignments]
