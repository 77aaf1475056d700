"""The project's code as a run recorded it: imported from the store, never from the working tree."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

from lineal.errors import LinealError
from lineal.fingerprint import loader
from lineal.stages import Stage, stage
from lineal_store import Digest, Store
from lineal_store.tree import Tree


class StageNotImportable(LinealError):
    """A worker process cannot reach the stage by its module and name."""

    kind = "contract"
    hint = "Define the stage at module level, under its own name, or run with --executor inline."

    def __init__(self, module: str, qualname: str) -> None:
        super().__init__(module, qualname)
        self.module, self.qualname = module, qualname

    def __str__(self) -> str:
        return f"the stage {self.qualname} of module {self.module} cannot be imported by a worker process"


def import_recorded(store: Store, code_tree: Digest, root: Path, import_roots: Sequence[str]) -> None:
    """From now on import the project's modules from the bytes of ``code_tree``."""
    digests = {entry.path: entry.digest for entry in Tree.decode(store.blobs.read(code_tree)).entries}
    sys.path[:0] = [folder for folder in import_roots if folder not in sys.path]
    loader.install(_Recorded(store, digests), root)


class _Recorded(Mapping[str, bytes]):
    """Source files by their path below the root, read from the store when they are imported."""

    def __init__(self, store: Store, digests: dict[str, Digest]) -> None:
        self._store, self._digests = store, digests

    def __iter__(self) -> Iterator[str]:
        return iter(self._digests)

    def __len__(self) -> int:
        return len(self._digests)

    def __getitem__(self, path: str) -> bytes:
        return self._store.blobs.read(self._digests[path])


def stage_named(module: str, qualname: str) -> Stage[Any, Any]:
    """The stage of that name; a plain function of that name is made a stage."""
    try:
        found: Any = reduce(getattr, qualname.split("."), importlib.import_module(module))
    except (ImportError, AttributeError) as error:
        raise StageNotImportable(module, qualname) from error
    return found if isinstance(found, Stage) else stage(found)
