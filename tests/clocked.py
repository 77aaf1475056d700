"""Runs in this process under a clock that tests move: time passes when somebody sleeps, and only then."""

from __future__ import annotations

import importlib
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any
from unittest.mock import patch

from lineal.engine.session import RunRequest, execute_run, preview_run
from lineal.events import Event, StageChanged
from lineal.executors import observe, observe_code
from lineal.fingerprint import Sources
from lineal.graph.records import RunRecord, StageRecord
from lineal_store import open_store


class Clock:
    """`lineal.engine.clock.Clock`; ``on_sleep`` may do something else than let time pass."""

    def __init__(self) -> None:
        self.at = datetime(2026, 11, 22, 3, 17, tzinfo=UTC)
        self.elapsed = (
            0.0  # of its own: dates are rounded, and a loop would wait for ever for what is cut off
        )
        self.slept: list[float] = []
        self.on_sleep: Callable[[float], None] = lambda seconds: None

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.elapsed

    def sleep(self, seconds: float, woken: threading.Event | None = None) -> None:
        self.on_sleep(seconds)
        self.slept.append(round(seconds, 6))
        self.pass_by(seconds)

    def pass_by(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        self.elapsed += seconds


class Runs:
    """Runs of the pipeline ``flow`` in a module that each test writes; stages run in this process.

    Two things would take longer here than the rest of a run, and are none of what is tested with it: to read what is
    installed, which the first project of a process does for all, and to look for functions among all objects of the tests.
    """

    _installed: bytes | None = None

    def __init__(self, folder: Path) -> None:
        self.root, self.clock = folder, Clock()
        self.store = open_store(folder / ".lineal" / "store")
        self.told: list[StageChanged] = []

    def write(self, text: str) -> None:
        (self.root / "clocked_flow.py").write_text(textwrap.dedent(text))

    @property
    def module(self) -> Any:
        """The module as it was imported for the latest run: its globals are the stages' too."""
        return sys.modules["clocked_flow"]

    def run(
        self,
        *,
        force: Sequence[str] = (),
        fail_fast: bool = False,
        preview: bool = False,
        **parameters: object,
    ) -> RunRecord:
        sys.modules.pop("clocked_flow", None)
        importlib.invalidate_caches()
        module = importlib.import_module("clocked_flow")
        self.told.clear()
        request = RunRequest(
            graph=module.flow.trace(parameters),
            target="clocked_flow:flow",
            module="clocked_flow",
            sources=Sources.capture(self.root, import_roots=(self.root,)),
            store=self.store,
            namespace="tests",
            root=self.root,
            import_roots=(str(self.root),),
            executor="inline",
            force=force,
            fail_fast=fail_fast,
            clock=self.clock,
            listener=self._listen,
        )
        if preview:
            return preview_run(request)
        installed = self.root / ".lineal" / "contents"
        if Runs._installed is not None:
            installed.write_bytes(Runs._installed)
        with (
            patch.object(observe, "functions_where", self._functions_where),
            patch.object(observe_code, "functions_where", self._functions_where),
        ):
            record = execute_run(request)
        Runs._installed = installed.read_bytes()
        return record

    def _functions_where(self, wanted: Callable[[CodeType], bool]) -> Iterator[FunctionType]:
        """Those of the module."""
        functions = (getattr(each, "function", each) for each in vars(self.module).values())
        return (each for each in functions if isinstance(each, FunctionType) and wanted(each.__code__))

    def _listen(self, event: Event) -> None:
        if isinstance(event, StageChanged):
            self.told.append(event)


def stages(record: RunRecord) -> dict[str, StageRecord]:
    return {stage.id: stage for stage in record.stages}
