"""Alerts of a project's runs. A run that only finds hits imports none of `lineal.alerts`, unless the one before it failed."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace as replace_fields

from lineal.engine.provenance import host_name
from lineal.engine.session import RunRequest, execute_run, recorded_parameters
from lineal.errors import StoreUnavailable
from lineal.events import Event, OutputCaptured, RunFinished, RunStarted, StageChanged

if TYPE_CHECKING:
    from lineal.alerts.watch import Watch
    from lineal.graph.records import RunRecord

Tables = Sequence[Mapping[str, Any]]


def execute_told(request: RunRequest, tables: Tables) -> RunRecord:
    """`execute_run`, with those whom the configuration's ``tables`` name told how it ended.

    The record's warnings say what could not be told; no run fails or waits for that.
    """
    ears = _Ears(request, tables)
    problems = deliver_waiting(request.root)
    try:
        record = execute_run(replace(request, listener=ears))
    except Exception as error:
        ears.broke(error)
        raise
    problems += ears.problems
    return replace_fields(record, warnings=[*record.warnings, *problems]) if problems else record


def deliver_waiting(root: Path) -> list[str]:
    """Have messages delivered that an earlier run left, if any are due; what to warn of."""
    folder = root / ".lineal" / "outbox"
    now = time.time()
    if any(entry.name.endswith(".json") and _due(entry) <= now for entry in _entries(folder)):
        from lineal.alerts.watch import start_deliverer

        try:
            start_deliverer(root)
        except OSError as error:
            return [f"alerts wait and cannot be delivered: {error}"]
    failed = sum(1 for _ in _entries(folder / "failed"))
    return [f"alerts were not delivered: {failed}; `lineal doctor` says why"] if failed else []


class _Ears:
    """Passes on what it hears, and has a `Watch` hear it too from the first event that it may want to tell of."""

    def __init__(self, request: RunRequest, tables: Tables) -> None:
        self._request, self._tables, self._listener = request, tables, request.listener
        self._watch: Watch | None = None
        self._heard: list[Event] = []
        self.problems: list[str] = []

    def __call__(self, event: Event) -> None:
        self._listener(event)
        try:
            if self._watch is None:
                self._heard.append(event)
                if self._is_telling(event):
                    self._listen()
            else:
                self._watch(event)
        except Exception as error:  # noqa: BLE001 — whatever is wrong with an alert, the run is not
            self.problems.append(f"an alert could not be written down: {error}")

    def broke(self, error: Exception) -> None:
        """The run ended with ``error``. Told where it had begun, and where the store was what it lacked."""
        begun = any(isinstance(event, RunStarted) for event in self._heard)
        if begun or isinstance(error, StoreUnavailable):
            with suppress(Exception):  # the error itself is what the user has to see
                watch = self._watch or self._listen()
                watch.broke(f"{type(error).__name__}: {error}", self._request.clock.now())

    def _is_telling(self, event: Event) -> bool:
        match event:
            case StageChanged():
                return event.state in ("running", "failed")
            case RunFinished():
                return event.state == "failed" or any(_entries(self._request.root / ".lineal" / "alerts"))
            case _:
                return isinstance(event, OutputCaptured)

    def _listen(self) -> Watch:
        from lineal.alerts.rules import About, Alert
        from lineal.alerts.watch import Watch
        from lineal.artifacts import Secret
        from lineal.views.plain import plain_value

        request, graph = self._request, self._request.graph
        secrets = [value.reveal() for value in graph.parameters.values() if isinstance(value, Secret)]
        about = About(
            graph.pipeline,
            request.target,
            request.namespace,
            host_name(),
            {name: plain_value(value) for name, value in recorded_parameters(graph).items()},
            tuple(secret for secret in secrets if isinstance(secret, str)),
        )
        self._watch = watch = Watch(about, [Alert.of(table) for table in self._tables], request.root)
        for event in self._heard:
            watch(event)
        return watch


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from [entry for entry in entries if entry.is_file()]
    except OSError:  # usual: nothing was ever to be told
        return


def _due(entry: os.DirEntry[str]) -> float:
    try:
        return entry.stat().st_mtime
    except OSError:  # delivered in this very moment
        return math.inf
