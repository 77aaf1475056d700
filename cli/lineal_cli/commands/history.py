"""``runs`` and ``logs``: what was done, and what it said."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from lineal_cli.session import Answer, Session, command

STATES = ["queued", "running", "succeeded", "failed", "cancelled"]


class _Since(click.ParamType[datetime]):
    """A date, a time, or how long ago: 30m, 12h, 7d, 2w."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        ago = re.fullmatch(r"([0-9]{1,6})([mhdw])", value)
        if ago:
            unit = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}[ago[2]]
            return datetime.now(UTC) - timedelta(**{unit: int(ago[1])})
        try:
            return datetime.fromisoformat(value).astimezone()
        except ValueError:
            self.fail(f"{value!r} is neither a date like 2026-11-22 nor an age like 12h or 7d", param, ctx)


@command(
    "lineal runs --state failed --since 7d",
    "lineal runs --metrics --sort auc        largest first; -auc for smallest first",
)
@click.option("--state", type=click.Choice(STATES), help="Only runs that ended like this.")
@click.option(
    "--since", type=_Since(), metavar="WHEN", help="Only runs begun since then: 2026-11-22, 12h, 7d."
)
@click.option("--metrics", is_flag=True, help="Show what the runs measured.")
@click.option("--sort", metavar="KEY", help="Sort by a metric or column, largest first; -KEY smallest first.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many runs."
)
def runs(
    session: Session, state: str | None, since: datetime | None, metrics: bool, sort: str | None, limit: int
) -> Answer:
    """List past runs, newest first."""
    from lineal_cli.render.history import render_runs, sort_runs

    begun_since = since.astimezone(UTC).isoformat() if since else None
    document = session.open().runs(state=state, since=begun_since, limit=None if sort else limit)
    if sort:  # the first of all, not of the newest
        document = {**document, "runs": sort_runs(document["runs"], sort)[:limit]}
    return Answer(document, lambda: render_runs(document, with_metrics=metrics or bool(sort)))


@command("lineal logs 20261122-173120-4f9ac2", "lineal logs 20261122-173120-4f9ac2 train")
@click.argument("run_id", metavar="RUN")
@click.argument("stage", required=False, metavar="[STAGE]")
def logs(session: Session, run_id: str, stage: str | None) -> Answer:
    """Show what the stages of a run printed."""
    from lineal_cli.render.history import render_logs

    document = session.open().logs(run_id, stage)
    return Answer(document, lambda: render_logs(document))
