"""The state of the store, as a document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lineal.graph.records import ActionResult, unseal_record
from lineal_store import Digest, Store
from lineal_store.errors import LinealError
from lineal_store.tree import Tree
from lineal_store.verify import Bad, check


def verify_document(store: Store, *, read_data: bool) -> dict[str, Any]:
    """The document of `lineal store verify`. Healable is what an action that is on record makes again."""
    broken: list[Bad] = []
    makers: set[str] = set()
    referenced = dict(_referenced(store, broken, makers))
    report = check(store, read_data=read_data, referenced=referenced.items())
    bad = [
        {"digest": one.what, "problem": one.problem, "healable": one.what in makers}
        for one in (*report.bad, *broken)
    ]
    return {"checked": report.checked, "bad": bad}


def _referenced(store: Store, broken: list[Bad], makers: set[str]) -> Iterator[tuple[Digest, int]]:
    """What action results name, with sizes; records that cannot be read go to ``broken``."""
    for filed in store.actions.list():
        try:
            result = unseal_record(filed.data, ActionResult)
        except LinealError as error:
            broken.append(Bad(f"xxh3:{filed.key}", str(error)))
            continue
        for output in result.outputs.values():
            makers.add(output.digest)
            digest = Digest.parse(output.digest)
            yield digest, output.size_bytes
            if output.type == "directory":
                try:
                    entries = Tree.decode(store.blobs.read(digest)).entries
                except LinealError:
                    continue  # the check itself reports the tree
                for entry in entries:
                    makers.add(str(entry.digest))
                    yield entry.digest, entry.size_bytes
