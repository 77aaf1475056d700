"""``store``: how much there is, whether it is whole, and what goes to other stores and comes from them."""

from __future__ import annotations

import click

from lineal_cli.commands.transfer import pull, push
from lineal_cli.session import Answer, Session, command


@click.group(no_args_is_help=True)
def store() -> None:
    """Look after the store: stats, verify, push, pull."""


@command("lineal store stats", "lineal store stats --store /mnt/team/store --json")
def stats(session: Session) -> Answer:
    """Show how much the store holds."""
    from lineal_cli.render.store import render_stats

    document = session.open().store_stats()
    return Answer(document, lambda: render_stats(document))


@command(
    "lineal store verify               everything that is named is there, with its size",
    "lineal store verify --read-data   and its bytes hash to its name",
)
@click.option("--read-data", is_flag=True, help="Read and hash every byte.")
def verify(session: Session, read_data: bool) -> Answer:
    """Check that the store is whole; exits with 4 when anything is damaged."""
    from lineal_cli.render.store import render_verify

    document = session.open().store_verify(read_data)
    return Answer(document, lambda: render_verify(document, read_data=read_data), 4 if document["bad"] else 0)


for _command in (stats, verify, push, pull):
    store.add_command(_command)
