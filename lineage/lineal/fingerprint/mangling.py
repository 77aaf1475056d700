"""Private names as the compiler writes them: ``__x`` in a class ``A`` is ``_A__x``."""

from __future__ import annotations

import ast
import re
from typing import Any

_PRIVATE = re.compile(rb"\b__(?!\w*__\b)\w")
_FIELDS: dict[type[ast.AST], tuple[str, ...]] = {
    ast.Name: ("id",),
    ast.Attribute: ("attr",),
    ast.arg: ("arg",),
    ast.keyword: ("arg",),
    ast.FunctionDef: ("name",),
    ast.AsyncFunctionDef: ("name",),
    ast.ClassDef: ("name",),
    ast.ExceptHandler: ("name",),
    ast.MatchAs: ("name",),
    ast.MatchStar: ("name",),
    ast.MatchMapping: ("rest",),
    ast.Global: ("names",),
    ast.Nonlocal: ("names",),
}


def mangle_private_names(tree: ast.Module, data: bytes) -> None:
    """Write the private names in the classes of ``tree``, the syntax of the source ``data``, out in full."""
    if _PRIVATE.search(data) is None:
        return
    pending: list[tuple[ast.AST, str]] = [(tree, "")]
    while pending:
        node, owner = pending.pop()
        inside = node.name.lstrip("_") if isinstance(node, ast.ClassDef) else ""
        if owner:
            _mangle(node, owner)
        if isinstance(node, ast.ClassDef):
            pending += [(each, inside) for each in node.body]
            outside = [*node.decorator_list, *node.bases, *node.keywords, *getattr(node, "type_params", ())]
            pending += [(each, owner) for each in outside]
        else:
            pending += [(each, owner) for each in ast.iter_child_nodes(node)]


def _mangle(node: Any, owner: str) -> None:
    for field in _FIELDS.get(node.__class__, ()):
        value = getattr(node, field)
        if isinstance(value, list):
            setattr(node, field, [_mangled(each, owner) for each in value])
        elif value is not None:
            setattr(node, field, _mangled(value, owner))
    if isinstance(node, ast.alias) and "." not in node.name:  # the name that is bound, not the one looked for
        bound = _mangled(node.asname or node.name, owner)
        if bound != node.name:
            node.asname = bound


def _mangled(name: str, owner: str) -> str:
    if name.startswith("__") and not name.endswith("__"):
        return f"_{owner}{name}"
    return name
