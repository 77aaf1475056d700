"""What distinguishes the code of two actions: the units that changed, how the stage reaches them, and their source.

Manifests say which units differ, the code trees what is written in them, and the closures, worked out again, who
calls whom. Whatever of that is lost, the rest is still told.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property

from lineal.fingerprint.errors import FingerprintError
from lineal.fingerprint.excerpts import Excerpt, Excerpts
from lineal.fingerprint.fingerprinter import Fingerprinter
from lineal.fingerprint.ways import Entries, Way, Ways
from lineal.graph.action import UnitChange, unit_changes
from lineal.graph.change import Change
from lineal.graph.recorded_code import Code
from lineal.graph.records import CoveredUnit, Manifest

MOST_DIFFS = 20
"""Of more units that changed no source is shown."""
MOST_DIFF_LINES = 200
_LONGEST_LINE = 200
_SHOWN_BEFORE = 40  # characters of a long line, before those that differ
_CONTEXT_LINES = 3
_MOST_COMPARED_LINES = 1000  # comparing takes the square of it
_MOST_EDGES = 8


class CodeSide:
    """The code of one of two actions: what its fingerprint covers, and where that is written.

    ``manifest`` is what was recorded of it, or None where that is lost; ``entries`` are what the fingerprint starts at,
    ``beside`` the modules imported before; ``fingerprinter_of`` makes the fingerprinter of sources.
    """

    def __init__(
        self,
        manifest: Manifest | None,
        code: Code,
        entries: Entries,
        beside: Iterable[str],
        fingerprinter_of: Callable[[Code], Fingerprinter | None],
    ) -> None:
        self.code = code
        self._recorded, self._entries, self._beside = manifest, entries, tuple(beside)
        self._fingerprinter_of = fingerprinter_of
        self._excerpts: dict[str, Excerpts | None] = {}

    @cached_property
    def manifest(self) -> Manifest | None:
        """What the fingerprint covers: as it was recorded, else worked out again; None where neither can be had."""
        if self._recorded is not None or not self._entries:
            return self._recorded
        return self.manifest_of(*self._entries[0], beside=self._beside)

    @cached_property
    def ways(self) -> Ways | None:
        """How the stage reaches its code; None where that cannot be worked out."""
        return self.ways_from(self._entries)

    def ways_from(self, entries: Entries) -> Ways | None:
        fingerprinter = self._fingerprinter_of(self.code)
        if fingerprinter is None:
            return None
        try:
            return Ways(fingerprinter.closures, entries, self._beside)
        except (FingerprintError, RecursionError):
            return None

    def manifest_of(self, module: str, qualname: str, *, beside: Sequence[str] = ()) -> Manifest | None:
        """What an object depends on of which no manifest was kept: a class that the bytes of an input name."""
        fingerprinter = self._fingerprinter_of(self.code)
        if fingerprinter is None:
            return None
        try:
            found = fingerprinter.stage(module, qualname, beside=beside)
        except (FingerprintError, RecursionError):
            return None
        units = [CoveredUnit(unit.unit, unit.file, unit.line, unit.hash) for unit in found.covers]
        return Manifest(hex=found.hex, units=units, distributions=dict(found.distributions))

    def fingerprint_with(self, reads: Sequence[str], depends_on: Sequence[object]) -> str | None:
        """The fingerprint that the stage would have on this side with these declared files as they are today."""
        fingerprinter = self._fingerprinter_of(self.code)
        if fingerprinter is None or not self._entries:
            return None
        module, qualname = self._entries[0]
        try:
            found = fingerprinter.stage(
                module, qualname, reads=reads, depends_on=depends_on, beside=self._beside
            )
        except (FingerprintError, RecursionError):
            return None
        return found.hex

    def excerpt(self, unit: CoveredUnit) -> Excerpt | None:
        """How a unit is written; None where that is lost."""
        excerpts = self._file(unit.file)
        return excerpts.find(unit.line) if excerpts is not None else None

    def fields(self, unit: CoveredUnit) -> dict[str, str]:
        """The declared fields of a unit that is a class."""
        excerpts = self._file(unit.file)
        return excerpts.fields(unit.line) if excerpts is not None else {}

    def names_at(self, port: str) -> set[str]:
        """The names in the annotation of a port of the stage (``-> x`` of its output ``x``), one step into records."""
        module, qualname = self._entries[0] if self._entries else ("", "")
        units = {covered.unit: covered for covered in (self.manifest.units if self.manifest else ())}
        stage = units.get(f"{module}:{qualname}")
        excerpts = self._file(stage.file) if stage is not None else None
        if stage is None or excerpts is None:
            return set()
        output = port.startswith("-> ")
        named = excerpts.annotated(stage.line).get("->" if output else port, set())
        if not output:
            return named
        inside = {
            name
            for covered in units.values()
            if covered.unit.partition(":")[2] in named and (of := self._file(covered.file)) is not None
            for name in of.annotated(covered.line).get(port.removeprefix("-> "), ())
        }
        return named | inside

    def _file(self, file: str) -> Excerpts | None:
        if file not in self._excerpts:
            data = self.code.find(file)
            self._excerpts[file] = Excerpts(data) if data is not None else None
        return self._excerpts[file]


def explain_code(before: CodeSide, after: CodeSide) -> list[Change]:
    """The changes of a stage's own code, the most telling first; empty where no unit and no name tells any."""
    if before.manifest is None or after.manifest is None:
        return []
    changes = unit_changes(before.manifest, after.manifest)
    moved = {(old.unit, new.unit) for old, new in _split_moved(changes)[0]}
    return explain_units(changes, before, after) + _explain_edges(before, after, moved)


