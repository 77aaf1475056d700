"""Writes docs/reference/cli.md from the commands' own help: ``python docs/reference/generate.py``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from lineal_cli.app import lineal

REFERENCE = Path(__file__).with_name("cli.md")
_WIDTH = 100
_INTRODUCTION = """\
# The command line

Generated from the commands' help by `python docs/reference/generate.py`; do not edit.

Every command takes `--json`: exactly one JSON document on stdout, everything else on stderr.
Colours appear on terminals only, and never with `NO_COLOR`.

| exit code | means |
|---|---|
| 0 | fine |
| 1 | a stage failed, or nothing was found |
| 2 | usage or configuration |
| 3 | stale: `status --exit-code`, and something is not a hit |
| 4 | damaged or different: `store verify` |
| 5 | the store is unavailable |
| 130 | interrupted |
"""


def reference() -> str:
    """The whole page."""
    return "\n".join([_INTRODUCTION, *_sections(lineal, "lineal", None)])


def _sections(command: click.Command, name: str, parent: click.Context | None) -> Iterator[str]:
    context = click.Context(
        command, info_name=name, parent=parent, terminal_width=_WIDTH, max_content_width=_WIDTH
    )
    level = 2 if parent is None or parent.parent is None else 3
    yield f"{'#' * level} {context.command_path}\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found is not None
            yield from _sections(found, inner, context)


if __name__ == "__main__":
    REFERENCE.write_text(reference(), "utf-8")
