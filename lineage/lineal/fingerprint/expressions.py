"""The walk over expressions: names, dotted names, calls, comprehensions."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from lineal.fingerprint.dynamic import (
    MARKS,
    NAMES,
    imported_by,
    module_of_look_up,
    name_used,
    special_call,
    special_subscript,
)
from lineal.fingerprint.facts import Facts, origins_of
from lineal.fingerprint.literals import OWN_NAME, Chain, PathText, chain_of, text_of
from lineal.fingerprint.reading import note_membership
from lineal.fingerprint.scopes import COMPREHENSION, MODULE, Import, Scope, changes_receiver

_MODULE_LIKE = re.compile(r"\.*[A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)*(?::[A-Za-z_][\w.]*)?\Z")


_METHODS = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.MatMult: "matmul",
    ast.Div: "truediv",
    ast.FloorDiv: "floordiv",
    ast.Mod: "mod",
    ast.Pow: "pow",
    ast.LShift: "lshift",
    ast.RShift: "rshift",
    ast.BitAnd: "and",
    ast.BitOr: "or",
    ast.BitXor: "xor",
}
IN_PLACE = {operator: f"__i{name}__" for operator, name in _METHODS.items()}
_UNARY = {ast.USub: "__neg__", ast.UAdd: "__pos__", ast.Invert: "__invert__"}


class ExpressionWalker:
    """Walks expressions with a current scope; `references.Walker` adds statements and definitions.

    ``handlers`` has what is done for a type of node; anything else: its children, in order.
    """

    handlers: ClassVar[dict[type[ast.AST], Callable[[Any, Any], None]]] = {}

    def __init__(self) -> None:
        self.facts = Facts()
        self.scope: Scope = Scope(MODULE, None)
        self.use = "v"
        self.dropped = False  # whether the result of the call that is looked at is
        self.tried = 0  # blocks around with an except clause
        self.deferred = 0  # functions around: what is in them runs only when they are called

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

    def local_path(self, path: PathText) -> PathText | None:
        """A path in terms of globals; None where it starts from a local name that is no path."""
        base, parts = path
        if not isinstance(base, tuple):
            return path
        scope: Scope | None = self.scope
        while scope is not None and scope.kind != MODULE:
            if base[0] in scope.paths and len(base) == 1:
                start = scope.paths[str(base[0])]
                return start[0], start[1] + parts
            if base[0] in scope.bound:
                return None
            scope = scope.outer
        return path

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

    def special_method(self, node: ast.AST, method: str, *arguments: ast.AST) -> None:
        """Note that a statement that runs on import calls a method by way of syntax, such as an operator: it
        counts where it is found in a class of the project.
        """
        if self.deferred:
            return
        given = tuple((index, tuple(origins_of(each))) for index, each in enumerate(arguments))
        for origin in origins_of(node):
            self.scope.levels[0].calls.append(((*origin, method), "v", given))

    def name(self, node: ast.Name) -> None:
        if node.ctx.__class__ is ast.Load:
            if node.id in NAMES:
                name_used(self, node)
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
                owner = module_of_look_up(base)
                self.mutate("set", [(*owner, *names)] if owner is not None else origins_of(node))
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
        if node.attr == "environ" and not store:
            self.spot("environment", "every variable", node)
        if store:
            self.mutate("set", [chain])
            if not self.deferred:
                self.scope.levels[0].calls.append((chain, "p", ()))
            self.special_method(node.value, "__setattr__")
        self.scope.load(chain)

    def subscript(self, node: ast.Subscript) -> None:
        if special_subscript(self, node):
            return
        if node.ctx.__class__ is not ast.Load:
            self.mutate("in", origins_of(node.value))
            self.special_method(node.value, "__setitem__")
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
        self.dropped = use == "e"
        chain = chain_of(node.func)
        special = None
        if chain is not None:
            special = special_call(str(chain[-1]))
        elif isinstance(node.func, ast.Attribute):
            special = special_call(node.func.attr)
        if special is not None and special(self, node, chain):
            return
        arguments: list[tuple[int | str, ast.AST]] = [*enumerate(node.args)]
        arguments += [(keyword.arg or "**", keyword.value) for keyword in node.keywords]
        found = [(key, origins_of(each)) for key, each in arguments if each.__class__ is not ast.Constant]
        given = tuple([(key, tuple(origins)) for key, origins in found if origins])
        if chain is not None:
            self.visit(node.func)
            self.scope.levels[0].calls.append((chain, use, given))
        else:
            self.use = use if isinstance(node.func, ast.Call) else "v"
            if isinstance(node.func, ast.Attribute):
                self.use = use
                if use != "v" or changes_receiver(node.func.attr):
                    self.mutate("in", origins_of(node.func.value))
                    if _is_own_namespace(node.func.value):
                        self.mutate("any", [(0, OWN_NAME)])
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
        self.special_method(first.iter, "__iter__")
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
        if isinstance(node, ast.GeneratorExp) and not self.deferred:
            self.facts.later.update(self.scope.free())  # it runs when somebody asks for its items
        self._leave()

    def aside(self, nodes: Iterable[ast.AST]) -> None:
        """Walk statements that bind nothing here: text that is run. What it imports is used by whoever knows."""
        self.scope = Scope(COMPREHENSION, self.scope)
        self.visit_all(nodes)
        self.scope.loads.update(target for targets in self.scope.imports.values() for target in targets)
        self._leave()

    def _leave(self) -> None:
        """Go back from a scope that runs at once, and take in what it does."""
        scope, self.scope = self.scope, self.scope.outer  # type: ignore[assignment]
        target = scope.visible
        target.loads.update(scope.free())
        target.adopt(scope.close(), 0)

    def function(self, node: Any, name: str | None, called: bool) -> None:
        """Walk a function or lambda in a scope of its own; ``called`` where it is handed to a call."""
        raise NotImplementedError

    def operation(self, node: ast.BinOp) -> None:
        """Binary operators, without recursion on their left side: ``a + b + …`` may be long."""
        if node.right.__class__ is ast.Constant:
            text = text_of(node)
            if text is not None and text[1] and _MODULE_LIKE.match(text[0]):
                self.facts.strings.add(text[0])
        left: ast.AST = node
        while isinstance(left, ast.BinOp):
            self.visit(left.right)
            if not self.deferred:
                method = _METHODS[left.op.__class__]
                if left.left.__class__ is not ast.BinOp:
                    self.special_method(left.left, f"__{method}__", left.right)
                self.special_method(left.right, f"__r{method}__", left.left)
            left = left.left
        self.visit(left)

    def elements(self, node: ast.List | ast.Tuple | ast.Set) -> None:
        for element in node.elts:
            self.visit(element)

    def joined(self, node: ast.JoinedStr) -> None:
        for value in node.values:
            if value.__class__ is not ast.Constant:
                self.visit(value)

    def compare(self, node: ast.Compare) -> None:
        if not note_membership(self, node):
            self.visit_all([node.left, *node.comparators])

    def unary(self, node: ast.UnaryOp) -> None:
        if node.op.__class__ in _UNARY:
            self.special_method(node.operand, _UNARY[node.op.__class__])
        self.visit(node.operand)


def _is_own_namespace(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and chain_of(node.func) == ("globals",)


_CHILDREN = {
    cls: tuple(field for field in cls._fields if field not in ("ctx", "op", "ops", "type_comment", "kind"))
    for cls in (getattr(ast, name) for name in dir(ast))
    if isinstance(cls, type) and issubclass(cls, ast.AST)
}
