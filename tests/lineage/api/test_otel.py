"""Traces: what spans a run's events become, and that nobody waits for a collector."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from receivers import answer, silence, webhooks

from lineal.api import otel
from lineal.api.otel import Sender, Spans
from lineal.events import Cache, Event, Failure, RunFinished, RunStarted, StageChanged, StageState

MIDNIGHT = datetime(2026, 11, 28, tzinfo=UTC)
BROKEN = Failure("exception", "ValueError", "no", traceback="in broken: raise")


def at(second: float) -> datetime:
    return MIDNIGHT + timedelta(seconds=second)


def began() -> RunStarted:
    return RunStarted(at(0), "r1", "flow", ("a", "b"))


def ended(second: float, state: str = "succeeded") -> RunFinished:
    return RunFinished(at(second), "r1", state, {})  # type: ignore[arg-type]


def changed(
    second: float,
    stage: str,
    state: StageState,
    cache: Cache | None = "miss",
    attempt: int = 0,
    failure: Failure | None = None,
) -> StageChanged:
    reason = "unchanged" if cache == "hit" else "new" if cache else None
    return StageChanged(at(second), "r1", stage, state, cache, reason, attempt, failure=failure)


def spans_of(*events: Event, around: Mapping[str, str] | None = None) -> dict[str, list[ReadableSpan]]:
    """The spans that these events become, by name, in the order in which they ended."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    spans = Spans(
        provider.get_tracer("tests"), {"lineal.namespace": "main", "lineal.trigger": ""}, around or {}
    )
    for event in events:
        spans(event)
    found: dict[str, list[ReadableSpan]] = {}
    for span in exporter.get_finished_spans():
        found.setdefault(span.name, []).append(span)
    return found


def seconds(span: ReadableSpan) -> tuple[float, float]:
    """When it began and ended, counted from midnight."""
    assert span.start_time is not None and span.end_time is not None
    midnight = MIDNIGHT.timestamp() * 1e9
    return (span.start_time - midnight) / 1e9, (span.end_time - midnight) / 1e9


def parent(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent is not None else None


def test_a_run_has_a_span_with_its_stages_below_it_and_their_attempts_below_those() -> None:
    found = spans_of(
        began(),
        changed(1, "a", "queued"),
        changed(2, "a", "running", attempt=1),
        changed(4, "a", "running", attempt=1),
        changed(5, "a", "succeeded", attempt=1),
        ended(6),
    )

    (run,), (stage,), (attempt,) = found["run flow"], found["stage a"], found["attempt a"]
    assert (seconds(run), seconds(stage), seconds(attempt)) == ((0, 6), (1, 5), (2, 5))
    assert (parent(run), parent(stage), parent(attempt)) == (
        None,
        run.context.span_id,
        stage.context.span_id,
    )
    assert run.attributes == {
        "lineal.run_id": "r1",
        "lineal.pipeline": "flow",
        "lineal.namespace": "main",
        "lineal.state": "succeeded",
    }
    assert stage.attributes == {
        "lineal.run_id": "r1",
        "lineal.stage": "a",
        "lineal.cache": "miss",
        "lineal.reason": "new",
        "lineal.attempts": 1,
        "lineal.state": "succeeded",
    }
    assert attempt.attributes == {
        "lineal.run_id": "r1",
        "lineal.stage": "a",
        "lineal.attempt": 1,
        "lineal.state": "succeeded",
    }
    assert {span.status.status_code for span in (run, stage, attempt)} == {StatusCode.UNSET}


def test_a_hit_is_a_span_of_no_length_without_attempts() -> None:
    found = spans_of(began(), changed(1, "a", "succeeded", "hit"), ended(2))

    (stage,) = found["stage a"]
    assert seconds(stage) == (1, 1)
    assert stage.attributes is not None
    assert (stage.attributes["lineal.cache"], stage.attributes["lineal.attempts"]) == ("hit", 0)
    assert set(found) == {"run flow", "stage a"}


def test_each_try_is_an_attempt_and_only_the_last_decides_about_the_stage() -> None:
    found = spans_of(
        began(),
        changed(1, "a", "running", attempt=1),
        changed(2, "a", "up_for_retry", attempt=1, failure=BROKEN),
        changed(5, "a", "queued", attempt=1),
        changed(6, "a", "running", attempt=2),
        changed(7, "a", "succeeded", attempt=2),
        ended(8),
    )

    first, second = found["attempt a"]
    (stage,) = found["stage a"]
    assert [seconds(each) for each in (first, second, stage)] == [(1, 2), (6, 7), (1, 7)]
    assert first.attributes is not None and first.attributes["lineal.state"] == "failed"
    assert (first.status.status_code, stage.status.status_code) == (StatusCode.ERROR, StatusCode.UNSET)


def test_a_failure_is_told_by_status_and_exception() -> None:
    found = spans_of(
        began(),
        changed(1, "a", "running", attempt=1),
        changed(2, "a", "failed", attempt=1, failure=BROKEN),
        changed(2, "b", "upstream_failed", None),
        ended(3, "failed"),
    )

    for span in (*found["stage a"], *found["attempt a"]):
        assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "no")
        assert span.attributes is not None
        assert (span.attributes["error.type"], span.attributes["lineal.failure"]) == (
            "ValueError",
            "exception",
        )
        (event,) = span.events
        assert (event.name, event.attributes) == (
            "exception",
            {
                "exception.type": "ValueError",
                "exception.message": "no",
                "exception.stacktrace": "in broken: raise",
            },
        )
    assert found["run flow"][0].status.status_code is StatusCode.ERROR
    assert found["stage b"][0].status.status_code is StatusCode.UNSET


