"""The lineage graph as documents."""

from __future__ import annotations

from typing import Any

from lineal_store import Digest, Store
from lineal_store.errors import LinealError

from lineal.artifacts.values import plain_value
from lineal.graph.history import read_manifest
from lineal.graph.lineage import ActionNode, ArtifactNode, Family, Made
from lineal.graph.records import Environment, from_bytes

Document = dict[str, Any]


def family_document(store: Store, family: Family | None, digest: str | None) -> Document:
    """The document of `lineal trace` and `lineal impact`; without a family, that nothing was found."""
    if family is None:
        return {"digest": digest, "found": False, "nodes": [], "edges": []}
    environments: dict[str, Document] = {}
    return {
        "digest": digest,
        "found": True,
        "nodes": [_node(store, node, environments) for node in family.nodes.values()],
        "edges": [list(edge) for edge in family.edges],
    }


def _node(store: Store, node: ArtifactNode | ActionNode, environments: dict[str, Document]) -> Document:
    if isinstance(node, ActionNode):
        return _action(store, node.id, node.made, environments)
    return {
        "id": node.id,
        "kind": node.kind,
        "name": node.name,
        "digest": node.digest,
        "url": node.url,
        "action_key": None,
        "parameters": None,
        "fingerprint": None,
        "run_id": None,
        "type": node.type,
        "size_bytes": node.size_bytes,
    }


def _action(store: Store, node_id: str, made: Made, environments: dict[str, Document]) -> Document:
    result = made.result
    if result.environment not in environments:
        environments[result.environment] = _environment(store, result.environment)
    try:
        reached = dict(read_manifest(store, result).distributions)
    except LinealError:
        reached = {}
    return {
        "id": node_id,
        "kind": "action",
        "name": result.stage_id,
        "digest": None,
        "url": None,
        "action_key": node_id,
        "parameters": {
            name: plain_value(value)
            for name, value in result.action.parameters.items()
            if not name.endswith("[]")
        },
        "fingerprint": f"xxh3:{result.action.fingerprint}",
        "run_id": result.run_id,
        "stage": result.action.stage,
        "started_at": result.started_at,
        "seconds": result.seconds,
        "seed": result.seed,
        "code_tree": result.code_tree,
        "environment": {**environments[result.environment], "distributions": reached},
        "side_products": [
            {"path": product.path, "digest": product.digest, "size_bytes": product.size_bytes}
            for product in result.side_products
        ],
    }


def _environment(store: Store, digest: str) -> Document:
    try:
        found = from_bytes(store.blobs.read(Digest.parse(digest)), Environment)
    except LinealError:
        return {"digest": digest, "python": None, "platform": None}
    return {"digest": digest, "python": found.python, "platform": found.platform}