def explain_named(name: str, before: CodeSide, after: CodeSide) -> list[Change]:
    """The changes of what ``module:qualname`` depends on."""
    module, _, qualname = name.partition(":")
    manifests = [side.manifest_of(module, qualname) for side in (before, after)]
    if manifests[0] is None or manifests[1] is None:
        return []
    entries = ((module, qualname),)
    ways = before.ways_from(entries), after.ways_from(entries)
    changes = unit_changes(manifests[0], manifests[1])
    return explain_units(changes, before, after, ways=ways, itself="which the bytes of an input name")


def explain_units(
    changes: Sequence[UnitChange],
    before: CodeSide,
    after: CodeSide,
    *,
    ways: tuple[Ways | None, Ways | None] | None = None,
    itself: str = "the stage itself",
) -> list[Change]:
    """Each unit that changed, is new or gone, in words and with its source; those nearest to the start first.

    ``itself`` is what is said of the unit at the start.
    """
    ways = ways if ways is not None else (before.ways, after.ways)
    moved, rest = _split_moved(changes)
    told = [_Told(change, before, after, ways, itself) for change in rest]
    told.sort(key=lambda one: one.rank)  # stable: changed, new, gone
    found = [_unit(one, with_diff=place < MOST_DIFFS) for place, one in enumerate(told)]
    return found + [_moved(old, new) for old, new in moved]


@dataclass(frozen=True)
class _Told:
    """A change of a unit with what is said of it."""

    change: UnitChange
    before: CodeSide
    after: CodeSide
    ways: tuple[Ways | None, Ways | None]
    itself: str

    @cached_property
    def excerpts(self) -> tuple[Excerpt | None, Excerpt | None]:
        change = self.change
        return (
            self.before.excerpt(change.before) if change.before is not None else None,
            self.after.excerpt(change.after) if change.after is not None else None,
        )

    @cached_property
    def way(self) -> Way:
        ways = self.ways[1] if self.change.after is not None else self.ways[0]
        try:
            return ways.find(self.change.unit) if ways is not None else Way()
        except FingerprintError:
            return Way()

    @property
    def is_same_text(self) -> bool:
        old, new = self.excerpts
        return old is not None and new is not None and old.text == new.text

    @property
    def rank(self) -> tuple[bool, int, int]:
        kind = 0 if self.change.before and self.change.after else 1 if self.change.after else 2
        return self.is_same_text, kind, len(self.way.units) or 99


def _unit(told: _Told, *, with_diff: bool) -> Change:
    old, new = told.change
    covered = new or old
    assert covered is not None
    excerpt = told.excerpts[1] or told.excerpts[0]
    said = f"{_called(covered, excerpt)} in {covered.file}{_reached(told.way, excerpt, told.itself)}"
    details: list[str] = []
    if old is None:
        title = f"{said} is new"
    elif new is None:
        title = f"{said} is gone"
    elif told.is_same_text:
        title = f"{said} counts differently: its own text is the same"
    else:
        title = f"{said} changed"
        if told.excerpts[0] is None:
            details.append("its earlier source is not in the store")
    is_telling = with_diff and not told.is_same_text and (old is None or told.excerpts[0] is not None)
    return Change(
        kind="code",
        name=covered.unit,
        before=old.hash if old is not None else None,
        after=new.hash if new is not None else None,
        file=covered.file,
        line=covered.line,
        diff=unit_diff(*told.excerpts, covered) if is_telling else None,
        title=title,
        details=details,
        through=told.way.units,
    )


