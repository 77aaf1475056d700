"""Functions that were typed in: a notebook's cells, a prompt. Their source is put together from what is
alive.
"""

# ruff: noqa: PTH100
# os.path keeps symbolic links as they are, and costs less for thousands of paths.
from __future__ import annotations

import ast
import inspect
import os
import sys
import textwrap
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lineal.fingerprint.errors import FingerprintError
from lineal.fingerprint.fingerprinter import BlindSpot, Fingerprint, Fingerprinter
from lineal.fingerprint.live import import_roots_of, unwrapped
from lineal.fingerprint.references import collect
from lineal.fingerprint.sources import Sources
from lineal.fingerprint.values import Describer

MODULE = "__cells__"
"""The module that what was typed in counts as."""


def fingerprint_without_file(
    function: Any, reads: Iterable[str | os.PathLike[str]], project: Path
) -> Fingerprint:
    """The fingerprint of a function whose source is in no file.

    It and what it reaches that was typed in too become a module of their own; functions, classes and modules
    that were imported are followed as ever; other globals count by their value. FingerprintError when the
    source is gone.
    """
    root = Path(os.path.abspath(project))
    sources = Sources.capture(root, import_roots_of(root, str(root / "cells")))
    cells = _Cells()
    inner = list(unwrapped(function))[-1]
    name = cells.add_code(inner)
    sources.files[f"{MODULE}.py"] = "\n".join(cells.parts.values()).encode("utf-8", "surrogatepass")
    sources = Sources(root, sources.import_roots, sources.files)
    also = [f"value {key} {value}" for key, value in sorted(cells.values.items())]
    found = Fingerprinter(sources).stage(MODULE, name, reads=reads, also=also)
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
    """The source of what was typed in, as far as it is reached; ``parts`` by name, ``values`` of plain
    globals described.
    """

    def __init__(self) -> None:
        self.parts: dict[str, str] = {}
        self.values: dict[str, str] = {}
        self.describer = Describer(self._describe_code)

    def add_code(self, code: Any) -> str:
        """Take in a function or class with what it refers to; returns its name."""
        name = str(code.__qualname__).partition(".")[0]
        try:
            text = textwrap.dedent(inspect.getsource(code))
        except (OSError, TypeError) as error:
            raise FingerprintError(
                "the source of this function is gone", name, hint="Put it into a file."
            ) from error
        try:
            tree = ast.parse(text)
        except SyntaxError:  # a lambda in the middle of a statement
            text = f"{name if name.isidentifier() else 'function'} = {_lambda_in(text)}"
            tree = ast.parse(text)
        if not name.isidentifier():
            name = "function"
        self.parts[name] = text
        facts = collect(*tree.body)
        names = vars(sys.modules[code.__module__]) if isinstance(code, type) else code.__globals__
        for chain in sorted(facts.now | facts.later | facts.annotations, key=repr):
            root = chain[0]
            if isinstance(root, str) and root in names and root not in self.parts and root not in self.values:
                self._add_global(root, names[root])
        if isinstance(code, types.FunctionType):
            for variable, cell in zip(code.__code__.co_freevars, code.__closure__ or (), strict=True):
                self.values[f"{name}.{variable}"] = self.describer.describe(cell.cell_contents)
        return name

    def _add_global(self, name: str, value: Any) -> None:
        if isinstance(value, types.ModuleType):
            self.parts[name] = f"import {value.__name__} as {name}"
            return
        inner = list(unwrapped(value))[-1] if callable(value) else value
        home = getattr(inner, "__module__", None)
        if isinstance(inner, types.FunctionType | type) and isinstance(home, str):
            if home == "__main__" and getattr(sys.modules[home], "__file__", None) is None:
                self.add_code(inner)
            elif "." not in inner.__qualname__:
                self.parts[name] = f"from {home} import {inner.__qualname__} as {name}"
            return
        self.values[name] = self.describer.describe(value)

    @staticmethod
    def _describe_code(code: Any) -> str:
        return f"code {getattr(code, '__module__', '')}.{getattr(code, '__qualname__', '')}"


def _lambda_in(text: str) -> str:
    """The first lambda of a piece of source that is no statement by itself."""
    start = text.index("lambda")
    for end in range(len(text), start, -1):
        try:
            node = ast.parse(text[start:end].strip(), mode="eval").body
        except SyntaxError:
            continue
        if isinstance(node, ast.Lambda):
            return text[start:end].strip()
    raise FingerprintError("the source of this lambda is gone", text.strip(), hint="Give it a name with def.")
