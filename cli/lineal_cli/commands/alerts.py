"""``alerts``: whether those would hear of a failure who are to hear of it."""

from __future__ import annotations

import click

from lineal_cli.session import Answer, Session, command


@click.group(no_args_is_help=True)
def alerts() -> None:
    """Look after alerts: test."""


@command(
    "lineal alerts test",
    "lineal alerts test --to https://hooks.example/T0/B0",
    "lineal alerts test --to mailto:team@example.org --json",
)
@click.option("--to", multiple=True, metavar="ADDRESS", help="Only this address, configured or not.")
def test(session: Session, to: tuple[str, ...]) -> Answer:
    """Send a test message to every alert of the configuration, and wait for the answers.

    Exits with 1 when one was not delivered.
    """
    from lineal_cli.render.alerts import render_alerts_test

    document = session.open().alerts_test(to)
    return Answer(document, lambda: render_alerts_test(document), 0 if document["ok"] else 1)


alerts.add_command(test)
