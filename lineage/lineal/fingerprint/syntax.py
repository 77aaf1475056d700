"""One summary per file: its top-level statements as units, with what each refers to, binds and changes.

Statements inside module-level ``if``, ``try`` and ``with`` are units of their own, under the guard around
them. A summary depends on nothing but the bytes of the file, so it is kept by their hash.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from lineal.fingerprint.canonical import Hashes, find_docstring, hash_definition, hash_syntax
from lineal.fingerprint.dynamic import imported_by
from lineal.fingerprint.errors import FingerprintError
from lineal.fingerprint.facts import Facts, origins_of
from lineal.fingerprint.literals import Chain, PathText, chain_of, path_of
from lineal.fingerprint.mangling import mangle_private_names
from lineal.fingerprint.recursion import deep_recursion, parse
from lineal.fingerprint.references import collect, collect_definition
from lineal.fingerprint.scopes import Call, Effect, Import, Mutation

SUMMARY_VERSION = 5
"""Raised when the same bytes give another summary."""


class Decorator(NamedTuple):
    """A decorator of a unit: what it names, how often that is called before it decorates, and its own part of
    the key.
    """

    chain: Chain | None
    calls: int
    code: bytes
    now: tuple[Chain, ...]
    later: tuple[Chain, ...]


class Wrap(NamedTuple):
    """``x = f(a, key=…)``: what is called, and the unit without the keywords."""

    chain: Chain
    code: bytes
    now: tuple[Chain, ...]


class Unit(NamedTuple):
    """One top-level statement. See `Facts` for the parts that are not explained here.

    ``kind`` is def, class, assign, import (one name each), star, guard, doc or other. ``guards`` is
    the unit around it with the branch that it is in, where there is one; ``conditional`` says that it may not run; ``hidden`` why it
    never does on import (``typing``, ``main``). ``target`` is what an import brings; ``within`` the units of
    the body of a ``try``, or of a ``with`` that may swallow an error.
    """

    kind: str
    names: tuple[str, ...]
    line: int
    hashes: Hashes
    guards: tuple[tuple[int, str], ...] = ()
    conditional: bool = False
    hidden: str = ""
    target: Chain = ()
    now: tuple[Chain, ...] = ()
    later: tuple[Chain, ...] = ()
    fields: tuple[Chain, ...] = ()
    annotations: tuple[Chain, ...] = ()
    imports_now: tuple[Import, ...] = ()
    imports_later: tuple[Import, ...] = ()
    mutations: tuple[Mutation, ...] = ()
    calls: tuple[Call, ...] = ()
    effects: Mapping[str, Effect] = MappingProxyType({})
    decorators: tuple[Decorator, ...] = ()
    decorated: tuple[Chain, ...] = ()
    bases: tuple[Chain, ...] = ()
    metaclass: Chain = ()
    aliases: Mapping[str, tuple[Chain, ...]] = MappingProxyType({})
    attributes: Mapping[str, tuple[Chain, ...]] = MappingProxyType({})
    wrap: Wrap | None = None
    marks: tuple[str, ...] = ()
    spots: tuple[tuple[str, str, int], ...] = ()
    strings: tuple[str, ...] = ()
    paths: tuple[PathText, ...] = ()
    own_paths: tuple[PathText, ...] = ()
    path: PathText | None = None
    optional: tuple[tuple[int, str], ...] = ()
    within: tuple[int, int] = (0, 0)
    end_line: int = 0


class Summary(NamedTuple):
    """What a file contains. ``exports`` is ``__all__`` as far as it can be told: names, chains of other
    ``__all__``, and None in it where something else goes in.
    """

    units: tuple[Unit, ...]
    exports: tuple[str | Chain | None, ...] | None
    future_annotations: bool


def summarize(data: bytes, file: str) -> Summary:
    """The summary of the source ``data`` of ``file``; FingerprintError when it is no Python of this version."""
    try:
        tree = parse(data, file)
    except SyntaxError as error:
        raise FingerprintError(
            f"is not valid Python: {error.msg}",
            file,
            error.lineno or 0,
            "Correct it, or take it out of what the stage imports.",
        ) from None
    except ValueError as error:  # null bytes, an unknown encoding
        raise FingerprintError(f"is not valid Python: {error}", file) from None
    except (RecursionError, MemoryError):
        raise _too_deep(file) from None
    try:
        assert isinstance(tree, ast.Module)
        mangle_private_names(tree, data)
        with deep_recursion():
            return _Summarizer(tree).run()
    except (RecursionError, MemoryError):
        raise _too_deep(file) from None


def _too_deep(file: str) -> FingerprintError:
    return FingerprintError(
        "is nested too deeply", file, hint="Break the expression up, or move the data into a file."
    )


class _Summarizer:
    def __init__(self, tree: ast.Module) -> None:
        self.tree = tree
        self.units: list[Unit] = []
        self.exports: list[str | Chain | None] | None = None
        self.adds_exports = False  # whether a function does
        self.future = False

    def run(self) -> Summary:
        docstring = find_docstring(self.tree.body)
        if docstring is not None:
            hashes = hash_syntax(ast.Assign([ast.Name("__doc__")], ast.Constant(docstring)))
            self.units.append(Unit("doc", ("__doc__",), 1, hashes))
        self.block(self.tree.body, (), False, "")
        exports = None if self.exports is None else (*self.exports, *([None] if self.adds_exports else []))
        return Summary(tuple(self.units), exports, self.future)

    def block(
        self, body: list[ast.stmt], guards: tuple[tuple[int, str], ...], conditional: bool, hidden: str
    ) -> None:
        for node in body:
            self.statement(node, {"guards": guards, "conditional": conditional, "hidden": hidden})

    def statement(self, node: ast.stmt, where: dict[str, Any]) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                bound, target = (alias.asname, alias.name) if alias.asname else (top, top)
                self._import(node, bound, (0, target), (0, alias.name, None), where)
        elif isinstance(node, ast.ImportFrom):
            self._import_from(node, where)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            self._definition(node, where)
        elif isinstance(node, ast.If):
            self._if(node, where)
        elif isinstance(node, ast.Try) or node.__class__.__name__ == "TryStar":
            self._try(node, where)
        elif isinstance(node, ast.With | ast.AsyncWith):
            items = ast.With(node.items, [ast.Pass()])
            guard = self._guard(node, items, where)
            start = len(self.units)
            self.block(node.body, ((guard, "with"),), True, where["hidden"])
            if not all(_keeps_errors(item.context_expr) for item in node.items):
                self.units[guard] = self.units[guard]._replace(within=(start, len(self.units)))
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            self._assign(node, where)
        elif not isinstance(node, ast.Pass) and not (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        ):
            self._note_exports(node, where)
            facts = collect(node)
            if isinstance(node, ast.Raise | ast.Assert):
                facts.marks.add("raises")
            self._add("other", facts, hash_syntax(node), node, where)

    def _add(
        self, kind: str, facts: Facts, hashes: Hashes, node: ast.AST, where: dict[str, Any], **more: Any
    ) -> int:
        more.setdefault("names", tuple(sorted(facts.bound)))
        self.units.append(
            Unit(
                kind=kind,
                line=getattr(node, "lineno", 0),
                end_line=getattr(node, "end_lineno", 0) or 0,
                hashes=hashes,
                now=tuple(facts.now),
                later=tuple(facts.later),
                fields=tuple(facts.fields),
                annotations=tuple(facts.annotations),
                imports_now=tuple(dict.fromkeys(facts.imports_now)),
                imports_later=tuple(dict.fromkeys(facts.imports_later)),
                mutations=tuple(facts.mutations),
                calls=tuple(facts.calls),
                effects=facts.effects,
                decorated=tuple(facts.decorated),
                aliases={name: tuple(dict.fromkeys(chains)) for name, chains in facts.aliases.items()},
                attributes={name: tuple(dict.fromkeys(chains)) for name, chains in facts.attributes.items()},
                marks=tuple(sorted(facts.marks)),
                spots=tuple(facts.spots),
                strings=tuple(facts.strings),
                optional=tuple(facts.optional),
                paths=tuple(facts.paths),
                own_paths=tuple(facts.own_paths),
                **where,
                **more,
            )
        )
        return len(self.units) - 1

    def _import(self, node: ast.AST, bound: str, target: Chain, runs: Import, where: dict[str, Any]) -> None:
        hashes = hash_syntax(
            ast.Constant(f"import {bound}")
        )  # what it brings is an edge, not part of the text
        facts = Facts()
        facts.imports_now.append(runs)
        self._add("import", facts, hashes, node, where, names=(bound,), target=target)

    def _import_from(self, node: ast.ImportFrom, where: dict[str, Any]) -> None:
        module = node.module or ""
        if module == "__future__":
            self.future = self.future or any(alias.name == "annotations" for alias in node.names)
            return
        for alias in node.names:
            runs: Import = (node.level, module, (alias.name,))
            if alias.name == "*":
                facts = Facts()
                facts.imports_now.append(runs)
                hashes = hash_syntax(ast.Constant("import *"))
                self._add("star", facts, hashes, node, where, names=(), target=(node.level, module))
            else:
                self._import(node, alias.asname or alias.name, (node.level, module, alias.name), runs, where)

    def _definition(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, where: dict[str, Any]
    ) -> None:
        facts = collect_definition(node)
        decorators = []
        for each in node.decorator_list:
            own = collect(each, use="d")
            called = chain_of(each.func) if isinstance(each, ast.Call) else chain_of(each)
            decorators.append(
                Decorator(
                    called,
                    int(isinstance(each, ast.Call)),
                    hash_syntax(each).code,
                    tuple(own.now),
                    tuple(own.later),
                )
            )
            for origin in [called] if called is not None else origins_of(each):
                facts.calls.append(((*origin, "()") if isinstance(each, ast.Call) else origin, "d", ()))
            facts.calls += own.calls
            facts.mutations += own.mutations
            facts.imports_now += own.imports_now
            facts.spots += own.spots
            facts.strings |= own.strings
            facts.marks |= own.marks
        more: dict[str, Any] = {"names": (node.name,), "decorators": tuple(decorators)}
        kind = "def"
        if isinstance(node, ast.ClassDef):
            kind = "class"
            more["bases"] = tuple(origin for base in node.bases for origin in origins_of(base))
            for keyword in node.keywords:
                if keyword.arg == "metaclass":
                    more["metaclass"] = chain_of(keyword.value) or ()
        self._add(kind, facts, hash_definition(node), node, where, **more)
        for effect in facts.effects.values():
            for level in effect.levels:
                used = [chain for _, chain in level.mutations] + [callee for callee, _, _ in level.calls]
                self.adds_exports = self.adds_exports or any(chain[0] == "__all__" for chain in used)

    def _assign(self, node: ast.Assign | ast.AnnAssign | ast.AugAssign, where: dict[str, Any]) -> None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        self._note_exports(node, where)
        apart = _taken_apart(node)
        if apart:
            for each in apart:
                self._assign(each, where)
            return
        only = targets[0] if len(targets) == 1 and isinstance(targets[0], ast.Name) else None
        imported = imported_by(node.value) if node.value is not None else None
        if only is not None and imported is not None:  # m = importlib.import_module("m")
            self._import(node, only.id, imported, (int(imported[0]), str(imported[1]), None), where)
            return
        if isinstance(node, ast.AnnAssign) and node.value is None:
            return
        facts = collect(node)
        more: dict[str, Any] = {}
        if only is not None and not isinstance(node, ast.AugAssign):
            value = node.value
            more["path"] = path_of(value) if value is not None else None
            called = chain_of(value.func) if isinstance(value, ast.Call) else None
            if isinstance(value, ast.Call) and called is not None:
                plain = [ast.Name(only.id), value.func, *value.args]
                more["wrap"] = Wrap(
                    called, hash_syntax(*plain).code, tuple(collect(value.func, *value.args).now)
                )
        simple = all(isinstance(target, ast.Name | ast.Tuple | ast.List) for target in targets)
        kind = "assign" if simple and not isinstance(node, ast.AugAssign) else "other"
        self._add(kind, facts, hash_syntax(node), node, where, **more)

    def _note_exports(self, node: ast.stmt, where: dict[str, Any]) -> None:
        """Follow what the statement does to ``__all__``."""
        before = self.exports
        self._follow_exports(node)
        if self.exports is not before and where["conditional"]:
            self.exports = [*(before or []), *(self.exports or []), None]

    def _follow_exports(self, node: ast.stmt) -> None:
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if not any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
                return
            if not isinstance(node, ast.AugAssign):
                self.exports = []
            self.exports = [*(self.exports or []), *_exported(node.value)]
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            chain = chain_of(node.value.func)
            if chain is not None and chain[0] == "__all__" and len(chain) == 2:
                argument = node.value.args[0] if len(node.value.args) == 1 else None
                if chain[1] == "append" and argument is not None:
                    argument = ast.List([argument])
                found = _exported(argument)
                self.exports = [
                    *(self.exports or []),
                    *(found if chain[1] in ("append", "extend") else [None]),
                ]

    def _guard(self, node: ast.AST, tested: ast.AST, where: dict[str, Any], **more: Any) -> int:
        return self._add("guard", collect(tested), hash_syntax(tested), node, where, **more)

    def _if(self, node: ast.If, where: dict[str, Any]) -> None:
        reason, inverted = _never_runs(node.test)
        then, other = (node.orelse, node.body) if inverted else (node.body, node.orelse)
        if reason:
            self.block(then, where["guards"], where["conditional"], reason)
            self.block(other, where["guards"], where["conditional"], where["hidden"])
            return
        guard = self._guard(node, node.test, where)
        self.block(node.body, ((guard, "then"),), True, where["hidden"])
        self.block(node.orelse, ((guard, "else"),), True, where["hidden"])

    def _try(self, node: Any, where: dict[str, Any]) -> None:
        caught = ast.Tuple([handler.type or ast.Constant(None) for handler in node.handlers])
        names = tuple(handler.name for handler in node.handlers if handler.name)
        guard = self._guard(node, caught, where, names=names)
        start = len(self.units)
        self.block(node.body, ((guard, "try"),), True, where["hidden"])
        self.units[guard] = self.units[guard]._replace(within=(start, len(self.units)))
        for index, handler in enumerate(node.handlers):
            self.block(handler.body, ((guard, f"except {index}"),), True, where["hidden"])
        self.block(node.orelse, ((guard, "else"),), True, where["hidden"])
        self.block(node.finalbody, ((guard, "finally"),), where["conditional"], where["hidden"])


def _taken_apart(node: ast.stmt) -> list[ast.Assign]:
    """``a, b = x, y`` as two assignments, where that is the same: the names are not looked up in the values."""
    if not isinstance(node, ast.Assign) or len(node.targets) != 1:
        return []
    target, value = node.targets[0], node.value
    if (
        not isinstance(target, ast.Tuple | ast.List)
        or not isinstance(value, ast.Tuple | ast.List)
        or len(target.elts) != len(value.elts)
        or not all(isinstance(each, ast.Name) for each in target.elts)
        or any(isinstance(each, ast.Starred) for each in value.elts)
    ):
        return []
    names = {each.id for each in target.elts if isinstance(each, ast.Name)}
    facts = collect(value)
    if names & {chain[0] for chain in facts.now} or facts.bound or "own" in facts.marks:
        return []
    pairs = zip(target.elts, value.elts, strict=True)
    return [ast.copy_location(ast.Assign([one], other), node) for one, other in pairs]


def _keeps_errors(context: ast.expr) -> bool:
    """Whether a ``with`` over ``context`` surely lets an error in its body through: an open file does."""
    name = context.func if isinstance(context, ast.Call) else context
    return isinstance(name, ast.Name | ast.Attribute) and (
        (name.id if isinstance(name, ast.Name) else name.attr) == "open"
    )


def _exported(node: ast.AST | None) -> list[str | Chain | None]:
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        found: list[str | Chain | None] = []
        for element in node.elts:
            if isinstance(element, ast.Constant) and isinstance(element.value, str):
                found.append(element.value)
            elif isinstance(element, ast.Starred):
                found += _exported(element.value)
            else:
                found.append(None)
        return found
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _exported(node.left) + _exported(node.right)
    if (
        isinstance(node, ast.Call)
        and chain_of(node.func) in (("list",), ("tuple",), ("sorted",))
        and len(node.args) == 1
    ):
        return _exported(node.args[0])
    chain = chain_of(node) if node is not None else None
    return [chain] if chain is not None and chain[-1] == "__all__" and len(chain) > 1 else [None]


def _never_runs(test: ast.expr) -> tuple[str, bool]:
    """Why the branch under ``test`` never runs on import ("" where it may), and whether that is said of the
    other branch.
    """
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        reason, inverted = _never_runs(test.operand)
        return reason, not inverted
    chain = chain_of(test)
    if chain is not None and chain[-1] == "TYPE_CHECKING":
        return "typing", False
    if isinstance(test, ast.Constant):
        return ("main", bool(test.value))
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and len(test.comparators) == 1:
        sides = {ast.dump(test.left), ast.dump(test.comparators[0])}
        if sides == {ast.dump(ast.Name("__name__", ast.Load())), ast.dump(ast.Constant("__main__"))}:
            return (
                ("main", isinstance(test.ops[0], ast.NotEq))
                if isinstance(test.ops[0], ast.Eq | ast.NotEq)
                else ("", False)
            )
    return "", False
