"""The store: bytes under digests, and the few kinds of records that give them meaning. It knows no stages.

A **blob** is content under its **digest** (SHA-256); a **tree** is a blob that lists the files of a directory. An
**action result** is filed under an action's key, by generation; a **run** leaves one record when it begins and one when
it ends; a **ref** is a mutable name, kept as a log of entries; a **claim** says that a run executes an action just now. A **backend** is the place where all of
them lie as named objects, each of which is created once, whole, and durable before anything names it.

    store = open_store("…")        store.blobs  store.actions  store.runs  store.refs

What the records of actions, runs and refs say is the business of who writes them: here they are bytes.
The store never deletes what it keeps, and never unpickles.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lineal_store.actions import Actions, Filed, Retirement
    from lineal_store.blobs import Blob, Blobs
    from lineal_store.digest import Digest
    from lineal_store.errors import (
        BlobMissing,
        CorruptRecord,
        DigestMismatch,
        InvalidName,
        LinealError,
        ObjectMissing,
        RecordTooLarge,
        RunExists,
        StoreUnavailable,
    )
    from lineal_store.identity import Identity
    from lineal_store.protocols import Backend, ObjectInfo, Upload
    from lineal_store.refs import Refs
    from lineal_store.runs import RunFiles, Runs
    from lineal_store.store import Place, Store, open_store
    from lineal_store.tree import Tree, TreeEntry
    from lineal_store.upstream import Upstream

__all__ = [
    "Actions",
    "Backend",
    "Blob",
    "BlobMissing",
    "Blobs",
    "CorruptRecord",
    "Digest",
    "DigestMismatch",
    "Filed",
    "Identity",
    "InvalidName",
    "LinealError",
    "ObjectInfo",
    "ObjectMissing",
    "Place",
    "RecordTooLarge",
    "Refs",
    "Retirement",
    "RunExists",
    "RunFiles",
    "Runs",
    "Store",
    "StoreUnavailable",
    "Tree",
    "TreeEntry",
    "Upload",
    "Upstream",
    "open_store",
]

_HOMES = {
    "actions": ("Actions", "Filed", "Retirement"),
    "blobs": ("Blob", "Blobs"),
    "digest": ("Digest",),
    "identity": ("Identity",),
    "protocols": ("Backend", "ObjectInfo", "Upload"),
    "refs": ("Refs",),
    "runs": ("RunFiles", "Runs"),
    "store": ("Place", "Store", "open_store"),
    "tree": ("Tree", "TreeEntry"),
    "upstream": ("Upstream",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    """Import the module that ``name`` lives in when it is first asked for: importing the room costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME.get(name, 'errors')}"), name)
    globals()[name] = value
    return value