def _split_moved(
    changes: Sequence[UnitChange],
) -> tuple[list[tuple[CoveredUnit, CoveredUnit]], list[UnitChange]]:
    """Units that are gone from one module and came, the same, in another; and all other changes."""
    gone = {
        (change.before.unit.partition(":")[2], change.before.hash): change
        for change in changes
        if change.before is not None and change.after is None
    }
    moved, taken = [], []
    for change in changes:
        if change.before is None and change.after is not None:
            was = gone.pop((change.after.unit.partition(":")[2], change.after.hash), None)
            if was is not None and was.before is not None:
                moved.append((was.before, change.after))
                taken += [was, change]
    return moved, [change for change in changes if not any(change is one for one in taken)]


def _moved(old: CoveredUnit, new: CoveredUnit) -> Change:
    return Change(
        kind="code",
        name=new.unit,
        before=old.hash,
        after=new.hash,
        file=new.file,
        line=new.line,
        title=f"{_called(new, None)} moved from {old.file} to {new.file}",
    )


# -- words ------------------------------------------------------------------------------------


def _called(unit: CoveredUnit, excerpt: Excerpt | None) -> str:
    name = unit.unit.partition(":")[2]
    if name.startswith("line "):
        return f"the statement on {name}"
    if excerpt is None or excerpt.kind == "other":
        return f"`{name}`"
    return f"`{name}()`" if excerpt.kind == "def" else f"the class `{name}`"


def _reached(way: Way, excerpt: Excerpt | None, itself: str) -> str:
    """``, called by `featurize` through `normalise`,`` and the like."""
    names = [unit.partition(":")[2] for unit in way.units]
    if not names:
        return ""
    if len(names) == 1:
        return f", {itself},"
    between = [f"`{name}`" for name in names[1:-1] if not name.startswith("line ")]
    if len(between) > 3:
        between = [between[0], f"{len(between) - 2} others", between[-1]]
    through = (
        f" through {' and '.join(filter(None, (', '.join(between[:-1]), between[-1])))}" if between else ""
    )
    if way.changes:
        return f", which on import changes what `{names[0]}` uses{through},"
    verb = "called by" if excerpt is not None and excerpt.kind == "def" else "used by"
    return f", {verb} `{names[0]}`{through},"


# -- source -----------------------------------------------------------------------------------


def unit_diff(before: Excerpt | None, after: Excerpt | None, unit: CoveredUnit) -> str:
    """A unified diff of one unit's source, of at most `MOST_DIFF_LINES` lines; empty where nothing differs."""
    old, new = (list(one.lines) if one is not None else [] for one in (before, after))
    lines: list[str] = []
    for group in _groups([text for _, text in old], [text for _, text in new]):
        spans = _span(old, group[0][1], group[-1][2]), _span(new, group[0][3], group[-1][4])
        lines.append(f"@@ -{spans[0]} +{spans[1]} @@ {unit.unit}")
        for tag, i1, i2, j1, j2 in group:
            was, now = [text for _, text in old[i1:i2]], [text for _, text in new[j1:j2]]
            if tag == "equal":
                lines += [f" {_cut(text)}" for text in was]
                continue
            lines += [f"-{_cut(text, other)}" for text, other in _beside(was, now)]
            lines += [f"+{_cut(text, other)}" for text, other in _beside(now, was)]
    if not lines:
        return ""
    if max(len(old), len(new)) > _MOST_COMPARED_LINES:
        lines.append(f"… of long units, {_MOST_COMPARED_LINES:,} lines are compared")
    header = [
        f"--- {'a/' + unit.file if before is not None else '/dev/null'}",
        f"+++ {'b/' + unit.file if after is not None else '/dev/null'}",
    ]
    if len(lines) > MOST_DIFF_LINES:
        lines = [*lines[:MOST_DIFF_LINES], f"… {len(lines) - MOST_DIFF_LINES} more lines"]
    return "\n".join([*header, *lines]) + "\n"


_Opcode = tuple[str, int, int, int, int]


def _groups(old: list[str], new: list[str]) -> list[list[_Opcode]]:
    """The hunks of a diff. Of texts that are too long to compare, those in the lines from where they begin to differ."""
    start = next((at for at, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), None)
    if start is None:
        if len(old) == len(new):
            return []
        start = min(len(old), len(new))
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    skip = max(0, start - _CONTEXT_LINES)
    keep = max(0, end - _CONTEXT_LINES)
    was, now = old[skip : len(old) - keep], new[skip : len(new) - keep]
    matcher = SequenceMatcher(None, was[:_MOST_COMPARED_LINES], now[:_MOST_COMPARED_LINES], autojunk=False)
    return [
        [(tag, i1 + skip, i2 + skip, j1 + skip, j2 + skip) for tag, i1, i2, j1, j2 in group]
        for group in matcher.get_grouped_opcodes(_CONTEXT_LINES)
    ]


