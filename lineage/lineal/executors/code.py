"""The project's code as a run recorded it: imported from those bytes, never from the working tree."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lineal.errors import LinealError
from lineal.fingerprint import loader
from lineal.fingerprint.loader import Loader
from lineal.stages import Stage, stage


class StageNotImportable(LinealError):
    """A worker process cannot reach the stage by its module and name."""

    kind = "contract"
    hint = "Define the stage at module level, under its own name, or run with --executor inline."

    def __init__(self, module: str, qualname: str) -> None:
        super().__init__(module, qualname)
        self.module, self.qualname = module, qualname

    def __str__(self) -> str:
        return f"the stage {self.qualname} of module {self.module} cannot be imported by a worker process"


def import_recorded(
    sources: Mapping[str, bytes], root: Path, import_roots: Sequence[str], in_place: Sequence[str] = ()
) -> Loader:
    """From now on import the project's modules from ``sources``, the files that a run recorded."""
    sys.path[:0] = [folder for folder in import_roots if folder not in sys.path]
    return loader.install(sources, root, in_place)


def stage_named(module: str, qualname: str) -> Stage[Any, Any]:
    """The stage of that name; a plain function of that name is made a stage."""
    try:
        found: Any = sys.modules.get(module) or importlib.import_module(module)
        for name in qualname.split("."):
            found = getattr(found, name)
    except (ImportError, AttributeError) as error:
        raise StageNotImportable(module, qualname) from error
    return found if isinstance(found, Stage) else stage(found)
