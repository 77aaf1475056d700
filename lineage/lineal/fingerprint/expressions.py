"""The walk over expressions: names, dotted names, calls, comprehensions."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from lineal.fingerprint.dynamic import MARKS, SPECIAL_CALLS, imported_by, special_subscript
from lineal.fingerprint.facts import Facts, origins_of
from lineal.fingerprint.literals import Chain, chain_of
from lineal.fingerprint.scopes import COMPREHENSION, FUNCTION, MODULE, Import, Scope, changes_receiver

_MODULE_LIKE = re.compile(r"\.*[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*(?::[A-Za-z_][\w.]*)?\Z")


class ExpressionWalker:
    """Walks expressions with a current scope; `references.Walker` adds statements and definitions.

    ``handlers`` has what is done for a type of node; anything else: its children, in order.
    """

    handlers: ClassVar[dict[type[ast.AST], Callable[[Any, Any], None]]] = {}

    def __init__(self) -> None:
        self.facts = Facts()
        self.scope: Scope = Scope(MODULE, None)
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
        handler = self.handlers.get(cls)
        if handler is not None:
            handler(self, node)
            return
        for field in _CHILDREN[cls]:
            value: Any = getattr(node, field, None)
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
        value: Any = node.value
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
        self.function(node, None, called)

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

    def function(self, node: Any, name: str | None, called: bool) -> None:
        """Walk a function or lambda in a scope of its own; ``called`` where it is handed to a call."""
        raise NotImplementedError

    def long_sum(self, node: ast.BinOp) -> None:
        """Binary operators, without recursion on their left side: ``a + b + …`` may be long."""
        left: ast.AST = node
        while isinstance(left, ast.BinOp):
            self.visit(left.right)
            left = left.left
        self.visit(left)


_CHILDREN = {
    cls: tuple(field for field in cls._fields if field not in ("ctx", "op", "ops", "type_comment", "kind"))
    for cls in (getattr(ast, name) for name in dir(ast))
    if isinstance(cls, type) and issubclass(cls, ast.AST)
}
