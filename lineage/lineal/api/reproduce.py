"""Rebuild and compare, and keep the report beside what was rebuilt."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from lineal.api.addresses import Found
from lineal.engine.provenance import user_name
from lineal.errors import LinealError, UsageError
from lineal.graph.lineage import Lineage
from lineal.reproduce import ReproductionPlan, plan_reproduction, reproduce
from lineal.reproduce.log import Entry, keep_report
from lineal.reproduce.tolerance import Tolerance
from lineal.views.reproduction import plan_document, reproduction_document
from lineal_store import Store

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wish:
    """How to reproduce: see `Project.reproduce`."""

    until: Sequence[str] = ()
    changes: Sequence[str] = ()
    current_environment: bool = False
    rtol: float | None = None
    atol: float | None = None
    trust: bool = False
    keep: bool = False

    @property
    def is_faithful(self) -> bool:
        """Whether all of it is to be built as it was: only then does a failure say that it no longer can be."""
        return not (self.until or self.changes or self.current_environment)

    @property
    def tolerance(self) -> Tolerance | None:
        if self.rtol is None and self.atol is None:
            return None
        return Tolerance(self.rtol or 0.0, self.atol or 0.0)


def reproduce_document(
    store: Store,
    lineage: Lineage,
    found: Found,
    wish: Wish,
    *,
    dry_run: bool,
    told: Callable[[Document], None],
) -> Document:
    """The document of `lineal reproduce` for what an address means: bytes, or a whole run."""
    if wish.trust and wish.tolerance is None:
        raise UsageError(
            "--trust is given, and no tolerance",
            "Pickles are loaded to be compared within --rtol or --atol; bytes are compared without.",
        )
    digest = str(found.digest) if found.digest is not None else None
    plan = plan_reproduction(
        store, digest, run=found.run, lineage=lineage, until=wish.until, changes=wish.changes
    )
    planned = plan_document(plan, current_environment=wish.current_environment)
    if dry_run:
        return planned
    told(planned)
    made = reproduce(
        plan,
        current_environment=wish.current_environment,
        tolerance=wish.tolerance,
        trust=wish.trust,
        keep=wish.keep,
    )
    document = reproduction_document(made, planned)
    if not plan.changes:
        with suppress(LinealError, OSError):  # a store that cannot be written to keeps no record of it
            document["report"] = _keep(store, plan, document)
    return document


def _keep(store: Store, plan: ReproductionPlan, document: Document) -> str:
    report = str(store.blobs.put(json.dumps(document, indent=2).encode()))
    entry = Entry(
        verdict=document["verdict"],
        environment=document["environment"],
        at=document["at"],
        who=user_name(),
        report=report,
    )
    digests = [plan.digest] if plan.digest is not None else plan.run.outputs.values()
    keep_report(store, dict.fromkeys(digest for digest in digests if digest is not None), entry)
    return report
