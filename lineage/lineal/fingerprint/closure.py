"""Everything that a stage's code depends on: a closure over units, and the hash of it.

Starts at the stage's function and follows every reference. The statements that importing the project runs are
added when they change something that is in the closure. The hash is over the sorted set of units with what
their names resolve to; the order of units counts only where one name is bound or changed more than once.
"""

from __future__ import annotations

from collections.abc import Iterable

import xxhash
from msgspec import Struct, field

from lineal.fingerprint.effects import Changes, Effects, Node
from lineal.fingerprint.errors import FingerprintError
from lineal.fingerprint.links import Linker, Mode
from lineal.fingerprint.loading import Loading
from lineal.fingerprint.lookup import Lookup
from lineal.fingerprint.paths import code_at
from lineal.fingerprint.recursion import deep_recursion

Place = tuple[str, int]
"""A unit: its module and its number there."""


class Closure(Struct):
    """What a stage reaches.

    ``lines`` are what is hashed, sorted; ``loaded`` the modules that are imported;
    ``importers`` the units that import modules by a name of their own for `import_module`; ``named`` may be names of
    distributions whose metadata is asked for.
    """

    units: dict[Place, bytes]
    lines: list[str]
    loaded: tuple[str, ...]
    outside: frozenset[str]
    nodes: frozenset[Node]
    unresolved: tuple[tuple[str, Place], ...]
    importers: tuple[Place, ...]
    named: frozenset[str]