def _span(lines: Sequence[tuple[int, str]], start: int, end: int) -> str:
    """The place of a hunk, by the lines of the file."""
    if not lines or start == end:
        return f"{lines[start - 1][0] if lines and start else 0},0"
    return f"{lines[start][0]},{end - start}"


def _beside(lines: list[str], others: list[str]) -> Iterator[tuple[str, str]]:
    """Each line with the one that it replaces, or is replaced by; an empty one where there is none."""
    return ((line, others[at] if at < len(others) else "") for at, line in enumerate(lines))


def _cut(line: str, other: str = "") -> str:
    """A line; of a long one a part, from shortly before where it begins to differ from the ``other``."""
    if len(line) <= _LONGEST_LINE:
        return line
    pairs = enumerate(zip(line, other, strict=False))
    shared = next((at for at, (a, b) in pairs if a != b), min(len(line), len(other)))
    start = shared - _SHOWN_BEFORE if shared > _LONGEST_LINE - 2 * _SHOWN_BEFORE else 0
    end = start + _LONGEST_LINE - 2
    return f"{'…' if start else ''}{line[start:end]}{'…' if end < len(line) else ''}"


# -- what names mean --------------------------------------------------------------------------

_EDGE = re.compile(
    r"edge (?P<module>[^:]+):(?P<name>.*) (?P<hash>[0-9a-f]{32}) (?P<written>\S+) -> (?P<targets>.*)"
)


def _explain_edges(before: CodeSide, after: CodeSide, moved: set[tuple[str, str]]) -> list[Change]:
    """What else went into the hash: names that stand for something else, orders, docstrings, compiled files.

    That a name leads to where its unit has ``moved`` is told already.
    """
    if before.ways is None or after.ways is None:
        return []
    old, new = set(before.ways.lines), set(after.ways.lines)
    gone, came = _edges(old - new), _edges(new - old)
    units = {covered.unit: covered for covered in (after.manifest.units if after.manifest else ())}
    found = []
    for key, targets in came.items():
        module, name, _, written = key
        covered = units.get(f"{module}:{', '.join(name.split())}")
        if key in gone and covered is not None and (gone[key], targets) not in moved:
            found.append(_edge(covered, after.excerpt(covered), written, gone[key], targets))
    for line in sorted(new - old):
        kind, _, rest = line.partition(" ")
        what, _, value = rest.rpartition(" ")
        if kind in _OTHERS:
            title = _OTHERS[kind].format(what)
            found.append(Change(kind="code", name=what, before=None, after=value, title=title))
    return [*found[:_MOST_EDGES], *_explain_orders(old - new, new - old)]


_OTHERS = {
    "file": "the compiled module {} changed",
    "source": "the text of the module {}, which the code reads, changed",
    "docs": "the docstring of {}, which the code reads, changed",
}


def _explain_orders(gone: Iterable[str], came: Iterable[str]) -> Iterator[Change]:
    """The names whose units are the same as before, in another order."""
    orders: list[dict[str, list[str]]] = []
    for lines in (gone, came):
        parted = (line.removeprefix("order ").partition(": ") for line in lines if line.startswith("order "))
        orders.append({what: units.split(" | ") for what, _, units in parted})
    for what in sorted(orders[0].keys() & orders[1].keys()):
        was, now = orders[0][what], orders[1][what]
        if sorted(was) == sorted(now):
            names = [[unit.rpartition(" ")[0].partition(":")[2] for unit in units] for units in (was, now)]
            yield Change(
                kind="code",
                name=what.partition(" ")[2].replace(" ", ":"),
                before=" ".join(names[0]),
                after=" ".join(names[1]),
                title=f"what makes up `{what.rpartition(' ')[2]}` runs in another order",
            )


def _edges(lines: Iterable[str]) -> dict[tuple[str, str, str, str], str]:
    found = {}
    for line in lines:
        match = _EDGE.fullmatch(line)
        if match is not None:
            key = (match["module"], match["name"], match["hash"], match["written"])
            found[key] = match["targets"].replace("outside ", "")
    return found


def _edge(unit: CoveredUnit, excerpt: Excerpt | None, written: str, before: str, after: str) -> Change:
    return Change(
        kind="code",
        name=unit.unit,
        before=before,
        after=after,
        file=unit.file,
        line=unit.line,
        title=f"`{written}` means something else in {_called(unit, excerpt)} in {unit.file}: {before} → {after}",
    )
