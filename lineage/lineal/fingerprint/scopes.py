"""The scopes of one piece of syntax: what its names mean, by the rules of the language.

A scope collects what is loaded, changed and called in it by dotted name; when it ends, each name is either
its own, or belongs to the scope around it, as the compiler would decide.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from lineal.fingerprint.literals import OWN_NAME, Chain, PathText

Import = tuple[int, str, tuple[str, ...] | None]
"""An import that is executed: its level, module, and the names taken from it (None: the module alone).

Level -1 is a package whose modules are imported by computed names (an empty one: any module); the module may
start with a stand-in.
"""

Mutation = tuple[str, Chain]
"""A change of an object: ``in`` it (an item, or by a method), ``set`` its last attribute, ``any`` of its
attributes, or ``bind`` a global name.
"""

Arguments = tuple[tuple[int | str, tuple[Chain, ...]], ...]
"""What the arguments of a call may be, by position or keyword."""

Call = tuple[Chain, str, Arguments]
"""A call: of what; its use (``e`` result dropped, ``d`` decorator, ``v`` value); and its arguments. Some uses are no calls as written: ``p`` the setter of a property, ``b`` and
``m`` the base and the metaclass of a class that is made."""


DROPPED = frozenset({"e", "d"})
"""The uses in which a call is made for its effect."""


LEVEL = 1000
"""Parameters of what a function returns are numbered from here on, one level further for each call."""


class Level(NamedTuple):
    """What happens when a function is called, or (one level on) when what it returns is called."""

    mutations: tuple[Mutation, ...]
    calls: tuple[Call, ...]
    imports: tuple[Import, ...]


class Effect(NamedTuple):
    """What calling a function may do outside it."""

    params: tuple[str, ...]
    levels: tuple[Level, ...]
    returns: tuple[Chain, ...]
    kept: tuple[int, ...] = ()  # the parameters with a default that stays from call to call
    yields: bool = False
    defaults: tuple[tuple[int, Chain], ...] = ()  # what the others with a default are, by name


MODULE, CLASS, FUNCTION, COMPREHENSION = range(4)
_MOST_ORIGINS = 40
_WRAPPERS = frozenset(
    {"wraps", "update_wrapper", "partial", "lru_cache", "cache", "singledispatch", "contextmanager"}
)
_CHANGERS = frozenset(
    [
        "add",
        "append",
        "appendleft",
        "clear",
        "discard",
        "extend",
        "extendleft",
        "insert",
        "pop",
        "popitem",
        "popleft",
        "push",
        "register",
        "remove",
        "reverse",
        "set",
        "setdefault",
        "sort",
        "update",
        "subscribe",
        "connect",
        "install",
        "configure",
        "include",
        "mount",
        "bind",
        "attach",
        "__setitem__",
        "__setattr__",
        "__delitem__",
        "manual_seed",
        "seed",
        "seterr",
        "seterrcall",
        "filterwarnings",
        "simplefilter",
    ]
)


def changes_receiver(method: str) -> bool:
    """Whether a method of this name is taken to change its object even where its result is used."""
    return method in _CHANGERS or method.startswith(
        ("set_", "add_", "register_", "use_", "enable_", "disable_")
    )


class Records:
    """What one body does: changes, calls and imports, by names of the scope that it is in."""

    __slots__ = ("calls", "imports", "mutations")

    def __init__(self) -> None:
        self.mutations: list[Mutation] = []
        self.calls: list[Call] = []
        self.imports: list[Import] = []

    def extend(self, other: Records) -> None:
        self.mutations += other.mutations
        self.calls += other.calls
        self.imports += other.imports


class Scope:
    """One module-level statement, class body, function or comprehension while it is walked."""

    __slots__ = (
        "_origins", "aliases", "bound", "declared", "depth", "imports", "inner", "kind", "levels", "loads",
        "nonlocals", "outer", "params", "paths", "returns", "settled", "yields",
    )  # fmt: skip

    def __init__(self, kind: int, outer: Scope | None) -> None:
        self.kind = kind
        self.outer = outer
        self.loads: set[Chain] = set()
        self.bound: set[str] = set()
        self.settled: set[str] = set()  # class bodies: names bound for certain so far
        self.depth = 0  # class bodies: blocks around the current statement
        self.declared: set[str] = set()  # global
        self.nonlocals: set[str] = set()
        self.params: dict[str, int] = {}
        self.imports: dict[str, list[Chain]] = {}
        self.paths: dict[str, PathText] = {}
        self.aliases: dict[str, list[Chain]] = {}
        self.levels: list[Records] = [Records()]
        self.inner: dict[str, list[Records]] = {}
        self.returns: list[Chain] = []
        self.yields = False
        self._origins: dict[str, tuple[Chain, ...]] = {}

    @property
    def visible(self) -> Scope:
        """The scope in which the names that are not this scope's own are looked up."""
        scope = self.outer
        while scope is not None and scope.kind == CLASS:
            scope = scope.outer
        assert scope is not None
        return scope

    def bind(self, name: str) -> None:
        if name in self.declared:
            self.levels[0].mutations.append(("bind", (name,)))
        elif name not in self.nonlocals:
            self.bound.add(name)
            if self.kind == CLASS and not self.depth:
                self.settled.add(name)

    def load(self, chain: Chain) -> None:
        if self.kind != CLASS or chain[0] not in self.settled:
            self.loads.add(chain)

    def free(self) -> list[Chain]:
        """What is loaded here and belongs to the scopes around, or comes from an import made here."""
        found: list[Chain] = []
        for chain in self.loads:
            root = chain[0]
            if root.__class__ is not str or not root:
                found.append(chain)
            elif root in self.declared:
                found.append((0, OWN_NAME, *chain))
            elif root in self.imports:
                found += [(*target, *chain[1:]) for target in self.imports[str(root)]]
            elif root not in self.bound or self.kind == CLASS:
                found.append(chain)
        return found

    def origins(self, chain: Chain) -> tuple[Chain, ...]:
        """What an object named here may be, in terms of the scopes around, of imports and of parameters."""
        root = chain[0]
        if root.__class__ is not str or not root:
            return (chain,)
        if root in self.declared:
            return ((0, OWN_NAME, *chain),)
        if root not in self.bound:
            return (chain,)
        rest = chain[1:]
        found = self._origins_of_name(str(root))
        return tuple((*each, *rest) for each in found) if rest else found

    def _origins_of_name(self, name: str) -> tuple[Chain, ...]:
        """As `origins`, for a name bound here: its values are followed from name to name, each name once."""
        known = self._origins.get(name)
        if known is not None:
            return known
        found: dict[Chain, None] = {}
        pending: list[Chain] = [(name,)]
        seen = {name}
        while pending and len(found) < _MOST_ORIGINS:
            first, *rest = pending.pop()
            root = str(first)
            for target in self.imports.get(root, ()):
                found[(*target, *rest)] = None
            if root in self.params:
                found[("", self.params[root], *rest)] = None
            for alias in self.aliases.get(root, ()):
                start = alias[0]
                if (
                    start.__class__ is not str
                    or not start
                    or (start not in self.bound and start not in self.declared)
                ):
                    found[(*alias, *rest)] = None
                elif start in self.declared:
                    found[(0, OWN_NAME, *alias, *rest)] = None
                elif start not in seen:
                    seen.add(str(start))
                    pending.append((*alias, *rest))
        result = self._origins[name] = tuple(found)
        return result

    def close(self) -> list[Records]:
        """The records of this scope, by level, in terms of the scopes around."""
        self._settle_inner()
        closed: list[Records] = []
        for records in self.levels:
            out = Records()
            for kind, chain in records.mutations:
                if kind == "bind":
                    out.mutations.append((kind, chain))
                    continue
                out.mutations += [(kind, origin) for origin in self.origins(chain)]
            for callee, use, arguments in records.calls:
                given = tuple(
                    (
                        key,
                        tuple(dict.fromkeys(origin for chain in chains for origin in self.origins(chain)))[
                            :_MOST_ORIGINS
                        ],
                    )
                    for key, chains in arguments
                )
                given = tuple((key, origins) for key, origins in given if origins)
                for origin in self.origins(callee):
                    if (
                        origin[0] == ""
                        and len(origin) > 2
                        and (use in DROPPED or changes_receiver(str(origin[-1])))
                    ):
                        out.mutations.append(("in", origin[:-1]))  # a method of a parameter
                    out.calls.append((origin, use, given))
            out.imports += records.imports
            closed.append(out)
        return closed

    def adopt(self, levels: list[Records], shift: int, given: Iterable[Arguments] = ()) -> None:
        """Take in the records of a function inside this one, that many calls further on; ``given`` are the
        arguments of the calls of it.
        """

        def outward(chain: Chain) -> tuple[Chain, ...]:
            if chain[0] != "":
                return (chain,)
            position = int(chain[1])
            if shift or position >= LEVEL:
                return (("", position + LEVEL * shift, *chain[2:]),)
            return tuple(
                (*each, *chain[2:])
                for arguments in given
                for key, chains in arguments
                if key == position or isinstance(key, str)
                for each in chains
            )

        for index, records in enumerate(levels):
            while len(self.levels) <= index + shift:
                self.levels.append(Records())
            target = self.levels[index + shift]
            target.mutations += [(kind, each) for kind, chain in records.mutations for each in outward(chain)]
            for callee, use, arguments in records.calls:
                moved = tuple(
                    (key, tuple(o for c in chains for o in outward(c))) for key, chains in arguments
                )
                moved = tuple((key, chains) for key, chains in moved if chains)
                target.calls += [(each, use, moved) for each in outward(callee)]
            target.imports += records.imports

    def _settle_inner(self) -> None:
        """Decide which inner functions this body calls (or hands to something that may), and which it only
        returns.
        """
        if not self.inner:
            return
        called: dict[str, list[Arguments]] = {}
        for callee, _, arguments in self.levels[0].calls:
            if len(callee) == 1:
                called.setdefault(str(callee[0]), []).append(arguments)
            if not _WRAPPERS.isdisjoint(callee[-2:]):  # `wraps(f)(inner)` calls nothing yet
                continue
            for chain in (each for _, chains in arguments for each in chains if len(each) == 1):
                called.setdefault(str(chain[0]), [])
        for name, levels in self.inner.items():
            self.adopt(levels, 0 if name in called else 1, called.get(name, ()))
        self.inner = {}


def frozen(records: Records) -> Level:
    """The records as a value."""
    return Level(
        tuple(dict.fromkeys(records.mutations)),
        tuple(dict.fromkeys(records.calls)),
        tuple(dict.fromkeys(records.imports)),
    )
