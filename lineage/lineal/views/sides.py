"""The code of the actions that are compared: today's, and that of the trees which results were recorded with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lineal.fingerprint import Distributions, Fingerprinter, SummaryCache
from lineal.fingerprint.sources import Sources
from lineal.fingerprint.ways import Entries
from lineal.graph.explain_code import CodeSide
from lineal.graph.recorded_code import Code, CodeTrees
from lineal.graph.records import Manifest
from lineal_store import Store


class Sides:
    """Code by where it is from, each tree read once.

    ``today`` is the project as it is, or None where it is not compared; ``known`` its fingerprinter, where there is one.
    """

    def __init__(
        self,
        store: Store,
        root: Path,
        import_roots: Sequence[str],
        today: Sources | None = None,
        known: Fingerprinter | None = None,
    ) -> None:
        self._root, self._import_roots = root, [Path(folder) for folder in import_roots]
        self._trees = CodeTrees(store, today)
        self._distributions = known.distributions if known is not None else Distributions()
        self._cache = SummaryCache(root / ".lineal" / "fingerprints")  # read, and never saved
        self.today = Code(self._trees, root, self._import_roots, today=today)
        self._recorded: dict[str, Code] = {}
        self._fingerprinters = {id(self.today): known} if known is not None else {}
        self._sides: dict[tuple[str, str, Entries, tuple[str, ...]], CodeSide] = {}

    def now(self, manifest: Manifest | None, entries: Entries, beside: Sequence[str]) -> CodeSide:
        """The side of an action as it would be asked for now."""
        return self._side(manifest, self.today, "", entries, beside)

    def recorded(
        self, manifest: Manifest | None, tree: str, entries: Entries, beside: Sequence[str]
    ) -> CodeSide:
        """The side of an action that was executed with the code of ``tree``."""
        if tree not in self._recorded:
            self._recorded[tree] = Code(self._trees, self._root, self._import_roots, tree=tree)
        return self._side(manifest, self._recorded[tree], tree, entries, beside)

    def _side(
        self, manifest: Manifest | None, code: Code, tree: str, entries: Entries, beside: Sequence[str]
    ) -> CodeSide:
        """One side for all stages that are made of the same code."""
        key = (manifest.hex if manifest is not None else "", tree, entries, tuple(beside))
        if key not in self._sides:
            self._sides[key] = CodeSide(manifest, code, entries, beside, self.fingerprinter)
        return self._sides[key]

    def fingerprinter(self, code: Code) -> Fingerprinter | None:
        """The fingerprinter of all sources of ``code``; None where some are lost."""
        sources = code.sources()
        if sources is None:
            return None
        if id(code) not in self._fingerprinters:
            self._fingerprinters[id(code)] = Fingerprinter(
                sources, distributions=self._distributions, cache=self._cache
            )
        return self._fingerprinters[id(code)]
