"""Verbs for Python programs: what `pipeline.run(...)` and `lineal.trace(...)` do."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from lineal.api.project import open_project
from lineal.api.run import Run
from lineal.api.targets import Target, import_folders, resolve
from lineal.engine.session import RunRequest
from lineal.errors import UsageError
from lineal.events import Listener, ignore
from lineal.fingerprint.sources import Sources
from lineal.stages import Pipeline


def run_pipeline(pipeline: Pipeline[..., Any], parameters: Mapping[str, object]) -> Run:
    """Run ``pipeline`` in the project around its file, as ``lineal run`` would.

    In a notebook it is shown what goes on; a program is left alone. A failed stage is told by the run's state; errors are raised for what cannot be run at all.
    """
    file = _file_of(pipeline)
    project = open_project(file)
    place = resolve(f"{file}:{pipeline.name}", project.configuration)
    graph = pipeline.trace(parameters)
    folders = import_folders(place, project.root)
    request = RunRequest(
        graph=graph,
        target=_recorded(place, file, project.root, pipeline.name),
        module=place.module,
        sources=Sources.capture(project.root, import_roots=folders),
        store=project.store,
        namespace=project.configuration.namespace,
        root=project.root,
        import_roots=tuple(str(folder) for folder in folders),
        executor=project.configuration.executor,
        limits=project.configuration.limits,
        strict=project.configuration.strict,
    )
    outputs = pipeline.signature.outputs.ports
    with _shown() as listener:
        record = project.execute(replace(request, listener=listener))
    return Run(project.store, record, {name: port.annotation for name, port in outputs.items()})


def trace(what: str | Path) -> dict[str, Any]:
    """Where ``what`` comes from: the document of ``lineal trace``, for the project around the current folder."""
    return open_project().trace(str(what))


def _shown() -> AbstractContextManager[Listener]:
    """What shows a run where the user is: a program is left alone, and pays for no display."""
    if "IPython" not in sys.modules:
        return nullcontext(ignore)
    from lineal.views.notebook import shown_here

    return shown_here()


def _file_of(pipeline: Pipeline[..., Any]) -> Path:
    module = sys.modules.get(pipeline.module)
    file = getattr(module, "__file__", None) or inspect.getsourcefile(pipeline.function)
    if file is None or not Path(file).is_file():
        raise UsageError(
            f"pipeline {pipeline.name} is not defined in a file",
            "Put the pipeline and its stages into a .py file and import it from there.",
        )
    return Path(file).resolve()


def _recorded(place: Target, file: Path, root: Path, name: str) -> str:
    return f"{file.relative_to(root).as_posix()}:{name}" if file.is_relative_to(root) else str(place)
