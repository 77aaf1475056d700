"""How a stage comes to depend on a unit of code: worked out when somebody asks, never for a key."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from lineal.fingerprint.links import Mode
from lineal.fingerprint.recursion import deep_recursion

if TYPE_CHECKING:
    from lineal.fingerprint.closure import Closure, Closures, Place
    from lineal.fingerprint.effects import Node

Entries = tuple[tuple[str, str], ...]
"""Where a closure starts: modules, and what they call by which names."""

_CODE, _ALL = Mode(), Mode(annotations=True, docs=True, source=True)


class Way(NamedTuple):
    """The units from the start to one that is reached, both included.

    ``changes`` says that the last one is not named by the one before, but changes on import what that uses.
    """

    units: tuple[str, ...] = ()
    changes: bool = False


class _Hop(NamedTuple):
    """How a place was reached: from which other, and whether for what it changes on import."""

    before: Place | None
    changes: bool = False


class Ways:
    """The closure from ``entries`` again, with who reaches whom in it.

    ``beside`` are the modules that are imported before. FingerprintError where code that is reached cannot be read.
    """

    def __init__(self, closures: Closures, entries: Entries, beside: Iterable[str] = ()) -> None:
        self._closures, self._entries = closures, entries
        self._closure: Closure = closures.close(entries, beside)
        self._hops: dict[Place, _Hop] | None = None
        self._places_of: dict[str, Place] = {}

    @property
    def lines(self) -> tuple[str, ...]:
        """What the fingerprint is a hash of, apart from what is declared."""
        return tuple(self._closure.lines)

    def find(self, unit: str) -> Way:
        """The shortest way from the start to ``unit`` (``module:name``); an empty one where none is known."""
        if self._hops is None:
            with deep_recursion():
                self._hops = self._walk()
            for reached in reversed(self._hops):  # the nearest of those that share a name
                self._places_of[self._name(reached)] = reached
        end = place = self._places_of.get(unit)
        if end is None:
            return Way()
        names: list[str] = []
        while place is not None:
            names.append(self._name(place))
            place = self._hops[place].before
        return Way(tuple(reversed(names)), self._hops[end].changes)

    def _walk(self) -> dict[Place, _Hop]:
        """Every place that is reached: through code first, then annotations, then what importing changes."""
        changed_by: dict[Node, list[Place]] = {}
        for module in self._closure.loaded:
            for position, changes in self._closures.loading.changing(module):
                for node in changes.nodes:
                    changed_by.setdefault(node, []).append((module, position))

        def named(place: Place, mode: Mode) -> Iterator[tuple[Place, bool]]:
            for node in self._nodes(place, mode):
                yield from ((following, False) for following in self._named(node))

        def all_changes(place: Place) -> Iterator[tuple[Place, bool]]:
            yield from named(place, _ALL)
            for node in self._nodes(place, _ALL):
                found = changed_by.get(("name", *node[1:]) if node[0] == "own" else node, [])
                whole = changed_by.get(("any", node[1]), []) if node[0] in ("name", "module") else []
                yield from ((following, True) for following in (*found, *whole))

        hops = {place: _Hop(None) for place in self._starts()}
        self._spread(hops, lambda place: named(place, _CODE))
        self._spread(hops, lambda place: named(place, _ALL))
        self._spread(hops, all_changes)
        return hops

    def _spread(
        self, hops: dict[Place, _Hop], following: Callable[[Place], Iterator[tuple[Place, bool]]]
    ) -> None:
        pending = deque(hops)
        while pending:
            place = pending.popleft()
            for reached, changes in following(place):
                if reached in self._closure.units and reached not in hops:
                    hops[reached] = _Hop(place, changes)
                    pending.append(reached)

    def _starts(self) -> Iterator[Place]:
        lookup = self._closures.lookup
        pending = list(self._entries)
        for module, name in pending:
            top = name.partition(".")[0]
            if not top:
                yield from (place for place in self._closure.units if place[0] == module)
                continue
            index = lookup.find_index(module)
            places = [(module, each) for each in (index.names.get(top, ()) if index is not None else ())]
            own = [place for place in places if place in self._closure.units]
            yield from own
            if not own:
                pending += [
                    (each.module, each.name)
                    for each in lookup.resolve(module, (top,))
                    if each.kind == "name" and (each.module, each.name) not in pending
                ]

    def _nodes(self, place: Place, mode: Mode) -> tuple[Node, ...]:
        is_entry = any(place[0] == module for module, _ in self._entries)
        return self._closures.linker.links(*place, mode, is_entry).nodes

    def _named(self, node: Node) -> Iterator[Place]:
        """The places that a node stands for."""
        lookup = self._closures.lookup
        if node[0] == "unit":
            yield node[1], int(node[2])
        elif node[0] == "name" and lookup.find_index(node[1]) is not None:
            yield from ((node[1], each) for each in lookup.binders(node[1], node[2]))
        elif node[0] == "module":
            yield from (place for place in self._closure.units if place[0] == node[1])
            index = lookup.find_index(node[1])
            for name in index.names if index is not None else ():  # what it takes from others
                for target in lookup.resolve(node[1], (name,)):
                    if target.kind == "name" and target.module != node[1]:
                        yield from self._named(("name", target.module, target.name))
        elif node[0] in ("package", "listed"):
            below = f"{node[1]}."
            yield from (place for place in self._closure.units if f"{place[0]}.".startswith(below))

    def _name(self, place: Place) -> str:
        module, position = place
        unit = self._closures.lookup.get_index(module).units[position]
        return f"{module}:{', '.join(unit.names) if unit.names else f'line {unit.line}'}"
