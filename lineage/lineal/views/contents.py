"""What an action took, for comparing it: out of records, the store and, for today's sources, the disk."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

from lineal.graph.explain_files import MOST_BYTES
from lineal.graph.explain_inputs import Content
from lineal.graph.history import History
from lineal.graph.records import ActionResult, Input, Origin
from lineal_store import Digest, Store
from lineal_store.errors import BlobMissing, CorruptRecord, DigestMismatch, InvalidName
from lineal_store.tree import Tree

_GONE = (BlobMissing, CorruptRecord, DigestMismatch, InvalidName)
_MOST_REMOTE_BYTES = 8 << 20
_MOST_FILES = 10_000


@dataclass(slots=True)
class Contents:
    """Finds what inputs were, in ``store`` and among the ``known`` results by action key; at most so many bytes are read."""

    store: Store
    history: History
    known: Mapping[str, ActionResult]
    bytes_left: int = 8 * MOST_BYTES

    def prepare(self, origins: Iterable[Origin]) -> None:
        """Read the results that made these inputs, in one batch."""
        keys = [origin.action_key for origin in origins if origin.action_key is not None]
        self.history.find_results(key for key in keys if key not in self.known)

    def recorded(
        self, inputs: Mapping[str, Input], origins: Mapping[str, Origin], by: ActionResult | None
    ) -> dict[str, Content]:
        """The inputs of an action, as its result ``by`` and those that made them tell."""
        return {
            port: self._recorded(taken, origins.get(port, Origin()), by) for port, taken in inputs.items()
        }

    def on_disk(
        self, inputs: Mapping[str, Input], origins: Mapping[str, Origin], root: Path
    ) -> dict[str, Content]:
        """The inputs of an action that is still to be executed: outside data lies where its URL says."""
        return {
            port: content
            if content.origin is None or content.origin.url is None
            else self._outside(content, local_path(content.origin.url, root))
            for port, content in self.recorded(inputs, origins, None).items()
        }

    def _recorded(self, taken: Input, origin: Origin, by: ActionResult | None) -> Content:
        maker = self._maker(taken, origin)
        output = maker.outputs.get(origin.output or "") if maker is not None else None
        size = output.size_bytes if output is not None else self._size(taken.digest)
        source = maker or by
        return Content(
            taken.type,
            origin,
            size,
            output.description if output is not None else {},
            made_by=maker.stage_id if maker is not None else None,
            run_id=source.run_id if source is not None else None,
            at=source.started_at if source is not None else None,
            local=partial(self._fetch, taken.digest, size),
            files=partial(self._files, taken.digest),
        )

    def _maker(self, taken: Input, origin: Origin) -> ActionResult | None:
        """The result that made these very bytes, if need be one that has been retired since."""
        if origin.action_key is None:
            return None
        found = self.known.get(origin.action_key)
        if found is None:
            found = self.history.find_results([origin.action_key]).get(origin.action_key)
        if found is None or origin.output not in found.outputs:
            return found
        same = found.outputs[origin.output].digest == taken.digest
        return found if same else self.history.find_maker(origin.action_key, taken.digest) or found

    def _outside(self, content: Content, path: Path | None) -> Content:
        if path is None:
            return content
        try:
            status = path.stat()
        except OSError:
            return content
        is_file = content.type == "file"
        return Content(
            content.type,
            content.origin,
            status.st_size if is_file else None,
            at=datetime.fromtimestamp(status.st_mtime, UTC).isoformat() if is_file else None,
            local=partial(self._at_hand, path, status.st_size),
            files=partial(self._files_below, path),
        )

    def _size(self, digest: str) -> int | None:
        try:
            return next(iter(self.store.blobs.sizes([Digest.parse(digest)]).values()), None)
        except InvalidName:
            return None

    # -- bytes --------------------------------------------------------------------------------

    def _affords(self, size: int | None) -> bool:
        """Whether that many bytes may still be looked at."""
        most = _MOST_REMOTE_BYTES if self.store.backend.remote else MOST_BYTES
        if size is None or size > min(most, self.bytes_left):
            return False
        self.bytes_left -= size
        return True

    def _fetch(self, digest: str, size: int | None) -> Path | None:
        if not self._affords(size):
            return None
        try:
            return self.store.blobs.fetch(Digest.parse(digest))
        except _GONE:
            return None

    def _at_hand(self, path: Path, size: int) -> Path | None:
        return path if self._affords(size) else None

    def _files(self, digest: str) -> Mapping[str, str] | None:
        try:
            entries = Tree.decode(self.store.blobs.read(Digest.parse(digest))).entries
        except _GONE:
            return None
        return {entry.path: str(entry.digest) for entry in entries}

    def _files_below(self, folder: Path) -> Mapping[str, str] | None:
        """The digests of the files of a directory on disk, but for Lineal's own; None where they are too many or too large."""
        found: dict[str, str] = {}
        try:
            for above, folders, names in os.walk(folder, followlinks=True):
                folders[:] = sorted(name for name in folders if name != ".lineal")
                for name in sorted(names):
                    path = Path(above, name)
                    if len(found) == _MOST_FILES or not self._affords(path.stat().st_size):
                        return None
                    found[path.relative_to(folder).as_posix()] = str(Digest.of_file(path)[0])
        except OSError:
            return None
        return found


def local_path(url: str, root: Path) -> Path | None:
    """Where a source lies on this machine; None where it does not."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return None if "://" in url else root / Path(url).expanduser()
