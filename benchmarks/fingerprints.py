"""What fingerprints cost: cold, warm in a new process, and after an edit of one file.

usage: python benchmarks/fingerprints.py [--modules 200] [--stages 50] [--runs 3]

Two projects are written: `plain`, of 10 functions a module with 20 short lines each, and `dense`, of as many lines
with nothing but expressions in them. Every figure is the best of some processes, without their start-up, and is
printed in milliseconds and as a ratio to what `ast.parse` takes for the same files in the same run: ratios carry
over to other machines, milliseconds do not.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

MEASURE = """
import sys, time
from pathlib import Path
from lineal.fingerprint import Fingerprinter, Sources, SummaryCache
import lineal.fingerprint.closure, lineal.fingerprint.syntax as syntax

what, root, cache, stages = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
parsed = []
real = syntax.parse
syntax.parse = lambda data, *rest: (parsed.append(rest), real(data, *rest))[1]
if what == "parse":
    import ast, gc
    texts = [path.read_bytes() for path in root.rglob("*.py")]
    gc.disable()
    started = time.perf_counter()
    for text in texts:
        ast.parse(text)
else:
    started = time.perf_counter()
    fingerprinter = Fingerprinter(Sources.capture(root), cache=SummaryCache(cache) if what != "cold" else None)
    for number in range(1 if what == "cold" else stages):
        fingerprinter.stage("pipeline", f"stage{number}")
seconds = time.perf_counter() - started
if what == "fill":
    fingerprinter._cache.save()
print(seconds, len(parsed))
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--modules", type=int, default=200)
    parser.add_argument("--stages", type=int, default=50)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    for name, body in (("plain", plain), ("dense", dense)):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder, "project")
            lines = write_project(root, body, options.modules, options.stages)
            print(f"{name}: {options.modules} modules, {10 * options.modules} functions, {lines} lines")
            report(root, Path(folder, "cache"), options.stages, options.runs)


def report(root: Path, cache: Path, stages: int, runs: int) -> None:
    """Print the figures for the project in ``root``."""

    def measure(what: str, runs: int = runs) -> tuple[float, int]:
        arguments = [sys.executable, "-c", MEASURE, what, str(root), str(cache), str(stages)]
        answers = [subprocess.check_output(arguments, text=True).split() for _ in range(runs)]
        return min((float(seconds), int(parsed)) for seconds, parsed in answers)

    parse, _ = measure("parse")
    show("ast.parse of all files", parse, parse)
    show("the first stage, cold", measure("cold")[0], parse)
    show(f"{stages} stages, cold, filling the cache", measure("fill", 1)[0], parse)
    show(f"{stages} stages in a new process, nothing changed", measure("warm")[0], parse)
    edited = root / "m1.py"
    edited.write_text(edited.read_text() + "\nADDED = 1\n")
    seconds, parsed = measure("warm")
    show(f"{stages} stages after an edit of one file ({parsed} parsed again)", seconds, parse)


def show(what: str, seconds: float, parse: float) -> None:
    print(f"  {what:60} {1000 * seconds:8.1f} ms {seconds / parse:7.3f} x ast.parse")


def write_project(root: Path, body: object, modules: int, stages: int) -> int:
    """Write a project whose functions call others in their module and in the next; returns its lines."""
    assert callable(body)
    root.mkdir()
    for module in range(modules):
        text = f"import math\nimport m{(module + 1) % modules} as following\n\nFACTOR = {module}\n\n\n"
        for function in range(10):
            text += f"def f{function}(value, scale=FACTOR):\n"
            text += f'    """Function {function} of module {module}."""\n'
            text += "\n".join(f"    {line}" for line in body(module, function)) + "\n\n\n"
        (root / f"m{module}.py").write_text(text)
    imports = "".join(f"import m{module}\n" for module in range(modules))
    functions = [f"def stage{n}():\n    return m{n % modules}.f{n % 10}({n})\n" for n in range(stages)]
    (root / "pipeline.py").write_text(imports + "\n\n" + "\n\n".join(functions))
    return sum(path.read_text().count("\n") for path in root.rglob("*.py"))


def plain(module: int, function: int) -> Iterator[str]:
    yield "total = 0"
    yield "names = []"
    yield "for index in range(10):"
    yield f"    if index % {function + 2} == 0:"
    yield "        total += index * scale"
    yield "        continue"
    yield "    names.append(str(index))"
    if function:
        yield f"total += f{function - 1}(value)"
    elif module:
        yield "if value is None:"
        yield "    total = math.floor(total / 2)"
    yield "# what is left"
    yield f"text = 'name-{module}'"
    yield "while total > 1000:"
    yield "    total = total - 1"
    yield "if not names:"
    yield "    return value"
    yield "return total"


def dense(module: int, function: int) -> Iterator[str]:
    yield f"a = [math.sin(x + {function}) * scale for x in range(10) if x % 2 and x != value]"
    yield "b = {key: (len(key), key.upper()) for key in ('a', 'b', str(value)) if key}"
    for line in range(12):
        yield f"c{line} = value * {line} + scale - len(b) if a else (value, scale)[{line} % 2]"
    if function:
        yield f"b['more'] = (f{function - 1}(value, scale=scale + 1), sorted(a)[: len(b)])"
    yield "return [a, b, (c0 if value else c1, *(c2, c3)), max(c4, c5, c6), (c7 + c8) // 2, f'{c9:.2f}-{c10}']"


if __name__ == "__main__":
    main()
