"""One walk over a piece of syntax: what it refers to, what it changes, what cannot be seen.

References are whole dotted names by true scoping, split by when they are looked up: while the module is
imported, or later, when a function is called. Dynamic look-ups with a literal name are references like any
other.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Any

from lineal.fingerprint.canonical import parsed_annotation
from lineal.fingerprint.dynamic import MARKS, imported_by, note_search
from lineal.fingerprint.expressions import IN_PLACE, ExpressionWalker
from lineal.fingerprint.facts import Facts, origins_of
from lineal.fingerprint.literals import Chain, chain_of, path_of
from lineal.fingerprint.scopes import CLASS, COMPREHENSION, FUNCTION, MODULE, Effect, Records, Scope, frozen


def collect(*nodes: ast.AST, use: str = "v") -> Facts:
    """The facts about some module-level syntax; ``use`` says what becomes of an expression's value (see
    `Call`).
    """
    walker = Walker()
    for node in nodes:
        walker.use = use
        walker.visit(node)
    return walker.finish()


def collect_definition(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> Facts:
    """The facts about a module-level definition without its own decorators."""
    walker = Walker()
    walker.nested = not isinstance(node, ast.ClassDef)
    walker.define(node, decorators=False)
    return walker.finish()


class Walker(ExpressionWalker):
    """Walks statements and definitions too."""

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
        self._note_path(node)
        origins = origins_of(node.value)
        for target in node.targets:
            self.visit(target)
            self.alias(target, origins)
            self._keep(target, node.value)
            if not isinstance(target, ast.Name) or target.id == "__path__":
                name = target.value if isinstance(target, ast.Subscript) else target
                note_search(self, chain_of(name), node.value)

    def _note_path(self, node: ast.Assign) -> None:
        """Note the path that a local name stands for."""
        target = node.targets[0]
        if self.scope.kind == MODULE or not isinstance(target, ast.Name):
            return
        path = path_of(node.value) if isinstance(node.value, ast.Call | ast.BinOp | ast.Constant) else None
        path = self.local_path(path) if path is not None else None
        if path is not None:
            self.scope.paths[target.id] = path

    def _keep(self, target: ast.AST, value: ast.AST) -> None:
        """Note a class attribute whose value can be changed in place: all objects of the class share it."""
        if self.scope.kind == CLASS and isinstance(target, ast.Name) and not isinstance(value, ast.Constant):
            self.scope.aliases.setdefault(target.id, [])

    def augmented(self, node: ast.AugAssign) -> None:
        self.visit(node.value)
        if isinstance(node.target, ast.Name):
            self.scope.load((node.target.id,))
            self.mutate("in", [(node.target.id,)])
        self.special_method(node.target, IN_PLACE[node.op.__class__], node.value)
        note_search(self, chain_of(node.target), node.value)
        self.visit(node.target)

    def annotated(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)
            self.alias(node.target, origins_of(node.value))
            self._keep(node.target, node.value)
        if self.scope.kind != FUNCTION:
            self.annotate(node.annotation, into=self.facts.fields if self.scope.kind == CLASS else None)
        if node.value is not None or self.scope.kind == FUNCTION:
            self.visit(node.target)

    def for_(self, node: ast.For | ast.AsyncFor) -> None:
        self.visit(node.iter)
        self.special_method(node.iter, "__iter__")
        self.visit(node.target)
        self.alias(node.target, origins_of(node.iter))
        self.block([*node.body, *node.orelse])

    def with_(self, node: ast.With | ast.AsyncWith) -> None:
        for item in node.items:
            self.visit(item.context_expr)
            self.special_method(item.context_expr, "__enter__")
            self.special_method(item.context_expr, "__exit__")
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

    def yield_(self, node: ast.Yield | ast.YieldFrom) -> None:
        self.scope.yields = True
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

    nested = True  # whether a class that comes next is inside another statement

    def _made(self, node: ast.ClassDef) -> None:
        """Note what making a class runs: hooks of its bases and of its metaclass."""
        calls = self.scope.levels[0].calls
        for base in node.bases:
            calls += [(origin, "b", ()) for origin in origins_of(base)]
        for keyword in node.keywords:
            if keyword.arg == "metaclass":
                calls += [(origin, "m", ()) for origin in origins_of(keyword.value)]

    def define(self, node: Any, decorators: bool = True) -> None:
        if decorators:
            for decorator in node.decorator_list:
                self.decorate(decorator)
        if isinstance(node, ast.ClassDef):
            self._class(node)
        else:
            self.function(node, node.name, False)
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
        inside, self.nested = self.nested, True
        if inside:  # the class of a unit by itself is known by its bases
            self._made(node)
        for keyword in node.keywords:
            self.visit(keyword.value)
        self.scope = Scope(CLASS, self.scope)
        self.scope.bound.update(hidden)
        self.visit_all(node.body)
        scope, self.scope = self.scope, self.scope.outer  # type: ignore[assignment]
        if not inside:
            self.facts.attributes = scope.aliases
        self.scope.loads.update(chain for chain in scope.free() if chain[0] not in hidden)
        outer = scope.outer
        assert outer is not None
        if outer.kind in (FUNCTION, COMPREHENSION):
            outer.inner[node.name] = scope.close()
        else:
            outer.adopt(scope.close(), 0)
        outer.bind(node.name)

    def function(self, node: Any, name: str | None, called: bool) -> None:
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
        self.deferred += 1
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
        self.deferred -= 1
        plain = [*arguments.posonlyargs, *arguments.args]
        filled = (
            *zip(reversed(plain), reversed(arguments.defaults), strict=False),
            *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
        )
        kept: list[int] = []
        defaults: list[tuple[int, Chain]] = []
        for parameter, default in filled:
            chain = chain_of(default) if default is not None else None
            if chain is not None:
                defaults.append((scope.params[parameter.arg], chain))
            elif isinstance(default, ast.List | ast.Dict | ast.Set | ast.Call):
                kept.append(scope.params[parameter.arg])
        self._leave_function(scope, name, called, tuple(kept), tuple(defaults))

    def _leave_function(
        self,
        scope: Scope,
        name: str | None,
        called: bool,
        kept: tuple[int, ...],
        defaults: tuple[tuple[int, Chain], ...],
    ) -> None:
        free = scope.free()
        levels = scope.close()
        around = scope.visible
        outer = scope.outer
        assert outer is not None
        if around.kind == MODULE:
            self.facts.later.update(free)
            returns = [origin for chain in scope.returns for origin in scope.origins(chain)]
            effect = Effect(
                tuple(scope.params),
                tuple(map(frozen, levels)),
                tuple(dict.fromkeys(returns)),
                kept,
                scope.yields,
                defaults,
            )
            key = name or "" if outer.kind == CLASS else ""
            before = self.facts.effects.get(key)
            if before is not None:  # several functions in one statement: any of them may be called
                both = [Records() for _ in range(max(len(before.levels), len(effect.levels)))]
                for each in (before, effect):
                    for index, level in enumerate(each.levels):
                        both[index].mutations += level.mutations
                        both[index].calls += level.calls
                        both[index].imports += level.imports
                effect = Effect(
                    before.params,
                    tuple(map(frozen, both)),
                    before.returns + effect.returns,
                    before.kept,
                    before.yields or effect.yields,
                    before.defaults,
                )
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


Walker.handlers = {
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
    ast.BinOp: Walker.operation,
    ast.UnaryOp: Walker.unary,
    ast.Compare: Walker.compare,
    ast.List: Walker.elements,
    ast.Tuple: Walker.elements,
    ast.Set: Walker.elements,
    ast.JoinedStr: Walker.joined,
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
    ast.Yield: Walker.yield_,
    ast.YieldFrom: Walker.yield_,
    ast.Import: Walker.import_,
    ast.ImportFrom: Walker.import_from,
    ast.FunctionDef: Walker.define,
    ast.AsyncFunctionDef: Walker.define,
    ast.ClassDef: Walker.define,
}
if hasattr(ast, "TypeAlias"):  # Python 3.12
    Walker.handlers[getattr(ast, "TypeAlias")] = Walker.type_alias  # noqa: B009 - unknown to checkers of 3.11
