"""The identity of what decides a pipeline's graph: the code that tracing runs, without the bodies of stages.

Not the fingerprint of the pipeline's function: that leaves out the options of Lineal's decorators, and the
annotations of stages that are called. Here they count, for the graph holds them; bodies of stages do not. The
statements that importing the project runs count whole, whether the pipeline reaches them or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import xxhash
from msgspec import Struct

from lineal.fingerprint.closure import Closure, Closures, Place
from lineal.fingerprint.links import Linker, Links, Mode
from lineal.fingerprint.lookup import Lookup
from lineal.fingerprint.outline import Outline, names_stage

if TYPE_CHECKING:
    from lineal.fingerprint.cache import SummaryCache
    from lineal.fingerprint.fingerprinter import Fingerprinter
    from lineal.fingerprint.literals import Chain
    from lineal.fingerprint.syntax import Unit

_DOMAIN = "lineal.graph.1"


class TracedCode(Struct, frozen=True):
    """What tracing one pipeline runs. Two with one ``hex`` give one graph, for the same parameters, if they are pure.

    Where it is not ``settled``, it depends on more than `Fingerprinter.state` tells apart. ``wrappers`` are the units
    that make stages of functions, each with the functions.
    """

    hex: str
    settled: bool
    entry: tuple[str, str]
    outline: Outline
    closures: Closures
    closure: Closure
    wrappers: dict[Place, frozenset[Place]]


def traced_code(
    fingerprinter: Fingerprinter, module: str, name: str, cache: SummaryCache | None = None
) -> TracedCode:
    """The code that tracing the pipeline ``name`` of ``module`` runs. FingerprintError where it cannot be read."""
    plain = fingerprinter.lookup
    wrapped: frozenset[Place] = frozenset()
    while True:
        outline = Outline(plain, wrapped, cache)
        closures = Closures(outline)
        closures.linker = _Linker(outline, closures.effects)
        closure = closures.close([(module, name)])
        wrappers = dict(_wrappers(plain, closure))
        found = wrapped.union(*wrappers.values())
        if found == wrapped:
            break
        wrapped = found
    distributions = fingerprinter.distributions.versions(sorted(closure.outside))
    lines = [_DOMAIN, *closure.lines]
    lines += [f"skeleton {each} {_skeleton(outline, each)}" for each in sorted(closure.loaded)]
    lines += [f"declared {each} {stands_for}" for each, stands_for in sorted(outline.declared.items())]
    lines += [f"distribution {each} {version}" for each, version in distributions.items()]
    text = "\n".join(line.replace("\\", "\\\\").replace("\n", "\\n") for line in lines)
    settled = not (
        fingerprinter.sources.outside()
        or any(each.startswith("module ") for each in distributions)
        or any(line.startswith("file ") for line in closure.lines)
    )
    return TracedCode(
        xxhash.xxh3_128_hexdigest(text.encode("utf-8", "surrogatepass")),
        settled,
        (module, name),
        outline,
        closures,
        closure,
        wrappers,
    )


class _Linker(Linker):
    """Links in which all annotations count, and Lineal's decorators like any others."""

    def links(self, module: str, index: int, mode: Mode, entry: bool = False) -> Links:
        return super().links(module, index, mode._replace(annotations=True), entry)

    def is_lineal(self, module: str, chain: Chain, at: int | None) -> bool:
        return False


def _wrappers(plain: Lookup, closure: Closure) -> Iterator[tuple[Place, frozenset[Place]]]:
    """The units of the kind ``x = stage(function)``, with the functions as far as they are plain ones."""
    for module, position in closure.units:
        unit = plain.get_index(module).units[position]
        if unit.wrap is None or not names_stage(plain, module, unit.wrap.chain, position):
            continue
        found: set[Place] = set()
        for chain in _handed_over(unit):
            for target in plain.resolve(module, chain, position):
                if target.kind == "name" and not target.rest:
                    for each in plain.binders(target.module, target.name):
                        made = plain.get_index(target.module).units[each]
                        if made.kind == "def" and not made.decorators:
                            found.add((target.module, each))
        yield (module, position), frozenset(found)


def _handed_over(unit: Unit) -> Iterator[Chain]:
    """What the function is that ``x = f(function)`` is given, where it is named as it is."""
    for callee, _, arguments in unit.calls:
        if unit.wrap is not None and callee == unit.wrap.chain:
            chains = dict(arguments).get(0, ())
            if len(chains) == 1 and "()" not in chains[0]:
                yield chains[0]


def _skeleton(outline: Outline, module: str) -> str:
    """A hash of what importing ``module`` runs, bodies of functions left out."""
    index = outline.find_index(module)
    texts = []
    for unit in index.units if index is not None else ():
        code = b"".join(each.code for each in unit.decorators) if unit.kind == "def" else unit.hashes.code
        texts.append(f"{unit.kind} {unit.names} {unit.target} {unit.guards} {unit.hidden} {code.hex()}")
    return xxhash.xxh3_128_hexdigest("\n".join(texts).encode("utf-8", "surrogatepass"))
