"""One walk over a piece of syntax: what it refers to, what it changes, what cannot be seen.

References are whole dotted names by true scoping, split by when they are looked up: while the module is imported, or
later, when a function is called. Dynamic look-ups with a literal name are references like any other.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable
from typing import Any

from lineal.fingerprint.canonical import parsed_annotation
from lineal.fingerprint.dynamic import MARKS, SPECIAL_CALLS, imported_by, special_subscript
from lineal.fingerprint.literals import Chain, PathText, chain_of
from lineal.fingerprint.scopes import (
    CLASS,
    COMPREHENSION,
    FUNCTION,
    MODULE,
    Effect,
    Import,
    Records,
    Scope,
    changes_receiver,
    frozen,
)

_MODULE_LIKE = re.compile(r"\.*[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*(?::[A-Za-z_][\w.]*)?\Z")


class Facts:
    """What is known about one piece of syntax.

    ``now`` is looked up at import, ``later`` in calls, ``fields`` and ``annotations`` where those of class variables or
    of anything else count. ``decorated`` are the decorators inside it; ``optional`` the imports that may fail. ``marks`` name
    what makes more count than usual (``docs``, ``annotations``, ``source``, ``own``, ``subclasses``, ``dynamic``).
    """

    __slots__ = (
        "aliases", "annotations", "bound", "calls", "decorated", "effects", "fields", "imports_later", "imports_now",
        "later", "marks", "mutations", "now", "optional", "paths", "spots", "strings",
    )  # fmt: skip

    def __init__(self) -> None:
        self.now: set[Chain] = set()
        self.later: set[Chain] = set()
        self.annotations: set[Chain] = set()
        self.fields: set[Chain] = set()
        self.decorated: set[Chain] = set()
        self.imports_now: list[Import] = []
        self.imports_later: list[Import] = []
        self.mutations: list[tuple[str, Chain]] = []
        self.calls: list[Any] = []
        self.effects: dict[str, Effect] = {}
        self.marks: set[str] = set()
        self.spots: list[tuple[str, str, int]] = []
        self.strings: set[str] = set()
        self.paths: list[PathText] = []
        self.bound: set[str] = set()
        self.aliases: dict[str, list[Chain]] = {}
        self.optional: set[tuple[int, str]] = set()


def collect(*nodes: ast.AST, use: str = "v") -> Facts:
    """The facts about some module-level syntax; ``use`` says what becomes of an expression's value (see `Call`)."""
    walker = Walker()
    for node in nodes:
        walker.use = use
        walker.visit(node)
    return walker.finish()


def collect_definition(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> Facts:
    """The facts about a module-level definition without its own decorators."""
    walker = Walker()
    walker.define(node, decorators=False)
    return walker.finish()


def collect_annotation(*nodes: ast.expr | None) -> set[Chain]:
    """What module-level annotations refer to."""
    walker = Walker()
    for node in nodes:
        walker.annotate(node)
    return walker.facts.annotations


def origins_of(node: ast.AST | None) -> list[Chain]:
    """What an expression's value may be (part of), as dotted names: ``a``, ``f()``, the elements of a list."""
    if node is None:
        return []
    cls = node.__class__
    if cls is ast.Constant:
        return []
    if cls is ast.Name or cls is ast.Attribute:
        chain = chain_of(node)
        if chain is not None:
            return [chain]
        return [(*origin, node.attr) for origin in origins_of(node.value)]  # type: ignore[attr-defined]
    if isinstance(node, ast.Call):
        found = [(*origin, "()") for origin in origins_of(node.func)]
        for argument in node.args:
            found += origins_of(argument)
        for keyword in node.keywords:
            found += origins_of(keyword.value)
        return found
    if isinstance(node, ast.Subscript | ast.Starred | ast.Await | ast.NamedExpr):
        return origins_of(node.value)
    if isinstance(node, ast.IfExp):
        return origins_of(node.body) + origins_of(node.orelse)
    parts: Iterable[ast.AST | None] = ()
    if isinstance(node, ast.BoolOp | ast.Dict):
        parts = node.values
    elif isinstance(node, ast.Tuple | ast.List | ast.Set):
        parts = node.elts
    elif isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp):
        parts = [node.elt, *(generator.iter for generator in node.generators)]
    return [origin for part in parts for origin in origins_of(part)]


