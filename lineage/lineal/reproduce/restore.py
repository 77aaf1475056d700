"""Lays out in a folder what a past run started from: its code, and the content that it took from outside."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from lineal.engine.beside import OUTSIDE, PROJECT
from lineal.fingerprint.sources import PROJECT_FILES
from lineal.graph.records import TREES
from lineal.reproduce.job import HeldSource
from lineal.reproduce.plan import RecordedSource, ReproductionPlan
from lineal_store import Digest, Store
from lineal_store.tree import Tree


def restore_code(plan: ReproductionPlan, folder: Path) -> tuple[Path, ...]:
    """The project's sources in ``folder``/project, with the files that its stages declare, and in ``folder``/outside what it used
    from elsewhere; of that the folders in which modules are to be looked for. Errors as of `Store.blobs`.
    """
    project, beside = folder / PROJECT, plan.run.beside
    project.mkdir()
    if beside is not None:
        _lay_out(plan.store, Digest.parse(beside.tree), folder)
    _lay_out(plan.store, Digest.parse(plan.run.code_tree), project)
    if not any((project / name).exists() for name in PROJECT_FILES):
        (project / "lineal.toml").touch()  # else one would be looked for above
    return tuple(Path(f"{folder}/{OUTSIDE}{each}") for each in (beside.search if beside is not None else ()))


def hold_sources(plan: ReproductionPlan, folder: Path) -> Iterator[HeldSource]:
    """The content that the stages took from outside, below ``folder``: each once, whoever took it."""
    held: dict[tuple[str, str], Path] = {}
    for source in plan.sources:
        known = (source.digest, source.url)
        if known not in held:
            held[known] = folder / str(len(held)) / _name(source)
            _hold(plan.store, source, held[known])
        yield HeldSource(source.stage, source.port, source.url, str(held[known]))


def _name(source: RecordedSource) -> str:
    """As the source is called: readers go by how a name ends."""
    return PurePosixPath(urlsplit(source.url).path).name or "content"


def _hold(store: Store, source: RecordedSource, path: Path) -> None:
    path.parent.mkdir(parents=True)
    digest = Digest.parse(source.digest)
    if source.type in TREES:
        path.mkdir()
        _lay_out(store, digest, path)
    else:
        path.symlink_to(store.blobs.fetch(digest).absolute())


def _lay_out(store: Store, tree: Digest, folder: Path) -> None:
    """The files of a tree as files of their own, below ``folder``."""
    for entry in Tree.decode(store.blobs.read(tree)).entries:
        path = folder / entry.path
        path.parent.mkdir(parents=True, exist_ok=True)
        with store.blobs.open(entry.digest) as source, path.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
        path.chmod(entry.mode)
