"""Bytes out of the store, into a file or folder of the user's."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from lineal.api.addresses import Found
from lineal.artifacts import codec_named
from lineal.errors import UsageError
from lineal.graph.lineage import Lineage
from lineal.graph.records import TREES
from lineal_store import Digest, Store
from lineal_store.tree import Tree


def write_out(store: Store, lineage: Lineage, found: Found, output: Path | None) -> dict[str, str]:
    """Write the bytes of ``found`` to ``output``, by default a fitting name in the current folder.

    A file of other content that is already there is not replaced unless it was named.
    """
    assert found.digest is not None
    described = lineage.find_description(str(found.digest))
    type_, name = described if described is not None else ("file", found.digest.short)
    path = output if output is not None else Path(_default_name(lineage, found.digest, type_, name, found))
    if output is not None and output.is_dir() and type_ not in TREES:
        path = output / _default_name(lineage, found.digest, type_, name, found)
    if output is None and path.exists() and type_ not in TREES and Digest.of_file(path)[0] != found.digest:
        raise UsageError(f"{path} is already there, with other content", "Name another path with -o.")
    path.parent.mkdir(parents=True, exist_ok=True)
    if type_ in TREES:
        _write_tree(store, found.digest, path)
    else:
        _write_file(store, found.digest, path)
    return {"digest": str(found.digest), "path": str(path)}


def _default_name(lineage: Lineage, digest: Digest, type_: str, name: str, found: Found) -> str:
    maker = lineage.find_maker(str(digest))
    output = maker.result.outputs.get(name) if maker is not None else None
    given = output.description.get("file_name") if output is not None else None
    if isinstance(given, str) and given:
        return Path(given).name
    if type_ in ("file", "directory") and "/" in name:
        return Path(name).name or digest.short
    stem = found.stage or (maker.result.stage_id if maker is not None else digest.short)
    named = stem.replace("/", "-") if name in ("result", digest.short) else f"{stem.replace('/', '-')}.{name}"
    return named if type_ in TREES else named + codec_named(type_).suffix


def _write_file(store: Store, digest: Digest, path: Path) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with store.blobs.open(digest) as source, part.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _write_tree(store: Store, digest: Digest, folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is already there, and not empty", "Name another path with -o.")
    for entry in Tree.decode(store.blobs.read(digest)).entries:
        path = folder / entry.path
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_file(store, entry.digest, path)
        path.chmod(entry.mode)
