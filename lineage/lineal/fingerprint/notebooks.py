"""Functions that were typed in: a notebook's cells, a prompt. Their source is put together from what is
alive.
"""

# ruff: noqa: PTH100, PTH113
# os.path keeps symbolic links as they are, and costs less for thousands of paths.
from __future__ import annotations

import ast
import linecache
import os
import sys
import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import xxhash

from lineal.fingerprint.errors import FingerprintError
from lineal.fingerprint.fingerprinter import BlindSpot, Fingerprint, Fingerprinter
from lineal.fingerprint.live import Finder, import_roots_of, unwrapped
from lineal.fingerprint.references import collect
from lineal.fingerprint.sources import Sources
from lineal.fingerprint.values import Describer

MODULE = "__cells__"
"""The module that what was typed in counts as."""

_NOT_CONTENT = frozenset(
    {"__dict__", "__weakref__", "__doc__", "__module__", "__qualname__", "__annotations__", "__firstlineno__"}
    | {"__static_attributes__", "__abstractmethods__", "_abc_impl", "__annotate__", "__annotations_cache__"}
)


def fingerprint_without_file(
    function: Any, reads: Iterable[str | os.PathLike[str]], project: Path
) -> Fingerprint:
    """The fingerprint of a function whose source is in no file.

    It and what it reaches that was typed in too become a module of their own; functions, classes and modules
    that were imported are followed as ever; other globals count by their value. Code whose text is gone counts
    by its bytecode, which differs between versions of Python. FingerprintError for what is no code of a user.
    """
    root = Path(os.path.abspath(project))
    sources = Sources.capture(root, import_roots_of(root, str(root / "cells")))
    cells = _Cells(Fingerprinter(sources))
    inner = list(unwrapped(function))[-1]
    if isinstance(inner, types.FunctionType):
        name = cells.add_function(inner)
    elif isinstance(inner, types.BuiltinFunctionType | type) and not _is_typed(inner):
        raise FingerprintError(f"{function!r} is no function of a project", str(inner.__module__))
    else:
        name = "stage"
        cells.parts[name] = ast.parse("stage = None").body[0]
        cells.values[name] = cells.describer.describe(function)
    parts = "\n".join(ast.unparse(part) for part in cells.parts.values())
    sources.files[f"{MODULE}.py"] = parts.encode("utf-8", "surrogatepass")
    sources = Sources(root, sources.import_roots, sources.files)
    found = Fingerprinter(sources).stage(
        MODULE,
        name,
        reads=reads,
        depends_on=[f"{MODULE}:{each}" for each in cells.entries],
        also=[f"value {key} {value}" for key, value in sorted(cells.values.items())],
    )
    spots = {BlindSpot("opaque_value", each, MODULE, 0) for each in cells.describer.opaque}
    return Fingerprint(
        found.hex,
        found.covers,
        tuple(sorted({*found.blind_spots, *spots})),
        found.distributions,
        found.modules,
        found.outside,
    )


