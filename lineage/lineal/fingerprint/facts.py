"""What is known about one piece of syntax."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Any

from lineal.fingerprint.literals import Chain, PathText, chain_of, text_of
from lineal.fingerprint.scopes import Effect, Import


class Facts:
    """What is known about one piece of syntax.

    ``now`` is looked up at import, ``later`` in calls, ``fields`` and ``annotations`` where those of class
    variables or of anything else count. ``decorated`` are the decorators inside it; ``optional`` the imports
    that may fail; ``paths`` the folders put on ``sys.path``, ``own_paths`` on the package's own; ``aliases`` what the names that it binds
    may be, ``attributes`` those that a class binds. ``marks`` name what makes more count than usual (``docs``, ``annotations``, ``source``,
    ``own``, ``subclasses``, ``dynamic``).
    """

    __slots__ = (
        "aliases", "annotations", "attributes", "bound", "calls", "decorated", "effects", "fields", "imports_later", "imports_now",
        "later", "marks", "mutations", "now", "optional", "own_paths", "paths", "spots", "strings",
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
        self.own_paths: list[PathText] = []
        self.bound: set[str] = set()
        self.aliases: dict[str, list[Chain]] = {}
        self.attributes: dict[str, list[Chain]] = {}
        self.optional: set[tuple[int, str]] = set()


def _of_module(key: ast.AST, depth: int) -> list[Chain]:
    """What ``sys.modules[key]`` may be: a module named in text, or the one that a function is from."""
    text = text_of(key)
    if text is not None and text[1]:
        return [(0, text[0])]
    if isinstance(key, ast.Attribute) and key.attr == "__module__":
        return [(*origin, "__globals__") for origin in origins_of(key.value, depth)]
    return origins_of(key, depth)


_DEEPEST = 12
_OF_ITS_VALUE = frozenset({ast.Subscript, ast.Starred, ast.Await, ast.NamedExpr})


def origins_of(node: ast.AST | None, depth: int = 0) -> list[Chain]:
    """What an expression's value may be (part of), as dotted names: ``a``, ``f()``, the elements of a list.

    Looked for a dozen levels down, so that the time does not grow with the square of a long chain of calls.
    """
    if node is None or depth > _DEEPEST:
        return []
    cls = node.__class__
    if cls is ast.Constant:
        return []
    depth += 1
    if cls is ast.Name or cls is ast.Attribute:
        chain = chain_of(node)
        if chain is not None:
            return [chain]
        return [(*origin, node.attr) for origin in origins_of(node.value, depth)]  # type: ignore[attr-defined]
    if cls is ast.Call:
        if len(node.args) == 1 and chain_of(node.func) == ("type",):  # type: ignore[attr-defined]
            return [(*origin, "__class__") for origin in origins_of(node.args[0], depth)]  # type: ignore[attr-defined]
        found = [(*origin, "()") for origin in origins_of(node.func, depth)]  # type: ignore[attr-defined]
        for argument in node.args:  # type: ignore[attr-defined]
            found += origins_of(argument, depth)
        for keyword in node.keywords:  # type: ignore[attr-defined]
            found += origins_of(keyword.value, depth)
        return found
    if cls is ast.Subscript and chain_of(node.value) == ("sys", "modules"):  # type: ignore[attr-defined]
        return _of_module(node.slice, depth)  # type: ignore[attr-defined]
    if cls in _OF_ITS_VALUE:
        return origins_of(node.value, depth)  # type: ignore[attr-defined]
    if isinstance(node, ast.IfExp):
        return origins_of(node.body, depth) + origins_of(node.orelse, depth)
    parts: Iterable[ast.AST | None] = ()
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        parts = node.elts
    elif isinstance(node, ast.BoolOp | ast.Dict):
        parts = node.values
    elif isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp):
        parts = [node.elt, *(generator.iter for generator in node.generators)]
    return [origin for part in parts for origin in origins_of(part, depth)]
