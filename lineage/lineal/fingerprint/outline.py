"""The project as tracing a pipeline sees it: stages are declarations, whose bodies do not run.

A stage that is called in a pipeline is written down, not run. So its body cannot change the graph, and what the body
reaches (most of the project, as a rule) need not be looked at. An `Outline` looks names up like any `Lookup`, in
sources whose stages have ``...`` for a body; lines stay where they are.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, cast

import xxhash

from lineal.fingerprint.literals import chain_of
from lineal.fingerprint.lookup import Index, Lookup
from lineal.fingerprint.recursion import deep_recursion

if TYPE_CHECKING:
    from lineal.fingerprint.cache import SummaryCache
    from lineal.fingerprint.closure import Place
    from lineal.fingerprint.literals import Chain
    from lineal.fingerprint.sources import Sources

STAGE = frozenset({"lineal.stage", "lineal.stages.stage", "lineal.stages.stage.stage"})
_VERSION = b"lineal outline 1"

_Span = tuple[int, int, bytes]
"""Bytes from, to, and what stands there instead."""


class Outline(Lookup):
    """Looks names up over the outlines of what ``plain`` looks them up in.

    ``wrapped`` are functions whose bodies are left out too: those that ``stage(function)`` makes stages of.
    """

    def __init__(
        self, plain: Lookup, wrapped: Iterable[Place] = (), cache: SummaryCache | None = None
    ) -> None:
        super().__init__(plain.sources, plain.distributions, plain.summaries)
        self.plain = plain
        self.wrapped = frozenset(wrapped)
        self.declared: dict[str, str] = {}  # what items of depends_on= stand for, by where they are written
        self._cache = cache
        self._data: dict[str, bytes] = {}

    def find_index(self, name: str) -> Index | None:
        if name not in self._indexes:
            plain = self.plain.find_index(name)
            self._indexes[name] = None if plain is None else self._outlined(name, plain)
        return self._indexes[name]

    def is_stage(self, module: str, position: int) -> bool:
        """Whether a unit is a function whose body was left out."""
        return (module, position) in self.wrapped or _is_stage(self.plain, module, position)

    def source(self, module: str) -> bytes:
        """The source of a module as this outline has it."""
        self.get_index(module)
        return self._data[module]

    def _outlined(self, name: str, plain: Index) -> Index:
        located = self.find_module(name)
        assert located is not None
        assert located.file is not None
        data = self._data[name] = self.sources.read(located.file)
        stages = [
            (unit.line, unit.names[0])
            for position, unit in enumerate(plain.units)
            if unit.kind == "def" and self.is_stage(name, position)
        ]
        if not stages:
            return plain
        shortened = self._shortened(name, data, stages)
        if shortened is None:
            return plain
        self._data[name] = shortened
        return Index(located, self.summaries.get(_only(shortened), located.file))

    def _shortened(self, name: str, data: bytes, stages: list[tuple[int, str]]) -> bytes | None:
        """The source without the bodies of these stages; None where they cannot be cut out of it."""
        declared: dict[str, str] = {}
        text = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        try:
            text.decode("utf-8")
        except UnicodeDecodeError:
            return None
        key = xxhash.xxh3_128_digest(repr((_VERSION, stages)).encode() + text)
        spans = self._cache.find_result(key) if self._cache is not None else None
        if spans is None:
            if any(b"coding" in line for line in text.split(b"\n", 2)[:2]) or text.startswith(
                b"\xef\xbb\xbf"
            ):
                return None  # places in the source are counted in bytes of UTF-8
            spans = tuple(_spans(text, stages))
            if self._cache is not None:
                self._cache.keep_result(key, spans)
        parts, at = [], 0
        for start, end, instead in sorted(spans):
            words = instead
            if instead.startswith(b'"'):
                words = self._named(name, instead, text[start:end], declared)
            parts += [text[at:start], words]
            at = end
        self.declared.update(declared)
        return b"".join([*parts, text[at:]])

    def _named(self, module: str, instead: bytes, written: bytes, declared: dict[str, str]) -> bytes:
        """An item of ``depends_on`` as text, where what it stands for can be told without following it."""
        chain: Chain = tuple(instead.strip(b'"').decode().split("."))
        stands_for = []
        for target in self.plain.resolve(module, chain):
            plain = target.kind in ("module", "outside") or (
                target.kind == "name" and not target.rest and self._is_undecorated(target.module, target.name)
            )
            if not plain:
                return written
            stands_for.append(f"{target.kind} {target.module}:{target.name}")
        if not stands_for:
            return written
        declared[f"{module} {'.'.join(map(str, chain))}"] = " ".join(stands_for)
        return instead

    def _is_undecorated(self, module: str, name: str) -> bool:
        units = [self.plain.get_index(module).units[each] for each in self.plain.binders(module, name)]
        return len(units) == 1 and units[0].kind in ("def", "class") and not units[0].decorators


def names_stage(lookup: Lookup, module: str, chain: Chain | None, at: int | None) -> bool:
    """Whether ``chain`` surely names `lineal.stage`."""
    if chain is None:
        return False
    targets = [
        each for each in lookup.resolve(module, chain, at) if each.kind not in ("via", "loaded", "exports")
    ]
    return bool(targets) and all(each.kind == "outside" and each.module in STAGE for each in targets)


def _is_stage(lookup: Lookup, module: str, position: int) -> bool:
    unit = lookup.get_index(module).units[position]
    return (
        unit.kind == "def"
        and len(unit.decorators) == 1
        and names_stage(lookup, module, unit.decorators[0].chain, position)
    )


class _Bytes:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, _: str) -> bytes:
        return self._data


def _only(data: bytes) -> Sources:
    """Sources of which nothing but these bytes is read."""
    return cast("Sources", _Bytes(data))


def _spans(data: bytes, stages: list[tuple[int, str]]) -> Iterator[_Span]:
    """What is to be replaced in ``data`` to leave out the bodies of these functions, given by line and name."""
    lines = [0]
    for line in data.split(b"\n"):
        lines.append(lines[-1] + len(line) + 1)
    with deep_recursion():
        tree = ast.parse(data)
        wanted = set(stages)
        for node in _statements(tree.body):
            if isinstance(node, ast.FunctionDef) and (node.lineno, node.name) in wanted:
                yield _body(node, data, lines)
                for decorator in node.decorator_list:
                    yield from _declared(decorator, lines)


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run when a module is imported, those under guards included."""
    for node in body:
        yield node
        for field in ("body", "orelse", "finalbody"):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield from _statements(getattr(node, field, []))
        for handler in getattr(node, "handlers", []):
            yield from _statements(handler.body)