def test_a_stage_that_is_made_again_has_another_span() -> None:
    found = spans_of(
        began(),
        changed(1, "a", "succeeded", "hit"),
        changed(2, "a", "running", attempt=1),
        changed(3, "a", "succeeded", attempt=1),
        ended(4),
    )

    assert [seconds(span) for span in found["stage a"]] == [(1, 1), (2, 3)]


def test_all_items_of_a_list_have_one_name() -> None:
    found = spans_of(
        began(), changed(1, "a[0]", "succeeded", "hit"), changed(1, "a[1]", "succeeded", "hit"), ended(2)
    )

    assert [span.attributes and span.attributes["lineal.stage"] for span in found["stage a"]] == [
        "a[0]",
        "a[1]",
    ]


def test_the_run_is_part_of_the_trace_around_it() -> None:
    found = spans_of(
        began(),
        ended(1),
        around={"TRACEPARENT": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
    )

    (run,) = found["run flow"]
    assert (run.context.trace_id, parent(run)) == (0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331)


@pytest.mark.parametrize("text", ["", "nonsense", "00-0-0-01"])
def test_a_parent_that_is_none_is_passed_over(text: str) -> None:
    (run,) = spans_of(began(), ended(1), around={"TRACEPARENT": text})["run flow"]

    assert parent(run) is None


def test_a_run_that_broke_off_leaves_no_span_open() -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    spans = Spans(provider.get_tracer("tests"), {}, {})
    spans(began())
    spans(changed(1, "a", "running", attempt=1))
    spans.broke(OSError("the store is gone"), at(2))

    found = {span.name: span for span in exporter.get_finished_spans()}
    assert [seconds(found[name]) for name in ("run flow", "stage a", "attempt a")] == [(0, 2), (1, 2), (1, 2)]
    assert found["run flow"].status.description == "the store is gone"


# -- sending ----------------------------------------------------------------------------------


def give(sender: Sender, most: int = 3) -> None:
    for number in range(most):
        sender.tracer.start_span(f"span {number}").end()


def to(port: int) -> OTLPSpanExporter:
    return OTLPSpanExporter(f"http://127.0.0.1:{port}/v1/traces")


def test_spans_arrive() -> None:
    with webhooks() as server:
        sender = Sender(to(server.port))
        give(sender)

        assert sender.close() == ""
        assert server.next().path == "/v1/traces"


def test_what_is_to_be_sent_at_the_end_is_not_sent_before() -> None:
    class Noting(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            threads.append(has_ended)
            return SpanExportResult.SUCCESS

    threads: list[bool] = []
    has_ended = False
    before = threading.active_count()
    sender = Sender(Noting(), at_the_end=True)
    give(sender)
    assert threading.active_count() == before  # there is nobody who could
    has_ended = True

    assert (sender.close(), threads) == ("", [True])


def test_a_collector_that_refuses_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    with webhooks(answer(400)) as server, caplog.at_level(logging.DEBUG, "opentelemetry"):
        sender = Sender(to(server.port))
        give(sender)
        told = sender.close()

    assert told.startswith("3 of the 3 spans of the run's trace did not reach the collector: ")
    assert "400" in told
    assert caplog.records == []


def test_nobody_waits_for_a_collector_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otel, "END_SECONDS", 0.05)
    with silence() as port:
        sender = Sender(to(port))
        give(sender)
        started = time.monotonic()
        told = sender.close()

    assert told.startswith("3 of the 3 spans")
    assert time.monotonic() - started < 5  # and not the ten seconds that a request has


def test_more_spans_than_there_is_room_for_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otel, "_MOST_WAITING", 2)
    with webhooks() as server:
        sender = Sender(to(server.port), at_the_end=True)
        give(sender, 5)

        assert sender.close() == (
            "3 of the 5 spans of the run's trace did not reach the collector: there are too many"
        )


def test_tracing_draws_no_random_numbers_that_others_have_seeded() -> None:
    random.seed(7)
    wanted = random.random()
    random.seed(7)
    sender = Sender(InMemorySpanExporter(), at_the_end=True)
    give(sender)

    assert random.random() == wanted


def test_a_service_is_named_as_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    def name() -> object:
        span = Sender(InMemorySpanExporter(), at_the_end=True).tracer.start_span("any")
        assert isinstance(span, ReadableSpan)
        return span.resource.attributes["service.name"]

    assert name() == "lineal"
    monkeypatch.setenv("OTEL_SERVICE_NAME", "churn")
    assert name() == "churn"
