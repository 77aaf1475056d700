"""``doctor``: what is fine and what is not, before a run finds out."""

from __future__ import annotations

from lineal_cli.session import Answer, Session, command


@command(
    "lineal doctor                                 can this machine run the project?",
    "lineal doctor --store s3://ml/churn           and with that store?",
    "lineal doctor --json                          for a machine; exits with 0 when nothing has failed",
)
def doctor(session: Session) -> Answer:
    """Check installation, configuration, store, rights, clock and disks.

    Every check is made, also after one has failed. Runs none of the project's code, and leaves nothing behind in the
    store. Exits with 5 when a check of the store has failed, with 1 when only another one has.
    """
    from lineal.api.doctor import exit_code
    from lineal_cli.render.doctor import render_doctor

    document = session.open().doctor()
    return Answer(document, lambda: render_doctor(document), exit_code(document))
