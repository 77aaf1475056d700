"""``schedule``: what runs by itself, and when."""

from __future__ import annotations

import click

from lineal_cli.session import Answer, Session, command


@click.group(no_args_is_help=True)
def schedule() -> None:
    """See what runs by itself, and when: list, simulate, pause, resume."""


@command("lineal schedule list", "lineal schedule list --json")
def _list(session: Session) -> Answer:
    """List the schedules of the configuration, each with its next tick."""
    from lineal_cli.render.schedule import render_schedules

    document = session.open().schedule_list()
    return Answer(document, lambda: render_schedules(document))


@command(
    "lineal schedule simulate",
    "lineal schedule simulate nightly --from 2026-03-28 --to 2026-03-31",
    "lineal schedule simulate nightly --takes 3h",
    "lineal schedule simulate nightly --down 2026-03-28T18:00/2026-03-30T09:00",
)
@click.argument("name", required=False, metavar="[NAME]")
@click.option(
    "--from",
    "since",
    metavar="WHEN",
    help="The first instant: a date or time, by the schedule's zone; by default now.",
)
@click.option(
    "--to",
    "until",
    metavar="WHEN",
    help="The first instant that does not count; by default a week after --from.",
)
@click.option("--takes", metavar="TIME", help="Suppose that each run takes so long: 30m, 3h.")
@click.option("--down", "absence", metavar="FROM/TO", help="Suppose that nothing can be fired in this time.")
def simulate(
    session: Session,
    name: str | None,
    since: str | None,
    until: str | None,
    takes: str | None,
    absence: str | None,
) -> Answer:
    """Tell beforehand what the schedules, or the one called NAME, will do.

    Every tick is told with its logical date, and with what is decided about a local time that does not exist or happens
    twice; with --takes about a run that still goes on, with --down about ticks that were missed. Nothing is run.
    """
    from lineal_cli.render.schedule import render_simulation

    document = session.open().schedule_simulate(name, since=since, until=until, takes=takes, absence=absence)
    return Answer(document, lambda: render_simulation(document))


@command("lineal schedule pause nightly", "lineal schedule pause nightly --json")
@click.argument("name")
def pause(session: Session, name: str) -> Answer:
    """Fire nothing of the schedule called NAME until it is resumed; what runs goes on."""
    from lineal_cli.render.schedule import render_paused

    document = session.open().schedule_pause(name)
    return Answer(document, lambda: render_paused(document))


@command("lineal schedule resume nightly", "lineal schedule resume nightly --json")
@click.argument("name")
def resume(session: Session, name: str) -> Answer:
    """Fire the schedule called NAME again; what was due meanwhile is caught up with as its catch_up says."""
    from lineal_cli.render.schedule import render_paused

    document = session.open().schedule_resume(name)
    return Answer(document, lambda: render_paused(document))


schedule.add_command(_list)
schedule.add_command(pause)
schedule.add_command(resume)
schedule.add_command(simulate)