class Closures:
    """Closures over one set of sources: what one stage needed is remembered for the next."""

    def __init__(self, lookup: Lookup) -> None:
        self.lookup = lookup
        self.effects = Effects(lookup)
        self.loading = Loading(lookup, self.effects)
        self.linker = Linker(lookup, self.effects)
        self._ranks: dict[tuple[str, ...], dict[Place, int]] = {}

    def close(self, entries: Iterable[tuple[str, str]], beside: Iterable[str] = ()) -> Closure:
        """The closure of what some modules call by some names (an empty one: the module as a whole).

        ``beside`` are modules that are imported before. FingerprintError when a module cannot be parsed or has
        no such name.
        """
        entries = tuple(entries)
        try:
            with deep_recursion():
                return self._close(entries, tuple(beside))
        except RecursionError:
            module = entries[0][0] if entries else ""
            raise FingerprintError(
                "leads through too many modules or functions that depend on each other", module
            ) from None

    def _close(self, entries: tuple[tuple[str, str], ...], beside: tuple[str, ...]) -> Closure:
        first = tuple(dict.fromkeys((*beside, *(module for module, _ in entries))))
        mode = Mode()
        while True:
            run = _Run(self, mode)
            for module in first:
                run.roots.add(module)
            for module in beside:
                run.load(module)
            for module, name in entries:
                run.enter(module, name)
            run.exhaust()
            wider = Mode(
                mode.annotations or "annotations" in run.marks,
                mode.docs or run.reads_docs,
                mode.source or "source" in run.marks,
            )
            if wider == mode:
                return self._finish(run, entries, first)
            mode = wider

    def _finish(self, run: _Run, entries: tuple[tuple[str, str], ...], first: tuple[str, ...]) -> Closure:
        lookup, linker = self.lookup, self.linker
        lines: list[str] = []
        units: dict[Place, bytes] = {}
        outside = set(run.outside)
        unresolved: list[tuple[str, Place]] = []
        labels: dict[Place, str] = {}
        importers: list[Place] = []
        named: set[str] = set()
        for place in run.units:
            links = linker.links(*place, run.mode, place in run.entries)
            units[place] = links.hash
            labels[place] = links.label
            lines += links.lines
            outside.update(links.outside)
            named.update(links.named)
            unresolved += [(each, place) for each in links.unresolved]
            if "imports by a name of its own" in links.marks:
                importers.append(place)
        for module in run.files:
            located = lookup.find_module(module)
            if located is not None and located.file is not None:
                lines.append(f"file {module} {xxhash.xxh3_128_hexdigest(lookup.sources.read(located.file))}")
        for module in run.texts | {place[0] for place in units if run.mode.source}:
            located = lookup.find_module(module)
            if located is not None and located.file is not None:
                lines.append(
                    f"source {module} {xxhash.xxh3_128_hexdigest(lookup.sources.read(located.file))}"
                )
        lines += self._orders(run, first, labels)
        lines += self._early(run, first, labels)
        lines += [f"docs {node[1]}:{node[2]} {node[3]}" for node in run.active if node[0] == "docs"]
        imported = {each for module in first for each in self.loading.everything(module)}
        doubtful = {node[1] for node in run.active if node[0] == "loaded"}
        lines += [f"not imported {module}" for module in doubtful - imported]
        lines += [f"entry {module}:{name}" for module, name in entries]
        lines = sorted(set(lines))
        return Closure(
            units,
            lines,
            tuple(run.loaded),
            frozenset(outside),
            frozenset(run.active),
            tuple(unresolved),
            tuple(importers),
            frozenset(named),
        )

    def _orders(self, run: _Run, first: tuple[str, ...], labels: dict[Place, str]) -> list[str]:
        """The order of the units that bind or change one thing, where there are several, and of those that
        read it meanwhile.
        """
        contributors: dict[Node, set[Place]] = {}
        for node in run.active:
            if node[0] in ("name", "own"):
                index = self.lookup.find_index(node[1])
                for each in index.names.get(node[2], ()) if index is not None else ():
                    if (
                        (node[1], each) in run.units
                        and index is not None
                        and index.units[each].kind != "import"
                    ):
                        contributors.setdefault(("name", *node[1:]), set()).add((node[1], each))
        for node, places in run.changed_by.items():
            contributors.setdefault(node, set()).update(places & run.units.keys())
        several = {node: places for node, places in contributors.items() if len(places) > 1}
        if not several:
            return []
        ranks = self._sequence(run, first)
        for place in run.units:  # those that look at it while the modules are imported
            unit = self.lookup.get_index(place[0]).units[place[1]]
            seen = set(self.linker.links(*place, run.mode, place in run.entries).now)
            if unit.calls:
                for called in self.effects.of_unit(*place).called:
                    seen.update(self.linker.links(*called, run.mode).nodes)
            for node in seen & several.keys():
                several[node].add(place)
        lines = []
        for node, places in several.items():
            ordered = sorted(places, key=lambda place: ranks.get(place, len(ranks)))
            lines.append(f"order {' '.join(node)}: {' | '.join(labels[place] for place in ordered)}")
        return lines

    def _early(self, run: _Run, first: tuple[str, ...], labels: dict[Place, str]) -> list[str]:
        """What modules that import each other look up in each other before it is bound."""
        lines = []
        for place in run.units:
            if not self.loading.is_circular(place[0]):
                continue
            unit = self.lookup.get_index(place[0]).units[place[1]]
            nodes: Iterable[Node] = self.linker.links(*place, run.mode, place in run.entries).now
            if unit.kind == "import":
                targets = self.lookup.resolve(place[0], unit.target)
                nodes = [("name", each.module, each.name) for each in targets if each.kind == "name"]
            for node in nodes:
                if node[0] != "name" or node[1] == place[0] or self.lookup.find_index(node[1]) is None:
                    continue
                ranks = self._sequence(run, first)
                for each in self.lookup.binders(node[1], node[2]):
                    bound = (node[1], each)
                    if bound in run.units and ranks.get(bound, 0) > ranks.get(place, len(ranks)):
                        lines.append(f"early {labels[place]}: {labels[bound]}")
        return lines

    def _sequence(self, run: _Run, first: tuple[str, ...]) -> dict[Place, int]:
        """When each unit runs, if these modules are imported first, and what functions import after them."""
        key = (*first, *sorted(run.loaded.keys() - set(first)))
        ranks = self._ranks.get(key)
        if ranks is None:
            ranks = self._ranks[key] = self.loading.sequence(key)
        return ranks


