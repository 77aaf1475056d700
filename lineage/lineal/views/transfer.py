"""What was copied between two stores, as a document."""

from __future__ import annotations

from typing import Any

from lineal.graph.transfer import Report


def transfer_document(source_url: str, destination_url: str, report: Report) -> dict[str, Any]:
    """The document of `lineal store push` and `lineal store pull`."""
    return {
        "from": source_url,
        "to": destination_url,
        "blobs": report.blobs,
        "bytes": report.bytes,
        "actions": report.actions,
        "runs": report.runs,
        "refs": report.refs,
        "already_there": report.already_there,
        "warnings": list(report.warnings),
    }
