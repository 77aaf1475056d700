"""What a stage can ask of Lineal while it runs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path, PurePosixPath

from lineal.errors import UsageError

_outputs: ContextVar[str | None] = ContextVar("lineal_outputs", default=None)


def output(name: str) -> Path:
    """A private path for a file or directory that the stage is about to make and return.

    ``name`` becomes the file's name (``model.bin``); its folder exists, the path itself does not.
    Return ``File(path)`` or ``Directory(path)``. Outside a run, in a unit test for example, the path lies in a new
    temporary folder.
    """
    if not name or PurePosixPath(name).name != name:
        raise UsageError(
            f"output name {name!r} is not a plain file name", "Give one name without a folder: model.bin"
        )
    given = _outputs.get()
    folder = Path(tempfile.mkdtemp(prefix="lineal-output-") if given is None else given)
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


@contextmanager
def outputs_in(folder: str) -> Iterator[None]:
    """Let `output` answer with paths in ``folder`` while a stage runs."""
    token = _outputs.set(folder)
    try:
        yield
    finally:
        _outputs.reset(token)
