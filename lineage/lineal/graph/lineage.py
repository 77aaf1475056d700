"""The lineage graph: who made these bytes, from what, and what was made from them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Literal

from lineal.graph.records import TREES, ActionResult, SideProduct, read_keys, unseal_record
from lineal_store import Digest, Store
from lineal_store.errors import LinealError
from lineal_store.tree import Tree, TreeEntry


@dataclass(frozen=True, slots=True)
class Made:
    """An action result, the key it is filed under, and which one filed there it is."""

    key: str
    generation: int
    result: ActionResult

    @property
    def id(self) -> str:
        """Of the first result the action key, of those that replaced it key and number."""
        return f"xxh3:{self.key}.{self.generation}" if self.generation else f"xxh3:{self.key}"


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
        return self.made.id


@dataclass(slots=True)
class Family:
    """Part of the lineage graph: nodes by id, and edges from child to parent."""

    start: str
    nodes: dict[str, ArtifactNode | ActionNode] = field(default_factory=dict)
    edges: dict[tuple[str, str], None] = field(default_factory=dict)


class Lineage:
    """Answers questions of descent from the action results of ``store``, all read once.

    Results that were retired are among them: what they made may be in use for years.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._made: dict[str, Made] = {}
        self._makers: dict[str, list[tuple[str, str]]] = {}
        self._takers: dict[str, list[str]] = {}
        self._urls: dict[str, str] = {}
        self._directories: dict[str, None] = {}
        self._held: dict[str, dict[str, TreeEntry]] = {}
        self._lists: dict[str, str] = {}  # by the list's maker, the digest of the keys of its items
        self._listings: dict[str, list[str]] | None = None
        for filed in store.actions.list(retired=True):
            try:
                result = unseal_record(filed.data, ActionResult)
            except LinealError:  # `store verify` tells; the rest of the family is still worth seeing
                continue
            self._add(Made(filed.key, filed.generation, result))

    def _add(self, made: Made) -> None:
        result = made.result
        self._made[made.id] = made
        for name, output in result.outputs.items():
            self._makers.setdefault(output.digest, []).append((made.id, name))
            if output.type in TREES:
                self._directories[output.digest] = None
        for product in result.side_products:
            self._makers.setdefault(product.digest, []).append((made.id, product.path))
        for port, taken in result.action.inputs.items():
            self._takers.setdefault(taken.digest, []).append(made.id)
            if taken.type in TREES:
                self._directories[taken.digest] = None
            url = result.origins[port].url if port in result.origins else None
            if url is not None:
                self._urls.setdefault(taken.digest, url)
        for origin in result.origins.values():
            if origin.digest is not None:  # a parameter is an item of that list
                self._takers.setdefault(origin.digest, []).append(made.id)
            if origin.items is not None:
                self._lists[made.id] = origin.items

    def knows(self, digest: str) -> bool:
        return digest in self._makers or digest in self._takers or bool(self._holders(digest))

    def digests(self) -> Iterator[str]:
        """Every digest that some action made or took."""
        yield from dict.fromkeys([*self._makers, *self._takers])

    def find_maker(self, digest: str) -> Made | None:
        """The newest action that made these bytes."""
        makers = self._newest(digest)
        return self._made[makers[0][0]] if makers else None

    def find_origin(self, digest: str) -> Made | None:
        """The action that first had these bytes, or the directory that they are part of; None where they came from outside."""
        made = self._find_origin(digest, None)
        if made is None and digest not in self._makers and digest not in self._takers:
            holders = (self._find_origin(tree, None) for tree in self._holders(digest))
            made = next((holder for holder in holders if holder is not None), None)
        return made

    def find_result(self, key: str, outputs: Collection[str]) -> ActionResult | None:
        """Of the results that were ever filed under ``key`` the newest with those ``outputs``, digests; else the newest."""
        filed = [made.result for made in self._under(key)]
        fitting = [one for one in filed if {output.digest for output in one.outputs.values()} == set(outputs)]
        return next(reversed(fitting or filed), None)

    def made_in(self, run_id: str) -> list[Made]:
        """What the run executed, in the order in which it began."""
        made = [one for one in self._made.values() if one.result.run_id == run_id]
        return sorted(made, key=lambda one: one.result.started_at)

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
        if digest not in self._makers and digest not in self._takers:
            pending = [(tree, None) for tree in self._place_member(family, digest)]
        while pending:
            wanted, maker = pending.pop()
            made = self._find_origin(wanted, maker)
            self._place(family, wanted, made)
            if made is None:
                continue
            family.edges[wanted, made.id] = None
            if made.id in family.nodes:
                continue
            family.nodes[made.id] = ActionNode(made)
            for taken, key in self._taken(made):
                family.edges[made.id, taken] = None
                pending.append((taken, key))
        return family

    def descendants(self, digest: str) -> Family:
        """Everything that was made from these bytes."""
        family = Family(digest)
        trees = list(self._holders(digest))
        self._place(family, digest, self.find_maker(digest))
        family.edges.update({(tree, digest): None for tree in trees})
        pending = [digest, *trees]
        seen = set(pending)
        while pending:
            wanted = pending.pop()
            self._place(family, wanted, self.find_maker(wanted))
            for taker in (*self._takers.get(wanted, ()), *self._lists_of(wanted)):
                made = self._made[taker]
                family.nodes[made.id] = ActionNode(made)
                family.edges[made.id, wanted] = None
                for product in _products(made.result):
                    family.edges[product, made.id] = None
                    if product not in seen:
                        seen.add(product)
                        pending.append(product)
        return family

    def _taken(self, made: Made) -> Iterator[tuple[str, str | None]]:
        """What an action took: the digest of each content, and the key of the action that had made it, if one had."""
        result = made.result
        for port, taken in result.action.inputs.items():
            yield taken.digest, _origin_key(result, port)
        for origin in result.origins.values():
            if origin.digest is not None:
                yield origin.digest, origin.action_key
        if made.id in self._lists:
            for key in self._items(made.id):
                filed = [*self._under(key)]
                # What was made again later is not what the list holds.
                before = [one for one in filed if one.result.started_at <= result.started_at]
                for output in (before or filed)[-1].result.outputs.values() if filed else ():
                    yield output.digest, key

    def _items(self, list_id: str) -> list[str]:
        """The keys of the actions that made the items of a list; none where that is lost."""
        try:
            return read_keys(self._store.blobs.read(Digest.parse(self._lists[list_id])))
        except LinealError:  # `store verify` tells
            return []

    def _under(self, key: str) -> Iterator[Made]:
        """The results that were ever filed under ``key``."""
        for generation in count():
            made = self._made.get(f"xxh3:{key}.{generation}" if generation else f"xxh3:{key}")
            if made is None:
                return
            yield made

    def _lists_of(self, digest: str) -> list[str]:
        """The makers of the lists that the actions which made ``digest`` are items of."""
        if self._listings is None:
            self._listings = {}
            for list_id in self._lists:
                for key in self._items(list_id):
                    self._listings.setdefault(key, []).append(list_id)
        makers = (self._made[maker] for maker, _ in self._makers.get(digest, ()))
        return [list_id for made in makers for list_id in self._listings.get(made.key, ())]

    def copies(self, digest: str) -> list[tuple[SideProduct, Made]]:
        """The files of these bytes that stages left outside the store, newest first."""
        return [
            (product, self._made[key])
            for key, name in self._newest(digest)
            for product in self._made[key].result.side_products
            if product.path == name and product.digest == digest
        ]

    def _find_origin(self, digest: str, key: str | None) -> Made | None:
        """The result that first had these bytes, seen from one under ``key``, else from their makers, the newest first.

        An action that takes the very bytes that it hands on (a deployment, a filter that found nothing) has only passed them on:
        they come from where it had them. None where they came from outside, or nobody knows.
        """
        known = self._made_under(digest, key)
        starts = [known] if known is not None else [self._made[maker] for maker, _ in self._newest(digest)]
        for start in starts:
            made: Made | None = start
            seen: set[str] = set()
            while made is not None and made.id not in seen:
                seen.add(made.id)
                taken = made.result.action.inputs.items()
                port = next((port for port, one in taken if one.digest == digest), None)
                if port is None:
                    return made
                made = self._made_under(digest, _origin_key(made.result, port))
        return None

    def _made_under(self, digest: str, key: str | None) -> Made | None:
        """The newest of the results filed under ``key`` that made these bytes."""
        makers = (self._made[maker] for maker, _ in self._newest(digest))
        return next((made for made in makers if made.key == key), None)

    def _newest(self, digest: str) -> list[tuple[str, str]]:
        makers = self._makers.get(digest, [])
        return sorted(makers, key=lambda maker: self._made[maker[0]].result.started_at, reverse=True)

    def _place(self, family: Family, digest: str, made: Made | None) -> None:
        """Add the bytes as what ``made`` made of them; where that is None they came from outside, as far as is known."""
        if digest in family.nodes:
            return
        url = self._urls.get(digest)
        if made is None and url is not None:
            family.nodes[digest] = ArtifactNode(digest, "source", url, url=url)
        else:
            family.nodes[digest] = self._artifact(digest, made)

    def _artifact(self, digest: str, made: Made | None) -> ArtifactNode:
        name = next((name for maker, name in self._newest(digest) if made and maker == made.id), None)
        if made is None or name is None:
            return ArtifactNode(digest, "artifact", digest)
        output = made.result.outputs.get(name)
        if output is None:
            return ArtifactNode(digest, "artifact", name, "file")
        named = made.result.stage_id if name == "result" else f"{made.result.stage_id}.{name}"
        return ArtifactNode(digest, "artifact", named, output.type, output.size_bytes)

    # -- directories --------------------------------------------------------------------------

    def _place_member(self, family: Family, digest: str) -> list[str]:
        """Add a file that is known as a part of directories only; the newest directory that holds it, as its parent."""
        holders = self._holders(digest)
        made = {tree: self.find_maker(tree) for tree in holders}
        tree = max(holders, key=lambda one: one_made.result.started_at if (one_made := made[one]) else "")
        holder, entry = self._artifact(tree, made[tree]), holders[tree]
        within = self._urls.get(tree, holder.name) if made[tree] is None else holder.name
        family.nodes[digest] = ArtifactNode(
            digest, "artifact", f"{within}/{entry.path}", "file", entry.size_bytes
        )
        family.edges[digest, tree] = None
        return [tree]

    def _holders(self, digest: str) -> dict[str, TreeEntry]:
        """The directories that hold a file of these bytes, by digest, each with the first such file."""
        if digest not in self._held:
            found = {}
            for directory in self._directories:
                try:
                    tree = Tree.decode(self._store.blobs.read(Digest.parse(directory)))
                except LinealError:  # it is damaged; `store verify` tells
                    continue
                entry = next((entry for entry in tree.entries if str(entry.digest) == digest), None)
                if entry is not None:
                    found[directory] = entry
            self._held[digest] = found
        return self._held[digest]


def _origin_key(result: ActionResult, port: str) -> str | None:
    """The key of the action that an input came from; None where it came from outside, or the record does not say."""
    origin = result.origins.get(port)
    return origin.action_key if origin is not None else None


def _products(result: ActionResult) -> Iterable[str]:
    yield from (output.digest for output in result.outputs.values())
    yield from (product.digest for product in result.side_products)
