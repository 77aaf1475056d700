"""``lineal alerts test``: one message to every alert, sent now and by this process."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from lineal.alerts.channels import where
from lineal.alerts.message import hide, trial
from lineal.alerts.rules import Alert
from lineal.alerts.send import Undelivered, send
from lineal.api.config import Configuration
from lineal.engine.provenance import host_name
from lineal.errors import UsageError


def alerts_trial_document(configuration: Configuration, to: Sequence[str]) -> dict[str, Any]:
    """``{"results": [{"to", "ok", "detail"}], "ok"}``: what each address of ``to``, or each alert, answered.

    An address is tried with the settings that the configuration has for it, if any.
    """
    now = datetime.now(UTC)
    message = {**trial(host_name(), now.isoformat()), "id": os.urandom(16).hex()}
    results = []
    for alert in _wanted(configuration, to):
        problem = None
        try:
            send(alert, message, root=configuration.root, environ=os.environ, now=now.timestamp())
        except Undelivered as error:
            problem = hide(error.problem, ())
        results.append({"to": where(alert.to), "ok": problem is None, "detail": problem or "delivered"})
    return {"results": results, "ok": all(result["ok"] for result in results)}


def _wanted(configuration: Configuration, to: Sequence[str]) -> Iterator[Alert]:
    configured = [Alert.of(table) for table in configuration.alerts]
    if not to and not configured:
        raise UsageError(
            "no alerts are configured",
            'Add [[tool.lineal.alerts]] with to = "https://…" and on = ["failed"], or try an address with --to.',
        )
    for address in to:
        yield from [alert for alert in configured if alert.to == address] or [Alert(address)]
    if not to:
        yield from configured
