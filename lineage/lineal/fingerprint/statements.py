"""What the statements of a module use, as far as its graph may depend on it: read once more, from the syntax.

Summaries say which names a unit reaches. Whether the values behind them are used in a way that may differ from one
process to the next takes a closer look: at attributes of values, at sets, whose order does, at how annotations
name classes.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

from msgspec import Struct, field

from lineal.fingerprint.canonical import parsed_annotation
from lineal.fingerprint.literals import Chain, chain_of
from lineal.fingerprint.recursion import deep_recursion

_ORDERLESS = frozenset(
    {"all", "any", "bool", "isinstance", "issubclass", "len", "max", "min", "sorted", "sum"}
)
_VIEWS = frozenset({"items", "keys"})
_SETS = frozenset({"set", "frozenset"})


class Uses(Struct):
    """What one statement uses.

    ``chains`` are dotted names in code, each with its line and whether only what a set holds matters there, not its
    order; ``types`` those in annotations; ``excused`` those that are used in a way that is fine whatever they are.
    ``attributes`` are taken of values; ``local`` are the names bound inside, ``defined`` the attributes that instances
    of what is made here have. ``oddities`` are what no graph may depend on, in words. ``relied_on`` are names that are
    taken to be the built-ins. ``is_set``: the statement names a set. ``own_paths``: it follows links to where the
    module lies.
    """

    chains: list[tuple[Chain, int, bool]] = field(default_factory=list)
    types: list[tuple[Chain, int]] = field(default_factory=list)
    excused: set[Chain] = field(default_factory=set)
    attributes: list[tuple[str, int]] = field(default_factory=list)
    local: set[str] = field(default_factory=set)
    defined: set[str] = field(default_factory=set)
    oddities: list[tuple[str, int]] = field(default_factory=list)
    relied_on: set[str] = field(default_factory=set)
    is_set: bool = False
    own_paths: bool = False


class Statements:
    """The statements of one module by the lines that they take."""

    def __init__(self, data: bytes) -> None:
        self._found: dict[tuple[int, int], list[tuple[ast.stmt, bool]]] = {}
        with deep_recursion():
            for node, is_guard in _leaves(ast.parse(data).body):
                lines = node.lineno, node.end_lineno or node.lineno
                self._found.setdefault(lines, []).append((node, is_guard))

    def uses(self, line: int, end_line: int, *, as_type: bool = False) -> Uses:
        """What the statements on these lines use; ``as_type``: as far as a type matters that they make."""
        reader = _Reader(as_type)
        with deep_recursion():
            found = self._found.get((line, end_line), ())
            if not found:
                reader.uses.oddities.append(("a statement that could not be found", line))
            for node, is_guard in found:
                if is_guard:
                    reader.guard(node)
                else:
                    reader.statement(node)
        return reader.uses

    def parameters(self, line: int, end_line: int) -> Uses:
        """The annotations of the parameters of the function on these lines."""
        reader = _Reader(False)
        for node, _ in self._found.get((line, end_line), ()):
            if isinstance(node, ast.FunctionDef):
                for each in _parameters(node.args):
                    reader.annotation(each.annotation)
        return reader.uses


def _leaves(body: Iterable[ast.stmt]) -> Iterator[tuple[ast.stmt, bool]]:
    """The statements of a module, those under guards too, and the guards themselves."""
    for node in body:
        blocks = [getattr(node, name, []) for name in ("body", "orelse", "finalbody")]
        if isinstance(node, ast.If | ast.Try | ast.With | ast.AsyncWith) or type(node).__name__ == "TryStar":
            yield node, True
            for block in [*blocks, *(handler.body for handler in getattr(node, "handlers", []))]:
                yield from _leaves(block)
        else:
            yield node, False


def _parameters(node: ast.arguments) -> list[ast.arg]:
    found = [*node.posonlyargs, *node.args, *node.kwonlyargs]
    return found + [each for each in (node.vararg, node.kwarg) if each is not None]


class _Reader:
    """``handlers`` has what is done for a type of node; anything else: its children, in order."""

    handlers: ClassVar[dict[type[ast.AST], Callable[[Any, Any], None]]] = {}

    def __init__(self, as_type: bool) -> None:
        self.uses = Uses()
        self._as_type = as_type
        self._orderless: set[int] = set()
        self._depth = 0  # functions, classes and comprehensions around
        self._handled: set[int] = set()

    def visit(self, node: ast.AST) -> None:
        handler = self.handlers.get(type(node))
        if handler is not None:
            handler(self, node)
        else:
            self.children(node)

    def children(self, node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            self.visit(child)

    # -- statements of a module ---------------------------------------------------------------

    def guard(self, node: Any) -> None:
        for part in (getattr(node, "test", None), *getattr(node, "items", [])):
            if part is not None:
                self.visit(part)
        for handler in getattr(node, "handlers", []):
            if handler.type is not None:
                self.visit(handler.type)

    def statement(self, node: ast.stmt) -> None:
        is_assignment = isinstance(node, ast.Assign | ast.AnnAssign) or type(node).__name__ == "TypeAlias"
        value = getattr(node, "value", None) if is_assignment else None
        if self._as_type and value is not None:
            self.annotation(value)
            return
        if value is not None and _is_set(value):
            self.uses.is_set = True  # what matters is how it is used
            self._orderless.add(id(value))
        if isinstance(value, ast.Call):
            called = chain_of(value.func)
            if called is not None and called[-1] in ("namedtuple", "NamedTuple", "make_dataclass"):
                for inner in ast.walk(value):
                    if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                        self.uses.defined.update(inner.value.replace(",", " ").split())
        self.visit(node)

    # -- scopes -------------------------------------------------------------------------------

    def function(self, node: Any) -> None:
        self._bind(node.name)
        for decorator in node.decorator_list:
            self.visit(decorator)
        for default in [*node.args.defaults, *node.args.kw_defaults]:
            if default is not None:
                self.visit(default)
        for each in _parameters(node.args):
            self.annotation(each.annotation)
        self.annotation(node.returns)
        self._inner(node, node.args, node.body)

    def lambda_(self, node: ast.Lambda) -> None:
        for default in [*node.args.defaults, *node.args.kw_defaults]:
            if default is not None:
                self.visit(default)
        self._inner(node, node.args, [node.body])

    def _inner(self, node: ast.AST, arguments: ast.arguments, body: Iterable[ast.AST]) -> None:
        self._depth += 1
        self.uses.local.update(each.arg for each in _parameters(arguments))
        for each in body:
            self.visit(each)
        self._depth -= 1

    def class_(self, node: ast.ClassDef) -> None:
        self._bind(node.name)
        for each in [*node.decorator_list, *node.bases]:
            self._type_or_code(each)
        for keyword in node.keywords:
            if keyword.arg == "metaclass":
                self._type_or_code(keyword.value)
            else:
                self.visit(keyword.value)
        self._depth += 1
        for statement in node.body:
            self._in_class(statement)
        self._depth -= 1

    def _in_class(self, node: ast.stmt) -> None:
        """A statement of a class. Where only the type matters, methods do not run and values are not looked at."""
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            self.uses.defined.add(node.name)
            for inner in ast.walk(node):
                if isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store):
                    self.uses.defined.add(inner.attr)
            if not self._as_type:
                self.visit(node)
            return
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                self.uses.defined.add(inner.id)
                self.uses.local.add(inner.id)
        if self._as_type and isinstance(node, ast.AnnAssign):
            self.annotation(node.annotation)
        elif not (self._as_type and isinstance(node, ast.Assign) and _is_data(node)):
            self.visit(node)

    def _type_or_code(self, node: ast.expr) -> None:
        if self._as_type:
            self._type(node.func if isinstance(node, ast.Call) else node)
        else:
            self.visit(node)

    def comprehension(self, node: Any) -> None:
        self._depth += 1
        self.children(node)
        self._depth -= 1

    def handler(self, node: ast.ExceptHandler) -> None:
        if node.name:
            self.uses.local.add(node.name)
        self.children(node)

    def import_(self, node: Any) -> None:
        pass  # names that an import binds in a function are in the summary, as what they stand for

    def pattern_name(self, node: Any) -> None:
        if node.name:
            self.uses.local.add(node.name)
        self.children(node)

    def pattern_mapping(self, node: ast.MatchMapping) -> None:
        if node.rest:
            self.uses.local.add(node.rest)
        self.children(node)

    def pattern_class(self, node: ast.MatchClass) -> None:
        self.uses.attributes += [(name, node.lineno) for name in node.kwd_attrs]
        self.children(node)

    def outer_name(self, node: Any) -> None:
        self._odd("a global that it changes", node)

    def _bind(self, name: str) -> None:
        if self._depth:
            self.uses.local.add(name)

    # -- expressions --------------------------------------------------------------------------

    def name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self._chain((node.id,), node)
        elif self._depth:
            self.uses.local.add(node.id)

    def walrus(self, node: ast.NamedExpr) -> None:
        self.uses.local.add(node.target.id)
        self.visit(node.value)

    def attribute(self, node: ast.Attribute) -> None:
        chain = chain_of(node)
        if chain is not None:
            self._chain(chain, node)
            return
        if id(node) in self._handled:  # resolve() or absolute()
            self.uses.own_paths = True
        else:
            self.uses.attributes.append((node.attr, node.lineno))
        self.visit(node.value)

    def _chain(self, chain: Chain, node: ast.expr) -> None:
        if not (id(node) in self._handled and chain in self.uses.excused):
            self.uses.chains.append((chain, node.lineno, id(node) in self._orderless))

    def constant(self, node: ast.Constant) -> None:
        pass

    def call(self, node: ast.Call) -> None:
        called = chain_of(node.func)
        if called is not None and len(called) == 1 and called[0] in _ORDERLESS and not node.keywords:
            self._orderless.update(map(id, node.args))
            self.uses.relied_on.add(str(called[0]))
        self._orderless.update(id(keyword.value) for keyword in node.keywords if keyword.arg == "isin")
        if called in (("getattr",), ("hasattr",)) and len(node.args) > 1:
            name = node.args[1]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                self.uses.excused.add(called)
                written = ast.copy_location(ast.Attribute(node.args[0], name.value, ast.Load()), node)
                self.visit(written)
                for each in node.args[2:]:
                    self.visit(each)
                return
        if _is_own_path(node):
            self._handled.add(id(node.func))
            if called is not None and called[-1] in ("abspath", "realpath"):
                self.uses.own_paths = True
                self.uses.excused.add(called)
        if self._makes_set(node):
            self._set(node)
            self._orderless.update(map(id, node.args))
        self.children(node)

    def compare(self, node: ast.Compare) -> None:
        for operator, right in zip(node.ops, node.comparators, strict=True):
            if isinstance(operator, ast.In | ast.NotIn):
                self._orderless.add(id(right))
        self.children(node)

    def set_display(self, node: ast.Set) -> None:
        self._set(node)
        self.children(node)

    def set_comprehension(self, node: ast.SetComp) -> None:
        self._set(node)
        self.comprehension(node)

    def binary(self, node: ast.BinOp) -> None:
        pending: list[ast.expr] = [node]
        while pending:  # a sum may be long
            each = pending.pop()
            if isinstance(each, ast.BinOp):
                if isinstance(each.op, ast.BitAnd | ast.BitOr | ast.Sub | ast.BitXor):
                    for side in (each.left, each.right):
                        if (
                            isinstance(side, ast.Call)
                            and isinstance(side.func, ast.Attribute)
                            and side.func.attr in _VIEWS
                        ):
                            self._set(each)
                pending += [each.right, each.left]
            else:
                self.visit(each)

    def _makes_set(self, node: ast.Call) -> bool:
        return isinstance(node.func, ast.Name) and node.func.id in _SETS

    def _set(self, node: ast.expr) -> None:
        if id(node) not in self._orderless:
            self._odd("a set, whose order differs from process to process", node)

    def _odd(self, what: str, node: Any) -> None:
        self.uses.oddities.append((what, node.lineno))

    # -- annotations --------------------------------------------------------------------------

    def type_alias(self, node: Any) -> None:
        self.annotation(node.value)

    def annotated(self, node: ast.AnnAssign) -> None:
        self.annotation(node.annotation)
        self.visit(node.target)
        if node.value is not None:
            self.visit(node.value)

    def annotation(self, node: ast.expr | None) -> None:
        if node is not None:
            self._type(node)

    def _type(self, node: ast.expr) -> None:
        """An expression that stands for a type: it may name classes of any library, but computes nothing."""
        chain = chain_of(node)
        if chain is not None:
            self.uses.types.append((chain, node.lineno))
        elif isinstance(node, ast.Subscript):
            self._type(node.value)
            whole = chain_of(node.value)
            parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            for place, part in enumerate(parts):
                is_data = whole is not None and (
                    whole[-1] == "Literal" or (whole[-1] == "Annotated" and place > 0)
                )
                if not (is_data and isinstance(part, ast.Constant)):
                    self._type(part)
        elif isinstance(node, ast.Tuple | ast.List):
            for part in node.elts:
                self._type(part)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            self._type(node.left)
            self._type(node.right)
        elif isinstance(node, ast.Starred):
            self._type(node.value)
        elif isinstance(node, ast.Constant):
            parsed = parsed_annotation(node.value) if isinstance(node.value, str) else None
            if parsed is not None:
                for inner in ast.walk(parsed):
                    if hasattr(inner, "lineno"):
                        ast.copy_location(inner, node)
                self._type(parsed)
        else:
            self.visit(node)


def _is_data(node: ast.Assign) -> bool:
    """Whether an assignment in a class is to plain names, none of which means something to Python."""
    return all(isinstance(each, ast.Name) and not each.id.startswith("__") for each in node.targets)


def _is_set(node: ast.expr) -> bool:
    made = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _SETS
    return made or isinstance(node, ast.Set | ast.SetComp)


def _is_own_path(node: ast.expr) -> bool:
    """Whether an expression is where the module itself lies: ``Path(__file__).resolve().parent``."""
    if isinstance(node, ast.Name):
        return node.id == "__file__"
    if isinstance(node, ast.Attribute):
        return node.attr == "parent" and _is_own_path(node.value)
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("resolve", "absolute"):
            return not node.args and _is_own_path(node.func.value)
        called = chain_of(node.func)
        known = ("Path", "abspath", "realpath", "dirname")
        return (
            called is not None and called[-1] in known and len(node.args) == 1 and _is_own_path(node.args[0])
        )
    return False


_Reader.handlers = {
    ast.FunctionDef: _Reader.function,
    ast.AsyncFunctionDef: _Reader.function,
    ast.Lambda: _Reader.lambda_,
    ast.ClassDef: _Reader.class_,
    ast.ListComp: _Reader.comprehension,
    ast.DictComp: _Reader.comprehension,
    ast.GeneratorExp: _Reader.comprehension,
    ast.SetComp: _Reader.set_comprehension,
    ast.Set: _Reader.set_display,
    ast.ExceptHandler: _Reader.handler,
    ast.MatchAs: _Reader.pattern_name,
    ast.MatchStar: _Reader.pattern_name,
    ast.MatchMapping: _Reader.pattern_mapping,
    ast.MatchClass: _Reader.pattern_class,
    ast.Import: _Reader.import_,
    ast.ImportFrom: _Reader.import_,
    ast.Global: _Reader.outer_name,
    ast.Nonlocal: _Reader.outer_name,
    ast.Name: _Reader.name,
    ast.NamedExpr: _Reader.walrus,
    ast.Attribute: _Reader.attribute,
    ast.Constant: _Reader.constant,
    ast.Call: _Reader.call,
    ast.Compare: _Reader.compare,
    ast.BinOp: _Reader.binary,
    ast.AnnAssign: _Reader.annotated,
}
if hasattr(ast, "TypeAlias"):  # Python 3.12
    _Reader.handlers[getattr(ast, "TypeAlias")] = _Reader.type_alias  # noqa: B009 - unknown to checkers of 3.11
