"""``backfill``: a pipeline for many dates or parameters."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import click

from lineal_cli.session import Answer, Session, command, print_text, split_target

if TYPE_CHECKING:
    from lineal.api.backfill import Backfills
    from lineal.automation.notices import Notice


@command(
    "lineal backfill flights.py --from 2013-01-01 --to 2013-12-31 --every 7d",
    "lineal backfill --schedule nightly --from 2026-03-01 --to 2026-03-31 --missing --at-once 4",
    "lineal backfill --from 2013-01-01 --to 2013-03-31 -n          what would run, and what is there",
    "lineal backfill flights.py run_date=2013-06-30 --sweep learning_rate=[0.05,0.1,0.2]",
    "lineal backfill --resume 20261128-2015",
)
@click.argument("arguments", nargs=-1, metavar="[TARGET] [NAME=VALUE]...")
@click.option("--from", "first", metavar="DATE", help="The first date.")
@click.option("--to", "last", metavar="DATE", help="The last date.")
@click.option("--every", metavar="TIME", help="The step from date to date: 1d (by default), 7d, 6h.")
@click.option("--dates", metavar="DATE,...", default="", help="These dates.")
@click.option(
    "--schedule", metavar="NAME", help="The dates of this schedule, with its pipeline and parameters."
)
@click.option(
    "--sweep",
    "sweeps",
    multiple=True,
    metavar="NAME=[VALUE,...]",
    help="Each of these values; of several parameters each combination.",
)
@click.option(
    "--until", multiple=True, metavar="STAGE", help="Run this stage and what it needs, and nothing after it."
)
@click.option(
    "--missing",
    "which",
    flag_value="missing",
    help="Only dates that have no succeeded run with these parameters.",
)
@click.option("--failed", "which", flag_value="failed", help="Only dates whose newest run has failed.")
@click.option("--reprocess", is_flag=True, help="Execute every stage again, hit or not.")
@click.option(
    "--at-once", type=click.IntRange(min=1), default=1, metavar="N", help="Runs at a time; by default 1."
)
@click.option("--newest-first", is_flag=True, help="Begin with the last date.")
@click.option(
    "-n", "--dry-run", is_flag=True, help="Show what would run, and how many stages are hits already."
)
@click.option("--detach", is_flag=True, help="Leave it to `lineal serve`.")
@click.option("--list", "listing", is_flag=True, help="List backfills, with how far they are.")
@click.option("--show", metavar="BACKFILL", help="Show the runs of one.")
@click.option("--pause", metavar="BACKFILL", help="Begin no more of its runs; those that run go on.")
@click.option(
    "--resume", metavar="BACKFILL", help="Go on with one that was paused, or whose process was killed."
)
@click.option("--cancel", metavar="BACKFILL", help="Run no more of it, and stop what runs.")
def backfill(
    session: Session,
    arguments: tuple[str, ...],
    first: str | None,
    last: str | None,
    every: str | None,
    dates: str,
    schedule: str | None,
    sweeps: tuple[str, ...],
    until: tuple[str, ...],
    which: Literal["missing", "failed"] | None,
    at_once: int,
    show: str | None,
    pause: str | None,
    resume: str | None,
    cancel: str | None,
    *,
    reprocess: bool,
    newest_first: bool,
    dry_run: bool,
    detach: bool,
    listing: bool,
) -> Answer:
    """Run a pipeline for many dates or parameters.

    What was done before are hits. Each date runs once. Ctrl-C pauses it; a backfill that was killed goes on where it was when it is asked for again in the
    same words, or with --resume.
    """
    from lineal.api.backfill import Backfills, Wanted
    from lineal_cli.render.backfill import render_backfill, render_backfills

    target, assignments = split_target(arguments)
    backfills = Backfills(session.open(target), session.variables(), tell=_Told())
    if listing:
        document = backfills.known()
        return Answer(document, lambda: render_backfills(document))
    managed = _managed(backfills, show=show, pause=pause, resume=resume, cancel=cancel)
    if managed is not None:
        document = managed
    else:
        wanted = Wanted(
            target,
            assignments,
            first,
            last,
            every,
            [text.strip() for text in dates.split(",") if text.strip()],
            schedule,
            sweeps,
            until,
            which or "all",
            reprocess,
            at_once,
            newest_first,
        )
        document = backfills.preview(wanted) if dry_run else backfills.run(wanted, detach=detach)
    failed = any(run["state"] in ("failed", "cancelled") for run in document["runs"])
    return Answer(document, lambda: render_backfill(document), 1 if failed and show is None else 0)


def _managed(backfills: Backfills, **asked: str | None) -> dict[str, Any] | None:
    """What becomes of a backfill that one of the options names."""
    given = [(word, name) for word, name in asked.items() if name is not None]
    if len(given) > 1:
        raise click.UsageError(
            f"--{given[0][0]} and --{given[1][0]} do not go together", click.get_current_context(silent=True)
        )
    for word, name in given:
        verbs = {
            "show": backfills.show,
            "pause": backfills.pause,
            "resume": backfills.resume,
            "cancel": backfills.cancel,
        }
        return verbs[word](name)
    return None


class _Told:
    """One line on stderr for each run that has ended."""

    def __call__(self, notice: Notice, counts: Mapping[str, int]) -> None:
        from lineal.automation.notices import Ended, Lost
        from lineal_cli.render.backfill import render_ended

        if isinstance(notice, Ended | Lost):
            print_text(render_ended(notice.job, counts, lost=isinstance(notice, Lost)), err=True)
            sys.stderr.flush()
