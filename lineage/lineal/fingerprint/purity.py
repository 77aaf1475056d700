"""Whether a pipeline's graph depends on nothing but its code and its parameters, so that it may be kept.

It may when everything that tracing runs, and all that this code reaches at import, is project code that is itself so,
or one of the names in `pure`. Libraries may be named in annotations and as bases of classes that only annotations
name. Any doubt is a no: then the pipeline is traced each time, which costs time and nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from lineal.fingerprint.closure import Place
from lineal.fingerprint.effects import ANY_LIBRARY, is_standard, outside_node
from lineal.fingerprint.links import Mode
from lineal.fingerprint.literals import OWN_NAME, Chain
from lineal.fingerprint.lookup import OWN_PACKAGES, Target
from lineal.fingerprint.pure import ATTRIBUTES, BUILTINS, IMPURE_ATTRIBUTES, find_pure
from lineal.fingerprint.recursion import deep_recursion
from lineal.fingerprint.scopes import Level
from lineal.fingerprint.statements import Statements, Uses
from lineal.fingerprint.syntax import Unit
from lineal.fingerprint.traced import TracedCode

_MODULE_NAMES = frozenset({"__name__", "__file__", "__package__"})
_SETS = frozenset({"set", "frozenset", "Set", "AbstractSet", "FrozenSet", "MutableSet"})
_A_SET = "a set, whose order differs from process to process"
_SPOTS = {
    "dynamic_import": "an import by a computed name",
    "eval": "text that is run",
    "environment": "an environment variable",
    "undeclared_read": "a file",
    "unpickle": "a pickle",
    "runs_file": "code that is run from a file",
    "runs_module": "a child process",
}
_MAKERS = frozenset({"__init__", "__new__", "__post_init__", "__repr__", "__str__"})
_AT_CREATION = frozenset({"__init_subclass__", "__class_getitem__", "__set_name__", "__prepare__"})
_SETTERS = frozenset({"clear", "pop", "popitem", "putenv", "setdefault", "unsetenv", "update"})
_VARIABLES = outside_node("os.environ")
_SETTINGS = {
    outside_node("sys.path")[1]: "sys.path",
    outside_node("os.chdir")[1]: "the current folder",
    outside_node("locale.setlocale")[1]: "the locale",
}
_RECORDS = ("typing.NamedTuple", "typing.TypedDict", "typing_extensions.TypedDict")


class Impurity(NamedTuple):
    """What a graph, or a plan of it, may depend on besides code and parameters; how, and where."""

    what: str
    file: str
    line: int
    how: str = "pipeline reaches"

    def __str__(self) -> str:
        return f"{self.how} {self.what} ({self.file}:{self.line})"


class Verdict(NamedTuple):
    """``impurity`` is None where the graph may be kept; ``links`` are files whose real path it then depends on."""

    impurity: Impurity | None
    links: tuple[str, ...]


def judge(code: TracedCode, *, variables: bool = False) -> Verdict:
    """Whether the graph that tracing this code gives may be kept. FingerprintError where it cannot be read.

    ``variables``: environment variables are looked at where the code is imported, so importing it must set none.
    """
    with deep_recursion():
        judging = _Judging(code)
        judging.run()
        judging.find_settings(variables)
    if judging.found:
        return Verdict(min(judging.found, key=lambda each: each[0])[1], ())
    return Verdict(None, tuple(sorted(judging.links)))


class _Judging:
    """One judgement. ``as_code`` are units that may run, ``as_type`` those that only annotations name."""

    def __init__(self, code: TracedCode) -> None:
        self._code, self._lookup, self._closure = code, code.outline, code.closure
        self._statements: dict[str, Statements] = {}
        self._as_code: dict[Place, None] = {}
        self._as_type: dict[Place, None] = {}
        self._pending: list[tuple[Place, bool]] = []
        self._attributes: list[tuple[str, Place, int]] = []
        self._defined: set[str] = set()
        self._outside: set[str] = set()  # what code uses outside, as `outside_node` tells it apart
        self._is_near = True  # what is judged is on the way from the pipeline
        self.found: list[tuple[tuple[bool, str, int, bool], Impurity]] = []
        self.links: set[str] = set()

    def run(self) -> None:
        for place in self._entries():
            self._reach(place, as_type=False)
            self._parameters(place)
        self._exhaust()
        self._is_near = False
        known = -1
        while known != (known := len(self._as_code) + len(self._as_type)):
            for place in self._closure.units:
                if place not in self._as_code and place not in self._as_type and self._matters(place):
                    self._reach(place, as_type=False)
                    self._exhaust()
        self._is_near = True
        for name, place, line in self._attributes:
            if name in IMPURE_ATTRIBUTES or (name not in ATTRIBUTES and name not in self._defined):
                self._note(f"the attribute {name} of a value", place, line)
        for name, place in self._closure.unresolved:
            self._note(f"{name}, which is not to be found", place, self._unit(place).line)
        self._stages_that_run()

    def _exhaust(self) -> None:
        while True:
            while self._pending:
                place, as_type = self._pending.pop()
                for node in self._code.closures.linker.links(*place, Mode()).nodes:
                    if node[0] == "unit":  # a guard around it, or around an import on the way to it
                        self._reach((node[1], int(node[2])), as_type=False)
                if as_type:
                    self._judge_type(place)
                else:
                    self._judge_code(place)
            upgraded = [place for place in self._as_type if place not in self._as_code and self._runs(place)]
            for place in upgraded:
                self._reach(place, as_type=False)
            if not upgraded:
                return

    def _entries(self) -> Iterator[Place]:
        module, name = self._code.entry
        pending, seen = [(module, name)], set()
        while pending:
            each = pending.pop()
            if each in seen:
                continue
            seen.add(each)
            index = self._lookup.get_index(each[0])
            own = [(each[0], at) for at in self._lookup.binders(*each)]
            own = [place for place in own if index.units[place[1]].kind not in ("import", "star")]
            yield from own
            if not own:
                targets = self._lookup.resolve(each[0], (each[1],))
                pending += [(target.module, target.name) for target in targets if target.kind == "name"]

    def _reach(self, place: Place, *, as_type: bool) -> None:
        known = self._as_type if as_type else self._as_code
        if place not in known:
            known[place] = None
            self._pending.append((place, as_type))

    # -- one unit -----------------------------------------------------------------------------

    def _judge_code(self, place: Place) -> None:
        unit = self._unit(place)
        uses = self._uses(place)
        self._defined |= uses.defined
        for what, line in uses.oddities:
            self._note(what, place, line)
        for kind, _, line in unit.spots:
            self._note(_SPOTS.get(kind, kind.replace("_", " ")), place, line, hunch=True)
        for mark in unit.marks if not unit.spots else ():
            self._note(f"what it looks up by name ({mark})", place, unit.line, hunch=True)
        if uses.own_paths:
            located = self._lookup.find_module(place[0])
            assert located is not None
            assert located.file is not None
            self.links.add(str(self._lookup.sources.path(located.file)))
        for name in sorted(uses.relied_on):
            kinds = {each.kind for each in self._lookup.resolve(place[0], (name,), None)}
            if name in uses.local or kinds != {"builtin"}:
                self._note(f"{name}(), which is not the built-in one", place, unit.line)
        for level, name, _ in unit.imports_later:
            self._import(place, self._lookup.absolute(place[0], level, name))
        lines: dict[Chain, int] = {}
        imported = {chain[0] for chain, _ in self._loads(place[1], unit) if isinstance(chain[0], int)}
        for chain, line, orderless in uses.chains:
            lines.setdefault(chain, line)
            if chain[0] in uses.local:
                self._attributes += [(str(name), place, line) for name in chain[1:]]
            elif not (
                imported and self._is_unknown(place, chain)
            ):  # a name that an import in the function binds
                self._chain(place, chain, None, line, orderless)
        for name, line in uses.attributes:
            self._attributes.append((name, place, line))
        for chain, at in self._loads(place[1], unit):
            known = chain in lines
            if chain[0] == "" or (not known and chain in uses.excused and self._is_excused(place, chain)):
                continue
            line = lines.get(chain) or next((n for c, n in lines.items() if c[-1] == chain[-1]), unit.line)
            self._chain(place, chain, at, line, known and chain[0] not in uses.local)
        for chain, line in uses.types:
            self._type(place, chain, line)
            if unit.kind == "class" and chain[-1] in _SETS:  # of a field, as far as can be told
                self._note(_A_SET, place, line)

    def _judge_type(self, place: Place) -> None:
        unit = self._unit(place)
        if unit.kind not in ("class", "assign"):
            self._reach(place, as_type=False)
            return
        uses = self._uses(place, as_type=True)
        self._defined |= uses.defined
        for what, line in uses.oddities:
            self._note(what, place, line)
        for chain, line, orderless in uses.chains:
            if chain[0] not in uses.local:
                self._chain(place, chain, None, line, orderless)
        for chain, line in uses.types:
            if chain[0] not in uses.local:
                self._type(place, chain, line)
        for name, line in uses.attributes:
            self._attributes.append((name, place, line))

    def _parameters(self, place: Place, depth: int = 0) -> None:
        """Parameters of the pipeline are made of what was typed: classes of the project among them run."""
        unit = self._unit(place)
        if unit.kind == "assign" and depth < 4:  # flow = pipeline(function)
            for chain in unit.now:
                for target in self._lookup.resolve(place[0], chain, place[1]):
                    if target.kind == "name":
                        for each in self._lookup.binders(target.module, target.name):
                            self._parameters((target.module, each), depth + 1)
            return
        statements = self._statements_of(place[0])
        uses = statements.parameters(unit.line, unit.end_line)
        for chain, line in uses.types:
            if chain[-1] in _SETS:
                self._note(_A_SET, place, line)
            for target in self._lookup.resolve(place[0], chain, None, True):
                if target.kind == "name":
                    self._target(target)

    @staticmethod
    def _loads(position: int, unit: Unit) -> Iterator[tuple[Chain, int | None]]:
        """The dotted names that a unit uses as code, each with when it looks them up."""
        for chain in unit.now:
            yield chain, position
        for chain in unit.later:
            yield chain, None
        for decorator in unit.decorators:
            for chain in decorator.now:
                yield chain, position
            for chain in decorator.later:
                yield chain, None

    # -- names --------------------------------------------------------------------------------

    def _import(self, place: Place, module: str) -> None:
        """An import in a function: whether a library is there is no part of the code."""
        top = module.partition(".")[0]
        if not (is_standard(top) or top in OWN_PACKAGES or self._lookup.find_module(top) is not None):
            self._note(f"an import of {module}", place, self._unit(place).line, hunch=True)

    def _chain(self, place: Place, chain: Chain, at: int | None, line: int, orderless: bool) -> None:
        targets = self._lookup.resolve(place[0], chain, at)
        if not targets:
            if chain[0] not in _MODULE_NAMES:
                self._note(_written(chain), place, line)
            self._attributes += [(str(name), place, line) for name in chain[1:]]
        for target in targets:
            kind = target.kind
            if kind in ("via", "loaded", "exports"):
                continue  # which of several it is: the guard is judged by itself
            if kind == "name":
                self._attributes += [(str(name), place, line) for name in target.rest if name != "()"]
                self._target(target)
                if not orderless and self._is_set(target):
                    self._note(_A_SET, place, line)
            elif kind == "builtin":
                if target.name not in BUILTINS:
                    self._note(f"{target.name}()", place, line)
                self._attributes += [(str(name), place, line) for name in chain[1:] if name != "()"]
            elif kind == "outside":
                behind = find_pure(target.module)
                if behind is None or any(name in IMPURE_ATTRIBUTES for name in behind):
                    self._note(target.module, place, line)
                else:
                    self._outside.add(outside_node(target.module)[1])
                    self._attributes += [(name, place, line) for name in behind]
            else:
                self._note(_written(chain), place, line)

    def _type(self, place: Place, chain: Chain, line: int) -> None:
        """A name in an annotation: any class will do; of the standard library, those that are spelled like one."""
        targets = self._lookup.resolve(place[0], chain, None, True)
        if not targets:
            self._note(_written(chain), place, line)
        for target in targets:
            if target.kind == "name":
                self._target(target, as_type=True)
            elif target.kind == "outside":
                top, *_ = parts = target.module.split(".")
                known = find_pure(target.module) is not None or any(part[:1].isupper() for part in parts)
                if not known and (is_standard(top) or top in OWN_PACKAGES):
                    self._note(target.module, place, line)
            elif target.kind == "builtin":
                if target.name not in BUILTINS and target.name not in ("object", "bytearray", "memoryview"):
                    self._note(f"{target.name}()", place, line)
            elif target.kind not in ("via", "loaded", "exports"):
                self._note(_written(chain), place, line)

    def _target(self, target: Target, *, as_type: bool = False) -> None:
        for each in self._lookup.binders(target.module, target.name):
            self._reach((target.module, each), as_type=as_type)

    def _is_set(self, target: Target) -> bool:
        places = [(target.module, each) for each in self._lookup.binders(target.module, target.name)]
        return any(self._unit(each).kind == "assign" and self._uses(each).is_set for each in places)

    def _is_unknown(self, place: Place, chain: Chain) -> bool:
        return all(each.kind == "missing" for each in self._lookup.resolve(place[0], chain[:1], None))

    def _is_excused(self, place: Place, chain: Chain) -> bool:
        targets = self._lookup.resolve(place[0], chain, None)
        fine = ("os.path.abspath", "os.path.realpath")
        return all(
            (each.kind == "outside" and each.module in fine)
            or (each.kind == "builtin" and each.name in ("getattr", "hasattr"))
            for each in targets
        )

    # -- what runs without being named --------------------------------------------------------

    def _runs(self, place: Place) -> bool:
        """Whether code of a class that only annotations name runs all the same."""
        unit = self._unit(place)
        methods = unit.effects.keys()
        if unit.kind != "class" or not methods:
            return False
        if not _AT_CREATION.isdisjoint(methods):
            return True
        if any(name in methods for name, _, _ in self._attributes):
            return True
        special = {name for name in methods if name.startswith("__") and name.endswith("__")} - _MAKERS
        return bool(special) and self._is_record(place)

    def _is_record(self, place: Place) -> bool:
        """Whether instances of the class may hold promises: NamedTuples, TypedDicts, anything decorated."""
        for module, position in (place, *self._code.closures.effects.bases(*place)):
            unit = self._lookup.get_index(module).units[position]
            if unit.decorators:
                return True
            for base in unit.bases:
                for target in self._lookup.resolve(module, base, position):
                    if target.kind != "name" and (target.kind != "outside" or target.module in _RECORDS):
                        return True
        return False

    def _matters(self, place: Place) -> bool:
        """Whether the graph may depend on what a unit changes that nothing names: it may tell libraries what it likes."""
        judged = {*self._as_code, *self._as_type}
        for kind, *names in self._code.closures.effects.of_unit(*place).nodes:
            if kind == "outside":
                matters = names[0] in self._outside
            elif kind == "name":
                matters = any((names[0], each) in judged for each in self._lookup.binders(names[0], names[1]))
            else:
                matters = kind != "subclasses"  # who looks at those is known by a mark
            if matters:
                return True
        return False

    def find_settings(self, variables: bool) -> None:
        """Find statements that change, on import, what planning a run looks at."""
        loading, importing = self._code.closures.loading, "importing the project "
        for module in self._closure.loaded:
            for position, changes in loading.changing(module):
                place = module, position
                line = self._unit(place).line
                outside = [node[1] for node in changes.nodes if node[0] == "outside"]
                for name in _SETTINGS.keys() & set(outside):
                    self._note(_SETTINGS[name], place, line, how=importing + "changes")
                if not variables:
                    continue
                libraries = {name for name in outside if not is_standard(name.partition(".")[0])}
                for name in libraries - OWN_PACKAGES - {ANY_LIBRARY[1]}:
                    self._note(f"{name}, which may set variables,", place, line, how=importing + "calls")
                if any(self._sets_variables(each) for each in (place, *changes.called)):
                    self._note("os.environ", place, line, how=importing + "changes")

    def _sets_variables(self, place: Place) -> bool:
        """Whether a unit changes the environment itself: `Effects` take a reader of it for one who may, too."""
        unit = self._unit(place)
        parts: list[Unit | Level] = [
            unit,
            *(level for each in unit.effects.values() for level in each.levels),
        ]
        changed = [chain for part in parts for kind, chain in part.mutations if kind != "bind"]
        changed += [call[0] for part in parts for call in part.calls if call[0][-1] in _SETTERS]
        targets = [
            target
            for chain in changed
            if chain[0] != "" and "()" not in chain
            for target in self._lookup.resolve(place[0], chain, None)
        ]
        return any(each.kind == "outside" and outside_node(each.module) == _VARIABLES for each in targets)

    def _stages_that_run(self) -> None:
        """A stage that is called while modules are imported, or made of a function that is also called as it is."""
        for place in self._closure.units:
            called = self._code.closures.effects.of_unit(*place).called
            for module, position in called - self._code.wrappers.get(place, frozenset()):
                if self._lookup.is_stage(module, position):
                    name = self._unit((module, position)).names[0]
                    self._note(f"the stage {name}, which runs on import", place, self._unit(place).line)
        for wrapped in self._lookup.wrapped:
            name = self._unit(wrapped).names[0]
            for place in self._as_code:
                if (
                    place not in self._code.wrappers
                    and place != wrapped
                    and self._names(place, wrapped[0], name)
                ):
                    self._note(
                        f"{name}, which is both a stage and called as it is", place, self._unit(place).line
                    )

    def _names(self, place: Place, module: str, name: str) -> bool:
        unit = self._unit(place)
        if unit.kind == "import":
            return False
        return any(
            target.kind == "name" and (target.module, target.name) == (module, name)
            for chain, at in self._loads(place[1], unit)
            if chain[0] != ""
            for target in self._lookup.resolve(place[0], chain, at)
        )

    # -- parts --------------------------------------------------------------------------------

    def _unit(self, place: Place) -> Unit:
        return self._lookup.get_index(place[0]).units[place[1]]

    def _statements_of(self, module: str) -> Statements:
        if module not in self._statements:
            self._statements[module] = Statements(self._lookup.source(module))
        return self._statements[module]

    def _uses(self, place: Place, *, as_type: bool = False) -> Uses:
        unit = self._unit(place)
        return self._statements_of(place[0]).uses(unit.line, unit.end_line, as_type=as_type)

    def _note(
        self, what: str, place: Place, line: int, *, hunch: bool = False, how: str = "pipeline reaches"
    ) -> None:
        located = self._lookup.find_module(place[0])
        file = located.file if located is not None and located.file is not None else place[0]
        # told is the nearest reason; of two on one line, a name says more
        rank = not self._is_near, os.fspath(file), line, hunch
        self.found.append((rank, Impurity(what, os.fspath(file), line, how)))


def _written(chain: Chain) -> str:
    if OWN_NAME in chain:
        return "globals()"
    return ".".join(str(part) for part in chain if part not in ("()", 0))
