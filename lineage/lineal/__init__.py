"""Lineal: every model knows its parents.

Declare stages and pipelines as typed Python functions; results are kept under hashes of the code
and the inputs they depend on, only what is invalid runs, and every result can be traced to its raw data.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lineal.api import Run, trace
    from lineal.artifacts import Directory, File, LogicalDate, Metrics, Schema, Secret, field
    from lineal.errors import LinealError
    from lineal.fingerprint import fingerprint
    from lineal.stages import pipeline, stage, unless, when
    from lineal.stages.checkpoints import checkpoint_dir
    from lineal.stages.running import output
    from lineal_store import open_store

__all__ = [
    "Directory",
    "File",
    "LinealError",
    "LogicalDate",
    "Metrics",
    "Run",
    "Schema",
    "Secret",
    "checkpoint_dir",
    "field",
    "fingerprint",
    "open_store",
    "output",
    "pipeline",
    "stage",
    "trace",
    "unless",
    "when",
]

# Names are imported when they are first used, so that `import lineal` costs next to nothing.
_HOMES = {
    "Directory": "lineal.artifacts",
    "File": "lineal.artifacts",
    "LinealError": "lineal.errors",
    "LogicalDate": "lineal.artifacts",
    "Metrics": "lineal.artifacts",
    "Run": "lineal.api",
    "Schema": "lineal.artifacts",
    "Secret": "lineal.artifacts",
    "checkpoint_dir": "lineal.stages.checkpoints",
    "field": "lineal.artifacts",
    "fingerprint": "lineal.fingerprint",
    "open_store": "lineal_store",
    "output": "lineal.stages.running",
    "pipeline": "lineal.stages",
    "stage": "lineal.stages",
    "trace": "lineal.api",
    "unless": "lineal.stages",
    "when": "lineal.stages",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'lineal' has no attribute {name!r}")
    home = importlib.import_module(_HOMES[name])
    return home if name == "fingerprint" else getattr(home, name)  # that package is callable, see there


def __dir__() -> list[str]:
    return [*globals(), *__all__]
