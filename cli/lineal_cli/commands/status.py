"""``status`` and ``why``: what would run, and for which reason."""

from __future__ import annotations

from pathlib import Path

import click

from lineal_cli.session import Answer, Session, command, split_arguments, split_target


@command(
    "lineal status",
    "lineal status flights.py run_date=2013-06-30",
    "lineal status --exit-code && echo nothing to do",
)
@click.argument("arguments", nargs=-1, metavar="[TARGET] [NAME=VALUE]...")
@click.option("--exit-code", is_flag=True, help="Exit with 3 when anything is not a hit.")
@click.option(
    "--params",
    "params_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Parameters from TOML or JSON.",
)
def status(session: Session, arguments: tuple[str, ...], exit_code: bool, params_file: Path | None) -> Answer:
    """Show what would run, each stage with its reason."""
    from lineal_cli.render.status import render_status

    target, assignments = split_target(arguments)
    document = session.open(target).status(target, assignments, params_file=params_file)
    # A stage whose condition is false has no cache state: there is nothing to be a hit.
    stale = any(stage["cache"] not in ("hit", None) for stage in document["stages"])
    return Answer(document, lambda: render_status(document), 3 if exit_code and stale else 0)


@command(
    "lineal why                   a paragraph for every stage that would run",
    "lineal why train",
    "lineal why flights.py train run_date=2013-06-30",
    "lineal why 20261122-031700-4f9ac2 train",
)
@click.argument("arguments", nargs=-1, metavar="[TARGET|RUN] [STAGE] [NAME=VALUE]...")
def why(session: Session, arguments: tuple[str, ...]) -> Answer:
    """Explain why a stage ran or would run.

    The stage is compared with its nearest earlier execution; what differs in code, inputs,
    parameters, environment or schema is the reason, and is shown as far as it can be told:
    the source that changed, the columns, the rows, the versions. A hit tells what it matches.
    With the id of a run, that run is explained.
    """
    from lineal_cli.render.why import render_why

    places, assignments = split_arguments(arguments)
    target, stage = _target_and_stage(session, places)
    document = session.open(target).why(target, stage, assignments)
    return Answer(document, lambda: render_why(document))


def _target_and_stage(session: Session, places: list[str]) -> tuple[str | None, str | None]:
    """Both may be left out; one alone is a target (or a run) where it looks like one, else a stage."""
    if len(places) > 2:
        raise click.UsageError(
            f"{places[2]!r} is neither NAME=VALUE nor needed", click.get_current_context(silent=True)
        )
    if len(places) == 1:
        from lineal.api.targets import is_target
        from lineal.graph.checked import is_run_id

        if is_run_id(places[0]) or is_target(places[0], session.open(places[0]).configuration):
            return places[0], None
        return None, places[0]
    return (places[0], places[1]) if places else (None, None)
