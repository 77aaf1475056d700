"""The fingerprint of a live function: found again in the source by identity, or by where it was written and
what it captured.
"""

# ruff: noqa: PTH100, PTH113
# os.path keeps symbolic links as they are, and costs less for thousands of paths.
from __future__ import annotations

import ast
import functools
import os
import sys
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lineal.fingerprint.errors import FingerprintError
from lineal.fingerprint.fingerprinter import BlindSpot, Fingerprint, Fingerprinter
from lineal.fingerprint.sources import Sources, find_project_root
from lineal.fingerprint.values import Describer


def fingerprint(
    function: Any,
    *,
    reads: Iterable[str | os.PathLike[str]] = (),
    project: str | os.PathLike[str] | None = None,
) -> Fingerprint:
    """The fingerprint of a plain or decorated function of the project in ``project``.

    ``project=None`` is the folder of the nearest project file above the function's file, else that file's
    folder. ``reads`` are data files whose bytes count, relative to the project. FingerprintError when the
    code cannot be read.
    """
    file = _file_of(function)
    if file is None:
        from lineal.fingerprint.notebooks import fingerprint_without_file

        return fingerprint_without_file(function, reads, Path(project) if project is not None else Path.cwd())
    root = Path(os.path.abspath(project)) if project is not None else find_project_root(Path(file))
    sources = Sources.capture(root, import_roots_of(root, file))
    return fingerprint_function(Fingerprinter(sources), function, reads=reads)


def fingerprint_function(
    fingerprinter: Fingerprinter,
    function: Any,
    *,
    reads: Iterable[str | os.PathLike[str]] = (),
    depends_on: Iterable[object] = (),
    version: str | None = None,
) -> Fingerprint:
    """The fingerprint of a live function over sources that were read before: as `Fingerprinter.stage`, for
    what has no name of its own too.

    A function is looked for among its module's globals by identity; one that is not there (made by a factory,
    in a list) counts by the statement that wrote it, its defaults and the values that it captured.
    """
    module, name, also, opaque = Finder(fingerprinter).find(function)
    found = fingerprinter.stage(module, name, reads=reads, depends_on=depends_on, version=version, also=also)
    if not opaque:
        return found
    file = fingerprinter.sources.module_file(module) or module
    spots = {BlindSpot("opaque_value", f"a captured {each}", file, 0) for each in opaque}
    return Fingerprint(
        found.hex,
        found.covers,
        tuple(sorted({*found.blind_spots, *spots})),
        found.distributions,
        found.modules,
        found.outside,
    )


def import_roots_of(root: Path, file: str) -> list[Path]:
    """Where the modules of the project in ``root`` are looked for: what ``sys.path`` has of it, then as for a
    target ``file``.
    """
    prefix = str(root).rstrip("/") + "/"
    found = [
        path
        for path in map(os.path.abspath, sys.path)
        if (path + "/").startswith(prefix) and "site-packages" not in path
    ]
    folder = Path(file).parent
    while (folder / "__init__.py").exists() and folder != folder.parent:
        folder = folder.parent
    found += [str(folder), str(root), *([str(root / "src")] if (root / "src").is_dir() else [])]
    return [Path(each) for each in dict.fromkeys(found)]


def unwrapped(function: Any) -> Iterable[Any]:
    """A function, and what it wraps, outermost first."""
    seen: set[int] = set()
    while function is not None and id(function) not in seen:
        seen.add(id(function))
        yield function
        function = getattr(function, "__wrapped__", None)


def _file_of(function: Any) -> str | None:
    """The source file that a function was written in; None for one that was typed in."""
    for each in reversed(list(unwrapped(function))):
        if isinstance(each, functools.partial):
            return _file_of(each.func)
        code = getattr(each, "__code__", None)
        module = sys.modules.get(getattr(each, "__module__", None) or "")
        for file in (getattr(module, "__file__", None), getattr(code, "co_filename", None)):
            if isinstance(file, str) and os.path.isfile(file):
                return os.path.abspath(file)
    return None


