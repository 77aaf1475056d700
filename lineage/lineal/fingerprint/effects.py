"""What importing a module changes outside the statement that runs: registries, patches, hooks of classes,
global state.

For each unit: the objects that it may change, through the functions that it calls. An answer errs on the side
of a change where a result is dropped (such a call is made for its effect), and of none where it is used.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from lineal.fingerprint.literals import Chain
from lineal.fingerprint.lookup import Lookup, Target
from lineal.fingerprint.scopes import DROPPED, LEVEL, Call, Import, changes_receiver
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
_REFLECTED = frozenset({"__class__", "__bases__", "__base__", "__mro__", "__globals__"})
_GIVING = ("__getitem__", "__enter__", "__iter__", "__next__")
_PARTS = frozenset({"get", "items", "pop", "popitem", "setdefault", "values", "__getitem__"})
_MAKERS = ("__init__", "__new__", "__post_init__")
_MOST_DEEP = 6
_ARGUMENT_CHANGERS = frozenset(
    {"heappush", "heappop", "heappushpop", "heapreplace", "heapify", "insort", "insort_left", "insort_right"}
)
_ITERATORS = frozenset({"iter", "map", "filter", "zip", "enumerate", "reversed", "open"})
_STATEFUL = frozenset({
    "io.BytesIO", "io.StringIO", "queue.LifoQueue", "queue.PriorityQueue", "queue.Queue", "queue.SimpleQueue",
    "random.Random", "numpy.random.Generator", "numpy.random.RandomState", "numpy.random.default_rng",
})  # fmt: skip
"""What makes objects that every use of a method changes."""

_NO_DRAWS = frozenset(
    [
        "Generator",
        "Random",
        "RandomState",
        "SeedSequence",
        "SystemRandom",
        "default_rng",
        "get_state",
        "getstate",
    ]
)
_CONSUMERS = frozenset(
    {"list", "tuple", "set", "frozenset", "dict", "sorted", "sum", "max", "min", "any", "all"}
)
_NAMED_APART = {"chdir": "cwd", "getcwdb": "cwd"}


def outside_node(dotted: str) -> Node:
    """The part of the outside world that a dotted name belongs to, as finely as it is told apart."""
    top, _, rest = dotted.partition(".")
    if top in ("os", "sys"):
        part = rest.partition(".")[0]
        if part in _ENVIRONMENT:
            return ("outside", "os.environ")
        part = _NAMED_APART.get(part, part.removeprefix("set").removeprefix("get"))
        return ("outside", f"{top}.{part}")
    return ("outside", top)


def is_standard(top: str) -> bool:
    """Whether a top-level module is part of the standard library."""
    return top in sys.stdlib_module_names or top in sys.builtin_module_names


_Function = tuple[str, int, str, int]
"""A function that is called: the unit it is in, its key among the unit's effects, and how often it, and what it
returns, is called in all.
"""


@dataclass(slots=True)
class Changes:
    """What something may change when it runs: objects, its own parameters (and whether beyond a first
    attribute), with the functions that it calls and what those import.
    """

    functions: Mapping[_Function, Changes] = field(repr=False)  # what is known of all
    nodes: set[Node] = field(default_factory=set)
    params: set[tuple[int, bool]] = field(default_factory=set)
    attributes: set[tuple[int, str]] = field(
        default_factory=set
    )  # of its parameters, changed beyond themselves
    calls: set[_Function] = field(default_factory=set)  # by itself
    imports: set[tuple[str, Import]] = field(default_factory=set)
    seen: set[tuple[str, Call, _Given]] = field(default_factory=set)  # calls taken in so far

    @property
    def called(self) -> set[tuple[str, int]]:
        """The units whose functions run, those that others call included."""
        found: set[_Function] = set()
        pending = list(self.calls)
        while pending:
            each = pending.pop()
            if each not in found:
                found.add(each)
                pending += self.functions[each].calls
        return {each[:2] for each in found if each[0]}

    def add_outside(self, dotted: str) -> None:
        """Something outside the project is changed. What one library is told may change how another works."""
        top = dotted.partition(".")[0]
        if top not in _INERT:
            self.nodes.add(outside_node(dotted))
            if not is_standard(top):
                self.nodes.add(ANY_LIBRARY)

    @property
    def size(self) -> int:
        return len(self.nodes) + len(self.params) + len(self.attributes) + len(self.imports)

    def absorb(self, other: Changes) -> None:
        """Take in what a function that is called changes, but for its parameters, which are its own."""
        self.nodes |= other.nodes
        self.imports |= other.imports


class _Argument(NamedTuple):
    """An argument of a call: what it may be, as the unit ``at`` of ``module`` names it.

    ``key`` is its position, or its keyword; one handed to what a call returned is numbered as `LEVEL` says, and
    known by position alone.
    """

    key: int | str
    module: str
    at: int | None
    chains: tuple[Chain, ...]


_Given = tuple[_Argument, ...]


def _given(module: str, at: int | None, callee: Chain, among: Sequence[Call]) -> _Given:
    """What the calls of ``callee`` are given that are among these."""
    return tuple(
        _Argument(key, module, at, chains)
        for other, _, arguments in among
        if other == callee
        for key, chains in arguments
    )


def _later(given: _Given, levels: int) -> _Given:
    """What is handed over by a call, if it is that many calls further on."""
    if not levels:
        return given
    return tuple(
        each._replace(key=each.key + LEVEL * levels)
        for each in given
        if isinstance(each.key, int) and 0 <= each.key + LEVEL * levels < LEVEL * _MOST_CALLS
    )


def _at_position(given: _Given, position: int) -> Iterable[tuple[str, Chain, int | None]]:
    return [(each.module, chain, each.at) for each in given if each.key == position for chain in each.chains]


class Effects:
    """The import-time effects of units, over one `Lookup`."""

    def __init__(self, lookup: Lookup) -> None:
        self.lookup = lookup
        self._units: dict[tuple[str, int], Changes] = {}
        self._functions: dict[_Function, Changes] = {}
        self._targets: dict[tuple[Target, int, str], _Function] = {}  # calls without arguments
        self._open: dict[_Function, int] = {}  # functions whose changes are being worked out
        self._owned: dict[tuple[str, str], dict[tuple[tuple[str, int], bool], None]] = {}
        self._lowest = sys.maxsize  # the outermost of them that a call has come back to
        self._bases: dict[tuple[str, int], tuple[tuple[str, int], ...]] = {}

    def of_unit(self, module: str, index: int) -> Changes:
        """What the unit may change when its module is imported, itself left out."""
        known = self._units.get((module, index))
        if known is not None:
            return known
        unit = self.lookup.get_index(module).units[index]
        changes = self._units[(module, index)] = Changes(self._functions)
        for kind, chain in unit.mutations:
            self._mutation(module, kind, chain, index, changes)
        decorated = (_Argument(0, module, None, ((unit.names[0],),)),) if unit.decorators else ()
        for call in unit.calls:
            handed = decorated if call[1] == "d" and not call[2] else ()
            self._call(module, call, index, changes, unit.calls, handed)
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

    def _classes(
        self, module: str, chain: Chain, at: int | None, made: bool = False, depth: int = 0
    ) -> Iterable[tuple[str, int]]:
        """The project classes that the value of ``chain`` may be; or, with ``made``, may be made by: classes of
        the object.
        """
        if not chain or chain[0] == "" or depth > _MOST_DEEP:
            return
        if chain[-1] == "()":
            if made:
                yield from self._classes(module, chain[:-1], at, False, depth + 1)
            for owner, returned in self._returned(module, chain[:-1], at, depth):
                yield from self._classes(owner, returned, None, made, depth + 1)
            return
        if "()" in chain:
            return
        for target in self.lookup.resolve(module, chain, at):
            if target.kind != "name" or target.rest:
                continue
            for each in self.lookup.binders(target.module, target.name):
                unit = self.lookup.get_index(target.module).units[each]
                if unit.kind == "class":
                    if not made:
                        yield target.module, each
                elif unit.kind != "def":
                    for alias in unit.aliases.get(target.name, ()):
                        yield from self._classes(target.module, alias, each, made, depth + 1)

    def _returned(
        self, module: str, callee: Chain, at: int | None, depth: int
    ) -> Iterable[tuple[str, Chain]]:
        """What a call of ``callee`` may return, as the module of the function would name it."""
        for owner, unit, key, receiver in self._functions_named(module, callee, at, depth):
            effect = self.lookup.get_index(owner).units[unit].effects.get(key)
            for chain in effect.returns if effect is not None else ():
                if chain[0] != "":
                    yield owner, chain
                elif chain[1] == 0 and receiver is not None and len(chain) < 4:
                    # `return self`, and `return cls()` in a class method
                    names = self.lookup.get_index(receiver[0]).units[receiver[1]].names
                    yield receiver[0], (*names[:1], "()")

    def _functions_named(
        self, module: str, callee: Chain, at: int | None, depth: int = 0
    ) -> Iterable[tuple[str, int, str, tuple[str, int] | None]]:
        """The functions that ``callee`` may name: the unit, the key among its effects, and the class that a
        method was found by.
        """
        if not callee or callee[0] == "" or depth > _MOST_DEEP:
            return
        if "()" not in callee:
            for target in self.lookup.resolve(module, callee, at):
                if target.kind == "name" and not target.rest:
                    for each in self.lookup.binders(target.module, target.name):
                        if self.lookup.get_index(target.module).units[each].kind == "def":
                            yield target.module, each, "", None
        if len(callee) > 1 and callee[-1] != "()":
            method, owner = str(callee[-1]), callee[:-1]
            for made in (True, False):
                for receiver in self._classes(module, owner, at, made, depth + 1):
                    found = self._find_method(receiver, method)
                    if found is not None:
                        yield (*found, method, receiver)

    def _mutation(self, module: str, kind: str, chain: Chain, at: int | None, changes: Changes) -> None:
        if kind == "bind":
            changes.nodes.add(("name", module, str(chain[-1])))
        elif chain[0] == "":
            changes.params.add((int(chain[1]), not (kind == "set" and len(chain) == 3)))
            if len(chain) > 2 + (kind == "set"):
                changes.attributes.add((int(chain[1]), str(chain[2])))
        elif kind == "in":
            self._object(module, chain, at, changes, set())
        elif "()" in chain:
            self._object(module, chain[:-1] if kind == "set" else chain, at, changes, set())
            if kind == "set" and chain[-2] == "()":  # for a new object that is dropped, unless it is none
                for home, each in self._classes(module, chain[:-2], at):
                    names = self.lookup.get_index(home).units[each].names
                    changes.nodes.update(("name", home, name) for name in names)
        else:
            owner = chain[:-1] if kind == "set" else chain
            if not owner:
                return
            for target in self.lookup.resolve(module, owner, at):
                attribute = str(chain[-1])
                if kind == "set" and target.kind == "outside":
                    if target.module == "builtins":
                        changes.nodes.add(("builtin", attribute))
                    else:
                        changes.add_outside(f"{target.module}.{attribute}")
                elif target.kind in ("module", "absent"):
                    whole = kind != "set" or attribute in ("__class__", "__dict__", "__getattr__")
                    changes.nodes.add(("any", target.module) if whole else ("name", target.module, attribute))
                else:
                    self._target(target, changes, set())

    def _object(
        self, module: str, chain: Chain, at: int | None, changes: Changes, seen: set[tuple[str, Chain]]
    ) -> None:
        """The object that ``chain`` names is changed; so is what it is another name of."""
        if chain[0] == "":
            changes.params.add((int(chain[1]), True))
            if len(chain) > 2:
                changes.attributes.add((int(chain[1]), str(chain[2])))
            return
        if (module, chain) in seen:
            return
        seen.add((module, chain))
        if "()" in chain:
            callee, rest = chain[: chain.index("()")], chain[chain.index("()") + 1 :]
            self._result(module, callee, at, changes, seen)
            for made in self._classes(module, callee, at):
                self._handed_out(made, rest[:1], changes, seen)
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
            if not _REFLECTED.isdisjoint(target.rest):
                self._reflected(target, changes)
            for owner, _ in self._owners(target):
                self._handed_out(owner, target.rest[:1], changes, seen)
            for each in self.lookup.binders(target.module, target.name):
                unit = self.lookup.get_index(target.module).units[each]
                for alias in unit.aliases.get(target.name, ()):
                    self._object(target.module, alias, each, changes, seen)

    def _handed_out(
        self, owner: tuple[str, int], attribute: Chain, changes: Changes, seen: set[tuple[str, Chain]]
    ) -> None:
        """Something that an object of this class gives is changed: by an attribute, which the class may have or
        compute, or by way of syntax.
        """
        for home, each in (owner, *self.bases(*owner)):
            unit = self.lookup.get_index(home).units[each]
            if not unit.attributes.keys().isdisjoint(attribute):
                changes.nodes.update(("name", home, name) for name in unit.names)
            for method in (*attribute, *_GIVING):
                effect = unit.effects.get(str(method))
                for chain in effect.returns if effect is not None else ():
                    if chain[0] != "":
                        self._object(home, chain, None, changes, seen)

    def _reflected(self, target: Target, changes: Changes) -> None:
        """Something is changed by way of an object that belongs to it: its class, the bases of that, the globals of
        a function.
        """
        if "__globals__" in target.rest:
            changes.nodes.add(("any", target.module))
        for owner, _ in self._owners(target):
            for home, each in (owner, *self.bases(*owner)):
                names = self.lookup.get_index(home).units[each].names
                changes.nodes.update(("name", home, name) for name in names)

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
            elif target.kind == "name" and target.rest and target.rest[-1] in _PARTS:
                self._target(target, changes, seen)
        for owner, unit, key, receiver in self._functions_named(module, callee, at):
            effect = self.lookup.get_index(owner).units[unit].effects.get(key)
            for chain in effect.returns if effect is not None else ():
                if chain[0] != "":
                    self._object(owner, chain, None, changes, seen)
                elif chain[1] == 0 and receiver is not None:  # `return self`
                    self._object(module, callee[:-1], at, changes, seen)

    def _call(
        self,
        module: str,
        call: Call,
        at: int | None,
        changes: Changes,
        among: Sequence[Call] = (),
        handed: _Given = (),
    ) -> None:
        """A call runs; ``among`` are those beside it, which have the arguments where what one of them returned is
        called; ``handed`` is what it is given from elsewhere.
        """
        if (module, call, handed) in changes.seen:
            return
        changes.seen.add((module, call, handed))
        callee, use, arguments = call
        if use in ("b", "m"):
            classes = list(self._classes(module, callee, at))
            self._make_class((), classes, changes) if use == "m" else self._make_class(classes, (), changes)
            return
        calls = 1
        while callee and callee[-1] == "()":
            callee, calls = callee[:-1], calls + 1
        if not callee or callee[0] == "":
            return
        given = tuple(_Argument(key, module, at, chains) for key, chains in arguments)
        given = self._given_before(module, callee, at, calls, among) + _later(given + handed, calls - 1)
        calls = min(calls, _MOST_CALLS)  # `x = x()` goes on for ever
        if "()" in callee:
            self._call_on_result(module, callee, at, calls, use, given, among, changes)
        else:
            for target in self.lookup.resolve(module, callee, at):
                self._call_target(target, calls, use, given, changes)
        for _, chains in arguments:  # functions handed over may be called
            for chain in chains:
                if chain[0] != "" and "()" not in chain:
                    self._handed_over(module, chain, at, changes)

    @staticmethod
    def _given_before(
        module: str, callee: Chain, at: int | None, calls: int, among: Sequence[Call]
    ) -> _Given:
        """What ``callee`` is given, and what it returns, but for the last of ``calls`` times."""
        found: _Given = ()
        for level in range(calls - 1):
            found += _later(_given(module, at, (*callee, *("()",) * level), among), level)
        return found

    def _call_on_result(
        self,
        module: str,
        callee: Chain,
        at: int | None,
        calls: int,
        use: str,
        given: _Given,
        among: Sequence[Call],
        changes: Changes,
    ) -> None:
        """A method of what a call returned."""
        owner = callee[:-1]
        for home, unit, key, receiver in self._functions_named(module, callee, at):
            if receiver is not None:
                params = self._run(home, unit, key, calls, given, 1, changes)
                if any(position == 0 for position, _ in params):
                    self._object(module, owner, at, changes, set())
                    self._shared_attributes(receiver, (home, unit, key, calls), changes)
                if (0, True) in params:  # a new object may hold on to what it was made with
                    self._arguments(_given(module, at, callee[: callee.index("()")], among), None, changes)
        if use in DROPPED or changes_receiver(str(callee[-1])):
            self._object(module, callee, at, changes, set())
            self._object(module, owner, at, changes, set())
        if use == "e":
            self._arguments(given, None, changes)

    def _handed_over(self, module: str, chain: Chain, at: int | None, changes: Changes) -> None:
        """What a call is given may be called by it: a function, a class, a bound method."""
        for target in self.lookup.resolve(module, chain, at):
            if target.kind != "name":
                continue
            if target.rest:
                if changes_receiver(str(target.rest[-1])):
                    self._target(target, changes, set())
                continue
            for each in self.lookup.binders(target.module, target.name):
                kind = self.lookup.get_index(target.module).units[each].kind
                if kind == "def":
                    self._take((target.module, each, "", 1), changes)
                elif kind == "class":
                    self._construct(target.module, each, 1, (), changes)

    def _call_target(self, target: Target, calls: int, use: str, given: _Given, changes: Changes) -> None:
        if use == "p" and not (target.kind == "name" and target.rest):
            return
        if target.kind == "outside":
            top, leaf = target.module.partition(".")[0], target.module.rpartition(".")[2]
            if top in _INERT:
                return
            if leaf in _ARGUMENT_CHANGERS:
                self._arguments(given, {0}, changes)
            registers = any(word in leaf.lower() for word in _REGISTERING)
            if use == "e" or registers or changes_receiver(leaf) or _draws(target.module):
                changes.add_outside(target.module)
            if use == "e":
                self._arguments(given, None, changes)
        elif target.kind == "builtin":
            if target.name in ("setattr", "delattr", "next") or (
                target.rest and (use == "e" or changes_receiver(str(target.rest[-1])))
            ):
                self._arguments(given, {0}, changes)
            elif target.name in _CONSUMERS:
                for module, chain, at in _at_position(given, 0):
                    for used in self.lookup.resolve(module, chain, at) if chain[0] != "" else ():
                        if self._is_iterator(used):
                            self._target(used, changes, set())
            elif target.name == "type":
                for module, chain, at in _at_position(given, 1):
                    self._make_class(self._classes(module, chain, at), (), changes)
        elif target.kind == "missing" and use in DROPPED:
            changes.nodes.add(("name", target.module, target.name))
        elif target.kind == "name":
            if self._open or given:
                self._call_name(target, calls, use, given, changes)
                return
            known = self._targets.get((target, calls, use))
            if known is None:  # no function: a place for what is called by that name
                known = self._targets[target, calls, use] = ("", len(self._targets), "", 0)
                self._functions[known] = Changes(self._functions)
                self._call_name(target, calls, use, given, self._functions[known])
            changes.absorb(self._functions[known])
            changes.calls.add(known)

    def _call_name(self, target: Target, calls: int, use: str, given: _Given, changes: Changes) -> None:
        """A global of the project, or a method of one, is called."""
        if target.rest:
            self._call_method(target, calls, use, given, changes)
            return
        for each in self.lookup.binders(target.module, target.name):
            unit = self.lookup.get_index(target.module).units[each]
            if unit.kind == "def":
                self._run(target.module, each, "", calls, given, 0, changes)
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
            again = alias + ("()",) * (calls - 1)
            self._call(module, (again, "v", ()), index, changes, unit.calls, given)
        if use in DROPPED and not unit.effects:
            self._target(target, changes, set())

    def _call_method(self, target: Target, calls: int, use: str, given: _Given, changes: Changes) -> None:
        method = str(target.rest[-1])
        found = False
        for owner, is_class in self._owners(target) if len(target.rest) == 1 else ():
            home = self._find_method(owner, method)
            if home is not None:
                found = True
                shift = 0 if is_class and self._is_static(home, method) else 1
                params = self._run(*home, method, calls, given, shift, changes)
                if shift and any(position == 0 for position, _ in params):
                    self._target(target, changes, set())
                    self._shared_attributes(owner, (*home, method, calls), changes)
        if found:
            return
        if (
            use in DROPPED
            or changes_receiver(method)
            or (method == "__iter__" and self._is_iterator(target))
            or self._is_stateful(target)
        ):
            self._target(target, changes, set())

    def _shared_attributes(self, owner: tuple[str, int], called: _Function, changes: Changes) -> None:
        """A method has changed its object beyond an attribute of it: in a class, where the attribute is there."""
        for position, attribute in self._function(called).attributes:
            for home, each in (owner, *self.bases(*owner)) if position == 0 else ():
                unit = self.lookup.get_index(home).units[each]
                if attribute in unit.attributes or attribute == "__class__":
                    changes.nodes.update(("name", home, name) for name in unit.names)

    def _owners(self, target: Target) -> dict[tuple[tuple[str, int], bool], None]:
        """The project classes in which a method of a global is looked for, and whether the global is that
        class.
        """
        key = (target.module, target.name)
        known = self._owned.get(key)
        if known is None:
            known = self._owned[key] = {}
            for each in self.lookup.binders(*key):
                unit = self.lookup.get_index(target.module).units[each]
                if unit.kind == "class":
                    known[(target.module, each), True] = None
                    known.update(((kind, False), None) for kind in self._metaclasses(target.module, each))
                for alias in unit.aliases.get(target.name, ()) if unit.kind != "class" else ():
                    for owner in self._classes(target.module, alias, each, made=True):
                        known[owner, False] = None
        return known

    def _is_iterator(self, target: Target) -> bool:
        """Whether a global holds an iterator, which looking at uses up."""
        return any(
            (maker.kind == "builtin" and maker.name in _ITERATORS) or self._is_generator(maker)
            for maker in self._makers_of(target)
        )

    def _is_stateful(self, target: Target) -> bool:
        """Whether a global holds an object that every use changes, such as a generator of random numbers."""
        return any(maker.kind == "outside" and maker.module in _STATEFUL for maker in self._makers_of(target))

    def _makers_of(self, target: Target) -> Iterable[Target]:
        """What is called to make the value of a global."""
        for each in self.lookup.binders(target.module, target.name) if target.kind == "name" else ():
            aliases = self.lookup.get_index(target.module).units[each].aliases.get(target.name, ())
            for alias in aliases:
                if alias[-1] == "()" and "()" not in alias[:-1] and alias[0] != "":
                    yield from self.lookup.resolve(target.module, alias[:-1], each)

    def _is_generator(self, target: Target) -> bool:
        """Whether a call of a project function makes an iterator."""
        if target.kind != "name" or target.rest:
            return False
        units = self.lookup.get_index(target.module).units
        effects = [units[each].effects.get("") for each in self.lookup.binders(target.module, target.name)]
        return any(effect is not None and effect.yields for effect in effects)

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
                self._shared_attributes((module, index), (*found, maker, 1), changes)
        if calls > 1:
            found = self._find_method((module, index), "__call__")
            if found is not None:
                params = self._run(*found, "__call__", calls - 1, _later(given, -1), 1, changes)
                if (0, True) in params:  # the object may hold on to what it was made with
                    self._arguments(given, None, changes)
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
        inner = self._take((module, index, key, calls), changes)
        effect = self.lookup.get_index(module).units[index].effects.get(key)
        if effect is None:
            return set()
        written = {
            each.key + shift if isinstance(each.key, int) and each.key < LEVEL else each.key for each in given
        }
        for position, _ in inner.params:  # a default that stays from call to call belongs to the function
            if position in effect.kept and not written & {position, effect.params[position]}:
                names = self.lookup.get_index(module).units[index].names
                changes.nodes.update(("name", module, name) for name in names)
        positions = {position for position, _ in inner.params}
        for position, chain in effect.defaults:
            if position in positions and not written & {position, effect.params[position]}:
                self._object(module, chain, None, changes, set())
        keywords = {effect.params[position] for position in positions if position < len(effect.params)}
        if len(effect.params) - 1 in positions:  # it may collect all others
            others = [each.key for each in given if isinstance(each.key, str)]
            keywords.update(key for key in others if key not in effect.params)
        places = {position - shift if position < LEVEL else position for position in positions}
        self._arguments(given, places | keywords, changes)
        for position, attribute in inner.attributes:
            if attribute in _REFLECTED:
                place = position - shift if position < LEVEL else position
                for owner, chain, at in _at_position(given, place):
                    self._object(owner, (*chain, attribute), at, changes, set())
        return inner.params

    def _arguments(self, given: _Given, which: set[int | str] | set[int] | None, changes: Changes) -> None:
        """The arguments at these positions and keywords are changed; None: all of them."""
        for key, module, at, chains in given:
            if which is None or key in which:
                for chain in chains:
                    if chain[-1] != "()":
                        self._object(module, chain, at, changes, set())

    def _take(self, function: _Function, changes: Changes) -> Changes:
        """Note that a function is called; returns what it changes."""
        inner = self._function(function)
        changes.absorb(inner)
        changes.calls.add(function)
        return inner

    def _function(self, memo: _Function) -> Changes:
        """What calling a function, and what it returns, may change."""
        known = self._functions.get(memo)
        if known is not None:
            self._lowest = min(self._lowest, self._open.get(memo, self._lowest))
            return known
        changes = self._functions[memo] = Changes(self._functions)
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

    def _fill(self, memo: _Function, changes: Changes) -> None:
        """Take in what the function does itself, and what those that it calls are known to do."""
        module, index, key, calls = memo
        changes.seen.clear()
        unit = self.lookup.get_index(module).units[index]
        for decorator in unit.decorators if unit.kind == "def" and not key else ():
            if decorator.chain is not None:
                through = decorator.chain + ("()",) * (decorator.calls + calls)
                self._call(module, (through, "v", ()), None, changes, unit.calls)
        effect = unit.effects.get(key)
        for level in effect.levels[:calls] if effect is not None else ():
            for kind, chain in level.mutations:
                self._mutation(module, kind, chain, None, changes)
            for call in level.calls:
                self._call(module, call, None, changes, level.calls)
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
        self._hooks(ancestors, self._metaclasses(module, index), changes, (module, index))
        for each in self._functions_named(module, unit.metaclass, index):
            self._take((*each[:3], 1), changes)
        for callee, _, _ in unit.calls:
            for owner in self._classes(module, callee, index) if callee[-1] != "()" else ():
                self._hook(owner, "__set_name__", {1: ancestors}, changes)

    def _make_class(
        self, bases: Iterable[tuple[str, int]], metaclasses: Iterable[tuple[str, int]], changes: Changes
    ) -> None:
        """A class with these project classes as bases and as metaclass is made in a function."""
        bases = list(bases)
        above = dict.fromkeys(each for base in bases for each in (base, *self.bases(*base)))
        kinds = dict.fromkeys([*metaclasses, *(each for base in bases for each in self._metaclasses(*base))])
        self._hooks(tuple(above), tuple(kinds), changes)

    def _hooks(
        self,
        above: Sequence[tuple[str, int]],
        metaclasses: Sequence[tuple[str, int]],
        changes: Changes,
        made: tuple[str, int] | None = None,
    ) -> None:
        """What making a class runs that has these project classes above it, and these metaclasses; it is the
        unit ``made``, if it is one.
        """
        for base in above:
            unit = self.lookup.get_index(base[0]).units[base[1]]
            if "__init_subclass__" in unit.effects:
                self._hook(base, "__init_subclass__", {0: above}, changes, made)
            changes.nodes.update(("subclasses", base[0], name) for name in unit.names)
        for kind in metaclasses:
            self._hook(kind, "__prepare__", {0: [kind]}, changes)
            self._hook(kind, "__new__", {0: [kind], 2: above}, changes)
            self._hook(kind, "__init__", {0: [*above, kind], 2: above}, changes, made)

    def _hook(
        self,
        owner: tuple[str, int],
        method: str,
        classes: dict[int, Iterable[tuple[str, int]]],
        changes: Changes,
        made: tuple[str, int] | None = None,
    ) -> None:
        """A method of ``owner`` runs; ``classes`` are those that its parameters may be, the first of them is
        ``made``.
        """
        found = self._find_method(owner, method)
        if found is None:
            return
        for position, deep in self._run(*found, method, 1, (), 0, changes):
            for module, each in classes.get(position, ()) if deep else ():
                for name in self.lookup.get_index(module).units[each].names:
                    changes.nodes.add(("name", module, name))
        for position, attribute in self._function((*found, method, 1)).attributes:
            for module, each in (made, *self.bases(*made)) if made is not None and position == 0 else ():
                for chain in self.lookup.get_index(module).units[each].attributes.get(attribute, ()):
                    self._object(module, chain, each, changes, set())


def _draws(dotted: str) -> bool:
    """Whether a function of a library draws from the random numbers that all share."""
    package, _, leaf = dotted.rpartition(".")
    return package in ("random", "numpy.random") and leaf not in _NO_DRAWS
