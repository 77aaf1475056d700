"""What a name means: from a dotted name in a module to the unit, module or outside thing that it reaches.

Follows aliases, relative and star imports, re-exports, module ``__getattr__`` and namespace packages as the
import system would, over the summaries of the project's files; imports nothing.
"""

from __future__ import annotations

import builtins
import sys
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, NamedTuple

from lineal.fingerprint.errors import FingerprintError
from lineal.fingerprint.literals import LOADED, OWN_NAME, OWN_PACKAGE, Chain

if TYPE_CHECKING:
    from lineal.fingerprint.distributions import Distributions
    from lineal.fingerprint.sources import Module, Sources
    from lineal.fingerprint.summaries import Summaries
    from lineal.fingerprint.syntax import Summary, Unit

OWN_PACKAGES = frozenset({"lineal", "lineal_store", "lineal_cli", "lineal_web"})
"""Lineal's own: never project code, never a distribution that counts, so that upgrading it changes no key."""

_QUIET_CALLS = frozenset(
    [
        "overload",
        "property",
        "staticmethod",
        "classmethod",
        "dataclass",
        "wraps",
        "lru_cache",
        "cache",
        "cached_property",
        "TypeVar",
        "ParamSpec",
        "NewType",
        "namedtuple",
        "NamedTuple",
        "field",
        "abstractmethod",
        "total_ordering",
        "contextmanager",
        "asynccontextmanager",
        "getLogger",
        "compile",
        "frozenset",
        "tuple",
        "set",
        "dict",
        "list",
        "range",
        "len",
        "int",
        "float",
        "str",
        "Path",
        "Lock",
        "RLock",
        "object",
    ]
)
_MODULE_CONSTANTS = frozenset(
    {"__name__", "__file__", "__package__", "__spec__", "__loader__", "__cached__", "__doc__"}
)
_BUILTINS = frozenset(dir(builtins))


class Target(NamedTuple):
    """What a dotted name reaches.

    ``kind`` is ``name`` (``name`` in the project module ``module``, with the attributes ``rest`` behind it),
    ``module`` (as a whole), ``package`` (with every module below it), ``outside`` (``module`` is the dotted
    name of something that is no project code), ``builtin``, ``missing`` (a name that a project module does
    not bind), ``absent`` (a module that is nowhere) or, beside those, ``via`` (an import under a guard, the
    unit ``name`` of ``module``, that the way there takes), ``loaded`` (it depends on whether ``module`` has
    been imported, for a submodule is an attribute only then) or ``exports`` (the ``__all__`` of ``module`` lets it
    through, unless something changes that).
    """

    kind: str
    module: str
    name: str = ""
    rest: Chain = ()


class Index:
    """One project module: its summary, and its units by the names that they bind."""

    __slots__ = ("loud", "module", "names", "package", "stars", "summary", "units")

    def __init__(self, module: Module, summary: Summary) -> None:
        self.module = module.name
        self.package = module.package
        self.summary = summary
        self.units = summary.units
        self.names: dict[str, list[int]] = {}
        self.stars: list[int] = []
        self.loud: list[int] | None = None
        for index, unit in enumerate(summary.units):
            if unit.kind == "star" and not unit.hidden:
                self.stars.append(index)
            for name in unit.names:
                self.names.setdefault(name, []).append(index)

    def calls_between(self, start: int, end: int) -> bool:
        """Whether a unit between these two calls something on import that may look at the module."""
        if self.loud is None:
            self.loud = [
                index
                for index, unit in enumerate(self.units)
                if any(_last_name(call[0]) not in _QUIET_CALLS for call in unit.calls)
            ]
        return bisect_right(self.loud, start) < bisect_left(self.loud, end)


_Reach = tuple[frozenset[str], tuple[str, ...], frozenset[str]]
"""More than enough names that project modules bind; the modules outside the project; the project modules."""

_NOTHING: _Reach = (frozenset(), (), frozenset())


