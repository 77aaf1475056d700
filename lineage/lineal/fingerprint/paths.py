"""Where a path that the code writes lies: beside the source file, or in the project."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lineal.fingerprint.errors import FingerprintError
from lineal.fingerprint.literals import PathText

if TYPE_CHECKING:
    from lineal.fingerprint.lookup import Lookup


def add_search_paths(lookup: Lookup) -> None:
    """Make import roots of the folders that the project's code puts on ``sys.path``, when they lie in the
    project.

    Done for all files beforehand, so that what a name means does not depend on what was looked up first.
    """
    sources = lookup.sources
    root = str(sources.root)
    for file in sorted(sources.files):
        data = sources.files[file]
        if not file.endswith(".py") or (b"sys.path" not in data and b"addsitedir" not in data):
            continue
        module = sources.module_of(file)
        try:
            index = lookup.find_index(module) if module is not None else None
        except FingerprintError:
            continue  # an error only for what reaches it
        for unit in index.units if index is not None and module is not None else ():
            for path in unit.paths if not unit.hidden else ():
                folder = place(lookup, module or "", path)
                if folder is not None and (folder == root or folder.startswith(root + "/")):
                    lookup.add_root(folder)


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
    if base == "file":
        located = lookup.find_module(module)
        if located is None or located.file is None:
            return None
        start = str(lookup.sources.path(located.file))
        return os.path.normpath("/".join([start, *(part.lstrip("/") for part in parts)]))
    return os.path.normpath(os.path.join(str(lookup.sources.root), *parts)) if parts else None
