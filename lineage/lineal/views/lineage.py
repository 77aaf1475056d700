"""The lineage graph as documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from lineal.graph.history import read_manifest
from lineal.graph.lineage import ActionNode, ArtifactNode, Family, Lineage, Made
from lineal.graph.records import Environment, from_bytes
from lineal.reproduce.log import Entry, find_entries
from lineal.views.plain import plain_value
from lineal_store import Digest, Store
from lineal_store.errors import LinealError

Document = dict[str, Any]


def unknown_document(digest: str) -> Document:
    """The document of `lineal trace` and `lineal impact` for bytes that no record names."""
    return {"digest": digest, "found": False, "nodes": [], "edges": []}


def family_document(store: Store, lineage: Lineage, family: Family) -> Document:
    """The document of `lineal trace` and `lineal impact`: nodes, and edges from child to parent.

    An artifact node lists its ``copies``, the files of the same bytes that stages left outside the store, and its
    ``reproductions``, what came of making it again.
    """
    environments: dict[str, Document] = {}
    artifacts = [node.digest for node in family.nodes.values() if isinstance(node, ArtifactNode)]
    entries = find_entries(store, artifacts)
    return {
        "digest": family.start,
        "found": True,
        "nodes": [_node(store, lineage, node, environments, entries) for node in family.nodes.values()],
        "edges": [list(edge) for edge in family.edges],
    }


def _node(
    store: Store,
    lineage: Lineage,
    node: ArtifactNode | ActionNode,
    environments: dict[str, Document],
    entries: Mapping[str, Sequence[Entry]],
) -> Document:
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
        "copies": [
            {
                "path": product.path,
                "stage": made.result.stage_id,
                "run_id": made.result.run_id,
                "at": made.result.started_at,
            }
            for product, made in lineage.copies(node.digest)
        ],
        "reproductions": [msgspec.to_builtins(entry) for entry in entries.get(node.digest, ())],
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
