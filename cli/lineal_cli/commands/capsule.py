"""``capsule``: a model with all that it came from in one file, and how that is rebuilt elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lineal_cli.commands.reproduce import answer_reproduction, reproduce, tell_plan
from lineal_cli.commands.transfer import show_progress
from lineal_cli.session import Answer, Session, command


@click.group(no_args_is_help=True)
def capsule() -> None:
    """Pack a model with all it came from into one file: create, run."""


@command(
    "lineal capsule create model.joblib -o model.lineal.tar.zst",
    "lineal capsule create flights.train.model@production -o model.lineal.tar.zst",
)
@click.argument("what")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The file to write.",
)
def create(session: Session, what: str, output: Path) -> Answer:
    """Pack a model with all that it came from into one file.

    WHAT is as for `lineal trace`. The file holds the run that made it: records, code, the list of packages, inputs, and what
    the stages made. Whoever gets it can read all of that. The same model makes the same file. Exits with 4 when something is
    missing without which it cannot be rebuilt.
    """
    from lineal_cli.render.capsule import render_created

    with show_progress() as progress:
        document = session.open().capsule_create(what, Path.cwd() / output, progress=progress)
    return Answer(document, lambda: render_created(document))


@command(
    "lineal capsule run model.lineal.tar.zst -n      what would be done; executes nothing",
    "lineal capsule run model.lineal.tar.zst",
    opens_project=False,
)
@click.argument("file", type=click.Path(path_type=Path))
def run(session: Session, file: Path, html: Path | None, **options: Any) -> Answer:
    """Rebuild the model in a capsule, and compare every artifact, as `lineal reproduce` does.

    Needs no project and no store, and touches none. This executes the code that is in the capsule, with your rights: look at a
    stranger's with -n first, which executes nothing. Exits with 4 unless everything is identical, or within the tolerance.
    """
    from lineal.api.capsule import run_capsule
    from lineal.api.reproduce import Wish

    dry_run = options.pop("dry_run")
    document = run_capsule(file, Wish(**options), dry_run=dry_run, told=tell_plan)
    return answer_reproduction(document, dry_run, html)


# Whatever can be wished of a reproduction can be wished of a capsule's.
_OTHERS = {"what", "store", "profile", "namespace", "as_json"}
run.params[1:1] = [option for option in reproduce.params if option.name not in _OTHERS]

for _command in (create, run):
    capsule.add_command(_command)
