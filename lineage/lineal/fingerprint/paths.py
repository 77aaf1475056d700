"""Where a path that the code writes lies: beside the source file, or in the project."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from lineal.fingerprint.errors import FingerprintError
from lineal.fingerprint.literals import PathText
from lineal.fingerprint.reading import decode_path

if TYPE_CHECKING:
    from lineal.fingerprint.lookup import Index, Lookup


def add_search_paths(lookup: Lookup) -> None:
    """Look for modules in the folders that the project's code puts on ``sys.path``, or on the ``__path__`` of a
    package, when they lie in the project.

    Done for all files beforehand, so that what a name means does not depend on what was looked up first.
    """
    for module, index in _modules_with(lookup, b"sys.path", b"addsitedir"):
        for unit in index.units:
            for folder in _places(lookup, module, unit.paths if not unit.hidden else ()):
                lookup.add_root(folder)
    for module, index in _modules_with(lookup, b"__path__", b"declare_namespace"):
        text = lookup.sources.read(lookup.sources.module_file(module) or "")
        if b"extend_path" in text or b"declare_namespace" in text:
            for folder in lookup.sources.portions(module):
                lookup.add_search(module, folder)
        for unit in index.units:
            for folder in _places(lookup, module, unit.own_paths if not unit.hidden else ()):
                lookup.add_search(module, folder)


def _modules_with(lookup: Lookup, *words: bytes) -> Iterator[tuple[str, Index]]:
    """The modules of the project whose source has one of these words; a broken one is an error only for what
    reaches it.
    """
    sources = lookup.sources
    for file in sorted(sources.files):
        if file.endswith(".py") and any(word in sources.files[file] for word in words):
            module = sources.module_of(file)
            try:
                index = lookup.find_index(module) if module is not None else None
            except FingerprintError:
                continue
            if module is not None and index is not None:
                yield module, index


def _places(lookup: Lookup, module: str, paths: Iterable[PathText]) -> Iterator[str]:
    root = str(lookup.sources.root)
    for path in paths:
        folder = place(lookup, module, path)
        if folder is not None and f"{folder}/".startswith(f"{root}/"):
            yield folder


def place(lookup: Lookup, module: str, path: PathText, depth: int = 0) -> str | None:
    """The absolute path that ``path`` is in ``module`` (relative ones taken from the project's root), or
    None.
    """
    base, parts = path
    if isinstance(base, tuple):
        if depth > 8:
            return None
        for target in lookup.resolve(module, base):
            if target.kind != "name" or target.rest:
                continue
            for each in lookup.binders(target.module, target.name):
                found = lookup.get_index(target.module).units[each].path
                if found is not None:
                    return place(lookup, target.module, (found[0], (*found[1], *parts)), depth + 1)
        return None
    if base.startswith("package "):
        folder = _folder_of(lookup, module, base[8:])
        return os.path.normpath("/".join([folder, *parts])) if folder is not None else None
    if base == "file":
        located = lookup.find_module(module)
        if located is None or located.file is None:
            return None
        start = str(lookup.sources.path(located.file))
        return os.path.normpath("/".join([start, *(part.lstrip("/") for part in parts)]))
    return os.path.normpath(os.path.join(str(lookup.sources.root), *parts)) if parts else None


def code_at(lookup: Lookup, module: str, kind: str, detail: str) -> str | None:
    """The module of the project that a blind spot of ``module`` turns out to be: its file is read, or it is run."""
    if kind == "runs_module":
        name = f"{detail}.__main__" if lookup.find_module(f"{detail}.__main__") is not None else detail
        return name if lookup.find_index(name) is not None else None
    if kind not in ("runs_file", "undeclared_read"):
        return None
    path = place(lookup, module, decode_path(detail.rpartition("\n")[2]))
    return lookup.sources.module_of(lookup.sources.name(path)) if path is not None else None


def _folder_of(lookup: Lookup, module: str, package: str) -> str | None:
    """The folder of a package that ``module`` names: by its dotted name, or by what it imported it as."""
    located = lookup.find_module(lookup.absolute(module, 0, package))
    if located is None:
        found = [each for each in lookup.resolve(module, tuple(package.split("."))) if each.kind == "module"]
        located = lookup.find_module(found[0].module) if found else None
    if located is None:
        return None
    if located.file is not None:
        return str(lookup.sources.path(located.file).parent)
    return located.search[0] if located.search else None