class Walker:
    """Walks syntax with a current scope. Handlers by node type below; anything else: its children in order."""

    def __init__(self) -> None:
        self.facts = Facts()
        self.scope = Scope(MODULE, None)
        self.use = "v"
        self.tried = 0  # blocks around with an except clause

    def finish(self) -> Facts:
        facts, scope = self.facts, self.scope
        facts.now |= scope.loads  # its own names too: `X = f(X)` looks up an earlier X
        scope._settle_inner()
        records = scope.levels[0]
        facts.mutations, facts.calls = (
            list(dict.fromkeys(records.mutations)),
            list(dict.fromkeys(records.calls)),
        )
        facts.imports_now += records.imports
        facts.bound |= scope.bound
        facts.aliases = scope.aliases
        return facts

    def visit(self, node: ast.AST) -> None:
        cls = node.__class__
        handler = _HANDLERS.get(cls)
        if handler is not None:
            handler(self, node)
            return
        for field in _CHILDREN[cls]:
            value = getattr(node, field, None)
            if value.__class__ is list:
                for item in value:
                    if isinstance(item, ast.AST):
                        self.visit(item)
            elif isinstance(value, ast.AST):
                self.visit(value)

    def visit_all(self, nodes: Iterable[ast.AST | None]) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)

    def spot(self, kind: str, detail: str, node: ast.AST) -> None:
        self.facts.spots.append((kind, detail, getattr(node, "lineno", 0)))

    def executes(self, what: Import) -> None:
        """Note an import that runs when this scope does."""
        self.scope.levels[0].imports.append(what)
        if self.tried:
            self.facts.optional.add(what[:2])
        if self.deferred:
            self.facts.imports_later.append(what)

    @property
    def deferred(self) -> bool:
        """Whether the current scope runs only when a function is called."""
        scope: Scope | None = self.scope
        while scope is not None:
            if scope.kind == FUNCTION:
                return True
            scope = scope.outer
        return False

    def mutate(self, kind: str, chains: Iterable[Chain]) -> None:
        self.scope.levels[0].mutations += [(kind, chain) for chain in chains]

    def alias(self, target: ast.AST, origins: list[Chain]) -> None:
        """Note what the names bound by ``target`` may be."""
        if not origins:
            return
        if isinstance(target, ast.Name):
            self.scope.aliases.setdefault(target.id, []).extend(origins)
        elif isinstance(target, ast.Tuple | ast.List):
            for element in target.elts:
                self.alias(element, origins)
        elif isinstance(target, ast.Starred):
            self.alias(target.value, origins)

    # Expressions

    def name(self, node: ast.Name) -> None:
        if node.ctx.__class__ is ast.Load:
            if node.id in MARKS:
                self.facts.marks.add(MARKS[node.id])
            self.scope.load((node.id,))
        else:
            self.scope.bind(node.id)

    def attribute(self, node: ast.Attribute) -> None:
        chain = chain_of(node)
        store = node.ctx.__class__ is not ast.Load
        if chain is None:
            base: ast.AST = node
            names: list[str] = []
            while isinstance(base, ast.Attribute):
                names.insert(0, base.attr)
                if base.attr in MARKS:
                    self.facts.marks.add(MARKS[base.attr])
                base = base.value
            if store:
                self.mutate("set", origins_of(node))
            imported = imported_by(base)
            if imported is None:
                self.visit(base)
            else:  # importlib.import_module("m").f
                self.executes((int(imported[0]), str(imported[1]), None))
                self.scope.load((*imported, *names))
            return
        for part in chain[1:]:
            if part in MARKS:
                self.facts.marks.add(MARKS[part])
        if store:
            self.mutate("set", [chain])
        self.scope.load(chain)

    def subscript(self, node: ast.Subscript) -> None:
        if special_subscript(self, node):
            return
        if node.ctx.__class__ is not ast.Load:
            self.mutate("in", origins_of(node.value))
        self.visit(node.value)
        self.visit(node.slice)

    def constant(self, node: ast.Constant) -> None:
        value = node.value
        if value.__class__ is str and len(value) < 200:
            if value in MARKS:
                self.facts.marks.add(MARKS[value])
            if _MODULE_LIKE.match(value):
                self.facts.strings.add(value)

    def call(self, node: ast.Call) -> None:
        use, self.use = self.use, "v"
        chain = chain_of(node.func)
        special = None
        if chain is not None:
            special = SPECIAL_CALLS.get(chain[-1])  # type: ignore[arg-type]
        elif isinstance(node.func, ast.Attribute):
            special = SPECIAL_CALLS.get(node.func.attr)
        if special is not None and special(self, node, chain):
            return
        arguments = [(index, origins_of(argument)) for index, argument in enumerate(node.args)]
        arguments += [(keyword.arg or "**", origins_of(keyword.value)) for keyword in node.keywords]  # type: ignore[misc]
        given = tuple((key, tuple(origins)) for key, origins in arguments if origins)
        if chain is not None:
            self.visit(node.func)
            self.scope.levels[0].calls.append((chain, use, given))
        else:
            self.use = use if isinstance(node.func, ast.Call) else "v"
            if isinstance(node.func, ast.Attribute):
                self.use = use
                if use != "v" or changes_receiver(node.func.attr):
                    self.mutate("in", origins_of(node.func.value))
            for origin in origins_of(node.func):
                self.scope.levels[0].calls.append((origin, use, given))
            self.visit(node.func)
        self.use = "v"
        for argument in node.args:
            self._argument(argument)
        for keyword in node.keywords:
            self._argument(keyword.value)

    def _argument(self, node: ast.expr) -> None:
        if isinstance(node, ast.Lambda):
            self.lambda_(node, called=True)
        else:
            self.visit(node)

    def lambda_(self, node: ast.Lambda, called: bool = False) -> None:
        self._function(node, None, called)

    def walrus(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        scope = self.scope
        while scope.kind == COMPREHENSION and scope.outer is not None:
            scope = scope.outer
        scope.bind(node.target.id)
        scope.aliases.setdefault(node.target.id, []).extend(origins_of(node.value))

    def comprehension(self, node: Any) -> None:
        first = node.generators[0]
        self.visit(first.iter)  # evaluated in the scope around
        self.scope = Scope(COMPREHENSION, self.scope)
        for generator in node.generators:
            self.visit(generator.target)
            self.alias(generator.target, origins_of(generator.iter))
            if generator is not first:
                self.visit(generator.iter)
            self.visit_all(generator.ifs)
        if isinstance(node, ast.DictComp):
            self.visit(node.key)
            self.visit(node.value)
        else:
            self.visit(node.elt)
        scope, self.scope = self.scope, self.scope.outer  # type: ignore[assignment]
        target = scope.visible
        target.loads.update(scope.free())
        target.adopt(scope.close(), 0)

    # Statements

    def expression(self, node: ast.Expr) -> None:
        value = node.value
        if value.__class__ is ast.Constant:
            return  # a docstring or a bare literal
        self.use = "e"
        if isinstance(value, ast.Await):
            value = value.value
        self.visit(value)
        self.use = "v"

    def assign(self, node: ast.Assign) -> None:
        imported = imported_by(node.value)
        if (
            imported is not None
            and self.scope.kind != MODULE
            and len(node.targets) == 1
            and isinstance(node.targets[0], ast.Name)
        ):
            self.executes((int(imported[0]), str(imported[1]), None))
            self._import_name(node.targets[0].id, imported)  # m = importlib.import_module("m")
            return
        self.visit(node.value)
        origins = origins_of(node.value)
        for target in node.targets:
            self.visit(target)
            self.alias(target, origins)

    def augmented(self, node: ast.AugAssign) -> None:
        self.visit(node.value)
        if isinstance(node.target, ast.Name):
            self.scope.load((node.target.id,))
            self.mutate("in", [(node.target.id,)])
            self.alias(node.target, origins_of(node.value))
        self.visit(node.target)

    def annotated(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)
            self.alias(node.target, origins_of(node.value))
        if self.scope.kind != FUNCTION:
            self.annotate(node.annotation, into=self.facts.fields if self.scope.kind == CLASS else None)
        if node.value is not None or self.scope.kind == FUNCTION:
            self.visit(node.target)

    def for_(self, node: ast.For | ast.AsyncFor) -> None:
        self.visit(node.iter)
        self.visit(node.target)
        self.alias(node.target, origins_of(node.iter))
        self.block([*node.body, *node.orelse])

    def with_(self, node: ast.With | ast.AsyncWith) -> None:
        for item in node.items:
            self.visit(item.context_expr)
            if item.optional_vars is not None:
                self.visit(item.optional_vars)
                self.alias(item.optional_vars, origins_of(item.context_expr))
        self.block(node.body)

    def if_(self, node: ast.If | ast.While) -> None:
        self.visit(node.test)
        self.block([*node.body, *node.orelse])

    def try_(self, node: Any) -> None:
        self.tried += bool(node.handlers)
        self.block(node.body)
        self.tried -= bool(node.handlers)
        self.block([*node.handlers, *node.orelse, *node.finalbody])

    def handler(self, node: ast.ExceptHandler) -> None:
        if node.type is not None:
            self.visit(node.type)
        if node.name:
            self.scope.bind(node.name)
        self.visit_all(node.body)

    def block(self, body: list[Any]) -> None:
        self.scope.depth += 1
        self.visit_all(body)
        self.scope.depth -= 1

    def pattern_name(self, node: ast.MatchAs | ast.MatchStar | ast.MatchMapping) -> None:
        name = node.rest if isinstance(node, ast.MatchMapping) else node.name
        if name:
            self.scope.bind(name)
        if isinstance(node, ast.MatchAs) and node.pattern is not None:
            self.visit(node.pattern)
        elif isinstance(node, ast.MatchMapping):
            self.visit_all([*node.keys, *node.patterns])

    def global_(self, node: ast.Global) -> None:
        if self.scope.kind != MODULE:
            self.scope.declared.update(node.names)

    def nonlocal_(self, node: ast.Nonlocal) -> None:
        self.scope.nonlocals.update(node.names)

    def return_(self, node: ast.Return) -> None:
        if node.value is not None:
            self.visit(node.value)
            self.scope.returns += origins_of(node.value)

    def import_(self, node: ast.Import) -> None:
        for alias in node.names:
            self.executes((0, alias.name, None))
            parts = alias.name.split(".")
            bound, target = (alias.asname, alias.name) if alias.asname else (parts[0], parts[0])
            self._import_name(bound, (0, target))

    def import_from(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        self.executes((node.level, module, tuple(alias.name for alias in node.names)))
        for alias in node.names:
            if alias.name in MARKS:
                self.facts.marks.add(MARKS[alias.name])
            if alias.name != "*":
                self._import_name(alias.asname or alias.name, (node.level, module, alias.name))

    def _import_name(self, name: str, target: Chain) -> None:
        self.scope.bind(name)
        self.bind_import(name, target)

    def bind_import(self, name: str, target: Chain) -> None:
        """Note that ``name`` is what an import made here brings, unless it is a global of the module."""
        if name not in self.scope.declared and self.scope.kind != MODULE:
            self.scope.imports.setdefault(name, []).append(target)
            if self.scope.kind == CLASS:  # an attribute: what is used of it cannot be told
                self.scope.visible.loads.add(target)
        else:
            self.scope.aliases.setdefault(name, []).append(target)
            self.scope.loads.add(target)

    # Definitions

    def define(self, node: Any, decorators: bool = True) -> None:
        if decorators:
            for decorator in node.decorator_list:
                self.decorate(decorator)
        if isinstance(node, ast.ClassDef):
            self._class(node)
        else:
            self._function(node, node.name, False)
            self.scope.bind(node.name)

    def decorate(self, node: ast.expr) -> None:
        """A decorator: an expression, whose value is then called once."""
        self.use = "d"
        self.visit(node)
        self.use = "v"
        for origin in origins_of(node if not isinstance(node, ast.Call) else node.func):
            self.facts.decorated.add(origin)
            called = (*origin, "()") if isinstance(node, ast.Call) else origin
            self.scope.levels[0].calls.append((called, "d", ()))

    def _class(self, node: ast.ClassDef) -> None:
        hidden = self._type_params(node)
        self.visit_all(node.bases)
        for keyword in node.keywords:
            self.visit(keyword.value)
        self.scope = Scope(CLASS, self.scope)
        self.scope.bound.update(hidden)
        self.visit_all(node.body)
        scope, self.scope = self.scope, self.scope.outer  # type: ignore[assignment]
        self.scope.loads.update(chain for chain in scope.free() if chain[0] not in hidden)
        outer = scope.outer
        assert outer is not None
        if outer.kind in (FUNCTION, COMPREHENSION):
            outer.inner[node.name] = scope.close()
        else:
            outer.adopt(scope.close(), 0)
        outer.bind(node.name)

    def _function(self, node: Any, name: str | None, called: bool) -> None:
        arguments: ast.arguments = node.args
        self.visit_all([*arguments.defaults, *arguments.kw_defaults])
        hidden = self._type_params(node)
        everything = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        everything += [each for each in (arguments.vararg, arguments.kwarg) if each is not None]
        if name is not None:
            for parameter in everything:
                self.annotate(parameter.annotation, hidden)
            self.annotate(node.returns, hidden)
        outer = self.scope
        self.scope = scope = Scope(FUNCTION, outer)
        scope.params = {parameter.arg: index for index, parameter in enumerate(everything)}
        scope.bound.update(scope.params, hidden)
        if name is None:
            self.visit(node.body)
            scope.returns += origins_of(node.body)
        else:
            for statement in node.body:
                if isinstance(statement, ast.Global):
                    scope.declared.update(statement.names)
            self.visit_all(node.body)
        self.scope = outer
        self._leave_function(scope, name, called)

    def _leave_function(self, scope: Scope, name: str | None, called: bool) -> None:
        free = scope.free()
        levels = scope.close()
        around = scope.visible
        outer = scope.outer
        assert outer is not None
        if around.kind == MODULE:
            self.facts.later.update(free)
            returns = [origin for chain in scope.returns for origin in scope.origins(chain)]
            effect = Effect(tuple(scope.params), tuple(map(frozen, levels)), tuple(dict.fromkeys(returns)))
            key = name or "" if outer.kind == CLASS else ""
            before = self.facts.effects.get(key)
            if before is not None:  # several functions in one statement: any of them may be called
                both = [Records() for _ in range(max(len(before.levels), len(effect.levels)))]
                for each in (before, effect):
                    for index, level in enumerate(each.levels):
                        both[index].mutations += level.mutations
                        both[index].calls += level.calls
                        both[index].imports += level.imports
                effect = Effect(before.params, tuple(map(frozen, both)), before.returns + effect.returns)
            self.facts.effects[key] = effect
            if called:
                outer.adopt(levels, 0)
            return
        around.loads.update(free)
        if called:
            around.adopt(levels, 0)
        else:
            around.inner[name or f"<lambda {len(around.inner)}>"] = levels

    def annotate(
        self, node: ast.expr | None, hidden: Iterable[str | int] = (), into: set[Chain] | None = None
    ) -> None:
        """Note what an annotation refers to, string annotations included."""
        if node is None:
            return
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            parsed = parsed_annotation(node.value)
            if parsed is not None:
                self.annotate(parsed, hidden, into)
            return
        outer = self.scope
        self.scope = scope = Scope(COMPREHENSION, Scope(MODULE, None))
        self.visit(node)
        for inner in ast.walk(node):
            if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                parsed = parsed_annotation(inner.value)
                if parsed is not None:
                    self.visit(parsed)
        self.scope = outer
        scopes: list[Scope] = []
        around: Scope | None = outer
        while around is not None:
            scopes.append(around)
            around = around.outer
        for chain in scope.free():
            root = chain[0]
            if root in hidden or any(root in each.bound for each in scopes if each.kind == FUNCTION):
                continue
            (self.facts.annotations if into is None else into).add(chain)

    def _type_params(self, node: Any) -> set[str]:
        found = set()
        for parameter in getattr(node, "type_params", ()):
            found.add(parameter.name)
            for field in ("bound", "default_value"):
                self.annotate(getattr(parameter, field, None), found)
        return found

    def type_alias(self, node: Any) -> None:
        hidden = self._type_params(node)
        outer, self.scope = self.scope, Scope(FUNCTION, self.scope)
        self.visit(node.value)
        scope, self.scope = self.scope, outer
        self.facts.later.update(chain for chain in scope.free() if chain[0] not in hidden)
        self.scope.bind(node.name.id)


def _long_sum(walker: Walker, node: ast.BinOp) -> None:
    left: ast.AST = node
    while isinstance(left, ast.BinOp):
        walker.visit(left.right)
        left = left.left
    walker.visit(left)


_CHILDREN = {
    cls: tuple(field for field in cls._fields if field not in ("ctx", "op", "ops", "type_comment", "kind"))
    for cls in (getattr(ast, name) for name in dir(ast))
    if isinstance(cls, type) and issubclass(cls, ast.AST)
}
_HANDLERS: dict[type[ast.AST], Callable[[Walker, Any], None]] = {
    ast.Name: Walker.name,
    ast.Attribute: Walker.attribute,
    ast.Subscript: Walker.subscript,
    ast.Constant: Walker.constant,
    ast.Call: Walker.call,
    ast.Lambda: Walker.lambda_,
    ast.NamedExpr: Walker.walrus,
    ast.ListComp: Walker.comprehension,
    ast.SetComp: Walker.comprehension,
    ast.DictComp: Walker.comprehension,
    ast.GeneratorExp: Walker.comprehension,
    ast.BinOp: _long_sum,
    ast.Expr: Walker.expression,
    ast.Assign: Walker.assign,
    ast.AugAssign: Walker.augmented,
    ast.AnnAssign: Walker.annotated,
    ast.For: Walker.for_,
    ast.AsyncFor: Walker.for_,
    ast.While: Walker.if_,
    ast.If: Walker.if_,
    ast.With: Walker.with_,
    ast.AsyncWith: Walker.with_,
    ast.Try: Walker.try_,
    ast.TryStar: Walker.try_,
    ast.ExceptHandler: Walker.handler,
    ast.MatchAs: Walker.pattern_name,
    ast.MatchStar: Walker.pattern_name,
    ast.MatchMapping: Walker.pattern_name,
    ast.Global: Walker.global_,
    ast.Nonlocal: Walker.nonlocal_,
    ast.Return: Walker.return_,
    ast.Import: Walker.import_,
    ast.ImportFrom: Walker.import_from,
    ast.FunctionDef: Walker.define,
    ast.AsyncFunctionDef: Walker.define,
    ast.ClassDef: Walker.define,
}
if hasattr(ast, "TypeAlias"):  # Python 3.12
    _HANDLERS[ast.TypeAlias] = Walker.type_alias