class _Run(Struct):
    """One closure while it grows."""

    closures: Closures
    mode: Mode
    units: dict[Place, None] = field(default_factory=dict)
    active: set[Node] = field(default_factory=set)
    pending: list[Node] = field(default_factory=list)
    loaded: dict[str, None] = field(default_factory=dict)
    entries: set[Place] = field(default_factory=set)
    outside: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)
    marks: set[str] = field(default_factory=set)
    reads_docs: bool = False
    strings: set[tuple[str, str]] = field(default_factory=set)
    changed_by: dict[Node, set[Place]] = field(default_factory=dict)
    roots: set[str] = field(default_factory=set)
    effective: set[str] = field(default_factory=set)

    def enter(self, module: str, name: str) -> None:
        """Start at what ``module`` calls ``name``, or at all of the module. ``name#1`` is the second definition
        of that name.
        """
        if not name:
            if self.closures.lookup.find_module(module) is None:
                raise FingerprintError(
                    "is no module of the project", module, hint="Check the name, and the import roots."
                )
            self.activate(("module", module))
            return
        lookup = self.closures.lookup
        index = lookup.get_index(module)
        top, _, number = name.partition(".")[0].partition("#")
        everything = index.names.get(top, [])  # a guard may say that none of them runs on import
        if number:
            positions = everything[int(number) : int(number) + 1]
        else:
            positions = lookup.binders(module, top) or everything
        known = [(module, each) for each in positions if index.units[each].kind not in ("import", "star")]
        self.load(module)
        if known:
            self.entries.update(known)
            self.activate(("own" if number else "name", module, top))
            for place in known:
                self.include(place)
            return
        targets = [each for each in lookup.resolve(module, (top,)) if each.kind == "name"]
        if not targets:
            raise FingerprintError(f"has no function {name!r}", module, hint="Check the name of the stage.")
        for target in targets:
            self.enter(target.module, target.name)

    def activate(self, node: Node) -> None:
        if node not in self.active:
            self.active.add(node)
            self.pending.append(node)

    def exhaust(self) -> None:
        """Follow everything that is pending, until nothing new is found."""
        while True:
            while self.pending:
                self.expand(self.pending.pop())
            before = len(self.active)
            if "dynamic" in self.marks or "imports" in self.marks:
                self._match_strings()
            self._include_imports()
            self._include_hooks()
            if not self.pending and len(self.active) == before:
                return

    def expand(self, node: Node) -> None:
        kind = node[0]
        lookup = self.closures.lookup
        for place in tuple(self.changed_by.get(node, ())):
            self.include(place, changes=True)
        if kind == "name":
            self.load(node[1])
            for place in tuple(self.changed_by.get(("any", node[1]), ())):
                self.include(place, changes=True)
            if lookup.find_index(node[1]) is not None:
                for each in lookup.binders(node[1], node[2]):
                    if lookup.get_index(node[1]).units[each].kind not in ("import", "star"):
                        self.include((node[1], each))
        elif kind == "own":
            for place in tuple(self.changed_by.get(("name", *node[1:]), ())):
                self.include(place, changes=True)
        elif kind == "unit":
            self.include((node[1], int(node[2])))
        elif kind == "module":
            self._module(node[1])
        elif kind == "runs":
            self._runs(node[1])
        elif kind in ("signature", "function signature"):
            self._sign(node[1], node[2], classes=kind == "signature")
        elif kind == "listed":
            for module in self.closures.loading.below(node[1]):
                self.load(module)
        elif kind == "package":
            for module in self.closures.loading.below(node[1]):
                self.activate(("module", module))
        elif kind == "absent":
            parts = node[1].split(".")
            for length in range(1, len(parts) + 1):
                self.activate(("any", ".".join(parts[:length])))

    def _module(self, module: str) -> None:
        """A module used as a value: everything in it, but for the modules that it imports."""
        lookup = self.closures.lookup
        self.load(module)
        for place in tuple(self.changed_by.get(("any", module), ())):
            self.include(place, changes=True)
        index = lookup.find_index(module)
        if index is None:
            located = lookup.find_module(module)
            if located is not None and located.kind == "extension":
                self.files.add(module)
            return
        for name in index.names:
            if name == "__doc__":
                continue
            for target in lookup.resolve(module, (name,)):
                if target.kind == "name":
                    self.activate(("name", target.module, target.name))
        for position, unit in enumerate(index.units):
            if unit.kind == "star":
                for target in lookup.resolve(module, unit.target):
                    if target.kind == "module":
                        self.activate(("module", target.module))
            elif not unit.names and not unit.hidden and unit.kind not in ("guard", "doc"):
                self.include((module, position))

    def _include_imports(self) -> None:
        """What a module changes counts, so what decides whether it is imported does too."""
        loading = self.closures.loading
        doubtful = [(each, loading.uncertain(each)) for each in tuple(self.loaded)] if self.effective else []
        doubtful = [each for each in doubtful if each[1]]
        if not doubtful:
            return
        sure = loading.surely(self.roots)
        wanted = self.effective - sure
        reached: set[str] = set()
        while wanted - reached:
            reached |= wanted
            for module, units in doubtful:
                for position, name in units:
                    if name in reached:
                        self.include((module, position))
                        wanted.add(module)
            wanted |= {
                user for user in self.loaded for _, name in loading.loads(user) if name in wanted
            } - sure

    def _include_hooks(self) -> None:
        """A submodule that is used as an attribute and that no import has brought: the package's ``__getattr__``
        brings it.
        """
        lookup = self.closures.lookup
        for module in [node[1] for node in self.active if node[0] == "loaded"]:
            package = module.rpartition(".")[0]
            index = lookup.find_index(package)
            if index is not None and "__getattr__" in index.names:
                hooks = [
                    target for target in lookup.resolve(package, ("__getattr__",)) if target.kind == "name"
                ]
                imported = (module in self.closures.loading.everything(root) for root in self.roots)
                for hook in hooks if not any(imported) else ():
                    self.activate(("name", hook.module, hook.name))

    def _runs(self, module: str) -> None:
        """Importing a module may fail, and that is noticed: by what it raises, and what is not there."""
        lookup = self.closures.lookup
        self.load(module)
        for each in self.closures.loading.everything(module):
            index = lookup.find_index(each)
            for position, unit in enumerate(index.units if index is not None else ()):
                if unit.hidden:
                    continue
                if "raises" in unit.marks or (
                    unit.kind in ("import", "star")
                    and any(target.kind == "absent" for target in lookup.resolve(each, unit.target[:2]))
                ):
                    self.include((each, position))

    def _sign(self, module: str, name: str, classes: bool) -> None:
        """Something reads the signature of a function, or the fields of a class: its annotations count."""
        index = self.closures.lookup.find_index(module)
        for each in self.closures.lookup.binders(module, name) if index is not None else ():
            assert index is not None
            place = (module, each)
            if index.units[each].kind == "def" or (classes and index.units[each].kind == "class"):
                self.entries.add(place)
                self.units.pop(place, None)
                self.include(place)

    def include(self, place: Place, changes: bool = False) -> None:
        """Take in a unit; ``changes`` says that it is there for what importing its module changes."""
        if changes:
            self.effective.add(place[0])
        if place in self.units:
            return
        self.units[place] = None
        closures = self.closures
        unit = closures.lookup.get_index(place[0]).units[place[1]]
        links = closures.linker.links(*place, self.mode, place in self.entries)
        self.load(place[0])
        for node in links.nodes:
            self.activate(node)
        for what in links.imports:
            for module in closures.loading.imported(place[0], what):
                self.roots.add(module)
                self.load(module)
        for kind, detail, _ in unit.spots:
            code = code_at(closures.lookup, place[0], kind, detail)
            if code is not None:
                self.texts.add(code)
                self.activate(("module", code))
        self.marks.update(links.marks)
        self.strings.update((place[0], text) for text in (*unit.strings, *links.plugins))
        if "docs" in unit.marks:
            if links.docs_of:
                for node in links.docs_of:
                    self._include_docs(node)
            else:
                self.reads_docs = True
        if "subclasses" in unit.marks:
            self.activate(("reads subclasses",))
            for node in [each for each in self.active if each[0] in ("name", "own")]:
                self.activate(("subclasses", node[1], node[2]))
        elif ("reads subclasses",) in self.active and unit.kind == "class":
            for name in unit.names:
                self.activate(("subclasses", place[0], name))

    def _include_docs(self, node: Node) -> None:
        index = self.closures.lookup.find_index(node[1])
        if index is not None:
            for each in self.closures.lookup.binders(node[1], node[2]):
                docs = index.units[each].hashes.docs
                self.activate(("docs", node[1], node[2], docs.hex()))

    def load(self, module: str) -> None:
        """Note that ``module`` is imported: it, the packages around it, and what they import."""
        if module in self.loaded:
            return
        loading = self.closures.loading
        for each in loading.everything(module):
            if each in self.loaded:
                continue
            self.loaded[each] = None
            for position, changes in loading.changing(each):
                self._watch((each, position), changes)
            for position in loading.searching(each):  # what it brings may change anything
                self.include((each, position))
            for name in loading.side_imports(each):
                self.outside.add(name)
                self.activate(("outside", name.partition(".")[0]))

    def _watch(self, place: Place, changes: Changes) -> None:
        """Include the unit at ``place`` as soon as something that it changes is in the closure."""
        for node in changes.nodes:
            self.changed_by.setdefault(node, set()).add(place)
            if (
                node in self.active
                or (node[0] == "name" and ("own", *node[1:]) in self.active)
                or (
                    node[0] == "any"
                    and any(each[0] in ("name", "module") and each[1] == node[1] for each in self.active)
                )
            ):
                self.include(place, changes=True)

    def _match_strings(self) -> None:
        """Text that names project code is taken for what a computed import brings; for what it is imported for only,
        where no result of such an import is used.
        """
        lookup = self.closures.lookup
        for user, text in sorted(self.strings):
            module, _, name = text.partition(":")
            if module.startswith("."):
                module = lookup.absolute(user, len(module) - len(module.lstrip(".")), module.lstrip("."))
            parts = module.split(".")
            for length in range(len(parts), 0, -1):
                if lookup.find_module(".".join(parts[:length])) is not None:
                    found = ".".join(parts[:length])
                    rest = [*parts[length:], *(name.split(".") if name else [])]
                    if "dynamic" in self.marks:
                        self.activate(("name", found, rest[0]) if rest else ("module", found))
                    self.load(found)
                    break
        if "dynamic" in self.marks:
            self.strings.clear()
