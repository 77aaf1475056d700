"""The lineage graph: who made these bytes, from what, and what was made from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from lineal.graph.records import ActionResult, SideProduct, unseal_record
from lineal_store import Digest, Store
from lineal_store.errors import LinealError
from lineal_store.tree import Tree


@dataclass(frozen=True, slots=True)
class Made:
    """An action result and the key it is filed under."""

    key: str
    result: ActionResult


@dataclass(frozen=True, slots=True)
class ArtifactNode:
    """Bytes that an action made (``kind`` artifact) or that came from outside (source, with its ``url``)."""

    digest: str
    kind: Literal["artifact", "source"]
    name: str
    type: str | None = None
    size_bytes: int | None = None
    url: str | None = None

    @property
    def id(self) -> str:
        return self.digest


@dataclass(frozen=True, slots=True)
class ActionNode:
    made: Made

    @property
    def id(self) -> str:
        return f"xxh3:{self.made.key}"


@dataclass(slots=True)
class Family:
    """Part of the lineage graph: nodes by id, and edges from child to parent."""

    start: str
    nodes: dict[str, ArtifactNode | ActionNode] = field(default_factory=dict)
    edges: dict[tuple[str, str], None] = field(default_factory=dict)


class Lineage:
    """Answers questions of descent from the action results of ``store``, all read once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._made: dict[str, Made] = {}
        self._makers: dict[str, list[tuple[str, str]]] = {}
        self._takers: dict[str, list[str]] = {}
        self._urls: dict[str, str] = {}
        for filed in store.actions.list():
            try:
                result = unseal_record(filed.data, ActionResult)
            except LinealError:  # `store verify` tells; the rest of the family is still worth seeing
                continue
            self._add(Made(filed.key, result))

    def _add(self, made: Made) -> None:
        key, result = made.key, made.result
        self._made[key] = made
        for name, output in result.outputs.items():
            self._makers.setdefault(output.digest, []).append((key, name))
        for product in result.side_products:
            self._makers.setdefault(product.digest, []).append((key, product.path))
        for port, taken in result.action.inputs.items():
            self._takers.setdefault(taken.digest, []).append(key)
            url = result.origins[port].url if port in result.origins else None
            if url is not None:
                self._urls.setdefault(taken.digest, url)

    def knows(self, digest: str) -> bool:
        return digest in self._makers or digest in self._takers

    def digests(self) -> Iterator[str]:
        """Every digest that some action made or took."""
        yield from dict.fromkeys([*self._makers, *self._takers])

    def find_maker(self, digest: str) -> Made | None:
        """The newest action that made these bytes."""
        makers = self._newest(digest)
        return self._made[makers[0][0]] if makers else None

    def find_description(self, digest: str) -> tuple[str, str] | None:
        """The type and name of an artifact, as its newest maker recorded it; a source is a file."""
        for key, name in self._newest(digest):
            output = self._made[key].result.outputs.get(name)
            return (output.type, name) if output is not None else ("file", name)
        if digest in self._takers:
            taken = self._made[self._takers[digest][0]].result.action.inputs
            kind = next(one.type for one in taken.values() if one.digest == digest)
            return kind, self._urls.get(digest, digest)
        return None

    def ancestors(self, digest: str) -> Family:
        """Everything that these bytes came from, down to what was taken from outside."""
        family = Family(digest)
        pending: list[tuple[str, str | None]] = [(digest, None)]
        while pending:
            wanted, maker = pending.pop()
            key = self._find_origin(wanted, maker)
            self._place(family, wanted, source=self._urls.get(wanted) if key is None else None)
            if key is None:
                continue
            node = ActionNode(self._made[key])
            family.edges[wanted, node.id] = None
            if node.id in family.nodes:
                continue
            family.nodes[node.id] = node
            for port, taken in node.made.result.action.inputs.items():
                family.edges[node.id, taken.digest] = None
                pending.append((taken.digest, node.made.result.origins[port].action_key))
        return family

    def descendants(self, digest: str) -> Family:
        """Everything that was made from these bytes."""
        family = Family(digest)
        pending = [digest, *self._trees_with(digest)]
        family.edges.update({(tree, digest): None for tree in pending[1:]})
        seen = set(pending)
        while pending:
            wanted = pending.pop()
            self._place(family, wanted)
            for key in self._takers.get(wanted, ()):
                node = ActionNode(self._made[key])
                family.nodes[node.id] = node
                family.edges[node.id, wanted] = None
                for made in _products(node.made.result):
                    family.edges[made, node.id] = None
                    if made not in seen:
                        seen.add(made)
                        pending.append(made)
        return family

    def copies(self, digest: str) -> list[tuple[SideProduct, Made]]:
        """The files of these bytes that stages left outside the store, newest first."""
        return [
            (product, self._made[key])
            for key, name in self._newest(digest)
            for product in self._made[key].result.side_products
            if product.path == name and product.digest == digest
        ]

    def _find_origin(self, digest: str, key: str | None) -> str | None:
        """The action that first had these bytes, seen from the one under ``key``, else from their newest maker.

        An action that takes the very bytes that it hands on (a deployment, a filter that found nothing) has only passed them on:
        they come from where it had them. None where they came from outside, or nobody knows.
        """
        if key not in self._made:
            makers = self._newest(digest)
            key = makers[0][0] if makers else None
        seen: set[str] = set()
        while key in self._made and key not in seen:
            seen.add(key)
            result = self._made[key].result
            port = next(
                (port for port, taken in result.action.inputs.items() if taken.digest == digest), None
            )
            if port is None:
                return key
            key = result.origins[port].action_key
        return None

    def _newest(self, digest: str) -> list[tuple[str, str]]:
        makers = self._makers.get(digest, [])
        return sorted(makers, key=lambda maker: self._made[maker[0]].result.started_at, reverse=True)

    def _place(self, family: Family, digest: str, source: str | None = None) -> None:
        if digest in family.nodes:
            return
        url = source if source is not None else None if digest in self._makers else self._urls.get(digest)
        if url is not None:
            family.nodes[digest] = ArtifactNode(digest, "source", url, url=url)
            return
        for key, name in self._newest(digest):
            result = self._made[key].result
            output = result.outputs.get(name)
            if output is None:
                family.nodes[digest] = ArtifactNode(digest, "artifact", name, "file")
            else:
                named = result.stage_id if name == "result" else f"{result.stage_id}.{name}"
                family.nodes[digest] = ArtifactNode(digest, "artifact", named, output.type, output.size_bytes)
            return
        family.nodes[digest] = ArtifactNode(digest, "artifact", digest)

    def _trees_with(self, digest: str) -> list[str]:
        """The directories that hold a file of these bytes."""
        found = []
        for taken, keys in self._takers.items():
            inputs = self._made[keys[0]].result.action.inputs.values()
            if any(one.digest == taken and one.type == "directory" for one in inputs):
                try:
                    tree = Tree.decode(self._store.blobs.read(Digest.parse(taken)))
                except LinealError:
                    continue
                if any(str(entry.digest) == digest for entry in tree.entries):
                    found.append(taken)
        return found


def _products(result: ActionResult) -> Iterable[str]:
    yield from (output.digest for output in result.outputs.values())
    yield from (product.digest for product in result.side_products)
