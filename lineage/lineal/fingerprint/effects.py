"""What importing a module changes outside the statement that runs: registries, patches, hooks of classes,
global state.

For each unit: the objects that it may change, through the functions that it calls. An answer errs on the side
of a change where a result is dropped (such a call is made for its effect), and of none where it is used.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field

from lineal.fingerprint.literals import Chain
from lineal.fingerprint.lookup import Lookup, Target
from lineal.fingerprint.scopes import Call, Import, changes_receiver
from lineal.fingerprint.syntax import Unit

Node = tuple[str, ...]
"""Something that can be changed or depended on: ``("name", module, name)``, ``("any", module)`` (some name of
it), ``("outside", what)``, ``("builtin", name)``, ``("subclasses", module, class)``.
"""

ANY_LIBRARY: Node = ("outside", "any library")
_INERT = frozenset(
    {
        "logging",
        "typing",
        "time",
        "gc",
        "faulthandler",
        "atexit",
        "signal",
        "builtins",
        "lineal",
        "abc",
        "unittest",
    }
)
_ENVIRONMENT = frozenset({"environ", "environb", "getenv", "putenv", "unsetenv", "getenvb"})
_REGISTERING = ("register", "hook", "implements", "overload_method", "accessor", "subscribe", "connect")
_SHARED = ("get", "current", "default", "global", "instance", "shared", "root", "gca", "gcf")
_MOST_CALLS = 4
_MAKERS = ("__init__", "__new__", "__post_init__")


def outside_node(dotted: str) -> Node:
    """The part of the outside world that a dotted name belongs to, as finely as it is told apart."""
    top, _, rest = dotted.partition(".")
    if top == "os":
        part = rest.partition(".")[0]
        return ("outside", "os.environ" if part in _ENVIRONMENT else f"os.{part}")
    if top == "sys":
        return ("outside", f"sys.{rest.partition('.')[0]}")
    return ("outside", top)


def is_standard(top: str) -> bool:
    """Whether a top-level module is part of the standard library."""
    return top in sys.stdlib_module_names or top in sys.builtin_module_names


@dataclass(slots=True)
class Changes:
    """What something may change when it runs: objects, its own parameters (and whether beyond a first
    attribute), with the units that it calls and what those import.
    """

    nodes: set[Node] = field(default_factory=set)
    params: set[tuple[int, bool]] = field(default_factory=set)
    called: set[tuple[str, int]] = field(default_factory=set)
    imports: set[tuple[str, Import]] = field(default_factory=set)
    seen: set[tuple[str, Call]] = field(default_factory=set)  # calls taken in so far

    def add_outside(self, dotted: str) -> None:
        """Something outside the project is changed. What one library is told may change how another works."""
        top = dotted.partition(".")[0]
        if top not in _INERT:
            self.nodes.add(outside_node(dotted))
            if not is_standard(top):
                self.nodes.add(ANY_LIBRARY)

    @property
    def size(self) -> int:
        return len(self.nodes) + len(self.params) + len(self.called) + len(self.imports)

    def absorb(self, other: Changes) -> None:
        """Take in all but the parameters, which are the other's own."""
        self.nodes |= other.nodes
        self.called |= other.called
        self.imports |= other.imports


@dataclass(frozen=True, slots=True)
class _Given:
    """The arguments of a call, as the caller names them."""

    module: str
    at: int | None
    arguments: tuple[tuple[int | str, tuple[Chain, ...]], ...]


