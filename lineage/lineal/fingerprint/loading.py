"""Which modules importing a module runs, and in which order their statements run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lineal.fingerprint.effects import Changes, Effects, is_standard
from lineal.fingerprint.lookup import OWN_PACKAGES, Lookup
from lineal.fingerprint.scopes import Import

_ANY_MODULE: Import = (-1, "", None)


class Loading:
    """What runs when project modules are imported, over one `Lookup`."""

    def __init__(self, lookup: Lookup, effects: Effects) -> None:
        self.lookup = lookup
        self.effects = effects
        self._loads: dict[str, tuple[tuple[int, str], ...]] = {}
        self._circular: dict[str, bool] = {}
        self._searching: dict[str, tuple[int, ...]] = {}
        self._uncertain: dict[str, tuple[tuple[int, str], ...]] = {}
        self._everything: dict[str, tuple[str, ...]] = {}
        self._changing: dict[str, tuple[tuple[int, Changes], ...]] = {}
        self._side_imports: dict[str, tuple[str, ...]] = {}

    def loads(self, module: str) -> tuple[tuple[int, str], ...]:
        """The project modules that importing ``module`` imports, each with the unit that does, in order."""
        known = self._loads.get(module)
        if known is not None:
            return known
        self._loads[module] = ()
        found: dict[str, int] = {}
        index = self.lookup.find_index(module)
        for position, unit in enumerate(index.units if index is not None else ()):
            if unit.hidden:
                continue
            for each in unit.imports_now:
                for name in self.imported(module, each):
                    found.setdefault(name, position)
            for chain in unit.now:
                if chain[-1] == "__path__":
                    for target in self.lookup.resolve(module, chain, position):
                        if target.kind == "package":
                            for name in self.below(target.module):
                                found.setdefault(name, position)
        for position, changes in self.changing(module):
            for owner, each in sorted(changes.imports, key=repr):
                for name in self.imported(owner, each):
                    found.setdefault(name, position)
        found.pop(module, None)
        result = self._loads[module] = tuple((position, name) for name, position in found.items())
        return result

    def uncertain(self, module: str) -> tuple[tuple[int, str], ...]:
        """Those of `loads` that a guard, a loop, a function that is called, or a name that is computed may leave
        out; with every unit that would import them.
        """
        known = self._uncertain.get(module)
        if known is not None:
            return known
        index = self.lookup.find_index(module)
        certain: set[str] = set()
        found: list[tuple[int, str]] = []
        for position, unit in enumerate(index.units if index is not None else ()):
            for each in unit.imports_now if not unit.hidden else ():
                names = list(self.imported(module, each))
                if unit.guards or unit.kind not in ("import", "star"):
                    found += [(position, name) for name in names]
                else:
                    certain.update(names)
        for position, changes in self.changing(module):
            for owner, each in changes.imports:
                found += [(position, name) for name in self.imported(owner, each)]
        result = tuple(dict.fromkeys(each for each in found if each[1] not in certain and each[1] != module))
        self._uncertain[module] = result
        return result

    def searching(self, module: str) -> tuple[int, ...]:
        """The units of ``module`` that import what their text does not show when it is imported."""
        known = self._searching.get(module)
        if known is not None:
            return known
        index = self.lookup.find_index(module)
        units = enumerate(index.units if index is not None else ())
        found = {each for each, unit in units if not unit.hidden and _ANY_MODULE in unit.imports_now}
        for position, changes in self.changing(module):
            if any(what == _ANY_MODULE for _, what in changes.imports):
                found.add(position)
        result = self._searching[module] = tuple(sorted(found))
        return result

    def surely(self, roots: Iterable[str]) -> set[str]:
        """The project modules that are imported with ``roots``, whatever guards say."""
        found: set[str] = set()
        pending = list(roots)
        while pending:
            module = pending.pop()
            if module in found or self.lookup.find_module(module) is None:
                continue
            found.add(module)
            if "." in module:
                pending.append(module.rpartition(".")[0])
            doubtful = {name for _, name in self.uncertain(module)}
            pending += [name for _, name in self.loads(module) if name not in doubtful]
        return found

    def everything(self, module: str) -> tuple[str, ...]:
        """All project modules that are imported when ``module`` is: itself, the packages around it, and so
        on.
        """
        known = self._everything.get(module)
        if known is not None:
            return known
        found: dict[str, None] = {}
        pending = [module]
        while pending:
            each = pending.pop()
            if each in found or self.lookup.find_module(each) is None:
                continue
            found[each] = None
            parent = each.rpartition(".")[0]
            if parent:
                pending.append(parent)
            pending += [name for _, name in self.loads(each)]
        result = self._everything[module] = tuple(found)
        return result

    def is_circular(self, module: str) -> bool:
        """Whether importing ``module`` imports something that imports it."""
        known = self._circular.get(module)
        if known is None:
            known = any(module in self.everything(name) for _, name in self.loads(module))
            self._circular[module] = known
        return known

    def imported(self, module: str, what: Import) -> Iterator[str]:
        """The project modules that an import in ``module`` runs: packages before what is in them."""
        level, name, taken = what
        absolute = self.lookup.absolute(module, level, name)
        if level == -1:
            yield from self.below(absolute.rstrip("."))
            return
        parts = absolute.split(".")
        for length in range(1, len(parts) + 1):
            part = ".".join(parts[:length])
            if self.lookup.find_module(part) is not None:
                yield part
        package = self.lookup.find_module(absolute)
        if taken == ("*",) and package is not None and package.search:  # submodules that `__all__` names
            index = self.lookup.find_index(absolute)
            exports = self.lookup.exports(index) if index is not None else None
            taken = tuple(e for e in exports or () if isinstance(e, str) and index and e not in index.names)
        for each in taken or ():
            if package is not None and package.search and each != "*":
                submodule = f"{absolute}.{each}"
                if self.lookup.find_module(submodule) is not None:
                    yield submodule

    def below(self, package: str) -> Iterator[str]:
        """A package and every module in it, at any depth."""
        if self.lookup.find_module(package) is None:
            return
        yield package
        for module in self.lookup.sources.submodules(package):
            found = self.lookup.find_module(module)
            if found is not None and (found.kind != "namespace" or module.count(".") < 8):
                yield from self.below(module)

    def changing(self, module: str) -> tuple[tuple[int, Changes], ...]:
        """The units of ``module`` whose import changes something outside them (or imports by way of a
        function).
        """
        known = self._changing.get(module)
        if known is not None:
            return known
        found = []
        index = self.lookup.find_index(module)
        for position, unit in enumerate(index.units if index is not None else ()):
            if not unit.hidden and (unit.mutations or unit.calls or unit.kind == "class"):
                changes = self.effects.of_unit(module, position)
                if changes.nodes or changes.imports:
                    found.append((position, changes))
        result = self._changing[module] = tuple(found)
        return result

    def side_imports(self, module: str) -> tuple[str, ...]:
        """The third-party modules that ``module`` imports and never names again: imported for what that does."""
        known = self._side_imports.get(module)
        if known is not None:
            return known
        found = []
        index = self.lookup.find_index(module)
        plain = (
            [u for u in index.units if u.kind == "import" and len(u.target) == 2 and not u.hidden]
            if index
            else []
        )
        if plain and index is not None:
            used = {c[0] for u in index.units for c in (*u.now, *u.later, *u.annotations, *u.fields)}
            used |= {c[0] for u in index.units for d in u.decorators for c in (*d.now, *d.later)}
            for unit in plain:
                if unit.names[0] not in used:
                    name = self.lookup.absolute(module, int(unit.target[0]), str(unit.target[1]))
                    top = name.partition(".")[0]
                    if (
                        not is_standard(top)
                        and top not in OWN_PACKAGES
                        and self.lookup.find_module(top) is None
                    ):
                        found.append(name)
        result = self._side_imports[module] = tuple(found)
        return result

    def sequence(self, modules: Iterable[str]) -> dict[tuple[str, int], int]:
        """When each unit runs, as a rank, if these modules are imported one after the other."""
        ranks: dict[tuple[str, int], int] = {}
        seen: set[str] = set()

        def run(module: str) -> None:
            if module in seen:
                return
            seen.add(module)
            index = self.lookup.find_index(module)
            below = self.loads(module)
            upcoming = 0
            for position in range(len(index.units) if index is not None else 0):
                while upcoming < len(below) and below[upcoming][0] <= position:
                    run(below[upcoming][1])
                    upcoming += 1
                ranks[(module, position)] = len(ranks)

        for module in modules:
            run(module)
        return ranks