class Lookup:
    """Resolves names over one set of sources. Answers are remembered: the sources do not change."""

    def __init__(self, sources: Sources, distributions: Distributions, summaries: Summaries) -> None:
        self.sources = sources
        self.distributions = distributions
        self.summaries = summaries
        self._indexes: dict[str, Index | None] = {}
        self._modules: dict[str, Module | None] = {}
        self._resolved: dict[tuple[str, Chain, int | None, bool], tuple[Target, ...]] = {}
        self._stars: dict[tuple[str, int], str] = {}
        self._star_reaches: dict[str, _Reach] = {}
        self._binding: dict[tuple[str, str, bool], list[int]] = {}
        self._provided: dict[tuple[str, str], bool] = {}

    def find_module(self, name: str) -> Module | None:
        """Where the project module ``name`` lies; None when it is not project code."""
        try:
            return self._modules[name]
        except KeyError:
            pass
        found = self._modules[name] = self._find_module(name)
        return found

    def _find_module(self, name: str) -> Module | None:
        top = name.partition(".")[0]
        if top in OWN_PACKAGES or top in sys.builtin_module_names or not top:
            return None
        found = self.sources.find(name)
        if found is None or found.kind == "namespace":
            if top in sys.stdlib_module_names:
                return None
            folder = self.distributions.find_project_folder(name)
            if folder is not None:
                self.sources.add_root(folder)
                found = self.sources.find(name)
        if found is not None and found.kind == "namespace" and self.distributions.provides(top):
            return None  # a folder of that name is not looked at where a package is installed
        return found

    def add_root(self, folder: str) -> None:
        """Look for modules in ``folder`` too; what could not be found so far is looked for again."""
        self.sources.add_root(folder)
        self._look_again()

    def add_search(self, package: str, folder: str) -> None:
        """Look for the submodules of ``package`` in ``folder`` too."""
        self.sources.add_search(package, folder)
        self._modules.pop(package, None)
        self._look_again()

    def _look_again(self) -> None:
        self._modules = {name: found for name, found in self._modules.items() if found is not None}
        self._indexes = {name: found for name, found in self._indexes.items() if found is not None}
        self._resolved.clear()
        self._star_reaches.clear()
        self._binding.clear()
        self._provided.clear()

    def find_index(self, name: str) -> Index | None:
        """The units of the project module ``name``; None when it has no source. FingerprintError when that is
        broken.
        """
        try:
            return self._indexes[name]
        except KeyError:
            pass
        module = self.find_module(name)
        index = None
        if module is not None and module.kind in ("source", "package") and module.file is not None:
            index = Index(module, self.summaries.get(self.sources, module.file))
        self._indexes[name] = index
        return index

    def get_index(self, name: str) -> Index:
        """As `find_index`, for a module that is known to have a source."""
        index = self.find_index(name)
        if index is None:
            raise FingerprintError(
                "is no module of the project", name, hint="Check the name, and the import roots."
            )
        return index

    def absolute(self, module: str, level: int, name: str) -> str:
        """The absolute name of what ``module`` imports as ``name``, ``level`` dots before it."""
        if name[:1] == OWN_NAME:
            return module + name[1:]
        index_package = self.package_of(module)
        if name[:1] == OWN_PACKAGE:
            return (index_package + name[1:]).strip(".")
        if level <= 0:
            return name
        package = index_package
        for _ in range(level - 1):
            package = package.rpartition(".")[0]
        return f"{package}.{name}" if name and package else package or name

    def package_of(self, module: str) -> str:
        found = self.find_module(module)
        return found.package if found is not None else module.rpartition(".")[0]

    def resolve(
        self, module: str, chain: Chain, at: int | None = None, typing: bool = False
    ) -> tuple[Target, ...]:
        """What ``chain`` reaches from ``module``.

        ``at`` is the unit that looks it up while the module is imported; None means later, when all of it has
        run. ``typing`` also follows what is imported for type checkers only.
        """
        key = (module, chain, at, typing)
        known = self._resolved.get(key)
        if known is None:
            known = self._resolved[key] = tuple(
                dict.fromkeys(self._resolve(module, chain, at, typing, set()))
            )
        return known

    def _resolve(
        self, module: str, chain: Chain, at: int | None, typing: bool, seen: set[tuple[str, str, Chain]]
    ) -> list[Target]:
        root, *rest = chain
        if isinstance(root, int):
            name = self.absolute(module, root, str(rest[0]))
            if root == LOADED:
                return [Target("loaded", name)] if self.find_module(name) is not None else []
            if root == -1:
                return [Target("package", name.rstrip("."))]
            return self._in_module(name, tuple(rest[1:]), typing, seen)
        if root == "__path__":
            return [Target("package", module)]
        return self._global(module, root, tuple(rest), at, typing, seen)

    def _global(
        self,
        module: str,
        name: str,
        rest: Chain,
        at: int | None,
        typing: bool,
        seen: set[tuple[str, str, Chain]],
    ) -> list[Target]:
        """What the global ``name`` of ``module`` is."""
        if (module, name, rest) in seen:  # a circle, or a second way to the same
            return []
        seen.add((module, name, rest))
        found: list[Target] = []
        index = self.find_index(module)
        units = self.binders(module, name, at, typing) if index is not None else []
        for each in units:
            found += self._bound(module, name, rest, each, typing, seen)
        if units and not any(
            each.kind != "via" for each in found
        ):  # star imports in a circle: what the last one brings comes from an earlier one
            for each in self._candidates(module, name, typing):
                found += self._bound(module, name, rest, each, typing, seen)
        if index is not None:
            found += self._outside_stars(module, name, units, at)
            if units and self._hidden_by_submodule(module, name, units[-1]):
                found.append(Target("loaded", f"{module}.{name}"))
                found += self._in_module(f"{module}.{name}", rest, typing, seen)
        if found or units:
            return found
        package = self.find_module(module)
        if package is not None and package.search and self.find_module(f"{module}.{name}") is not None:
            found = self._in_module(f"{module}.{name}", rest, typing, seen)
            return [*found, Target("loaded", f"{module}.{name}")]
        for star in index.stars if index is not None else ():
            brought = f"{self._star(module, star)}.{name}"  # a star brings the submodules imported so far
            if self.find_module(brought) is not None:
                return self._in_module(brought, rest, typing, seen)
        if name in _MODULE_CONSTANTS:
            return []
        if name in _BUILTINS:
            return [Target("builtin", "", name, rest)]
        return [Target("missing", module, name)]

    def _outside_stars(self, module: str, name: str, units: list[int], at: int | None) -> list[Target]:
        """What star imports of something that is no project code may bring after these units have bound
        ``name``, directly or by way of other modules.
        """
        found = []
        for star in self.get_index(module).stars:
            if (not units or star > units[-1]) and (at is None or star < at or not units):
                for outside in self._star_reach(self._star(module, star))[1]:
                    kind = "outside" if self._is_outside(outside) else "absent"
                    found.append(Target(kind, f"{outside}.{name}"))
        return found

    def _star_reach(self, module: str) -> _Reach:
        """What a star import of ``module`` may bring, by way of others too."""
        known = self._star_reaches.get(module)
        if known is not None:
            return known
        self._star_reaches[module] = _NOTHING  # in case that this comes back to it
        index = self.find_index(module)
        for star in index.stars if index is not None else ():
            self._star_reach(self._star(module, star))
        names: set[str] = set()
        outside: dict[str, None] = {}
        modules: set[str] = set()
        pending = [(module, True)]
        seen: set[tuple[str, bool]] = set()
        while pending:
            each, everything = pending.pop()
            if (each, everything) in seen:
                continue
            seen.add((each, everything))
            known = self._star_reaches.get(each, _NOTHING)
            if known is not _NOTHING:
                names |= known[0]
                outside.update(dict.fromkeys(known[1] if everything else ()))
                modules |= known[2]
                continue
            modules.add(each)
            index = self.find_index(each)
            if index is None:
                if everything and self.find_module(each) is None:
                    outside[each] = None
                continue
            names.update(index.names)
            everything = everything and "__all__" not in index.names
            pending += [(self._star(each, star), everything) for star in index.stars]
            for export in index.summary.exports or ():
                if isinstance(export, str):
                    names.add(export)
                elif export is not None:  # another module's __all__
                    targets = self.resolve(each, export[:-1])
                    pending += [(target.module, False) for target in targets if target.kind == "module"]
        result = self._star_reaches[module] = (frozenset(names), tuple(outside), frozenset(modules))
        return result

    def _hidden_by_submodule(self, module: str, name: str, last: int) -> bool:
        """Whether the submodule ``name`` of a package may take the place of what the package's unit ``last``
        has bound to that name: importing a submodule sets it. The first time only: not when the package
        itself imports it up to there.
        """
        package = self.find_module(module)
        submodule = f"{module}.{name}"
        if package is None or not package.search or self.find_module(submodule) is None:
            return False
        for unit in self.get_index(module).units[: last + 1]:
            for level, written, taken in unit.imports_now if not unit.guards else ():
                absolute = self.absolute(module, level, written)
                if f"{absolute}.".startswith(f"{submodule}.") or (
                    absolute == module and name in (taken or ())
                ):
                    return False
        return True

    def _bound(
        self,
        module: str,
        name: str,
        rest: Chain,
        position: int,
        typing: bool,
        seen: set[tuple[str, str, Chain]],
    ) -> list[Target]:
        """What ``name`` is after the unit at ``position`` has bound it."""
        unit = self.get_index(module).units[position]
        if unit.kind not in ("import", "star"):
            return [Target("name", module, name, rest)]
        level, target, *taken = unit.target
        absolute = self.absolute(module, int(level), str(target))
        if unit.kind == "import":
            found = self._in_module(absolute, (*taken, *rest), typing, seen, importer=module)
        else:
            found = self._in_module(absolute, (name, *rest), typing, seen, importer=module)
            index = self.find_index(absolute)
            if index is not None and "__all__" in index.names:
                known = not unit.guards and all(isinstance(e, str) for e in self.exports(index) or (None,))
                found.append(Target("exports" if known else "name", absolute, "__all__"))
        if unit.guards:
            found.append(Target("via", module, str(position)))
        return found

    def _in_module(
        self, module: str, rest: Chain, typing: bool, seen: set[tuple[str, str, Chain]], importer: str = ""
    ) -> list[Target]:
        """What the attributes ``rest`` of the module named ``module`` reach."""
        while rest and rest[0] == "()":
            return [Target("module", module)]
        located = self.find_module(module)
        if located is None:
            dotted = ".".join([module, *(str(part) for part in rest if part != "()")])
            return [Target("outside" if self._is_outside(module) else "absent", dotted)]
        if not rest:
            return [Target("module", module)]
        name = str(rest[0])
        if name == "__dict__":
            return [Target("module", module)]
        if name == "__path__":
            return [Target("package", module)]
        if located.kind == "extension":
            return [Target("module", module)]
        if importer == module:  # `from . import x` in the package itself: the submodule
            submodule = f"{module}.{name}"
            if self.find_module(submodule) is not None:
                return self._in_module(submodule, rest[1:], typing, seen)
        found = self._global(module, name, rest[1:], None, typing, seen)
        if len(found) == 1 and found[0].kind in ("missing", "builtin"):
            index = self.find_index(module)
            if index is not None and "__getattr__" in index.names:
                hooks = self._global(module, "__getattr__", (), None, typing, seen)
                lazy = self._lazy(module, name, rest[1:], hooks, typing, seen)
                return [*hooks, *lazy, Target("missing", module, name)]
            return [Target("missing", module, name)]
        return found

    def _lazy(
        self,
        module: str,
        name: str,
        rest: Chain,
        hooks: list[Target],
        typing: bool,
        seen: set[tuple[str, str, Chain]],
    ) -> list[Target]:
        """What a package's ``__getattr__`` may bring that no function of that name is: one made by a call that is
        told the submodules (``attach(__name__, ["a", "b"])``).
        """
        package = self.find_module(module)
        made = [
            unit
            for hook in hooks
            if hook.kind == "name" and hook.module == module
            for unit in (self.get_index(module).units[each] for each in self.binders(module, hook.name))
            if unit.kind != "def"
        ]
        if not made or package is None or not package.search:
            return []
        told = [f"{module}.{text}" for unit in made for text in unit.strings]
        submodules = [each for each in sorted(set(told)) if self.find_module(each) is not None]
        holders = [each for each in submodules if self.provides(each, name)]
        found = [t for each in holders for t in self._in_module(each, (name, *rest), typing, seen)]
        return found or [Target("module", each) for each in submodules] or [Target("package", module)]

    def _is_outside(self, module: str) -> bool:
        top = module.partition(".")[0]
        return (
            top in sys.stdlib_module_names
            or top in sys.builtin_module_names
            or top in OWN_PACKAGES
            or self.distributions.provides(top)
        )

    def binders(self, module: str, name: str, at: int | None = None, typing: bool = False) -> list[int]:
        """The units of ``module`` whose binding of ``name`` may be the one that is looked up (see `resolve`),
        in order.

        A binding that certainly runs hides those before it, unless a call in between may have used them.
        """
        found = self._candidates(module, name, typing)
        end = len(found) if at is None else bisect_left(found, at) or len(found)
        if end < 2:
            return found[:end]
        index = self.get_index(module)
        start = end - 1
        while start > 0 and not (
            self._settles(index.units[found[start]], name, module)
            and (at is not None or not self._looked_at_between(index, found[start - 1], found[start]))
        ):
            start -= 1
        return found[start:end]

    def _looked_at_between(self, index: Index, start: int, end: int) -> bool:
        """Whether what runs between two units may look at the module: a call, or the import of a module that
        imports this one.
        """
        if index.calls_between(start, end):
            return True
        for unit in index.units[start + 1 : end]:
            for level, written, _ in unit.imports_now:
                absolute = self.absolute(index.module, level, written)
                if self.find_module(absolute) is not None and self._comes_back(absolute, index.module, set()):
                    return True
        return False

    def _comes_back(self, module: str, to: str, seen: set[str]) -> bool:
        """Whether importing ``module`` imports ``to``, as far as statements at the top of modules show."""
        if module in seen:
            return False
        seen.add(module)
        index = self.find_index(module)
        for unit in index.units if index is not None else ():
            for level, written, taken in unit.imports_now:
                absolute = self.absolute(module, level, written)
                for name in (absolute, *(f"{absolute}.{each}" for each in taken or ())):
                    if name == to or (
                        self.find_module(name) is not None and self._comes_back(name, to, seen)
                    ):
                        return True
        return False

    def _candidates(self, module: str, name: str, typing: bool) -> list[int]:
        """Every unit of ``module`` that may bind ``name`` at all, in order."""
        key = (module, name, typing)
        known = self._binding.get(key)
        if known is not None:
            return known
        index = self.get_index(module)
        hidden = ("", "typing") if typing else ("",)
        found = [each for each in index.names.get(name, ()) if index.units[each].hidden in hidden]
        if index.stars and name != "__all__":
            for star in index.stars:
                brought = self._star(module, star)
                if self._brings(brought, name, module, {module: False}):
                    found.append(star)
            found.sort()
        self._binding[key] = found
        return found

    def _brings(self, module: str, name: str, to: str, known: dict[str, bool]) -> bool:
        """Whether a star import of ``module`` in ``to`` brings ``name`` there (``known`` as for `provides`)."""
        names, _, modules = self._star_reach(module)
        if name not in names:
            return False
        if to in modules:  # a circle
            return self.provides(module, name, known)
        key = (module, name)
        if key not in self._provided:
            self._provided[key] = self.provides(module, name)
        return self._provided[key]

    def _star(self, module: str, position: int) -> str:
        """The module that a star import brings everything of."""
        known = self._stars.get((module, position))
        if known is None:
            level, name, *_ = self.get_index(module).units[position].target
            known = self._stars[module, position] = self.absolute(module, int(level), str(name))
        return known

    def _settles(self, unit: Unit, name: str, module: str) -> bool:
        """Whether after this unit, ``name`` is surely what it bound (which may depend on what it was before)."""
        if unit.conditional or unit.kind not in ("def", "class", "assign", "import", "star"):
            return False
        if unit.kind == "star":
            index = self.find_index(self.absolute(module, int(unit.target[0]), str(unit.target[1])))
            exports = self.exports(index) if index is not None else None
            if index is None or (exports is not None and (None in exports or name not in exports)):
                return False
            units = [index.units[each] for each in index.names.get(name, ())]
            return any(not each.conditional and not each.hidden and each.kind != "other" for each in units)
        return True

    def provides(self, module: str, name: str, known: dict[str, bool] | None = None) -> bool:
        """Whether ``from module import *`` brings ``name``, as far as can be told.

        ``known`` has the answers for the modules on the way; those in the middle of a circle of star imports
        count as a no for each other.
        """
        known = {} if known is None else known
        if module not in known:
            known[module] = False
            index = self.find_index(module)
            known[module] = index is not None and self._provides(index, name, known)
        return known[module]

    def exports(self, index: Index) -> tuple[str | Chain | None, ...] | None:
        """What ``__all__`` of a module has (see `Summary`), another module's where it is imported from there;
        None where there is none.
        """
        if index.summary.exports is not None or "__all__" not in index.names:
            return index.summary.exports
        for target in self.resolve(index.module, ("__all__",)):
            other = self.find_index(target.module) if target.kind == "name" else None
            if other is not None and other is not index and other.summary.exports is not None:
                return other.summary.exports
        return (None,)

    def _provides(self, index: Index, name: str, known: dict[str, bool]) -> bool:
        exports = self.exports(index)
        if exports is None:
            return not name.startswith("_") and self._binds(index, name, known)
        if name in exports:
            return True
        for each in exports:
            if isinstance(each, tuple):
                for target in self.resolve(index.module, each[:-1]):
                    if target.kind == "module" and self.provides(target.module, name, known):
                        return True
        return None in exports and self._binds(index, name, known)

    def _binds(self, index: Index, name: str, known: dict[str, bool]) -> bool:
        if any(not index.units[each].hidden for each in index.names.get(name, ())):
            return True
        for star in index.stars:  # no generator: it would take C stack for every module on the way
            if self._brings(self._star(index.module, star), name, index.module, known):
                return True
        return False


def _last_name(chain: Chain) -> str:
    for part in reversed(chain):
        if part != "()":
            return str(part)
    return ""
