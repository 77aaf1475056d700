"""The tracing that is going on in this context, if any: where calls of stages are written down."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from inspect import unwrap
from pathlib import Path
from types import TracebackType
from typing import Any

from lineal.stages.conditions import Condition
from lineal.stages.errors import PipelineError
from lineal.stages.wiring import Node
from lineal_store.errors import LinealError

_HERE = str(Path(__file__).parent)

MAX_SUBPIPELINE_DEPTH = 100


class Tracer:
    """One tracing of one pipeline: the nodes so far, and what the next one will be under.

    ``prefix`` is that of the sub-pipeline being called (``"sub/"``, empty at the top), and ``conditions``
    those of the ``with when(...)`` blocks around.
    """

    __slots__ = ("_calls", "conditions", "forgotten", "names", "nodes", "pipeline", "prefix")

    def __init__(self, pipeline: str) -> None:
        self.pipeline = pipeline
        self.nodes: dict[str, Node] = {}
        self.prefix = ""
        self.conditions: tuple[Condition, ...] = ()
        self.names: tuple[str, ...] = (pipeline,)  # of the pipelines being called, outermost first
        self.forgotten: dict[object, str] = {}  # blocks made and not entered, with the line that made them
        self._calls: dict[str, int] = {}

    def fresh_id(self, name: str, end: str = "") -> str:
        """An id for this call: the name, from the second call on with ``#2``, ``#3``, …, then ``end``."""
        base = self.prefix + name
        calls = self._calls.get(base + end, 0) + 1
        self._calls[base + end] = calls
        return base + end if calls == 1 else f"{base}#{calls}{end}"

    @contextmanager
    def subpipeline(self, name: str) -> Iterator[None]:
        """Within this block, ids begin with ``name/``, on a second call with ``name#2/``."""
        outer = self.prefix, self.names
        if len(self.names) > MAX_SUBPIPELINE_DEPTH:
            raise PipelineError(
                f"pipeline {name} is called {MAX_SUBPIPELINE_DEPTH} levels deep: … -> {' -> '.join(self.names[-3:])} -> {name}",
                "A pipeline that calls itself has to stop somewhere: let a parameter end it.",
            )
        self.prefix, self.names = self.fresh_id(name, "/"), (*self.names, name)
        try:
            yield
        finally:
            self.prefix, self.names = outer


_current: ContextVar[Tracer | None] = ContextVar("lineal.stages.tracer", default=None)

current: Callable[[], Tracer | None] = _current.get


@contextmanager
def tracing(tracer: Tracer) -> Iterator[None]:
    """Within this block, in this context, calls of stages are written down in ``tracer``."""
    token = _current.set(tracer)
    try:
        yield
    finally:
        _current.reset(token)


def call_user_code(
    function: Callable[..., Any], args: tuple[object, ...], kwargs: Mapping[str, object], name: str
) -> Any:
    """Call a pipeline's function. What it raises arrives as a PipelineError that names the user's line."""
    try:
        return function(*args, **kwargs)
    except PipelineError as error:
        error.at(_line_of(function, error.__traceback__))
        raise
    except LinealError:
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise PipelineError(
            f"the function of pipeline {name} raised {said}",
            "A pipeline's function only wires stages; its parameters are its only data.",
        ).at(_line_of(function, error.__traceback__)) from error


def calling_line() -> str:
    """The line, outside of this package, that is calling into it now."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_HERE):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _line_of(function: Callable[..., Any], traceback: TracebackType | None) -> str | None:
    """The innermost line, of those on the way to the error, in the file that the function is written in."""
    file, line = unwrap(function).__code__.co_filename, None
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == file:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return None if line is None else f"{file}:{line}"
