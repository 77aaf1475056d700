"""The graphs of pipelines, kept between processes, so that an unchanged project need not be imported.

A graph is found again by what it was traced with (the pipeline's place, what was typed for its parameters, Python,
Lineal) and by the code that tracing runs; which graphs may be kept at all is decided by `lineal.fingerprint.purity`.
One file each in ``.lineal/graphs``; losing them costs time only.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import xxhash

from lineal.artifacts.values import encode_value
from lineal.errors import LinealError
from lineal.notes import write_note
from lineal.stages.frozen import FORMAT, MAX_BYTES, CodeNeeded, NotPlain, freeze, thaw
from lineal.version import VERSION
from lineal_store.canonical import encode
from lineal_store.sealed import seal, unseal

if TYPE_CHECKING:
    from lineal.api.given import Given
    from lineal.api.targets import Target
    from lineal.engine.session import Code
    from lineal.fingerprint.traced import TracedCode
    from lineal.stages import Graph

__all__ = ["CodeNeeded", "GraphCache", "GraphChanged", "Surroundings"]

_MOST_FILES = 256
_MOST_STATES = 4  # of the project: of every way to start Lineal, and of a branch or two
_LOCALE = ("LANG", "LC_ALL", "LC_NUMERIC", "LC_TIME", "TZ")  # how dates and numbers are written
_CHANGED = "it was another one for the same code and parameters before"


class GraphChanged(LinealError):
    """A pipeline was traced to another graph than before, with the same code and the same parameters."""

    kind = "graph"
    exit_code = 2
    hint = "Make what decides it a parameter of the pipeline. From now on its graph is traced each time: run it again."

    def __init__(self, pipeline: str, difference: str) -> None:
        super().__init__(pipeline, difference)
        self.pipeline, self.difference = pipeline, difference

    def __str__(self) -> str:
        return (
            f"the graph of {self.pipeline} depends on something that Lineal does not see: code and parameters are as "
            f"they were, and {self.difference}"
        )


class Surroundings(NamedTuple):
    """What importing code may change of a process, as far as planning a run looks at it."""

    search: tuple[str, ...]
    folder: str
    variables: Mapping[str, str]

    @classmethod
    def now(cls) -> Surroundings:
        return cls(tuple(sys.path), str(Path.cwd()), dict(os.environ))

    def changed_search(self) -> bool:
        """Whether modules are looked for elsewhere by now; folders inside of what is installed are its own affair."""
        before = set(self.search)
        installed = tuple(f"{each}/" for each in before if each.endswith(("site-packages", "dist-packages")))
        kept = [each for each in sys.path if each in before or not str(each).startswith(installed or "\0")]
        return tuple(kept) != self.search

    def find_change(self, graph: Graph) -> str | None:
        """What importing the project has changed of what planning ``graph`` looks at, or None."""
        if self.changed_search():
            return "importing the project changes sys.path"
        if str(Path.cwd()) != self.folder:
            return "importing the project changes the current folder"
        for node in graph.nodes.values():
            for name in node.options.env:
                if os.environ.get(name) != self.variables.get(name):
                    return f"importing the project sets {name}, which {node.id} declares"
        return None


class GraphCache:
    """The kept graph of one pipeline with one set of parameters.

    Ask with `find`. Where that has none, or the graph was traced all the same, `settle` what becomes of the one that
    was traced; `keep` writes that down. ``why`` says why there is none to be kept.
    """

    def __init__(self, root: Path, place: Target, code: Code, given: Given) -> None:
        self._root, self._place, self._code = root, place, code
        self._folder = root / ".lineal" / "graphs"
        self._key = _key(root, place, code, given)
        self._found: bytes | None = None  # the graph as it is kept
        self._known = ""  # why there is none, as it is kept
        self._entry: dict[str, Any] | None = None
        self._standing: dict[str, Any] | None = None  # what is kept, where the code's state alone finds it
        self.why: str | None = None

    def find(self) -> Graph | None:
        """The graph as it was traced last with this code and these parameters, or None."""
        entry = self._read()
        if entry is None:
            return None
        is_current = self._code.fingerprinter.state() in entry["states"]
        if not is_current and not (self._traced is not None and entry["code"] == self._traced.hex):
            return None
        if not all(os.path.realpath(path) == real for path, real in entry["links"]):
            return None
        if not is_current and entry["states"]:
            states = [self._code.fingerprinter.state(), *entry["states"]][:_MOST_STATES]
            self._entry = {**entry, "states": states}
            self.keep()
        self._known, data = entry["why"], entry["graph"]
        try:
            graph = None if data is None else thaw(data)
        except ValueError:
            return None
        self._found = data
        if is_current or (entry["states"] and self._traced is not None and self._traced.settled):
            self._standing = entry
        return graph

    @property
    def links(self) -> Mapping[str, str] | None:
        """The links that the kept graph rests on besides `Fingerprinter.state` and what was asked with, and where they
        lead; None where there is none, or it rests on more.
        """
        if self.why is not None or self._standing is None:
            return None
        return dict(self._standing["links"])

    def settle(self, graph: Graph, before: Surroundings) -> None:
        """Decide whether ``graph``, which was just traced, is to be kept. GraphChanged where another one was.

        ``before`` is how things were before the project was imported.
        """
        from lineal.artifacts import Secret

        if any(isinstance(value, Secret) for value in graph.parameters.values()):
            self.why = "a parameter is a secret"  # and nothing may be written under what was typed
            return
        try:
            frozen = freeze(graph, self._code.fingerprinter.sources)
        except NotPlain as refusal:
            frozen = None
            self.why = str(refusal)
        if self._found is not None and frozen != self._found:
            self._entry = self._new_entry(None, _CHANGED)
            self.keep()
            raise GraphChanged(graph.pipeline, _difference(thaw(self._found), frozen))
        if self._known == _CHANGED:
            self.why = _CHANGED
            return
        if frozen is None or not _is_findable(graph):
            return
        self.why = before.find_change(graph)
        if self.why is None:
            self._judge(graph, frozen)
        elif self._found is not None:
            self._entry = self._new_entry(None, _CHANGED)

    def keep(self) -> None:
        """Write down what was settled; nothing where the project has no ``.lineal`` yet, or cannot be written to."""
        if self._entry is None or self._key is None or not self._folder.parent.is_dir():
            return
        with suppress(OSError):
            write_note(self._path, seal(self._entry, limit=MAX_BYTES))
            self._forget_oldest()
        self._entry = None

    # -- parts --------------------------------------------------------------------------------

    def _judge(self, graph: Graph, frozen: bytes) -> None:
        """Find out whether the graph depends on nothing but code and parameters."""
        if self._found is not None:
            return  # it is kept, and is still the same
        if self._known:
            self.why = self._known
            return
        from lineal.fingerprint.purity import judge

        if self._traced is None:
            return  # whoever plans the run says why
        verdict = judge(self._traced, variables=any(node.options.env for node in graph.nodes.values()))
        if verdict.impurity is not None:
            self.why = str(verdict.impurity)
        links = [[path, os.path.realpath(path)] for path in verdict.links]
        self._entry = self._new_entry(frozen if self.why is None else None, self.why or "", links)
        if self._entry["states"]:
            self._standing = self._entry

    def _new_entry(
        self, graph: bytes | None, why: str, links: Sequence[Sequence[str]] = ()
    ) -> dict[str, Any]:
        is_settled = self._traced is None or self._traced.settled
        return {
            "key": self._key,
            "states": [self._code.fingerprinter.state()] if is_settled else [],
            "code": "" if self._traced is None else self._traced.hex,
            "links": [list(each) for each in links],
            "graph": graph,
            "why": why,
        }

    @cached_property
    def _traced(self) -> TracedCode | None:
        """The code that tracing runs; None where it cannot be read, or cannot be told."""
        from lineal.fingerprint.errors import FingerprintError
        from lineal.fingerprint.traced import traced_code

        if self._place.name is None:
            return None
        try:
            return traced_code(
                self._code.fingerprinter, self._place.module, self._place.name, self._code.remembered
            )
        except FingerprintError:
            return None

    def _read(self) -> dict[str, Any] | None:
        if self._place.name is None or self._key is None:
            return None
        try:
            entry: Any = unseal(self._path.read_bytes(), what="a cached graph", limit=MAX_BYTES)
            return entry if entry["key"] == self._key and entry.keys() >= _ENTRY else None
        except (OSError, LinealError, LookupError, TypeError, AttributeError):
            return None

    @property
    def _path(self) -> Path:
        return self._folder / xxhash.xxh3_128_hexdigest(encode(self._key))

    def _forget_oldest(self) -> None:
        files = [(entry.stat().st_mtime_ns, entry.path) for entry in os.scandir(self._folder)]
        for _, path in sorted(files)[:-_MOST_FILES]:
            Path(path).unlink(missing_ok=True)


_ENTRY = frozenset({"states", "code", "links", "graph", "why"})


def _key(root: Path, place: Target, code: Code, given: Given) -> list[Any] | None:
    """What a graph is traced with, besides code; None where that cannot be told."""
    parameters = None
    try:
        if given.file is not None:
            form = "json" if given.file.suffix == ".json" else "toml"
            parameters = [form, xxhash.xxh3_128_hexdigest(given.file.read_bytes())]
        key = [
            ["lineal graph", FORMAT, VERSION],
            [sys.implementation.name, sys.hexversion, sys.platform, sys.flags.optimize],
            [str(root), *map(str, code.fingerprinter.sources.import_roots)],
            [place.module, place.name],
            sorted(given.assignments),
            parameters,
            encode_value(dict(given.data)),
            encode_value(given.logical_date),
            [os.environ.get(name) for name in _LOCALE],
        ]
        encode(key)
    except (OSError, ValueError, LinealError):
        return None
    return key


def _is_findable(graph: Graph) -> bool:
    """Whether workers will find every stage; where they will not, planning says so."""
    from lineal.engine.plan import check_findable
    from lineal.stages import Stage
    from lineal.stages.errors import StageDefinitionError

    try:
        for node in graph.nodes.values():
            assert isinstance(node.stage, Stage)
            check_findable(node.stage)
    except StageDefinitionError:
        return False
    return True


def _difference(before: Graph, data: bytes | None) -> str:
    """In what the graph that was kept differs from one that was traced, in a few words."""
    if data is None:
        return "it holds what it did not hold"
    after = thaw(data)
    gone = [name for name in before.nodes if name not in after.nodes]
    new = [name for name in after.nodes if name not in before.nodes]
    if gone or new:
        words = [f"{', '.join(names[:3])} {word}" for names, word in ((gone, "gone"), (new, "new")) if names]
        return f"it has other stages: {'; '.join(words)}"
    other = [name for name, node in before.nodes.items() if node != after.nodes[name]]
    if other:
        return f"{', '.join(other[:3])} {'is' if len(other) == 1 else 'are'} called otherwise"
    return "its stages are called in another order, or it returns something else"
