"""The ``lineal`` program: which commands there are, and what becomes of an error.

``lineal --help`` must cost no more than click itself, so commands are named in a static table and
their modules are imported when they are called.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

import click


class Entry(NamedTuple):
    """A command's place in the help, the module that holds it, and its help in one line."""

    section: str
    module: str
    help: str


_RUN, _LOOK, _LINEAGE, _STORE = "Make and run", "Look", "Where things come from", "Look after the store"
_AUTOMATION = "Run by itself"
COMMANDS = {
    "init": Entry(_RUN, "init", "Write a small working project to start from."),
    "run": Entry(_RUN, "run", "Run what is invalid in a pipeline, and nothing else."),
    "rerun": Entry(_RUN, "run", "Run a past run's pipeline and parameters with today's code."),
    "cancel": Entry(_RUN, "run", "Stop a run, from any machine that shares its store."),
    "status": Entry(_LOOK, "status", "Show what would run, each stage with its reason."),
    "why": Entry(_LOOK, "status", "Explain why a stage ran or would run."),
    "fingerprint": Entry(_LOOK, "code", "Show what the code hash of a function or stage covers."),
    "dag": Entry(_LOOK, "code", "Show a pipeline's graph."),
    "runs": Entry(_LOOK, "history", "List past runs, newest first."),
    "logs": Entry(_LOOK, "history", "Show what the stages of a run printed."),
    "show": Entry(_LOOK, "artifacts", "Show a run, or a safe preview of an artifact."),
    "trace": Entry(_LINEAGE, "lineage", "Show where a file or artifact comes from, down to raw data."),
    "impact": Entry(_LINEAGE, "lineage", "Show what was made from a file or artifact."),
    "reproduce": Entry(_LINEAGE, "reproduce", "Rebuild a past model in a clean place, and compare."),
    "capsule": Entry(_LINEAGE, "capsule", "Pack a model with all it came from into one file: create, run."),
    "get": Entry(_LINEAGE, "artifacts", "Take an artifact's exact bytes out of the store."),
    "tag": Entry(_LINEAGE, "names", "Give an artifact or run a name."),
    "refs": Entry(_LINEAGE, "names", "List the names that were given."),
    "serve": Entry(_AUTOMATION, "serve", "Fire schedules, until told to end."),
    "backfill": Entry(_AUTOMATION, "backfill", "Run a pipeline for many dates or parameters."),
    "schedule": Entry(
        _AUTOMATION, "schedule", "See what runs by itself, and when: list, simulate, pause, resume."
    ),
    "alerts": Entry(_STORE, "alerts", "Look after alerts: test."),
    "doctor": Entry(_STORE, "doctor", "Check installation, configuration, store, rights, clock and disks."),
    "store": Entry(_STORE, "store", "Look after the store: stats, verify, push, pull."),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code; every error has been reported by then."""
    started_ns = time.time_ns()
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # box characters on a terminal that has none
    try:
        typed = tuple(arguments), started_ns
        code = lineal.main(arguments, prog_name="lineal", standalone_mode=False, obj=typed)
    except (Exception, KeyboardInterrupt) as problem:  # noqa: BLE001 — nobody is shown a traceback
        return report_end(problem, arguments)
    return code if isinstance(code, int) else 0


def report_end(problem: Exception | KeyboardInterrupt, arguments: Sequence[str]) -> int:
    """Tell why the program ends early, and return its exit code."""
    if isinstance(problem, (click.Abort, KeyboardInterrupt)):
        from lineal_cli.failure import report_interruption

        return report_interruption(as_json=_wants_json(arguments))
    if isinstance(problem, BrokenPipeError):  # the reader of a pipe, such as head, has enough
        from lineal_cli.session import close_output

        close_output(1)
        return 1
    from lineal_cli.failure import report

    return report(problem, as_json=_wants_json(arguments))


class _Commands(click.Group):
    """Knows its commands by the table alone."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command = getattr(import_module(f"lineal_cli.commands.{entry.module}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            from difflib import get_close_matches

            nearest = get_close_matches(name, COMMANDS, n=1)
            ctx.fail(f"there is no command {name}" + (f"; did you mean {nearest[0]}?" if nearest else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section in dict.fromkeys(entry.section for entry in COMMANDS.values()):
            with formatter.section(section):
                formatter.write_dl(
                    [(name, entry.help) for name, entry in COMMANDS.items() if entry.section == section]
                )


def _print_version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        from lineal.version import VERSION

        click.echo(f"lineal {VERSION}")
        ctx.exit()


@click.group(cls=_Commands, no_args_is_help=True, context_settings={"max_content_width": 100})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version.",
)
def lineal() -> None:
    """Pipelines that know what has to run again, and models that know where they come from.

    Exit codes: 0 fine, 1 a stage failed or nothing was found, 2 usage or configuration, 3 stale,
    4 damaged or different, 5 store unavailable, 130 interrupted.
    """


def _wants_json(arguments: Sequence[str]) -> bool:
    own = arguments[: list(arguments).index("--")] if "--" in arguments else arguments
    return "--json" in own
