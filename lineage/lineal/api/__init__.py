"""The public verbs: open a project, run a pipeline, ask where bytes come from.

The command line and notebooks stand on this room. It finds configuration and targets, and puts the
engine, the store and the views together; it decides nothing itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lineal.api.project import Project, open_project

if TYPE_CHECKING:
    from lineal.api.python import run_pipeline, trace
    from lineal.api.run import Run

__all__ = ["Project", "Run", "open_project", "run_pipeline", "trace"]


def __getattr__(name: str) -> object:
    # The engine is imported by the verbs that need it: questions to the store are answered without it.
    if name == "Run":
        from lineal.api.run import Run

        return Run
    if name in ("run_pipeline", "trace"):
        from lineal.api import python

        return getattr(python, name)
    raise AttributeError(f"module 'lineal.api' has no attribute {name!r}")
