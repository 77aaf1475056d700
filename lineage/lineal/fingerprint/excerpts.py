"""The text of one unit, for people: the statement that begins on a line, with the guards around it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from importlib.util import decode_source
from typing import NamedTuple

from lineal.fingerprint.recursion import deep_recursion


class Excerpt(NamedTuple):
    """A unit as it is written. ``kind`` is def, class or other; ``lines`` are (number in the file, text).

    The headers of the ``if``, ``try`` and ``with`` statements that it stands under come first.
    """

    kind: str
    lines: tuple[tuple[int, str], ...]

    @property
    def text(self) -> tuple[str, ...]:
        """The lines without their numbers."""
        return tuple(line for _, line in self.lines)


class Excerpts:
    """The units of one file; none where its bytes are no Python of this version."""

    def __init__(self, data: bytes) -> None:
        self._lines: list[str] = []
        self._found: dict[int, list[tuple[ast.stmt, tuple[tuple[int, int], ...]]]] = {}
        try:
            text = decode_source(data)
            with deep_recursion():
                tree = ast.parse(text)
                for node, guards in _units(tree.body, ()):
                    self._found.setdefault(node.lineno, []).append((node, guards))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return
        self._lines = text.split("\n")

    def find(self, line: int) -> Excerpt | None:
        """The statements that begin on ``line``; of a decorated one that is the line of its ``def`` or ``class``."""
        found = self._found.get(line)
        if not found:
            return None
        (first, guards), last = found[0], found[-1][0]
        start = _first_line(first)
        numbers = [
            number for begin, end in guards for number in range(begin, min(end, start)) if number < start
        ]
        numbers += range(start, (last.end_lineno or line) + 1)
        kind = "def" if isinstance(first, ast.FunctionDef | ast.AsyncFunctionDef) else "other"
        return Excerpt(
            "class" if isinstance(first, ast.ClassDef) else kind,
            tuple((number, self._lines[number - 1]) for number in numbers),
        )

    def fields(self, line: int) -> dict[str, str]:
        """The annotated variables of the class that begins on ``line``, each as it is declared."""
        found = self._found.get(line)
        node = found[0][0] if found else None
        if not isinstance(node, ast.ClassDef):
            return {}
        declared = {
            each.target.id: ast.unparse(ast.AnnAssign(each.target, each.annotation, each.value, 1))
            for each in node.body
            if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
        }
        return {name: text.partition(": ")[2] for name, text in declared.items()} | {
            f"{keyword.arg}=": ast.unparse(keyword.value) for keyword in node.keywords if keyword.arg
        }

    def annotated(self, line: int) -> dict[str, set[str]]:
        """The names in each annotation of what begins on ``line``: of parameters and ``->``, or of a class's variables."""
        found = self._found.get(line)
        node = found[0][0] if found else None
        if isinstance(node, ast.ClassDef):
            fields = [each for each in node.body if isinstance(each, ast.AnnAssign)]
            return {ast.unparse(each.target): _names(each.annotation) for each in fields}
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return {}
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        return {each.arg: _names(each.annotation) for each in arguments} | {"->": _names(node.returns)}


_Guards = tuple[tuple[int, int], ...]


def _units(body: Sequence[ast.stmt], guards: _Guards) -> Iterator[tuple[ast.stmt, _Guards]]:
    """Every statement of a module that is a unit, with the lines (from, before) of the headers around it."""
    for node in body:
        if isinstance(node, ast.If):
            yield from _units(node.body, (*guards, _header(node.lineno, node.body)))
            # of an `else` there is no node: what it is the opposite of tells as much
            yield from _units(node.orelse, (*guards, _header(node.lineno, node.body)))
        elif isinstance(node, ast.With | ast.AsyncWith):
            yield from _units(node.body, (*guards, _header(node.lineno, node.body)))
        elif isinstance(node, ast.Try | ast.TryStar):
            yield from _units(node.body, (*guards, _header(node.lineno, node.body)))
            for handler in node.handlers:
                yield from _units(handler.body, (*guards, _header(handler.lineno, handler.body)))
            yield from _units(node.orelse, guards)
            yield from _units(node.finalbody, guards)
        else:
            yield node, guards


def _names(node: ast.expr | None) -> set[str]:
    """The last part of every name in an annotation; one that is text is parsed first."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            node = ast.parse(node.value, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return set()
    if node is None:
        return set()
    found = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
    return found | {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)}


def _header(line: int, body: Sequence[ast.stmt]) -> tuple[int, int]:
    return line, _first_line(body[0])


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(each.lineno for each in decorators)])
