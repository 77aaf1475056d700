"""What a web server was sent by OTLP."""

from __future__ import annotations

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from receivers import Webhooks


def spans(server: Webhooks) -> dict[str, Span]:
    """The spans that have arrived, by their names."""
    found: dict[str, Span] = {}
    for request in server.all():
        assert request.path == "/v1/traces"
        document = ExportTraceServiceRequest.FromString(request.body)
        for of_resource in document.resource_spans:
            for of_scope in of_resource.scope_spans:
                found.update((span.name, span) for span in of_scope.spans)
    return found


def attributes(span: Span) -> dict[str, str]:
    return {each.key: each.value.string_value for each in span.attributes}
