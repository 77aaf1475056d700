"""The canonical form of syntax: equal for code that behaves alike, whatever its formatting.

A writer of our own, for `ast.dump` and bytecode differ between Python versions. It leaves out positions,
comments, docstrings, bare literals, ``pass`` and local annotations, and tags constants by type, so that
1, 1.0, True and -0.0 stay apart. What counts only sometimes is written beside: docstrings, the annotations of
class variables (fields), and those of parameters, returns and module variables.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any, NamedTuple

import xxhash

from lineal.fingerprint.recursion import parse

_Emit = Callable[[str], None]
_SKIPPED_FIELDS = frozenset({"ctx", "type_comment", "type_ignores", "kind"})


class Hashes(NamedTuple):
    """XXH3-128 of one piece of syntax: its code, its fields, its other annotations, its docstrings, and which
    annotations are text (16 bytes each).
    """

    code: bytes
    fields: bytes
    annotations: bytes
    docs: bytes
    quoted: bytes


class _Aside:
    """What is written beside the code, and what the writer is in."""

    __slots__ = ("annotations", "docs", "fields", "inside", "quoted")

    def __init__(self) -> None:
        self.annotations: list[str] = []
        self.fields: list[str] = []
        self.docs: list[str] = []
        self.quoted: list[str] = []
        self.inside: type[ast.AST] = ast.Module

    def hashes(self, code: list[str]) -> Hashes:
        beside = (self.fields, self.annotations, self.docs, self.quoted)
        return Hashes(_hash(code), *map(_hash, beside))


def hash_syntax(*nodes: ast.AST) -> Hashes:
    """The hashes of some pieces of module-level syntax, in their order."""
    code: list[str] = []
    aside = _Aside()
    for node in nodes:
        _write(node, code.append, aside)
    return aside.hashes(code)


def hash_definition(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> Hashes:
    """The hashes of a definition without its own decorators."""
    code: list[str] = []
    aside = _Aside()
    _definition(node, code.append, aside, decorators=False)
    return aside.hashes(code)


def _hash(tokens: list[str]) -> bytes:
    if not tokens:
        return b""
    text = "\0".join(tokens)
    try:
        return xxhash.xxh3_128_digest(text.encode())
    except UnicodeEncodeError:  # a lone surrogate in a string literal
        return xxhash.xxh3_128_digest(text.encode("utf-8", "surrogatepass"))


def _write(node: ast.AST, emit: _Emit, aside: _Aside) -> None:
    _WRITERS[node.__class__](node, emit, aside)


def _node(node: ast.AST, emit: _Emit, aside: _Aside) -> None:
    """Any node that has no writer of its own."""
    cls = node.__class__
    emit(_TAGS[cls])
    for field in _FIELDS[cls]:
        value = getattr(node, field, None)
        if value.__class__ is list:
            _list(value, emit, aside)
        else:
            _value(value, emit, aside)


def _operator(node: ast.AST, emit: _Emit, aside: _Aside) -> None:
    emit(_TAGS[node.__class__])


def _subscript(node: ast.Subscript, emit: _Emit, aside: _Aside) -> None:
    emit("<Subscript")
    _write(node.value, emit, aside)
    _write(node.slice, emit, aside)


def _elements(node: ast.List | ast.Tuple | ast.Set, emit: _Emit, aside: _Aside) -> None:
    emit(_TAGS[node.__class__])
    emit("[")
    for element in node.elts:
        _write(element, emit, aside)
    emit("]")


def _value(value: object, emit: _Emit, aside: _Aside) -> None:
    if value is None:
        emit("~")
    elif isinstance(value, ast.AST):
        _write(value, emit, aside)
    elif isinstance(value, str):
        emit("'" + value)
    else:
        emit(f"={value!r}")


def _list(values: list[object], emit: _Emit, aside: _Aside) -> None:
    emit("[")
    for value in values:
        _value(value, emit, aside)
    emit("]")


def _body(body: list[ast.stmt], emit: _Emit, aside: _Aside) -> None:
    emit("{")
    for statement in body:
        cls = statement.__class__
        if cls is ast.Pass or (cls is ast.Expr and statement.value.__class__ is ast.Constant):  # type: ignore[attr-defined]
            continue
        _write(statement, emit, aside)
    emit("}")


def _constant(node: ast.Constant, emit: _Emit, aside: _Aside) -> None:
    emit(_literal(node.value))


def _literal(value: object) -> str:
    cls = value.__class__
    if cls is str:
        return f"s{len(value)}:{value}"  # type: ignore[arg-type]
    if cls is int:
        return f"i{value:x}"
    if cls is float:
        return "f" + value.hex()  # type: ignore[attr-defined, no-any-return]
    if cls is complex:
        return f"c{value.real.hex()},{value.imag.hex()}"  # type: ignore[attr-defined]
    if cls is bytes:
        return "b" + value.hex()  # type: ignore[attr-defined, no-any-return]
    return f"k{value!r}"  # True, False, None, Ellipsis


def _name(node: ast.Name, emit: _Emit, aside: _Aside) -> None:
    emit("@" + node.id)


def _attribute(node: ast.Attribute, emit: _Emit, aside: _Aside) -> None:
    emit("." + node.attr)
    _write(node.value, emit, aside)


def _call(node: ast.Call, emit: _Emit, aside: _Aside) -> None:
    emit("(")
    _write(node.func, emit, aside)
    for argument in node.args:
        _write(argument, emit, aside)
    for keyword in node.keywords:
        emit(f",{keyword.arg or '**'}")
        _write(keyword.value, emit, aside)
    emit(")")


def _expression(node: ast.Expr, emit: _Emit, aside: _Aside) -> None:
    emit(";")
    _write(node.value, emit, aside)


def _assign(node: ast.Assign, emit: _Emit, aside: _Aside) -> None:
    for target in node.targets:
        emit("=")
        _write(target, emit, aside)
    emit(":=")
    _write(node.value, emit, aside)


def _annotated(node: ast.AnnAssign, emit: _Emit, aside: _Aside) -> None:
    if node.value is not None:
        emit("=")
        _write(node.target, emit, aside)
        emit(":=")
        _write(node.value, emit, aside)
    if aside.inside is ast.FunctionDef:
        return  # a function's own annotations are never evaluated
    emit = (aside.fields if aside.inside is ast.ClassDef else aside.annotations).append
    emit("?" if node.value is None else "!")
    _write(node.target, emit, aside)
    _annotation(node.annotation, emit, aside)


def _annotation(node: ast.expr | None, emit: _Emit, aside: _Aside) -> None:
    if node is None:
        emit("~")
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        aside.quoted.append(f"{len(aside.fields)} {len(aside.annotations)}")
        node = parsed_annotation(node.value) or node  # "int" and int name one type
    _write(node, emit, aside)


def parsed_annotation(text: str) -> ast.expr | None:
    """The expression in a string annotation, or None when it is not one."""
    try:
        tree = parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    assert isinstance(tree, ast.Expression)
    return tree.body


def _arguments(node: ast.arguments, emit: _Emit, aside: _Aside) -> None:
    emit("(")
    for parameter in node.posonlyargs:
        _parameter(parameter, emit, aside)
    emit("/")
    for parameter in node.args:
        _parameter(parameter, emit, aside)
    for default in node.defaults:
        emit("=")
        _write(default, emit, aside)
    if node.vararg is not None:
        emit("*")
        _parameter(node.vararg, emit, aside)
    for parameter, value in zip(node.kwonlyargs, node.kw_defaults, strict=True):
        emit("**")
        _parameter(parameter, emit, aside)
        if value is not None:
            emit("=")
            _write(value, emit, aside)
    if node.kwarg is not None:
        emit("***")
        _parameter(node.kwarg, emit, aside)
    emit(")")


def _parameter(node: ast.arg, emit: _Emit, aside: _Aside) -> None:
    emit(node.arg)
    if node.annotation is not None:
        aside.annotations.append(node.arg)
        _annotation(node.annotation, aside.annotations.append, aside)


def _definition(node: ast.AST, emit: _Emit, aside: _Aside, decorators: bool = True) -> None:
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    outer = aside.inside
    emit(f"{_TAGS[node.__class__]} {node.name}")
    if decorators:
        for decorator in node.decorator_list:
            emit("deco")
            _write(decorator, emit, aside)
    for parameter in getattr(node, "type_params", ()):
        _write(parameter, emit, aside)
    if isinstance(node, ast.ClassDef):
        for base in node.bases:
            emit("base")
            _write(base, emit, aside)
        for keyword in node.keywords:
            emit(f",{keyword.arg or '**'}")
            _write(keyword.value, emit, aside)
    else:
        _arguments(node.args, emit, aside)
        if node.returns is not None:
            aside.annotations.append("->" + node.name)
            _annotation(node.returns, aside.annotations.append, aside)
    docstring = find_docstring(node.body)
    if docstring is not None:
        aside.docs.append(f"{node.name} {docstring!r}")
    aside.inside = ast.ClassDef if isinstance(node, ast.ClassDef) else ast.FunctionDef
    _body(node.body, emit, aside)
    aside.inside = outer


def find_docstring(body: list[ast.stmt]) -> str | None:
    """The docstring at the start of ``body``, as it is written."""
    if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        text = body[0].value.value
        return text if isinstance(text, str) else None
    return None


def _lambda(node: ast.Lambda, emit: _Emit, aside: _Aside) -> None:
    emit("lambda")
    _arguments(node.args, emit, aside)
    _write(node.body, emit, aside)


def _compound(node: ast.AST, emit: _Emit, aside: _Aside) -> None:
    """A statement with blocks: as any node, but its blocks lose what does nothing."""
    emit(_TAGS[node.__class__])
    for field in _FIELDS[node.__class__]:
        value = getattr(node, field, None)
        if field in ("body", "orelse", "finalbody"):
            _body(value or [], emit, aside)
        elif isinstance(value, list):
            _list(value, emit, aside)
        else:
            _value(value, emit, aside)


def _joined(node: ast.AST, emit: _Emit, aside: _Aside) -> None:
    """An f-string: neighbouring text joined, empty text dropped, so that how it was split is not seen."""
    text = ""
    parts: list[ast.AST | str] = []
    for value in node.values:  # type: ignore[attr-defined]
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            text += value.value
            continue
        if text:
            parts.append(text)
            text = ""
        parts.append(value)
    if text:
        parts.append(text)
    if isinstance(node, ast.JoinedStr) and all(isinstance(part, str) for part in parts):
        emit(_literal("".join(part for part in parts if isinstance(part, str))))
        return
    emit(_TAGS[node.__class__])
    for part in parts:
        if isinstance(part, str):
            emit(_literal(part))
        else:
            _write(part, emit, aside)
    emit("]")


def _formatted(node: ast.FormattedValue, emit: _Emit, aside: _Aside) -> None:
    emit(f"{{{node.conversion}")
    _write(node.value, emit, aside)
    spec = node.format_spec
    if isinstance(spec, ast.JoinedStr) and spec.values:
        emit(":")
        _write(spec, emit, aside)
    emit("}")


def _singleton(node: ast.MatchSingleton, emit: _Emit, aside: _Aside) -> None:
    emit("case " + _literal(node.value))


def _binary(node: ast.AST, emit: _Emit, aside: _Aside) -> None:
    """A chain of binary operators, written without recursion on its left side: ``a + b + …`` may be long."""
    pending: list[ast.BinOp] = []
    left: Any = node
    while left.__class__ is ast.BinOp:
        pending.append(left)
        left = left.left
    emit(f"bin{len(pending)}")
    _write(left, emit, aside)
    for operation in reversed(pending):
        emit(_TAGS[operation.op.__class__])
        _write(operation.right, emit, aside)


def _subclasses(cls: type[ast.AST]) -> list[type[ast.AST]]:
    found = [cls]
    for child in cls.__subclasses__():
        found += _subclasses(child)
    return found


_NODES = _subclasses(ast.AST)
_TAGS = {cls: f"<{cls.__name__}" for cls in _NODES}
_FIELDS = {cls: tuple(f for f in cls._fields if f not in _SKIPPED_FIELDS) for cls in _NODES}
_WRITERS: dict[type[ast.AST], Callable[..., None]] = {
    **dict.fromkeys(_NODES, _node),
    **{cls: _operator for cls in _NODES if not cls._fields},
    ast.Name: _name,
    ast.Attribute: _attribute,
    ast.Call: _call,
    ast.Constant: _constant,
    ast.Expr: _expression,
    ast.Assign: _assign,
    ast.AnnAssign: _annotated,
    ast.arguments: _arguments,
    ast.FunctionDef: _definition,
    ast.AsyncFunctionDef: _definition,
    ast.ClassDef: _definition,
    ast.Lambda: _lambda,
    ast.JoinedStr: _joined,
    ast.FormattedValue: _formatted,
    ast.MatchSingleton: _singleton,
    ast.BinOp: _binary,
    ast.Subscript: _subscript,
    ast.List: _elements,
    ast.Tuple: _elements,
    ast.Set: _elements,
}
for _block in (
    "If",
    "For",
    "AsyncFor",
    "While",
    "With",
    "AsyncWith",
    "Try",
    "TryStar",
    "ExceptHandler",
    "match_case",
):
    _WRITERS[getattr(ast, _block)] = _compound
if hasattr(ast, "TemplateStr"):  # Python 3.14
    _WRITERS[getattr(ast, "TemplateStr")] = _joined  # noqa: B009 - unknown to checkers of 3.11
