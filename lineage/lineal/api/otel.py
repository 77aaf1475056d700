"""Traces of runs by OpenTelemetry: a span for the run, below it one for each stage, below that one for each attempt.

They go to the collector that OpenTelemetry's own variables name (`lineal.engine.memo.COLLECTORS`), by OTLP over HTTP. No run waits for
it: spans leave in a thread, those that wait are bounded, and in the end they have a short while. Imported only where a
collector is named and the extra is installed.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from queue import Empty, Full, Queue

from msgspec.structs import replace as replace_fields
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import Span, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from lineal.engine.provenance import host_name
from lineal.engine.session import RunRequest
from lineal.events import Event, RunFinished, RunStarted, StageChanged
from lineal.graph.records import RunRecord
from lineal.version import VERSION

END_SECONDS = 2.0
"""How long the end of a run waits for spans to leave."""
_MOST_WAITING = 8192
_MOST_AT_ONCE = 512
_INTERVAL_SECONDS = 5.0
_ITEM = re.compile(r"\[\d+\]$")


def execute_traced(request: RunRequest, execute: Callable[[RunRequest], RunRecord]) -> RunRecord:
    """``execute`` the request, and have its run traced.

    The record's warnings say what did not reach the collector; no run fails for that. The run's span is part of the trace that TRACEPARENT
    names, except where it was no command of somebody's that started the run.
    """
    tracing = _Tracing(request)
    try:
        record = execute(replace_fields(request, listener=tracing))
    except BaseException as error:
        tracing.broke(error)
        raise
    finally:
        problem = tracing.close()
    return replace_fields(record, warnings=[*record.warnings, problem]) if problem else record


class _Tracing:
    """Passes on what it hears, and makes spans of it from the run's beginning."""

    def __init__(self, request: RunRequest) -> None:
        self._request = request
        self._sender: Sender | None = None
        self._spans: Spans | None = None
        self._problem = ""

    def __call__(self, event: Event) -> None:
        self._request.listener(event)
        try:
            if isinstance(event, RunStarted):
                self._begin()
            if self._spans is not None:
                self._spans(event)
        except Exception as error:  # noqa: BLE001 — whatever is wrong with a trace, the run is not
            self._spans = None
            self._problem = f"traces are not complete: {type(error).__name__}: {error}"

    def broke(self, error: BaseException) -> None:
        with suppress(Exception):  # the error itself is what the user has to see
            if self._spans is not None:
                self._spans.broke(error, self._request.clock.now())

    def close(self) -> str:
        """See the spans off; what has to be said about that."""
        try:
            problem = self._sender.close() if self._sender is not None else ""
        except Exception as error:  # noqa: BLE001
            problem = f"traces are not complete: {type(error).__name__}: {error}"
        return self._problem or problem

    def _begin(self) -> None:
        # What a stage looks at is observed in the whole process where it runs in this one: there nothing is sent meanwhile.
        self._sender = Sender(OTLPSpanExporter(), at_the_end=self._request.executor == "inline")
        request = self._request
        about = {
            "lineal.namespace": request.namespace,
            "lineal.target": request.target,
            "lineal.executor": request.executor,
            "lineal.trigger": request.trigger,
        }
        logical_date = request.graph.logical_date
        if logical_date is not None:
            about["lineal.logical_date"] = logical_date.isoformat()
        around = {} if request.trigger else dict(os.environ)
        self._spans = Spans(self._sender.tracer, about, around)


class Spans:
    """Makes spans of a run's events. ``about`` are attributes of the run's own, which begins below the span that ``around`` names,
    as variables of a process do (TRACEPARENT, TRACESTATE).
    """

    def __init__(self, tracer: Tracer, about: Mapping[str, str], around: Mapping[str, str]) -> None:
        self._tracer, self._about, self._around = tracer, about, around
        self._run_id = ""
        self._run: Span | None = None
        self._stages: dict[str, Span] = {}
        self._attempts: dict[str, Span] = {}

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._begin(event)
            case StageChanged():
                self._change(event)
            case RunFinished():
                if event.state == "failed" and self._run is not None:
                    self._run.set_status(StatusCode.ERROR)
                self._end_all(event.at, event.state)

    def broke(self, error: BaseException, at: datetime) -> None:
        """The run ended with ``error``, and told nothing of it."""
        if self._run is not None and self._run.is_recording():
            _fail(self._run, at, type(error).__name__, str(error))
            self._end_all(at, "failed")

    def _begin(self, event: RunStarted) -> None:
        carrier = {
            name: self._around[name.upper()]
            for name in ("traceparent", "tracestate")
            if name.upper() in self._around
        }
        self._run_id = event.run_id
        self._run = self._tracer.start_span(
            f"run {event.pipeline}",
            TraceContextTextMapPropagator().extract(carrier),
            attributes={
                "lineal.run_id": event.run_id,
                "lineal.pipeline": event.pipeline,
                **{name: value for name, value in self._about.items() if value},
            },
            start_time=_nanoseconds(event.at),
        )

    def _change(self, event: StageChanged) -> None:
        stage = self._stages.get(event.stage)
        if stage is None:
            stage = self._stages[event.stage] = self._below(self._run, "stage", event)
        attempt = self._attempts.pop(event.stage, None)
        if event.state == "running":
            # One that has returned is told as running again.
            self._attempts[event.stage] = attempt or self._below(stage, "attempt", event)
            return
        if attempt is not None:
            self._end(attempt, event, "failed" if event.state == "up_for_retry" else event.state)
        if event.state not in ("queued", "up_for_retry"):
            del self._stages[event.stage]
            for name, value in (("cache", event.cache), ("reason", event.reason)):
                if value is not None:
                    stage.set_attribute(f"lineal.{name}", value)
            stage.set_attribute("lineal.attempts", event.attempt)
            self._end(stage, event, event.state)

    def _below(self, parent: Span | None, kind: str, event: StageChanged) -> Span:
        assert parent is not None
        attributes: dict[str, str | int] = {"lineal.run_id": self._run_id, "lineal.stage": event.stage}
        if kind == "attempt":
            attributes["lineal.attempt"] = event.attempt
        return self._tracer.start_span(
            # Of the items of a list all have one name: names of spans are to be few.
            f"{kind} {_ITEM.sub('', event.stage)}",
            set_span_in_context(parent),
            attributes=attributes,
            start_time=_nanoseconds(event.at),
        )

    def _end(self, span: Span, event: StageChanged, state: str) -> None:
        span.set_attribute("lineal.state", state)
        if (failure := event.failure) is not None:
            span.set_attribute("lineal.failure", failure.kind)
            _fail(span, event.at, failure.type, failure.message, failure.traceback)
        span.end(_nanoseconds(event.at))

    def _end_all(self, at: datetime, state: str) -> None:
        assert self._run is not None
        for span in (*self._attempts.values(), *self._stages.values()):
            span.end(_nanoseconds(at))
        self._run.set_attribute("lineal.state", state)
        self._run.end(_nanoseconds(at))