def _body(node: ast.FunctionDef, data: bytes, lines: list[int]) -> _Span:
    first, last = node.body[0], node.body[-1]
    line = first.lineno if not getattr(first, "decorator_list", []) else first.decorator_list[0].lineno  # type: ignore[attr-defined]
    start = lines[line - 1] + first.col_offset
    if isinstance(first, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and first.decorator_list:
        start = data.index(b"@", lines[line - 1])
    end = lines[(last.end_lineno or last.lineno) - 1] + (last.end_col_offset or 0)
    missing = data.count(b"\n", start, end)
    indent = data[lines[line - 1] : start]
    if not indent.strip() and missing:
        return start, end, b"\n" * missing + indent + b"..."
    return start, end, b"..." if not missing else b"(" + b"\n" * missing + b")"


def _declared(decorator: ast.expr, lines: list[int]) -> Iterator[_Span]:
    """Items of ``depends_on=[…]``: names of code that is not run, as text."""
    for keyword in decorator.keywords if isinstance(decorator, ast.Call) else ():
        if keyword.arg == "depends_on" and isinstance(keyword.value, ast.List | ast.Tuple):
            for item in keyword.value.elts:
                chain = chain_of(item)
                if chain is not None:
                    yield (*_place(item, lines), b'"' + ".".join(map(str, chain)).encode() + b'"')


def _place(node: Any, lines: list[int]) -> tuple[int, int]:
    return lines[node.lineno - 1] + node.col_offset, lines[node.end_lineno - 1] + node.end_col_offset
