"""Alerts of a project's runs. A run that only finds hits imports none of `lineal.alerts`, unless the one before it failed."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace as replace_fields

from lineal.engine.provenance import host_name
from lineal.engine.session import RunRequest, execute_run, recorded_parameters
from lineal.errors import LinealError, StoreUnavailable
from lineal.events import Event, OutputCaptured, RunFinished, RunStarted, StageChanged

if TYPE_CHECKING:
    from lineal.alerts.watch import Watch
    from lineal.graph.records import RunRecord
    from lineal.stages import Graph

Tables = Sequence[Mapping[str, Any]]

LOOKS_AGAIN_SECONDS = 5.0  # for what has begun meanwhile


def execute_told(request: RunRequest, tables: Tables, page: str = "") -> RunRecord:
    """`execute_run`, with those whom the configuration's ``tables`` name told of it; ``page`` is where runs are shown.

    The record's warnings say what could not be told; no run fails or waits for that.
    """
    ears = _Ears(request, tables, page)
    problems = deliver_waiting(request.root)
    try:
        record = execute_run(replace_fields(request, listener=ears))
    except Exception as error:
        ears.broke(error)
        raise
    finally:
        ears.stop_looking()
    ears.look_at(record)
    problems += ears.problems
    return replace_fields(record, warnings=[*record.warnings, *problems]) if problems else record


def deliver_waiting(root: Path) -> list[str]:
    """Have messages delivered that an earlier run left, if any are due; what to warn of."""
    folder = root / ".lineal" / "outbox"
    now = time.time()
    if any(entry.name.endswith(".json") and _due(entry) <= now for entry in _entries(folder)):
        from lineal.alerts.tell import start_deliverer

        try:
            start_deliverer(root)
        except OSError as error:
            return [f"alerts wait and cannot be delivered: {error}"]
    failed = sum(1 for _ in _entries(folder / "failed"))
    return [f"alerts were not delivered: {failed}; `lineal doctor` says why"] if failed else []


class _Ears:
    """Passes on what it hears, and has a `Watch` hear it too from the first event that it may want to tell of.

    Where somebody wants to know what is slow, a thread looks at the clock while the run goes on.
    """

    def __init__(self, request: RunRequest, tables: Tables, page: str) -> None:
        self._request, self._tables, self._page = request, tables, page
        self._listener = request.listener
        self._watch: Watch | None = None
        self._heard: list[Event] = []
        self._lock = threading.Lock()
        self._looks: threading.Thread | None = None
        self._ended = threading.Event()
        self.problems: list[str] = []

    def __call__(self, event: Event) -> None:
        self._listener(event)
        try:
            with self._lock:
                if self._watch is None:
                    self._heard.append(event)
                    if self._is_telling(event):
                        self._listen()
                else:
                    self._watch(event)
        except Exception as error:  # noqa: BLE001 — whatever is wrong with an alert, the run is not
            self._not_told(error)

    def look_at(self, record: RunRecord) -> None:
        """Tell what the finished run's ``record`` says, compared with earlier ones."""
        if self._watch is None or not self._wants("schema_drift"):
            return
        try:
            from lineal.alerts.rules import call_of
            from lineal.graph.drift import find_drifts

            found: dict[str, dict[str, str]] = {}
            for stage, changes in find_drifts(self._request.store, record).items():
                of_call = found.setdefault(call_of(stage), {})
                of_call.update({f"{stage}.{output}": change for output, change in changes.items()})
            for stage, of_call in found.items():
                self._watch.found("schema_drift", stage, of_call, self._request.clock.now())
        except Exception as error:  # noqa: BLE001
            self._not_told(error)

    def stop_looking(self) -> None:
        if self._looks is not None:
            self._ended.set()
            self._looks.join()

    def _keep_looking(self, watch: Watch) -> None:
        """Have ``watch`` look whenever something may have become slow, until the run has ended."""
        clock = self._request.clock
        while not self._ended.is_set():
            try:
                with self._lock:
                    now = clock.now()
                    watch.look(now)
                    due = watch.next_look
            except Exception as error:  # noqa: BLE001
                self._not_told(error)
                return
            wait = LOOKS_AGAIN_SECONDS if due is None else (due - now).total_seconds()
            clock.sleep(min(max(wait, 0.0), LOOKS_AGAIN_SECONDS), self._ended)

    def _not_told(self, error: Exception) -> None:
        self.problems.append(f"an alert could not be written down: {error}")

    def _wants(self, occasion: str) -> bool:
        return any(occasion in table.get("on", ()) for table in self._tables)

    def broke(self, error: Exception) -> None:
        """The run ended with ``error``. Told where it had begun, and where the store was what it lacked."""
        begun = any(isinstance(event, RunStarted) for event in self._heard)
        if begun or isinstance(error, StoreUnavailable):
            with suppress(Exception), self._lock:  # the error itself is what the user has to see
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
            dated=_dated(graph),
            retries={stage: node.options.retries for stage, node in graph.nodes.items()},
            page=self._page,
        )
        alerts = [Alert.of(table) for table in self._tables]
        self._watch = watch = Watch(about, alerts, request.root, usual_seconds=self._usual_seconds)
        for event in self._heard:
            watch(event)
        if self._wants("slow"):
            self._looks = threading.Thread(target=self._keep_looking, args=(watch,), daemon=True)
            self._looks.start()
        return watch

    def _usual_seconds(self) -> float | None:
        from lineal.graph.history import recent_run_seconds

        with suppress(LinealError):  # it goes without
            return recent_run_seconds(self._request.store, self._request.graph.pipeline)
        return None


def _dated(graph: Graph) -> str | None:
    """The parameter that says which date a run is for, if one does."""
    values = graph.parameters.items() if graph.logical_date is not None else ()
    return next((name for name, value in values if value == graph.logical_date), None)


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
