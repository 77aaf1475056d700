"""Artifacts as documents: what they are, who made them, and a safe look inside."""

from __future__ import annotations

from typing import Any

from lineal.artifacts import codec_named
from lineal.errors import NotFound
from lineal.graph.lineage import Lineage
from lineal.graph.records import TREES, Observed
from lineal_store import Digest, Store
from lineal_store.errors import LinealError
from lineal_store.tree import Tree

_PREVIEW_ROWS = 10


def artifact_detail(store: Store, lineage: Lineage, digest: str) -> dict[str, Any]:
    """The document of `lineal show` for bytes. Previews never unpickle."""
    sizes = store.blobs.sizes([Digest.parse(digest)])
    described = lineage.find_description(digest)
    if not sizes and described is None:
        raise NotFound(f"the store holds nothing under {digest}", "`lineal trace` knows more addresses.")
    type_, name = described if described is not None else ("file", digest)
    maker = lineage.find_maker(digest)
    output = maker.result.outputs.get(name) if maker is not None else None
    preview: object = None
    try:
        if type_ in TREES:
            entries = Tree.decode(store.blobs.read(Digest.parse(digest))).entries
            preview = {"files": len(entries), "names": [entry.path for entry in entries[:_PREVIEW_ROWS]]}
        else:
            preview = codec_named(type_).preview(store.blobs.fetch(Digest.parse(digest)), _PREVIEW_ROWS)
    except LinealError as error:
        preview = f"(no preview: {error})"
    return {
        "kind": "artifact",
        "digest": digest,
        "type": type_,
        "name": name,
        "size_bytes": next(iter(sizes.values()), None),
        "description": dict(output.description) if output is not None else {},
        "made_by": None
        if maker is None
        else {
            "stage": maker.result.stage_id,
            "action_key": f"xxh3:{maker.key}",
            "run_id": maker.result.run_id,
            "at": maker.result.started_at,
        },
        "observed": None if maker is None else _observed(maker.result.observed),
        "preview": preview,
    }


def _observed(seen: Observed) -> dict[str, Any]:
    """What was seen of the attempt that made an artifact; `refused` says why its result is not offered as a hit."""
    return {
        "units": seen.units,
        "modules": seen.modules,
        "uncovered": [unit.unit for unit in seen.uncovered],
        "files": seen.files,
        "variables": seen.variables,
        "connections": seen.connections,
        "urls": seen.urls,
        "refused": seen.refused or None,
        "note": "it started processes, and what they did is not seen" if seen.children else None,
    }
