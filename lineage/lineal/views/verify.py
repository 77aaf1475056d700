"""The state of the store, as a document."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lineal.graph.records import TREES, ActionResult, RunRecord, unseal_record
from lineal_store import Digest, Store
from lineal_store.errors import CorruptRecord, LinealError
from lineal_store.tree import Tree
from lineal_store.verify import Bad, check


def verify_document(store: Store, *, read_data: bool) -> dict[str, Any]:
    """The document of `lineal store verify`. Healable is what an action that is on record makes again."""
    named = _Named()
    _read_actions(store, named)
    _read_runs(store, named)
    absent = named.others - store.blobs.sizes(named.others).keys()
    referenced = [*named.sizes.items(), *((digest, 0) for digest in absent)]
    report = check(store, read_data=read_data, referenced=referenced)
    bad = [
        {"digest": one.what, "problem": one.problem, "healable": one.what in named.made}
        for one in (*report.bad, *named.broken)
    ]
    return {"checked": report.checked, "bad": bad}


@dataclass(slots=True)
class _Named:
    """What the records name: blobs of a recorded size and ``others``, which of them an action makes (as text), and
    the records that cannot be read."""

    sizes: dict[Digest, int] = field(default_factory=dict)
    others: set[Digest] = field(default_factory=set)
    made: set[str] = field(default_factory=set)
    broken: list[Bad] = field(default_factory=list)

    def add(self, *digests: str | None) -> None:
        self.others.update(Digest.parse(digest) for digest in digests if digest is not None)


def _read_actions(store: Store, named: _Named) -> None:
    trees: set[str] = set()
    for filed in store.actions.list():
        try:
            result = unseal_record(filed.data, ActionResult)
        except CorruptRecord as error:
            named.broken.append(Bad(f"xxh3:{filed.key}", error.problem))
            continue
        for output in result.outputs.values():
            named.made.add(output.digest)
            named.sizes[Digest.parse(output.digest)] = output.size_bytes
            if output.type in TREES:
                named.made.update(_add_tree(store, named, output.digest))
        named.add(result.manifest, result.environment, result.log)
        trees.add(result.code_tree)
        for origin in result.origins.values():
            named.add(origin.digest, origin.items)
        for taken in result.action.inputs.values():
            named.add(taken.digest)
            if taken.type in TREES:
                trees.add(taken.digest)
    for tree in trees:
        _add_tree(store, named, tree)


def _read_runs(store: Store, named: _Named) -> None:
    for info in store.backend.list("runs/"):
        try:
            run = unseal_record(store.backend.read(info.name), RunRecord)
        except CorruptRecord as error:
            named.broken.append(Bad(info.name, error.problem))
            continue
        for tree in (run.code_tree, *([run.beside.tree] if run.beside is not None else [])):
            _add_tree(store, named, tree)
        diff = run.git.diff if run.git is not None else None
        named.add(run.environment, diff, *run.pages, *(log for stage in run.stages for log in stage.logs))


def _add_tree(store: Store, named: _Named, tree: str) -> set[str]:
    """The digests of the files of a directory, as text."""
    named.add(tree)
    try:
        entries = Tree.decode(store.blobs.read(Digest.parse(tree))).entries
    except LinealError:  # the check itself reports the tree
        return set()
    named.sizes.update((entry.digest, entry.size_bytes) for entry in entries)
    return {str(entry.digest) for entry in entries}