class _Cells:
    """The source of what was typed in, as far as it is reached.

    ``parts`` are statements by the name that they bind, ``values`` globals that no statement stands for,
    described, and ``entries`` the parts that only values reach.
    """

    def __init__(self, fingerprinter: Fingerprinter) -> None:
        self.parts: dict[str, ast.stmt] = {}
        self.values: dict[str, str] = {}
        self.entries: list[str] = []
        self.describer = Describer(self._describe_code)
        self._finder = Finder(fingerprinter)
        self._names: dict[int, str] = {}  # of functions and classes that were taken in, by identity
        self._alive: list[Any] = []  # so that no other object gets their identity

    def add_function(self, function: types.FunctionType, name: str = "") -> str:
        """Take in a function with what it refers to; returns the name that it goes by."""
        known = self._names.get(id(function))
        if known is not None:
            return known
        name = self._free_name(name or function.__qualname__.replace("<lambda>", "function"))
        self._names[id(function)] = name
        self._alive.append(function)
        node = _find_definition(function)
        chains: Iterable[tuple[str | int, ...]]
        if node is None:
            self.parts[name] = ast.parse(f"{name} = None").body[0]
            self.values[f"{name} as bytecode"] = self._describe_bytecode(function.__code__)
            chains = [(each,) for each in function.__code__.co_names]
        elif isinstance(node, ast.Lambda):
            self.parts[name] = part = ast.Assign([ast.Name(name, ast.Store())], node, lineno=1)
            chains = _names_in(part)
        else:
            node.name = name
            self.parts[name] = node
            chains = _names_in(node)
        for root in dict.fromkeys(chain[0] for chain in sorted(chains, key=repr)):
            if isinstance(root, str) and root in function.__globals__:
                self._add_global(root, function.__globals__[root])
        for variable, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            try:
                self.values[f"{name} captured {variable}"] = self.describer.describe(cell.cell_contents)
            except ValueError:
                continue  # not bound yet
        for what, value in (
            ("defaults", (function.__defaults__, function.__kwdefaults__)),
            ("attributes", {key: each for key, each in vars(function).items() if key != "__wrapped__"}),
        ):
            if any(value.values() if isinstance(value, dict) else value):
                self.values[f"{name} {what}"] = self.describer.describe(value)
        return name

    def _free_name(self, wanted: str) -> str:
        """A name that no part and no global that was looked at has."""
        plain = "".join(each if each.isidentifier() or each.isdigit() else "_" for each in wanted)
        name, number = plain, 2
        while name in self.parts or name in self.values or name in self._names.values():
            name, number = f"{plain}_{number}", number + 1
        return name

    def _add_global(self, name: str, value: Any) -> None:
        if name in self.parts or name in self.values:
            return
        if isinstance(value, types.ModuleType):
            self.parts[name] = ast.parse(f"import {value.__name__} as {name}").body[0]
            return
        inner = list(unwrapped(value))[-1] if callable(value) else value
        home = getattr(inner, "__module__", None)
        if isinstance(inner, types.FunctionType | type) and isinstance(home, str):
            qualname = inner.__qualname__
            if not _is_typed(inner) and vars(sys.modules.get(home, types)).get(qualname) is value:
                self.parts[name] = ast.parse(f"from {home} import {qualname} as {name}").body[0]
                return
            if isinstance(inner, types.FunctionType) and _is_typed(inner) and qualname == name:
                self.add_function(inner, name)
                return
        self.values[name] = ""  # in case that it leads back to itself
        self.values[name] = self.describer.describe(value)

    def _describe_code(self, code: Any) -> str:
        inner = list(unwrapped(code))[-1]
        if isinstance(inner, types.ModuleType) or not _is_typed(inner):
            return self._finder.describe_code(code)
        if isinstance(inner, types.FunctionType):
            name = self.add_function(inner)
            if name not in self.entries:
                self.entries.append(name)
            return f"code {name}"
        return self._describe_class(inner) if isinstance(inner, type) else f"some {type(inner).__qualname__}"

    def _describe_class(self, cls: type) -> str:
        """A class that was typed in: by what it is made of, for its statement need not be all."""
        known = self._names.get(id(cls))
        if known is not None:
            return f"class {known}"
        name = self._names[id(cls)] = self._free_name(cls.__qualname__)
        self._alive.append(cls)
        bases = ", ".join(self._describe_code(base) for base in cls.__bases__)
        kind = "" if type(cls) is type else self._describe_code(type(cls))
        content = [f"bases {bases}", f"metaclass {kind}"]
        for key, value in vars(cls).items():
            if key in _NOT_CONTENT:
                continue
            for part in _functions_in(value):
                content.append(f"{key} {type(value).__name__} {self.describer.describe(part)}")
        fields = vars(cls).get("__annotations__", {})
        content += [f"field {key} {each!r}" for key, each in fields.items()]
        self.values[name] = "\n".join(content)
        return f"class {name}"

    def _describe_bytecode(self, code: types.CodeType) -> str:
        constants = [
            self._describe_bytecode(each)
            if isinstance(each, types.CodeType)
            else self.describer.describe(each)
            for each in code.co_consts
        ]
        digest = xxhash.xxh3_128_hexdigest(code.co_code)
        return f"bytecode {sys.version_info[:2]} {digest} {code.co_names} {code.co_varnames} {constants}"


def _is_typed(code: Any) -> bool:
    """Whether a function or class was typed in: whether no file has it."""
    if isinstance(code, types.FunctionType):
        return not os.path.isfile(code.__code__.co_filename) and not code.__code__.co_filename.startswith(
            "<frozen"
        )
    module = sys.modules.get(getattr(code, "__module__", None) or "")
    return module is not None and module.__name__ == "__main__" and not hasattr(module, "__file__")


def _functions_in(value: Any) -> Iterator[Any]:
    """What an attribute of a class holds: the functions of a property, what a class method wraps, or itself."""
    if isinstance(value, property):
        yield from (value.fget, value.fset, value.fdel)
    elif isinstance(value, classmethod | staticmethod):
        yield value.__func__
    elif isinstance(value, types.MemberDescriptorType | types.GetSetDescriptorType):
        yield value.__name__
    else:
        yield value


def _find_definition(
    function: types.FunctionType,
) -> ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | None:
    """The syntax of a function, from the text of its cell; None where it cannot be told."""
    code = function.__code__
    try:
        tree = ast.parse("".join(linecache.getlines(code.co_filename)))
    except (SyntaxError, ValueError):
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            if node.name == code.co_name and first == code.co_firstlineno:
                return node
    lambdas = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Lambda) and node.lineno == code.co_firstlineno and code.co_name == "<lambda>"
    ]
    ends = [at[2] for at in code.co_positions() if at[0] == code.co_firstlineno and at[2] is not None]
    last = max(ends, default=-1)
    around = [node for node in lambdas if node.col_offset <= last < (node.end_col_offset or 0)]
    if not around and len(lambdas) > 1:  # Python 3.12 does not say where the code of `lambda: 1` was
        return None
    return max(around or lambdas, key=lambda node: node.col_offset, default=None)


def _names_in(node: ast.stmt) -> set[tuple[str | int, ...]]:
    facts = collect(node)
    return facts.now | facts.later | facts.annotations | facts.fields