class Effects:
    """The import-time effects of units, over one `Lookup`."""

    def __init__(self, lookup: Lookup) -> None:
        self.lookup = lookup
        self._units: dict[tuple[str, int], Changes] = {}
        self._functions: dict[tuple[str, int, str, int], Changes] = {}
        self._open: dict[tuple[str, int, str, int], int] = {}  # functions whose changes are being worked out
        self._lowest = sys.maxsize  # the outermost of them that a call has come back to
        self._bases: dict[tuple[str, int], tuple[tuple[str, int], ...]] = {}

    def of_unit(self, module: str, index: int) -> Changes:
        """What the unit may change when its module is imported, itself left out."""
        known = self._units.get((module, index))
        if known is not None:
            return known
        unit = self.lookup.get_index(module).units[index]
        changes = self._units[(module, index)] = Changes()
        for kind, chain in unit.mutations:
            self._mutation(module, kind, chain, index, changes)
        for call in unit.calls:
            self._call(module, call, index, changes)
        if unit.kind == "class":
            self._class_hooks(module, index, unit, changes)
        for name in unit.names:
            changes.nodes.discard(("name", module, name))
        return changes

    def bases(self, module: str, index: int) -> tuple[tuple[str, int], ...]:
        """The project classes that a class unit inherits from, nearest first."""
        known = self._bases.get((module, index))
        if known is not None:
            return known
        self._bases[(module, index)] = ()
        found: list[tuple[str, int]] = []
        for chain in self.lookup.get_index(module).units[index].bases:
            for each in self._classes(module, chain, index):
                if each != (module, index):
                    found += [each, *self.bases(*each)]
        result = self._bases[(module, index)] = tuple(dict.fromkeys(found))
        return result

    def _classes(self, module: str, chain: Chain, at: int | None) -> Iterable[tuple[str, int]]:
        """The project classes that ``chain`` names."""
        if "()" in chain or chain[0] == "":
            return
        for target in self.lookup.resolve(module, chain, at):
            if target.kind == "name" and not target.rest:
                for each in self.lookup.binders(target.module, target.name):
                    if self.lookup.get_index(target.module).units[each].kind == "class":
                        yield target.module, each

    def _mutation(self, module: str, kind: str, chain: Chain, at: int | None, changes: Changes) -> None:
        if kind == "bind":
            changes.nodes.add(("name", module, str(chain[-1])))
        elif chain[0] == "":
            changes.params.add((int(chain[1]), not (kind == "set" and len(chain) == 3)))
        elif kind == "in":
            self._object(module, chain, at, changes, set())
        elif "()" in chain:
            self._object(module, chain[:-1] if kind == "set" else chain, at, changes, set())
        else:
            owner = chain[:-1] if kind == "set" else chain
            if not owner:
                return
            for target in self.lookup.resolve(module, owner, at):
                if target == Target("outside", "builtins") and kind == "set":
                    changes.nodes.add(("builtin", str(chain[-1])))
                elif target.kind in ("module", "absent"):
                    node = (
                        ("name", target.module, str(chain[-1])) if kind == "set" else ("any", target.module)
                    )
                    changes.nodes.add(node)
                else:
                    self._target(target, changes, set())

    def _object(
        self, module: str, chain: Chain, at: int | None, changes: Changes, seen: set[tuple[str, Chain]]
    ) -> None:
        """The object that ``chain`` names is changed; so is what it is another name of."""
        if chain[0] == "":
            changes.params.add((int(chain[1]), True))
            return
        if (module, chain) in seen:
            return
        seen.add((module, chain))
        if "()" in chain:
            self._result(module, chain[: chain.index("()")], at, changes, seen)
            return
        for target in self.lookup.resolve(module, chain, at):
            self._target(target, changes, seen)

    def _target(self, target: Target, changes: Changes, seen: set[tuple[str, Chain]]) -> None:
        if target.kind == "module":
            changes.nodes.add(("any", target.module))
        elif target.kind == "outside":
            changes.add_outside(target.module)
        elif target.kind == "builtin":
            changes.nodes.add(("builtin", target.name))
        elif target.kind in ("name", "missing"):
            changes.nodes.add(("name", target.module, target.name))
            if target.kind == "missing":
                return
            for each in self.lookup.binders(target.module, target.name):
                unit = self.lookup.get_index(target.module).units[each]
                for alias in unit.aliases.get(target.name, ()):
                    self._object(target.module, alias, each, changes, seen)

    def _result(
        self, module: str, callee: Chain, at: int | None, changes: Changes, seen: set[tuple[str, Chain]]
    ) -> None:
        """What a call returns is changed: that counts where it returns something shared, not something new."""
        if not callee or callee[0] == "":
            return
        for target in self.lookup.resolve(module, callee, at):
            if target.kind == "outside":
                leaf = target.module.rpartition(".")[2].lower()
                if leaf.startswith(_SHARED):
                    changes.add_outside(target.module)
            elif target.kind == "name" and not target.rest:
                for each in self.lookup.binders(target.module, target.name):
                    effect = self.lookup.get_index(target.module).units[each].effects.get("")
                    for chain in effect.returns if effect is not None else ():
                        if chain[0] != "":
                            self._object(target.module, chain, None, changes, seen)

    def _call(self, module: str, call: Call, at: int | None, changes: Changes) -> None:
        if (module, call) in changes.seen:
            return
        changes.seen.add((module, call))
        callee, use, arguments = call
        given = _Given(module, at, arguments)
        calls = 1
        while callee and callee[-1] == "()":
            callee, calls = callee[:-1], calls + 1
        if not callee or callee[0] == "":
            return
        calls = min(calls, _MOST_CALLS)  # `x = x()` goes on for ever
        if "()" in callee:  # a method of what a call returned
            if use != "v" or changes_receiver(str(callee[-1])):
                self._object(module, callee, at, changes, set())
            if use == "e":
                self._arguments(given, None, changes)
        else:
            for target in self.lookup.resolve(module, callee, at):
                self._call_target(target, calls, use, given, changes)
        for _, chains in arguments:  # functions handed over may be called
            for chain in chains:
                if chain[0] != "" and "()" not in chain:
                    for target in self.lookup.resolve(module, chain, at):
                        if target.kind == "name" and not target.rest:
                            for each in self.lookup.binders(target.module, target.name):
                                if self.lookup.get_index(target.module).units[each].kind == "def":
                                    changes.absorb(self._function(target.module, each, "", 1))

    def _call_target(self, target: Target, calls: int, use: str, given: _Given, changes: Changes) -> None:
        if target.kind == "outside":
            top, leaf = target.module.partition(".")[0], target.module.rpartition(".")[2]
            if top in _INERT:
                return
            registers = any(word in leaf.lower() for word in _REGISTERING)
            if use == "e" or registers or changes_receiver(leaf):
                changes.add_outside(target.module)
            if use == "e":
                self._arguments(given, None, changes)
        elif target.kind == "builtin":
            if target.name in ("next", "setattr", "delattr"):
                self._arguments(given, {0}, changes)
        elif target.kind == "missing" and use != "v":
            changes.nodes.add(("name", target.module, target.name))
        elif target.kind == "name":
            for each in self.lookup.binders(target.module, target.name):
                unit = self.lookup.get_index(target.module).units[each]
                if target.rest:
                    self._call_method(target, each, unit, calls, use, given, changes)
                elif unit.kind == "def":
                    self._run(target.module, each, "", calls, given, 0, changes)
                    for decorator in unit.decorators:
                        if decorator.chain is not None:
                            through = decorator.chain + ("()",) * (decorator.calls + calls)
                            self._call(target.module, (through, "v", ()), None, changes)
                elif unit.kind == "class":
                    self._construct(target.module, each, calls, given, changes)
                else:
                    self._call_value(target, each, unit, calls, use, given, changes)

    def _call_value(
        self,
        target: Target,
        index: int,
        unit: Unit,
        calls: int,
        use: str,
        given: _Given,
        changes: Changes,
    ) -> None:
        """A call of something that was assigned: a lambda, another name of a function, what a factory
        returned.
        """
        module = target.module
        if "" in unit.effects:
            self._run(module, index, "", calls, given, 0, changes)
        aliases = unit.aliases.get(target.name, ())
        for alias in aliases:
            self._call(module, (alias + ("()",) * (calls - 1), "v", ()), index, changes)
        if use != "v" and not unit.effects:
            self._target(target, changes, set())

    def _call_method(
        self, target: Target, index: int, unit: Unit, calls: int, use: str, given: _Given, changes: Changes
    ) -> None:
        method = str(target.rest[-1])
        owners: list[tuple[str, int]] = []
        if len(target.rest) == 1:
            if unit.kind == "class":
                owners = [(target.module, index)]
            else:
                for alias in unit.aliases.get(target.name, ()):
                    if alias[-1] == "()":
                        owners += self._classes(target.module, alias[:-1], index)
        for owner in owners:
            found = self._find_method(owner, method)
            if found is not None:
                shift = 0 if unit.kind == "class" and self._is_static(found, method) else 1
                params = self._run(*found, method, calls, given, shift, changes)
                if shift and any(position == 0 for position, _ in params):
                    self._target(target, changes, set())
                return
        if use != "v" or changes_receiver(method):
            self._target(target, changes, set())

    def _is_static(self, owner: tuple[str, int], method: str) -> bool:
        params = self.lookup.get_index(owner[0]).units[owner[1]].effects[method].params
        return not params or params[0] not in ("self", "cls", "mcs")

    def _find_method(self, owner: tuple[str, int], method: str) -> tuple[str, int] | None:
        for each in (owner, *self.bases(*owner)):
            if method in self.lookup.get_index(each[0]).units[each[1]].effects:
                return each
        return None

    def _construct(self, module: str, index: int, calls: int, given: _Given, changes: Changes) -> None:
        for maker in _MAKERS:
            found = self._find_method((module, index), maker)
            if found is not None:
                self._run(*found, maker, 1, given, 1, changes)
        if calls > 1:
            found = self._find_method((module, index), "__call__")
            if found is not None:
                self._run(*found, "__call__", calls - 1, given, 1, changes)
        for metaclass in self._metaclasses(module, index):
            found = self._find_method(metaclass, "__call__")
            if found is not None:
                self._run(*found, "__call__", 1, given, 1, changes)

    def _run(
        self, module: str, index: int, key: str, calls: int, given: _Given, shift: int, changes: Changes
    ) -> set[tuple[int, bool]]:
        """A function of the project is called: its changes, and those of its parameters in the caller's
        terms.

        Returns the parameters that it changes (see `Changes`). ``shift`` are those that no argument is
        written for.
        """
        inner = self._function(module, index, key, calls)
        changes.absorb(inner)
        effect = self.lookup.get_index(module).units[index].effects.get(key)
        if effect is None:
            return set()
        positions = {position for position, _ in inner.params}
        names = {effect.params[position] for position in positions if position < len(effect.params)}
        self._arguments(given, {position - shift for position in positions} | names, changes)
        return inner.params

    def _arguments(self, given: _Given, which: set[int | str] | set[int] | None, changes: Changes) -> None:
        """The arguments at these positions and keywords are changed; None: all of them."""
        for key, chains in given.arguments:
            if which is None or key in which:
                for chain in chains:
                    if chain[-1] != "()":
                        self._object(given.module, chain, given.at, changes, set())

    def _function(self, module: str, index: int, key: str, calls: int) -> Changes:
        """What calling a function, and what it returns, ``calls`` times in all may change."""
        memo = (module, index, key, calls)
        known = self._functions.get(memo)
        if known is not None:
            self._lowest = min(self._lowest, self._open.get(memo, self._lowest))
            return known
        changes = self._functions[memo] = Changes()
        depth = self._open[memo] = len(self._open)
        around, self._lowest = self._lowest, len(self._open)
        self._fill(memo, changes)
        if self._lowest < depth:  # functions that call each other are settled together, by the first of them
            self._lowest = min(around, self._lowest)
            return changes
        circle = [each for each, position in self._open.items() if position >= depth]
        size = -1
        while self._lowest == depth and size != (size := sum(self._functions[each].size for each in circle)):
            for each in circle:
                self._fill(each, self._functions[each])
        for each in circle:
            del self._open[each]
        self._lowest = around
        return changes

    def _fill(self, memo: tuple[str, int, str, int], changes: Changes) -> None:
        """Take in what the function does itself, and what those that it calls are known to do."""
        module, index, key, calls = memo
        changes.seen.clear()
        changes.called.add((module, index))
        effect = self.lookup.get_index(module).units[index].effects.get(key)
        for level in effect.levels[:calls] if effect is not None else ():
            for kind, chain in level.mutations:
                self._mutation(module, kind, chain, None, changes)
            for call in level.calls:
                self._call(module, call, None, changes)
            changes.imports |= {(module, each) for each in level.imports}

    def _metaclasses(self, module: str, index: int) -> list[tuple[str, int]]:
        found: list[tuple[str, int]] = []
        for owner, each in ((module, index), *self.bases(module, index)):
            metaclass = self.lookup.get_index(owner).units[each].metaclass
            if metaclass:
                found += self._classes(owner, metaclass, each)
        return list(dict.fromkeys(found))

    def _class_hooks(self, module: str, index: int, unit: Unit, changes: Changes) -> None:
        """``__init_subclass__``, metaclasses and ``__set_name__`` run when the class is made."""
        ancestors = self.bases(module, index)
        nobody = _Given(module, index, ())

        def hook(owner: tuple[str, int], method: str, classes: dict[int, Iterable[tuple[str, int]]]) -> None:
            found = self._find_method(owner, method)
            if found is None:
                return
            for position, deep in self._run(*found, method, 1, nobody, 0, changes):
                for owner_module, each in classes.get(position, ()) if deep else ():
                    for name in self.lookup.get_index(owner_module).units[each].names:
                        changes.nodes.add(("name", owner_module, name))

        for base in ancestors:
            if "__init_subclass__" in self.lookup.get_index(base[0]).units[base[1]].effects:
                hook(base, "__init_subclass__", {0: ancestors})
        for metaclass in self._metaclasses(module, index):
            hook(metaclass, "__prepare__", {0: [metaclass]})
            hook(metaclass, "__new__", {0: [metaclass], 2: ancestors})
            hook(metaclass, "__init__", {0: [*ancestors, metaclass], 2: ancestors})
        for base in ancestors:
            for name in self.lookup.get_index(base[0]).units[base[1]].names:
                changes.nodes.add(("subclasses", base[0], name))
        for callee, _, _ in unit.calls:
            for owner in self._classes(module, callee, index) if callee[-1] != "()" else ():
                hook(owner, "__set_name__", {1: ancestors})
