"""Whether alerts can be sent as they are configured, and what has become of those that were to be sent."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

from lineal.alerts.channels import Relayed, address, where
from lineal.alerts.message import trial
from lineal.alerts.outbox import Outbox
from lineal.alerts.rules import Alert
from lineal.api.checks import Found, ok, warning
from lineal.api.config import Configuration
from lineal.errors import LinealError


def check_alerts(configuration: Configuration) -> Found:
    """What the check ``alerts`` of `lineal doctor` finds. Sends nothing."""
    outbox = Outbox(configuration.root)
    waiting, failed = outbox.due(), outbox.failed()
    told = [f"{len(waiting)} waiting to be delivered"] if waiting else []
    unusable = list(_unusable(configuration))
    if failed:
        told.append(f"{len(failed)} not delivered")
        problems = Counter(
            entry.problem for name in failed if (entry := outbox.find_failed(name)) is not None
        )
        told += [f"{problem} ({count})" for problem, count in problems.most_common(5)]
    told += unusable
    if failed:
        hint = (
            f"`lineal alerts test` tries the channels; remove {outbox.failed_folder} when you have read it."
        )
        return warning("; ".join(told), hint)
    if unusable:
        return warning("; ".join(told), "`lineal alerts test` tries all of them.")
    names = ", ".join(where(str(table["to"])) for table in configuration.alerts)
    return ok("; ".join([names or "none is configured", *told]))


def _unusable(configuration: Configuration) -> Iterator[str]:
    message = {**trial("doctor", ""), "id": "doctor"}
    for table in configuration.alerts:
        try:
            found = address(Alert.of(table), message, os.environ, 0)
            if isinstance(found, Relayed):
                from lineal.alerts.send import check_relayed

                check_relayed(found)
        except LinealError as error:
            yield str(error)
