"""The public verbs: open a project, run a pipeline, ask where bytes come from.

The command line and notebooks stand on this room. It finds configuration and targets, and puts the
engine, the store and the views together; it decides nothing itself.
"""

from __future__ import annotations

from lineal.api.project import Project, open_project
from lineal.api.python import run_pipeline, trace
from lineal.api.run import Run

__all__ = ["Project", "Run", "open_project", "run_pipeline", "trace"]
