"""Stores to read through: what one's own store lacks is looked for there. They are never written."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lineal_store.actions import Filed
from lineal_store.digest import Digest
from lineal_store.errors import BlobMissing, CorruptRecord, DigestMismatch, StoreUnavailable

if TYPE_CHECKING:
    from pathlib import Path

    from lineal_store.store import Store

_COPY_BYTES = 1 << 20


class Upstream:
    """The stores that ``openers`` open, asked in that order and opened when first needed.

    One that is out of reach for the moment is passed over, once and for all, and so is what of it turns out to be
    damaged: its results are worth time, not data. ``problems`` says so, in words. StoreUnavailable for a store that
    trying again would not bring back: absent, denied, of a newer format.
    """

    def __init__(self, openers: Sequence[Callable[[], Store]]) -> None:
        self._openers = list(openers)
        self._stores: list[Store | None] = []
        self.problems: list[str] = []

    def find(self, keys: Iterable[str]) -> dict[str, Filed]:
        """The current results of those of action ``keys`` that have one in the first store that has."""
        left, found = set(keys), dict[str, Filed]()
        for store in self._asked():
            if left:
                with self._passing_over(store):
                    found |= store.actions.find(left)
            left -= found.keys()
        return found

    def sizes(self, digests: Iterable[Digest]) -> dict[Digest, int]:
        """The sizes in bytes of those of ``digests`` that one of the stores holds."""
        left, found = set(digests), dict[Digest, int]()
        for store in self._asked():
            if left:
                with self._passing_over(store):
                    found |= store.blobs.sizes(left)
            left -= found.keys()
        return found

    def read(self, digest: Digest) -> bytes | None:
        """The bytes under ``digest``, checked, or None."""
        for store in self._asked():
            with self._passing_over(store):
                return store.blobs.read(digest)
        return None

    def copy(self, digest: Digest, path: Path) -> bool:
        """Write the blob, checked, to the new file ``path``; whether one of the stores has it."""
        for store in self._asked():
            with self._passing_over(store):
                with store.blobs.open(digest) as source, path.open("wb") as target:
                    shutil.copyfileobj(source, target, _COPY_BYTES)
                return True
        return False

    def _asked(self) -> Iterator[Store]:
        for place, opener in enumerate(self._openers):
            if place == len(self._stores):
                self._stores.append(None)
                with self._passing_over(place):
                    self._stores[place] = opener()
            store = self._stores[place]
            if store is not None:
                yield store

    @contextmanager
    def _passing_over(self, asked: Store | int) -> Iterator[None]:
        """Go on without a store that cannot be reached for the moment, and without what it lacks or holds damaged."""
        try:
            yield
        except BlobMissing:
            pass
        except (CorruptRecord, DigestMismatch) as error:
            self.problems.append(f"upstream: {error}")
        except StoreUnavailable as error:
            if not error.transient:
                raise
            self.problems.append(f"upstream: {error}; this run goes on without it")
            if not isinstance(asked, int):
                self._stores[self._stores.index(asked)] = None
