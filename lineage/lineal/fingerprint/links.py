"""What one unit depends on directly, and its own part of the hash."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import xxhash
from msgspec import Struct

from lineal.fingerprint.dynamic import MARKS
from lineal.fingerprint.effects import ANY_LIBRARY, Node, is_standard, outside_node
from lineal.fingerprint.literals import Chain
from lineal.fingerprint.lookup import OWN_PACKAGES, Target
from lineal.fingerprint.scopes import Import

if TYPE_CHECKING:
    from lineal.fingerprint.effects import Effects
    from lineal.fingerprint.lookup import Index, Lookup
    from lineal.fingerprint.syntax import Unit

_INERT_BASES = frozenset({"object", "type"}) | frozenset({"BaseException", "Exception"})
_INERT_BASE_PACKAGES = frozenset(
    {"abc", "enum", "collections", "contextlib", "threading", "json", "unittest", "torch", "sklearn"}
)
_TYPED_BASES = frozenset({"typing.NamedTuple", "typing.TypedDict", "ctypes.Structure", "ctypes.Union"})
_PLAIN_DECORATORS = frozenset(
    {"numba", "jax", "numpy", "cachetools", "tenacity", "joblib", "click", "pytest", "torch", "wrapt"}
)
_PLAIN_CALLS = _PLAIN_DECORATORS | {
    "pandas", "scipy", "sklearn", "polars", "pyarrow", "dask", "matplotlib", "seaborn", "statsmodels", "sympy",
    "xgboost", "lightgbm", "networkx", "tqdm", "toolz", "more_itertools", "sqlalchemy",
}  # fmt: skip
_SWALLOWING = ("try", "with")
_IMPORT_HOOKS: dict[Node, None] = dict.fromkeys(
    [("outside", "sys.meta_path"), ("outside", "sys.path_hooks"), ("outside", "sys.modules")]
)
_METADATA = frozenset(
    f"importlib.metadata.{each}"
    for each in ("version", "metadata", "requires", "distribution", "files", "Distribution.from_name")
) | {"pkg_resources.get_distribution", "pkg_resources.require"}  # fmt: skip
_ENTRY_POINTS = frozenset(
    {"importlib.metadata.entry_points", "pkg_resources.iter_entry_points", "importlib_metadata.entry_points"}
)
_IMPORTERS = frozenset({"importlib.import_module", "importlib.__import__", "builtins.__import__"})


class Mode(NamedTuple):
    """What counts besides the code: all annotations, all docstrings, the source as it is written."""

    annotations: bool = False
    docs: bool = False
    source: bool = False


class Links(Struct, frozen=True):
    """What a unit depends on: nodes, the ``lines`` that go into the hash for it, and the imports in its
    functions.

    ``label`` names the unit with its ``hash``. ``now`` are the nodes that it looks at while its module is
    imported; ``outside`` the dotted names of what is no project code; ``unresolved`` the imports that lead
    nowhere; ``docs_of`` the names whose docstrings it reads; ``marks`` those of the unit, and of what it calls by
    another name; ``named`` the distributions whose metadata it asks for, ``plugins`` what entry points stand for that
    it looks up.
    """

    hash: bytes
    label: str
    lines: tuple[str, ...]
    nodes: tuple[Node, ...]
    now: frozenset[Node]
    imports: tuple[Import, ...]
    outside: tuple[str, ...]
    unresolved: tuple[str, ...]
    docs_of: tuple[Node, ...]
    marks: frozenset[str]
    named: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()


class Linker:
    """Works out the links of units, once each per mode."""

    def __init__(self, lookup: Lookup, effects: Effects) -> None:
        self.lookup = lookup
        self.effects = effects
        self._known: dict[tuple[str, int, Mode, bool], Links] = {}
        self._guard_texts: dict[tuple[str, int], str] = {}

    def links(self, module: str, index: int, mode: Mode, entry: bool = False) -> Links:
        """The links of a unit; ``entry`` says that it is the stage, whose signature always counts."""
        key = (module, index, mode, entry)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._links(module, index, mode, entry)
        return known

    def _links(self, module: str, position: int, mode: Mode, entry: bool) -> Links:
        index = self.lookup.get_index(module)
        unit = index.units[position]
        nodes: dict[Node, None] = {}
        edges: set[str] = set()
        outside: set[str] = set()
        unresolved: set[str] = set()
        docs_of: list[Node] = []
        now: set[Node] = set()
        marks = set(unit.marks)
        code, chains_now = unit.hashes.code, unit.now
        if unit.wrap is not None and self.is_lineal(module, unit.wrap.chain, position):
            code, chains_now = unit.wrap.code, unit.wrap.now
        content = [unit.kind, " ".join(unit.names), code.hex()]
        unknown = self._unknown_decorators(module, position, unit)
        fields = bool(unit.fields or unit.hashes.fields) and (
            mode.annotations or entry or self._fields_count(module, position)
        )
        annotations = mode.annotations or entry or unknown
        if fields:
            content.append("fields " + unit.hashes.fields.hex())
        if annotations and unit.hashes.annotations:
            content.append("annotations " + unit.hashes.annotations.hex())
        if mode.annotations and index.summary.future_annotations:
            content.append("annotations are text")
        if mode.annotations and unit.hashes.quoted:
            content.append("quoted " + unit.hashes.quoted.hex())
        if (mode.docs or (unknown and unit.kind == "def")) and unit.hashes.docs:
            content.append("docs " + unit.hashes.docs.hex())
        later: list[tuple[Chain, bool]] = [(chain, False) for chain in unit.later]
        if fields:
            later += [(chain, True) for chain in unit.fields]
        if annotations:
            later += [(chain, True) for chain in unit.annotations]
        now_chains = list(chains_now)
        for decorator in unit.decorators:
            if decorator.chain is not None and self.is_lineal(module, decorator.chain, position):
                continue
            content.append("decorator " + decorator.code.hex())
            now_chains += decorator.now
            later += [(chain, False) for chain in decorator.later]
        content += self._guards(index, position, unit, nodes)
        lists = "imports" in marks and "dynamic" not in marks
        if unit.kind in ("import", "star"):
            targets = self.lookup.resolve(module, unit.target[:2])
            self._edges("import", targets, edges, {}, set(), unresolved, None)  # whether it is there
            if self._is_tried(index, unit):
                nodes.update((("runs", target.module), None) for target in targets if target.kind == "module")
        for chains, at in ((now_chains, position), (None, None)):
            for chain, typing in [(each, False) for each in chains] if chains is not None else later:
                targets = self.lookup.resolve(module, chain, at, typing)
                found: dict[Node, None] = {}
                if lists:
                    targets = self._listed(targets, edges, found)
                marks.update(self._marks(chain, targets))
                if chain[-1] == "__doc__" and len(chain) > 1:
                    docs_of += [("name", t.module, t.name) for t in targets if t.kind == "name"]
                missed = set() if chain[:2] in unit.optional else unresolved
                self._edges(_written(chain), targets, edges, found, outside, missed, (module, unit))
                if at is not None:
                    now.update(found)
                    self._as_it_was(module, chain, at, targets, found)
                nodes.update(found)
        for node in self._signatures(module, position, unit):
            nodes[node] = None
        plugins: list[str] = []
        if not _ENTRY_POINTS.isdisjoint(outside):
            for group, name, value in self.lookup.distributions.entry_points(unit.strings):
                edges.add(f"entry point {group} {name} = {value}")
                plugins.append(value)
                top = value.partition(":")[0].strip()
                if self.lookup.find_module(top) is None:
                    outside.add(top)
        if "own" in marks:
            nodes[("module", module)] = None
            if unit.kind in ("assign", "other"):  # it may look at what is bound so far
                edges.add(
                    f"after {' '.join(sorted({n for each in index.units[:position] for n in each.names}))}"
                )
        if unit.kind != "import":
            for name in unit.names:
                nodes[("own", module, name)] = None
        digest = xxhash.xxh3_128_digest("\0".join(content).encode("utf-8", "surrogatepass"))
        label = f"{module}:{' '.join(unit.names)} {digest.hex()}"
        return Links(
            digest,
            label,
            (f"unit {label}", *(f"edge {label} {edge}" for edge in edges)),
            tuple(nodes),
            frozenset(now),
            unit.imports_later,
            tuple(sorted(outside)),
            tuple(sorted(unresolved)) if not unit.conditional else (),
            tuple(docs_of),
            frozenset(marks),
            (*unit.strings, module.partition(".")[0]) if not _METADATA.isdisjoint(outside) else (),
            tuple(plugins),
        )

    def _listed(
        self, targets: tuple[Target, ...], edges: set[str], nodes: dict[Node, None]
    ) -> tuple[Target, ...]:
        """Packages that are searched for modules to import, of which nothing is used: what they list counts."""
        packages = [target.module for target in targets if target.kind == "package"]
        for package in packages:
            edges.add(f"{package} lists {' '.join(sorted(self.lookup.sources.submodules(package)))}")
            nodes[("listed", package)] = None
        return tuple(target for target in targets if target.kind != "package")

    @staticmethod
    def _marks(chain: Chain, targets: tuple[Target, ...]) -> Iterator[str]:
        """What makes more count than usual (see `Facts`), where it is called by another name."""
        for target in targets:
            if target.kind == "outside":
                leaf = target.module.rpartition(".")[2]
                if leaf in MARKS and leaf != chain[-1]:
                    yield MARKS[leaf]
                elif target.module in _IMPORTERS:
                    yield from ("dynamic", "imports by a name of its own")

    def _as_it_was(
        self, module: str, chain: Chain, at: int, targets: tuple[Target, ...], nodes: dict[Node, None]
    ) -> None:
        """A name of the own module that is looked up before it is bound again: as it was at that point."""
        name = str(chain[0])
        node = ("name", module, name)
        if not any(target[:3] == node for target in targets):
            return
        before = self.lookup.binders(module, name, at)
        if before != self.lookup.binders(module, name):
            nodes.pop(node, None)
            nodes[("own", module, name)] = None
            nodes.update((("unit", module, str(each)), None) for each in before)

    def _signatures(self, module: str, position: int, unit: Unit) -> Iterator[Node]:
        """The functions and classes of the project that the unit hands to something that may read their
        annotations.
        """
        levels = [level for effect in unit.effects.values() for level in effect.levels]
        for at, calls in ((position, unit.calls), *((None, level.calls) for level in levels)):
            for callee, _, arguments in calls:
                while callee and callee[-1] == "()":
                    callee = callee[:-1]
                if not arguments or not callee or callee[0] == "" or "()" in callee:
                    continue
                registers = callee[-1] == "register"
                if not registers and not any(
                    target.kind == "outside" and self._reads_signatures(target.module)
                    for target in self.lookup.resolve(module, callee, at)
                ):
                    continue
                for chain in (chain for _, chains in arguments for chain in chains):
                    if chain[0] == "" or "()" in chain:
                        continue
                    for target in self.lookup.resolve(module, chain, at):
                        if target.kind == "name" and not target.rest:
                            yield (
                                "function signature" if registers else "signature",
                                target.module,
                                target.name,
                            )

    @staticmethod
    def _reads_signatures(dotted: str) -> bool:
        top = dotted.partition(".")[0]
        if is_standard(top):
            return dotted == "dataclasses.dataclass"
        return top not in _PLAIN_CALLS and top not in OWN_PACKAGES

    def _guards(self, index: Index, position: int, unit: Unit, nodes: dict[Node, None]) -> list[str]:
        """The guard around a unit, as part of its text; it and what it depends on count with the unit."""
        for guard, branch in unit.guards:
            nodes[("unit", index.module, str(guard))] = None
            start, end = index.units[guard].within
            if branch in _SWALLOWING:  # whether it runs depends on what is tried before it
                end = min(end, position)
            for each in range(start, end):
                nodes[("unit", index.module, str(each))] = None
        return [self._around(index, unit)] if unit.guards else []

    def _around(self, index: Index, unit: Unit) -> str:
        """All guards around a unit, as a hash."""
        text = ""
        for guard, branch in unit.guards:
            key = (index.module, guard)
            if key not in self._guard_texts:
                written = (
                    f"{index.units[guard].hashes.code.hex()} in {self._around(index, index.units[guard])}"
                )
                self._guard_texts[key] = xxhash.xxh3_128_hexdigest(written.encode())
            text = f"guard {branch} {self._guard_texts[key]}"
        return text

    def _is_tried(self, index: Index, unit: Unit) -> bool:
        """Whether an error in the unit may go unnoticed."""
        while unit.guards:
            ((guard, branch),) = unit.guards
            if branch in _SWALLOWING:
                return True
            unit = index.units[guard]
        return False

    def _edges(
        self,
        written: str,
        targets: tuple[Target, ...],
        edges: set[str],
        nodes: dict[Node, None],
        outside: set[str],
        unresolved: set[str],
        user: tuple[str, Unit] | None,
    ) -> None:
        texts = []
        absent = []
        for target in targets:
            if target.kind == "name":
                if user is None or (target.module, target.name) != (user[0], " ".join(user[1].names)):
                    nodes[("name", target.module, target.name)] = None
                    texts.append(f"{target.module}:{target.name}")
            elif target.kind == "module":
                nodes[("module" if user is not None else "present", target.module)] = None
                texts.append(f"{target.module}:")
            elif target.kind == "package":
                nodes[("package", target.module)] = None
                texts.append(f"{target.module}:*")
            elif target.kind == "outside":
                top = target.module.partition(".")[0]
                texts.append("outside " + target.module)
                nodes[outside_node(target.module)] = None
                outside.add(target.module)
                if not is_standard(top) and top not in OWN_PACKAGES:
                    nodes[ANY_LIBRARY] = None
                    nodes[("outside", "os.environ")] = None  # a library may look at any variable
            elif target.kind == "builtin":
                nodes[("builtin", target.name)] = None
            elif target.kind == "via":
                nodes[("unit", target.module, target.name)] = None
            elif target.kind == "exports":
                nodes[("own", target.module, target.name)] = None
            elif target.kind == "loaded":
                nodes[("loaded", target.module)] = None
            elif target.kind == "missing":
                nodes[("name", target.module, target.name)] = None
                nodes[("builtin", target.name)] = None  # unless something adds a built-in of that name
                texts.append(f"missing {target.module}:{target.name}")
            else:
                absent.append(target.module)
                texts.append("absent " + target.module)
                nodes[("absent", target.module)] = None
                nodes.update(_IMPORT_HOOKS)
        if absent and len(absent) == len(targets):
            unresolved.update(absent)
        if texts:
            edges.add(f"{written} -> {' '.join(sorted(texts))}")

    def is_lineal(self, module: str, chain: Chain, at: int | None) -> bool:
        """Whether ``chain`` names something of Lineal's own."""
        return any(
            target.kind == "outside" and target.module.partition(".")[0] == "lineal"
            for target in self.lookup.resolve(module, chain, at)
        )

    def _fields_count(self, module: str, position: int) -> bool:
        """Whether something that is no project code may read the annotations of a class's variables."""
        unit = self.lookup.get_index(module).units[position]
        if unit.kind != "class":
            return True
        if any(
            each.chain is None or not self.is_lineal(module, each.chain, position) for each in unit.decorators
        ):
            return True
        for owner, each in ((module, position), *self.effects.bases(module, position)):
            here = self.lookup.get_index(owner).units[each]
            if here.decorators and (owner, each) != (module, position):
                return True
            for chain in (*here.bases, *((here.metaclass,) if here.metaclass else ())):
                for target in self.lookup.resolve(owner, chain, each) if "()" not in chain else ():
                    if target.kind == "outside" and self._reads_fields(target.module):
                        return True
                    if target.kind in ("absent", "missing", "module"):
                        return True
        return False

    @staticmethod
    def _reads_fields(base: str) -> bool:
        top = base.partition(".")[0]
        if top in _INERT_BASE_PACKAGES:
            return False
        return base in _TYPED_BASES or not is_standard(top)

    def _unknown_decorators(self, module: str, position: int, unit: Unit) -> bool:
        """Whether a decorator in the unit may read the annotations and docstring of what it decorates."""
        chains: list[Chain] = [each for each in unit.decorated if "()" not in each]
        if unit.kind != "class":  # a class decorator reads the fields
            chains += [each.chain for each in unit.decorators if each.chain is not None]
        for chain in chains:
            if self.is_lineal(module, chain, position):
                continue
            if chain[-1] == "register":
                return True
            for target in self.lookup.resolve(module, chain, position):
                if target.kind == "outside":
                    top = target.module.partition(".")[0]
                    if not is_standard(top) and top not in _PLAIN_DECORATORS:
                        return True
                elif target.kind == "name" and self._hides_its_reader(target):
                    return True
        return False

    def _hides_its_reader(self, target: Target) -> bool:
        """Whether a decorator that a project name stands for comes from outside the project."""
        for each in self.lookup.binders(target.module, target.name):
            unit = self.lookup.get_index(target.module).units[each]
            if unit.kind in ("def", "class"):
                continue
            for alias in unit.aliases.get(target.name, ()):
                plain = alias[: alias.index("()")] if "()" in alias else alias
                if (
                    plain
                    and plain[0] != ""
                    and any(
                        found.kind == "outside" and not is_standard(found.module.partition(".")[0])
                        for found in self.lookup.resolve(target.module, plain, each)
                    )
                ):
                    return True
        return False


def _written(chain: Chain) -> str:
    return ".".join(str(part) for part in chain)