class Finder:
    """Finds live code in the sources, and describes what the sources do not show of it."""

    def __init__(self, fingerprinter: Fingerprinter) -> None:
        self.fingerprinter = fingerprinter
        self.lookup = fingerprinter.lookup
        self._inside: list[int] = []

    def find(self, function: Any) -> tuple[str, str, list[str], list[str]]:
        """The module and the name of ``function``; what else counts, as text; and the types that count by
        type alone.
        """
        named = self._by_identity(function)
        if named is not None:
            return (*named, [], [])
        describer = Describer(self.describe_code)
        if isinstance(function, functools.partial):
            home, name, also, opaque = self.find(function.func)
            also.append(
                f"partial {describer.describe(function.args)} {describer.describe(function.keywords)}"
            )
            return home, name, also, opaque + describer.opaque
        if isinstance(function, types.MethodType):
            home, name, also, opaque = self.find(function.__func__)
            also.append(f"bound to {describer.describe(function.__self__)}")
            return home, name, also, opaque + describer.opaque
        inner = list(unwrapped(function))[-1]
        code = getattr(inner, "__code__", None)
        qualname = str(getattr(inner, "__qualname__", ""))
        module = self._module_of(inner)
        top = qualname.partition(".")[0]
        if isinstance(inner, type) and module is not None and self._has(module, top):
            return module, top, [f"class {qualname}"], []
        if code is None or module is None:
            cls = type(inner)
            module = self._module_of(cls)
            if module is None:
                raise FingerprintError(f"{function!r} is no function of a project", str(cls.__module__))
            return module, cls.__qualname__.partition(".")[0], [describer.describe(inner)], describer.opaque
        if "<" not in qualname and self._has(module, top):
            return module, self._which(module, qualname, code.co_firstlineno), [], []
        name = self._written_by(module, top, code.co_firstlineno)
        also = [f"function {qualname}", *self._text(module, inner)]
        values = zip(code.co_freevars, inner.__closure__ or (), strict=True)
        for variable, cell in values:
            try:
                value = cell.cell_contents
            except ValueError:
                continue  # not bound yet
            also.append(f"captured {variable} {describer.describe(value)}")
        also.append(
            f"defaults {describer.describe(inner.__defaults__)} {describer.describe(inner.__kwdefaults__)}"
        )
        return module, name, also, describer.opaque

    def _by_identity(self, function: Any) -> tuple[str, str] | None:
        """The global that holds ``function``, or something that wraps it."""
        for depth, each in enumerate(unwrapped(function)):
            module = self._module_of(each)
            live = sys.modules.get(getattr(each, "__module__", None) or "")
            if module is None or live is None:
                continue
            wanted = str(getattr(each, "__name__", ""))
            for exact in (True, False):
                names = [
                    name
                    for name, value in list(vars(live).items())
                    if (
                        value is each
                        if exact
                        else any(inner is each for inner in unwrapped(value))
                        if callable(value)
                        else False
                    )
                ]
                names = [name for name in names if self._has(module, name)]
                if names:
                    return module, wanted if wanted in names else min(names)
            elsewhere = self._held_elsewhere(each) if hasattr(each, "__wrapped__") and not depth else None
            if elsewhere is not None:
                return elsewhere
        return None

    def _held_elsewhere(self, function: Any) -> tuple[str, str] | None:
        """The global of another module that holds ``function``: one that says it is what it wraps."""
        for module, live in sorted(sys.modules.items()):
            held = [name for name, value in list(getattr(live, "__dict__", {}).items()) if value is function]
            if not held or self.lookup.find_index(module) is None:
                continue
            for name in held:
                for target in self.lookup.resolve(module, (name,)):
                    if target.kind == "name" and not target.rest:
                        return target.module, target.name
        return None

    def _has(self, module: str, name: str) -> bool:
        return (
            bool(self.lookup.get_index(module).names.get(name))
            if self.lookup.find_index(module) is not None
            else False
        )

    def _module_of(self, code: Any) -> str | None:
        """The name, among the sources, of the module that ``code`` lives in."""
        name = getattr(code, "__module__", None)
        if not isinstance(name, str):
            return None
        file = getattr(sys.modules.get(name), "__file__", None) or getattr(
            getattr(code, "__code__", None), "co_filename", None
        )
        located = self.lookup.find_module(name) if name != "__main__" else None
        if located is not None and (file is None or located.file is None or self._same(located.file, file)):
            return name
        if file is None:
            return None
        return self.fingerprinter.sources.module_of(self.fingerprinter.sources.name(os.path.abspath(file)))

    def _same(self, name: str, file: str) -> bool:
        path = str(self.fingerprinter.sources.path(name))
        return path == os.path.abspath(file) or os.path.realpath(path) == os.path.realpath(file)

    def _written_by(self, module: str, top: str, line: int) -> str:
        """The name of the top-level statement that a function without a name of its own was written in."""
        if self._has(module, top):
            return top
        for unit in self.lookup.get_index(module).units:
            if unit.line <= line <= unit.end_line and unit.names and unit.kind != "guard":
                return unit.names[0]
        return ""

    def _which(self, module: str, qualname: str, line: int) -> str:
        """The name of a definition; with its number among those of that name, when a later one has taken the
        name.
        """
        index = self.lookup.get_index(module)
        top = qualname.partition(".")[0]
        final = self.lookup.binders(module, top)
        for number, each in enumerate(index.names[top]):
            unit = index.units[each]
            if unit.kind in ("def", "class") and unit.line <= line <= unit.end_line and each not in final:
                return f"{top}#{number}"
        return qualname

    def _text(self, module: str, function: types.FunctionType) -> list[str]:
        """What tells the function apart from others that the same statement makes."""
        from lineal.fingerprint.canonical import hash_syntax

        located = self.lookup.find_module(module)
        if function.__name__ != "<lambda>" or located is None or located.file is None:
            return []
        line = function.__code__.co_firstlineno
        tree = ast.parse(self.fingerprinter.sources.read(located.file))
        found = [node for node in ast.walk(tree) if isinstance(node, ast.Lambda) and node.lineno == line]
        last = max(
            (at[2] for at in function.__code__.co_positions() if at[0] == line and at[2] is not None),
            default=-1,
        )
        around = [node for node in found if node.col_offset <= last < (node.end_col_offset or 0)]
        nearest = sorted(around, key=lambda node: node.col_offset)[-1:]
        return [f"lambda {hash_syntax(node).code.hex()}" for node in nearest or found]

    def describe_code(self, code: Any) -> str:
        """A captured function or class: its own fingerprint, when it is project code; else its name."""
        if isinstance(code, types.ModuleType):
            return f"module {self._describe_module(code)}"
        inner = list(unwrapped(code))[-1]
        home = str(getattr(inner, "__module__", ""))
        name = f"{home}.{getattr(inner, '__qualname__', '')}"
        if id(inner) in self._inside:
            return f"code {name}"
        if self._module_of(inner) is None:
            return f"code {name} {self._versions(home)}"
        self._inside.append(id(inner))
        try:
            module, found, also, _ = self.find(code)
            return f"code {self.fingerprinter.stage(module, found, also=also).hex}"
        finally:
            self._inside.pop()

    def _describe_module(self, module: types.ModuleType) -> str:
        """A captured module: the fingerprint of all of it, when it is project code; else its version."""
        name = module.__name__
        located = self.lookup.find_module(name)
        if located is None or (located.file and not self._same(located.file, module.__file__ or "")):
            return f"{name} {self._versions(name)}"
        return f"{name} {self.fingerprinter.stage(name, '').hex}"

    def _versions(self, module: str) -> str:
        found = self.fingerprinter.distributions.versions([module]) if module else {}
        return " ".join(f"{name} {version}" for name, version in found.items())
