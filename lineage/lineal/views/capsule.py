"""What a capsule says of itself: what it is of, and a statement of what that was made from."""

from __future__ import annotations

from typing import Any

from lineal.reproduce.archive import Packed
from lineal.reproduce.capsule import FORMAT
from lineal.reproduce.plan import ReproductionPlan
from lineal.version import VERSION
from lineal.views.plain import plain_value

Document = dict[str, Any]

_STATEMENT = "https://in-toto.io/Statement/v1"
_PROVENANCE = "https://slsa.dev/provenance/v1"


def about_document(plan: ReproductionPlan) -> Document:
    """The document that a capsule begins with. The same plan makes the same one: it does not say when."""
    return {
        "format": FORMAT,
        "lineal": VERSION,
        "name": plan.name,
        "digest": plan.digest,
        "run_id": plan.run.run_id,
        "expects": "identical",
        "needs": _needs(plan),
        "statement": _statement(plan),
    }


def created_document(plan: ReproductionPlan, path: str, packed: Packed) -> Document:
    """The document of `lineal capsule create`."""
    return {
        "path": path,
        "name": plan.name,
        "digest": plan.digest,
        "run_id": plan.run.run_id,
        "files": packed.files,
        "content_bytes": packed.content_bytes,
        "size_bytes": packed.size_bytes,
        "needs": _needs(plan),
    }


def _needs(plan: ReproductionPlan) -> list[Document]:
    """What is in no capsule, and has to be given to whoever reproduces it."""
    return [{"kind": one.kind, "name": one.name} for one in plan.missing if not one.is_fatal]


def _statement(plan: ReproductionPlan) -> Document:
    """An in-toto statement with SLSA's provenance: of which bytes, made by which run, from what. It is not signed."""
    run = plan.run
    subjects = {plan.name: plan.digest} if plan.digest is not None else run.outputs
    materials = [
        ("lineal:code", run.code_tree),
        ("lineal:environment", run.environment),
        *sorted({(source.url, source.digest) for source in plan.sources}),
    ]
    return {
        "_type": _STATEMENT,
        "subject": [
            {"name": name, "digest": _hashes(digest)}
            for name, digest in sorted(subjects.items())
            if digest is not None
        ],
        "predicateType": _PROVENANCE,
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:lineal:run:1",
                "externalParameters": {
                    "target": run.target,
                    "parameters": {name: plain_value(value) for name, value in run.parameters.items()},
                },
                "resolvedDependencies": [
                    {"uri": uri, "digest": _hashes(digest)} for uri, digest in materials
                ],
            },
            "runDetails": {
                "builder": {"id": f"urn:lineal:{run.lineal}"},
                "metadata": {
                    "invocationId": run.run_id,
                    "startedOn": run.started_at,
                    "finishedOn": run.finished_at,
                },
            },
        },
    }


def _hashes(digest: str) -> Document:
    return {"sha256": digest.removeprefix("sha256:")}
