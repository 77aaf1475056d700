"""A capsule: one file with all that a model came from, so that it can be rebuilt where there is no store.

It holds a small store with the run that made it (records, code, inputs, outputs, environment) and, before that, a document
that says what it is of. docs/formats.md has it byte by byte.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from lineal.errors import LinealError
from lineal.graph.closure import Roots, plan_transfer
from lineal.graph.transfer import NotCopied, Progress, ignore, perform
from lineal.reproduce.archive import ABOUT, CapsuleRefused, Packed, extract_capsule, write_capsule
from lineal.reproduce.plan import ReproductionPlan
from lineal_store import Digest, Store, open_store
from lineal_store.store import HEADER

FORMAT = 1


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What a capsule says of itself, as far as it is needed to reproduce it; ``digest`` is None for a whole run."""

    format: int
    lineal: str
    name: str
    digest: str | None
    run_id: str


class CapsuleIncomplete(LinealError):
    """What a model came from is not there any more, so that a capsule of it would not be one; ``missing`` says what."""

    exit_code = 4
    kind = "missing"
    hint = "`lineal reproduce -n` lists what is missing. Run the pipeline again, and pack what that makes."

    def __init__(self, name: str, missing: tuple[str, ...]) -> None:
        super().__init__(name, missing)
        self.name, self.missing = name, missing

    def __str__(self) -> str:
        return f"{self.name} cannot be rebuilt, so that it is not packed: {'; '.join(self.missing)}"


def create_capsule(
    plan: ReproductionPlan, about: Mapping[str, Any], path: Path, *, progress: Progress = ignore
) -> Packed:
    """Pack what ``plan`` needs into the file ``path``, with the document ``about`` it. The same plan makes the same bytes.

    `CapsuleIncomplete` where something is missing without which it cannot be rebuilt.
    """
    missing = tuple(f"{one.name}: {one.problem}" for one in plan.missing if one.is_fatal)
    if missing:
        raise CapsuleIncomplete(plan.name, missing)
    with tempfile.TemporaryDirectory(prefix="lineal-capsule-") as folder:
        store = open_store(Path(folder, "store"))
        _copy(plan, store, progress)
        return write_capsule(
            path, _files(store, json.dumps(about, indent=2, sort_keys=True).encode() + b"\n")
        )


def _copy(plan: ReproductionPlan, store: Store, progress: Progress) -> None:
    """Copy the run, and how the bytes came out of it, where a side product was asked for; names stay behind."""
    artifacts = () if plan.digest is None else (plan.digest,)
    transfer = plan_transfer(plan.store, Roots((plan.run.run_id,), artifacts, with_tags=False))
    if plan.digest is not None and Digest.parse(plan.digest) in transfer.absent:
        transfer = replace(transfer, asked=())  # only what it was copied from is in the store
    report = perform(transfer, plan.store, store, progress=progress)
    if report.left:
        raise NotCopied.of(plan.store.url, report.left)


def _files(store: Store, about: bytes) -> Iterator[tuple[str, bytes | Path]]:
    # An id of its own content in place of a random one: the same capsule is the same bytes.
    store_id = uuid.UUID(bytes=hashlib.sha256(about).digest()[:16])
    header = json.dumps({"format": 1, "id": str(store_id)}).encode() + b"\n"
    yield ABOUT, about
    for name in sorted(info.name for info in store.backend.list("")):
        place = store.backend.local_path(name)
        assert place is not None
        yield f"store/{name}", header if name == HEADER else place


@contextmanager
def open_capsule(path: Path, *, keep: bool = False) -> Iterator[tuple[About, Store]]:
    """What the capsule ``path`` says of itself, and its store, in a folder that is gone afterwards, unless ``keep``.

    `CapsuleRefused` for a file that is none. Every blob in the store is what it is called; what records say is theirs to
    prove.
    """
    folder = Path(tempfile.mkdtemp(prefix="lineal-capsule-"))
    try:
        extract_capsule(path, folder)
        try:
            about = msgspec.json.decode((folder / ABOUT).read_bytes(), type=About)
        except msgspec.DecodeError as error:
            raise CapsuleRefused(str(path), f"its {ABOUT} cannot be read: {error}") from None
        if about.format > FORMAT:
            raise CapsuleRefused(str(path), f"it has format {about.format}, and this Lineal reads {FORMAT}")
        yield about, open_store(folder / "store", create=False)
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
