"""Tells of what stands in the store: what has grown old, and what is deployed and can no longer be built."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from lineal.alerts.happenings import beyond_rebuilding, grown_old
from lineal.alerts.rules import About, Alert, is_stale
from lineal.alerts.tell import Teller
from lineal.api.addresses import Addresses
from lineal.api.config import Configuration
from lineal.engine.provenance import host_name
from lineal.errors import NotFound

_REBUILT = ("identical", "within_tolerance")


def tell_stale(configuration: Configuration, addresses: Addresses, now: datetime) -> None:
    """Tell alerts of what is older than their ``max_age``, and that it is fresh again.

    What counts is when the newest run ended that made it, or found that it would make the same.
    """
    teller = Teller(configuration.root)
    for alert in map(Alert.of, configuration.alerts):
        for what, age in alert.max_age.items() if "stale" in alert.on else ():
            made, target = _newest(addresses, what)
            about = About(
                what, target, configuration.namespace, host_name(), {}, page=configuration.page or ""
            )
            happening = grown_old(about, what, made, age, now)
            if made is None or is_stale(made, now, age):
                teller.tell([alert], happening, now)
            else:
                teller.over([alert], happening, now)


def tell_reproduction(
    configuration: Configuration, addresses: Addresses, document: Mapping[str, Any], now: datetime
) -> None:
    """Tell alerts that what a tag has deployed can no longer be built, or can again, by the ``document`` of `lineal reproduce`."""
    digest, alerts = document["digest"], list(map(Alert.of, configuration.alerts))
    names = [name for name, entry in addresses.tags() if entry.get("deployed") and entry["digest"] == digest]
    if digest is None or not names:
        return
    about = About(", ".join(names), document["made"]["target"], configuration.namespace, host_name(), {})
    problem, first = document["problem"], document["first_difference"]
    notes = [f"{problem['type']}: {problem['message']}"] if problem is not None else []
    notes += [f"the first stage that differs is {first}"] if first is not None else []
    notes += [f"{one['name']}: {one['problem']}" for one in document["plan"]["missing"] if one["is_fatal"]]
    happening = beyond_rebuilding(about, digest, document["verdict"], notes, now)
    teller = Teller(configuration.root)
    if document["verdict"] in _REBUILT:
        teller.over(alerts, happening, now)
    else:
        teller.tell(alerts, happening, now)


def _newest(addresses: Addresses, what: str) -> tuple[datetime | None, str]:
    """When the newest of ``what`` was made, and the target of the run that did; None where there is none."""
    try:
        found = addresses.resolve(what)
    except NotFound:
        return None, what
    if found.run is not None and found.run.finished_at is not None:
        return datetime.fromisoformat(found.run.finished_at), found.run.target
    maker = addresses.lineage.find_maker(str(found.digest)) if found.digest is not None else None
    return (datetime.fromisoformat(maker.result.started_at), what) if maker is not None else (None, what)
