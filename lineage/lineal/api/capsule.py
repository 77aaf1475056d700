"""``capsule create`` and ``capsule run``: a model with all that it came from in one file, and back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lineal.api.addresses import Found
from lineal.api.reproduce import Wish, reproduce_document
from lineal.errors import UsageError
from lineal.graph.history import find_run
from lineal.graph.lineage import Lineage
from lineal.graph.transfer import Progress, ignore
from lineal.reproduce import plan_reproduction
from lineal.reproduce.archive import CapsuleRefused
from lineal.reproduce.capsule import create_capsule, open_capsule
from lineal.views.capsule import about_document, created_document
from lineal.views.verify import verify_document
from lineal_store import Digest, Store

Document = dict[str, Any]


def create_document(
    store: Store, lineage: Lineage, found: Found, path: Path, *, progress: Progress | None = None
) -> Document:
    """Pack what an address means, bytes or a whole run, into the file ``path``; the document."""
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent}", "Make it, or name another file with -o.")
    if path.is_dir():
        raise UsageError(f"{path} is a folder", "Name a file with -o, such as model.lineal.tar.zst.")
    digest = None if found.digest is None else str(found.digest)
    plan = plan_reproduction(store, digest, run=found.run, lineage=lineage)
    packed = create_capsule(plan, about_document(plan), path, progress=progress or ignore)
    return created_document(plan, str(path), packed)


def run_capsule(
    path: Path, wish: Wish, *, dry_run: bool = False, told: Callable[[Document], None] = lambda _: None
) -> Document:
    """Reproduce what the capsule ``path`` holds: the document of `lineal reproduce`. Runs the code that is in it.

    No project and no store is needed, and none is touched. With ``dry_run`` nothing of it is executed.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {path}", "`lineal capsule create MODEL -o FILE` makes one.")
    with open_capsule(path, keep=wish.keep) as (about, store):
        bad = verify_document(store, read_data=False)["bad"]
        if bad:
            raise CapsuleRefused(str(path), f"of what it names {bad[0]['digest']} {bad[0]['problem']}")
        run = find_run(store, about.run_id)
        if run is None:
            raise CapsuleRefused(str(path), f"run {about.run_id} is not in it")
        digest = None if about.digest is None else Digest.parse(about.digest)
        found = Found(digest, None if digest is not None else run)
        document = reproduce_document(store, Lineage(store), found, wish, dry_run=dry_run, told=told)
    return {**document, "report": None}  # it went with the capsule's store