class Sender:
    """Hands spans to ``exporter`` in a thread of its own, now and then, or ``at_the_end`` only. ``tracer`` makes them.

    It takes no more than so many that wait, and counts those that were left out.
    """

    def __init__(self, exporter: SpanExporter, *, at_the_end: bool = False) -> None:
        self._exporter = exporter
        self._waiting: Queue[ReadableSpan] = Queue(_MOST_WAITING)
        self._made = self._arrived = 0
        self._said = ""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._send, name="lineal-traces", daemon=True)
        provider = TracerProvider(resource=_resource(), id_generator=_Ids(), shutdown_on_exit=False)
        provider.add_span_processor(_Taking(self._take))
        self.tracer = provider.get_tracer("lineal", VERSION)
        if not at_the_end:
            self._thread.start()

    def close(self) -> str:
        """Send what is left, within `END_SECONDS`; what has to be said where something did not arrive."""
        self._ended.set()
        if not self._thread.ident:
            self._thread.start()
        self._thread.join(END_SECONDS)
        self._exporter.shutdown()
        lost = self._made - self._arrived
        if not lost:
            return ""
        why = f": {self._said}" if self._said else f" within {END_SECONDS:.0f} seconds"
        return f"{lost} of the {self._made} spans of the run's trace did not reach the collector{why}"

    def _take(self, span: ReadableSpan) -> None:
        self._made += 1
        try:
            self._waiting.put_nowait(span)
        except Full:
            self._said = "there are too many"

    def _send(self) -> None:
        # Whoever exports says what is wrong through this logger, for each batch again: it is kept, and said once.
        logger = logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        logger.addFilter(self._keep)
        try:
            ended = False
            while not ended:
                ended = self._ended.wait(_INTERVAL_SECONDS)
                while batch := self._next():
                    if self._exporter.export(batch) is SpanExportResult.SUCCESS:
                        self._arrived += len(batch)
        except Exception as error:  # noqa: BLE001
            self._said = f"{type(error).__name__}: {error}"
        finally:
            logger.removeFilter(self._keep)

    def _next(self) -> list[ReadableSpan]:
        batch: list[ReadableSpan] = []
        try:
            while len(batch) < _MOST_AT_ONCE:
                batch.append(self._waiting.get_nowait())
        except Empty:
            pass
        return batch

    def _keep(self, record: logging.LogRecord) -> bool:
        if record.thread != self._thread.ident:
            return True
        self._said = record.getMessage()
        return False


class _Taking(SpanProcessor):
    def __init__(self, take: Callable[[ReadableSpan], None]) -> None:
        self._take = take

    def on_end(self, span: ReadableSpan) -> None:
        self._take(span)


class _Ids(IdGenerator):
    """Draws nothing from the generator of `random`, which the project's code may have seeded."""

    def generate_span_id(self) -> int:
        return 1 + secrets.randbelow(2**64 - 1)

    def generate_trace_id(self) -> int:
        return 1 + secrets.randbelow(2**128 - 1)


def _resource() -> Resource:
    return Resource.create(
        {
            "service.name": "lineal",
            "service.version": VERSION,
            "host.name": host_name(),
            "process.pid": os.getpid(),
            **OTELResourceDetector().detect().attributes,  # OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES
        }
    )


def _fail(span: Span, at: datetime, error: str, message: str, traceback: str = "") -> None:
    told = {"exception.type": error, "exception.message": message, "exception.stacktrace": traceback}
    span.add_event("exception", {name: text for name, text in told.items() if text}, _nanoseconds(at))
    span.set_attribute("error.type", error)
    span.set_status(StatusCode.ERROR, message)


def _nanoseconds(at: datetime) -> int:
    return int(at.timestamp()) * 1_000_000_000 + at.microsecond * 1000
