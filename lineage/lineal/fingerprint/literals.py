"""What expressions can be evaluated by looking at them: dotted names, text, paths beside the source."""

from __future__ import annotations

import ast
from typing import Any

Chain = tuple[str | int, ...]
"""A dotted name, from its root: ``pkg.m.f`` is ``("pkg", "m", "f")``; ``f().x`` is ``("f", "()", "x")``.

Two roots are no names: ``(level, module, …)`` starts at an import, as ``from`` would write it, and
``("", position, …)`` at a parameter of the function that is looked at.
"""

LOADED = -2
"""The level of a chain that asks whether a module has been imported."""

OWN_NAME, OWN_PACKAGE = "@", "%"
"""Stand for ``__name__`` and ``__package__`` at the start of a module's name."""

PathText = tuple[Any, tuple[str, ...]]
"""A path: what it starts from (``""`` the working folder, ``"file"`` the source file, ``"package m"`` the folder of
a package, or the chain of a global), and its parts.
"""


def chain_of(node: ast.AST) -> Chain | None:
    """The dotted name that ``node`` is, or None."""
    parts: list[str] = []
    inner: Any = node
    while inner.__class__ is ast.Attribute:
        parts.append(inner.attr)
        inner = inner.value
    if inner.__class__ is not ast.Name:
        return None
    parts.append(inner.id)
    return tuple(reversed(parts))


def text_of(node: ast.AST) -> tuple[str, bool] | None:
    """The text that ``node`` evaluates to and True; or the text that it starts with and False; or None."""
    if isinstance(node, ast.Constant):
        return (node.value, True) if isinstance(node.value, str) else None
    if isinstance(node, ast.Name):
        stand_in = {"__name__": OWN_NAME, "__package__": OWN_PACKAGE}.get(node.id)
        return None if stand_in is None else (stand_in, True)
    if isinstance(node, ast.JoinedStr):
        return _joined([v.value if isinstance(v, ast.FormattedValue) else v for v in node.values])
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _joined([node.left, node.right])
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        template = text_of(node.left)
        return None if template is None else (template[0].partition("%")[0], False)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.func.attr == "format":
            template = text_of(node.func.value)
            return None if template is None else (template[0].partition("{")[0], False)
        if (
            node.func.attr == "join"
            and len(node.args) == 1
            and isinstance(node.args[0], ast.List | ast.Tuple)
        ):
            separator = text_of(node.func.value)
            if separator is None or not separator[1]:
                return None
            parts: list[ast.AST] = []
            for element in node.args[0].elts:
                parts += [ast.Constant(separator[0]), element] if parts else [element]
            return _joined(parts)
    return None


def _joined(parts: list[Any]) -> tuple[str, bool] | None:
    text = ""
    for part in parts:
        found = text_of(part)
        if found is None:
            return (text, False) if text else None
        text += found[0]
        if not found[1]:
            return text, False
    return text, True


def path_of(node: ast.AST) -> PathText | None:
    """The path that ``node`` evaluates to, relative to the source file, a global or the working folder; or
    None.
    """
    if isinstance(node, ast.Constant):
        return ("", (node.value,)) if isinstance(node.value, str) else None
    if isinstance(node, ast.Name | ast.Attribute):
        return _path_of_name(node)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div | ast.Add):
        return _extended(path_of(node.left), [node.right])
    if (
        isinstance(node, ast.Subscript)
        and isinstance(node.value, ast.Attribute)
        and node.value.attr == "parents"
    ):
        base, index = path_of(node.value.value), node.slice
        if base is not None and isinstance(index, ast.Constant) and isinstance(index.value, int):
            return base[0], base[1] + ("..",) * (index.value + 1)
        return None
    if isinstance(node, ast.Call):
        return _path_of_call(node)
    return None


def _path_of_name(node: ast.Name | ast.Attribute) -> PathText | None:
    if isinstance(node, ast.Attribute) and node.attr == "parent":
        base = path_of(node.value)
        return None if base is None else (base[0], (*base[1], ".."))
    chain = chain_of(node)
    if chain is None:
        return None
    if chain == ("__file__",):
        return "file", ()
    if chain in (("os", "curdir"), ("os", "path", "curdir")):
        return "", (".",)
    if chain in (("os", "pardir"), ("os", "path", "pardir")):
        return "", ("..",)
    return chain, ()


def _path_of_call(node: ast.Call) -> PathText | None:
    chain = chain_of(node.func)
    name = node.func.attr if isinstance(node.func, ast.Attribute) else chain[-1] if chain else None
    arguments = node.args
    if name in ("Path", "PurePath", "PosixPath", "join") and arguments and chain is not None:
        return _extended(path_of(arguments[0]), arguments[1:])
    if name in ("str", "fspath", "abspath", "realpath", "normpath", "expanduser") and len(arguments) == 1:
        return path_of(arguments[0])
    if name == "dirname" and len(arguments) == 1:
        base = path_of(arguments[0])
        return None if base is None else (base[0], (*base[1], ".."))
    if name == "files" and len(arguments) == 1:  # importlib.resources
        text = text_of(arguments[0])
        module = text[0] if text is not None and text[1] else ".".join(map(str, chain_of(arguments[0]) or ()))
        return (f"package {module}", ()) if module else None
    if name in ("getcwd", "cwd"):
        return "", (".",)
    if isinstance(node.func, ast.Attribute):
        if name in ("resolve", "absolute", "as_posix", "expanduser") and not arguments:
            return path_of(node.func.value)
        if name == "joinpath":
            return _extended(path_of(node.func.value), arguments)
        if name == "with_name" and len(arguments) == 1:
            base = path_of(node.func.value)
            return None if base is None else _extended((base[0], (*base[1], "..")), arguments)
    return None


def _extended(base: PathText | None, more: list[ast.expr]) -> PathText | None:
    if base is None:
        return None
    parts = base[1]
    for node in more:
        found = path_of(node)
        if found is None or found[0] != "":
            return None
        parts += found[1]
    return base[0], parts
