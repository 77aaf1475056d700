"""Installed packages taken as if they were a project's own code: what fingerprinting them costs, and whether an edit
ever changes a result and not its fingerprint.

usage: python benchmarks/fingerprint_real_code.py [PACKAGE …] [--edits 100] [--functions 50] [--seed 1]

For each package a stage is written that uses it. Constants, operators and returned values of the package are
edited one at a time, half of them in functions that the stage runs; before and after, the stage is executed in a
process of its own. `stale` are edits that changed the result and not the fingerprint: there must be none.
`needless` are edits of units outside the closure that changed the fingerprint: there must be none either. Edits
that make the import fail are left out. Beside that, `--functions` functions chosen at random are fingerprinted.
"""

from __future__ import annotations

import argparse
import ast
import collections
import importlib.util
import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from lineal.fingerprint import Fingerprint, Fingerprinter, FingerprintError, Sources, install

ROOT = Path("/project/of/others")

STAGES = {
    "attr": """
        import attr
        @attr.s(order=True)
        class P:
            x = attr.ib(default=1, validator=attr.validators.instance_of(int))
            y = attr.ib(factory=list, converter=lambda v: list(v))
        @attr.define(frozen=True)
        class Q:
            a: int = attr.field(default=3)
        return [repr(P(2, [1])), P(1) < P(2), attr.asdict(P(5)), repr(attr.evolve(Q(), a=4)), hash(Q()) == hash(Q(3))]
    """,
    "click": """
        import click
        from click.testing import CliRunner
        @click.group()
        def cli(): "Tools."
        @cli.command()
        @click.option("--n", default=2, show_default=True, type=click.IntRange(0, 5), help="How often.")
        @click.argument("name")
        def hello(n, name): click.echo(click.style(f"hi {name} " * n, fg="red"))
        run = lambda *a: (lambda r: (r.exit_code, r.output))(CliRunner().invoke(cli, a))
        return [run("hello", "x"), run("hello", "--n", "9", "x"), run("--help"), run("hello", "--help"), run("nope")]
    """,
    "jinja2": """
        import jinja2
        env = jinja2.Environment(trim_blocks=True, extensions=["jinja2.ext.do"])
        env.filters["twice"] = lambda v: v * 2
        text = ("{% macro m(a, b=2) %}{{ a|upper }}-{{ b }}{% endmacro %}{% for x in xs if x is odd %}{{ loop.index }}:"
                "{{ x|twice }},{% else %}none{% endfor %}{{ m('q') }}{{ xs|sum }}{{ d|tojson }}{{ '%05.2f'|format(1.5) }}"
                "{% set ns = namespace(n=0) %}{% do ns.__setattr__('n', 1) if false %}{{ xs|join('|') }}{{ 'a b'|title }}")
        return env.from_string(text).render(xs=[1, 2, 3], d={"k": [1]})
    """,
    "jsonschema": """
        import jsonschema
        schema = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 2}, "b": {"$ref": "#/$defs/s"}},
                  "required": ["a"], "$defs": {"s": {"enum": ["x", "y"]}}, "additionalProperties": False}
        check = jsonschema.Draft202012Validator(schema)
        found = lambda v: sorted(e.message for e in check.iter_errors(v))
        return [found(v) for v in ({"a": 3, "b": "x"}, {"a": 1, "b": "z"}, {}, {"a": 2, "c": 1}, [])]
    """,
    "markdown_it": """
        from markdown_it import MarkdownIt
        text = "# A *b*\\n\\n- one\\n- two `c`\\n\\n| a | b |\\n|---|--:|\\n| 1 | ~~2~~ |\\n\\n> q [l](http://x.y 't')\\n\\n```py\\nx\\n```\\n"
        return MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text)
    """,
    "networkx": """
        import networkx as nx
        g = nx.karate_club_graph()
        h = nx.path_graph(6, create_using=nx.DiGraph)
        return [nx.shortest_path_length(g, 0, 33), round(nx.average_clustering(g), 6), sorted(nx.core_number(g).items())[:5],
                list(nx.topological_sort(h)), nx.is_connected(g), sorted(map(sorted, nx.k_core(g, 4).edges))[:3],
                nx.diameter(g), nx.minimum_spanning_tree(g).size()]
    """,
    "packaging": """
        from packaging.markers import Marker
        from packaging.requirements import Requirement
        from packaging.specifiers import SpecifierSet
        from packaging.version import Version
        r = Requirement("a-b[x,y]>=1.2,!=1.5; python_version < '3'")
        return [str(r), sorted(r.extras), [v in SpecifierSet("~=1.4.2") for v in ("1.4.5", "1.5", "1.4.2rc1")],
                sorted(map(Version, ["1.0", "1.0.post1", "1.0a1", "1.0.dev2", "2!0.1"])), str(Marker("os_name == 'x' and extra == 'y'"))]
    """,
    "pygments": """
        from pygments import highlight
        from pygments.formatters import HtmlFormatter
        from pygments.lexers import get_lexer_by_name
        return highlight("def f(x):\\n    return f'{x!r}' + 1.5  # no\\n", get_lexer_by_name("python"), HtmlFormatter(linenos="inline"))
    """,
    "pyparsing": """
        import pyparsing as pp
        number = pp.Word(pp.nums).set_parse_action(lambda t: int(t[0]))
        expr = pp.infix_notation(number, [("*", 2, pp.OpAssoc.LEFT), ("+", 2, pp.OpAssoc.LEFT)])
        pairs = pp.DelimitedList(pp.Group(pp.Word(pp.alphas)("k") + pp.Suppress("=") + number("v")))
        return [expr.parse_string("1+2*(3+4)").as_list(), [dict(p) for p in pairs.parse_string("a=1, b=2")]]
    """,
    "rich": """
        import io
        from rich.console import Console
        from rich.table import Table
        from rich.tree import Tree
        from rich.markup import render
        c = Console(file=io.StringIO(), width=60, force_terminal=True, color_system="256", legacy_windows=False)
        t = Table(title="T")
        t.add_column("a", justify="right"); t.add_column("b", style="red")
        t.add_row("1", "[bold]x[/bold] y"); t.add_row("22", "long text " * 6)
        c.print(t); c.print({"k": [1, 2.5, None]}, render("[blue]q[/]")); c.rule("r"); c.print(Tree("x"))
        return c.file.getvalue()
    """,
    "sortedcontainers": """
        from sortedcontainers import SortedDict, SortedList, SortedSet
        s = SortedList(range(20)); s.add(5); s.discard(7)
        return [list(s)[:8], s.bisect(5), list(SortedDict({"b": 1, "a": 2}).items()), list(SortedSet([3, 1]) | {2}), s.count(5)]
    """,
    "tomlkit": """
        import tomlkit
        d = tomlkit.parse("# c\\na = 1\\n[t]\\nx = [1, 2, {y = 'z'}]\\n[[u]]\\nd = 2020-01-01\\n")
        d["t"]["new"] = {"k": True}
        d.add(tomlkit.comment("end"))
        return tomlkit.dumps(d)
    """,
    "werkzeug": """
        from werkzeug.datastructures import MultiDict
        from werkzeug.routing import Map, Rule
        from werkzeug.http import parse_options_header, dump_cookie
        m = Map([Rule("/a/<int:x>", endpoint="a"), Rule("/b/<path:p>/", endpoint="b")])
        u = m.bind("x.y")
        return [u.match("/a/5"), u.match("/b/q/r/"), u.build("a", {"x": 7}), parse_options_header("a; b=c"), dump_cookie("k", "v w"),
                MultiDict([("a", 1), ("a", 2)]).getlist("a")]
    """,
    "yaml": """
        import yaml
        text = "a: &x [1, 2.5, true, ~]\\nb: *x\\nc: {d: 2020-01-01, e: |\\n    t\\n}\\n"
        return [yaml.safe_load("a: &x [1, 2.5, true, ~]\\nb: *x\\nc: !!str 5\\n"), yaml.safe_dump({"z": [1, {"y": "q: r"}], "a": None}, width=20)]
    """,
}
"""The body of a stage for each package."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("packages", nargs="*", default=list(STAGES))
    parser.add_argument("--edits", type=int, default=100)
    parser.add_argument("--functions", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    failed = False
    for name in options.packages:
        print(f"{name}: ", end="", flush=True)
        found = examine(name, options.edits, options.functions, random.Random(f"{name} {options.seed}"))
        print(json.dumps(found))
        failed = failed or bool(found["stale"] or found["needless"])
    sys.exit(failed)


def examine(name: str, edits: int, functions: int, rng: random.Random) -> dict[str, object]:
    """The figures for one package."""
    files = read_package(name)
    files["pipeline.py"] = stage_of(STAGES[name])
    started = time.perf_counter()
    whole = fingerprint(files)
    first = time.perf_counter() - started
    chosen, errors, seconds = fingerprint_some(files, functions, rng)
    result, executed = run(files, trace=True)
    covered = {each.unit for each in whole.covers}
    counts: collections.Counter[str] = collections.Counter()
    stale, needless = [], []
    for file, position, text in choose_edits(files, executed, edits, rng):
        after = {**files, file: text}
        inside = unit_at(files[file], file, position) & covered
        try:
            changed = fingerprint(after).hex != whole.hex
        except FingerprintError:
            counts["no Python"] += 1
            continue
        answer, _ = run(after)
        if answer.startswith("import failed"):
            counts["import failed"] += 1
        elif answer != result:
            counts["another result"] += 1
            if not changed:
                stale.append(f"{file}:{position}")
        else:
            counts["same result"] += 1
        if changed and not inside:
            needless.append(f"{file}:{position}")
        counts["changed" if changed else "kept"] += 1
    return {
        "files": len(files) - 1,
        "lines": sum(data.count(b"\n") for data in files.values()),
        "first_seconds": round(first, 2),
        "units": len(whole.covers),
        "blind_spots": dict(collections.Counter(spot.kind for spot in whole.blind_spots)),
        "functions": len(chosen),
        "milliseconds_each": round(1000 * seconds / max(1, len(chosen)), 1),
        "errors": errors,
        "edits": dict(counts),
        "stale": stale,
        "needless": needless,
    }


def read_package(name: str) -> dict[str, bytes]:
    """The source files of an installed package, by name relative to the folder it is in."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0])
    return {
        path.relative_to(folder.parent).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*.py"))
        if "tests" not in path.parts
    }


def stage_of(body: str) -> bytes:
    lines = body.strip("\n").splitlines()
    indent = len(lines[0]) - len(lines[0].lstrip())
    return ("def stage():\n" + "".join(f"    {line[indent:]}\n" for line in lines)).encode()


def sources_of(files: Mapping[str, bytes]) -> Sources:
    return Sources(ROOT, [ROOT], files)


def fingerprint(files: Mapping[str, bytes], module: str = "pipeline", name: str = "stage") -> Fingerprint:
    return Fingerprinter(sources_of(files)).stage(module, name)


def fingerprint_some(
    files: Mapping[str, bytes], number: int, rng: random.Random
) -> tuple[list[tuple[str, str]], list[str], float]:
    """Fingerprint functions chosen at random; returns them, what failed, and the seconds that it took."""
    sources = sources_of(files)
    everything = [
        (sources.module_of(file), node.name)
        for file, data in files.items()
        for node in ast.parse(data).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    ]
    chosen = [(module, name) for module, name in everything if module is not None]
    chosen = rng.sample(chosen, min(number, len(chosen)))
    fingerprinter = Fingerprinter(sources)
    errors = []
    started = time.perf_counter()
    for module, name in chosen:
        try:
            fingerprinter.stage(module, name)
        except FingerprintError as error:
            errors.append(f"{module}:{name}: {error}")
    return chosen, errors, time.perf_counter() - started


def run(files: Mapping[str, bytes], trace: bool = False) -> tuple[str, dict[str, set[int]]]:
    """What the stage returns, in a process of its own; with the first lines of the functions that ran, by file."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        os.write(write, json.dumps(_run(files, trace)).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as stream:
        data = stream.read()
    os.waitpid(pid, 0)
    answer, executed = json.loads(data or '["the process died", {}]')
    return answer, {file: set(lines) for file, lines in executed.items()}


def _run(files: Mapping[str, bytes], trace: bool) -> tuple[str, dict[str, list[int]]]:
    executed: dict[str, set[int]] = collections.defaultdict(set)

    def note(frame: object, event: str, _: object) -> None:
        code = frame.f_code  # type: ignore[attr-defined]
        if event == "call" and code.co_filename.startswith(f"{ROOT}/"):
            executed[code.co_filename[len(str(ROOT)) + 1 :]].add(code.co_firstlineno)

    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    signal.alarm(30)
    for name in [name for name in sys.modules if f"{name.partition('.')[0]}/__init__.py" in files]:
        del sys.modules[name]
    install(sources_of(files))
    sys.path.insert(0, str(ROOT))
    try:
        stage_module = importlib.import_module("pipeline")
    except BaseException as error:  # noqa: BLE001 - whatever an edit brings about
        return f"import failed: {error!r}", {}
    if trace:
        sys.setprofile(note)
    try:
        answer = repr(stage_module.stage())
    except ImportError as error:
        answer = f"import failed: {error!r}"
    except BaseException as error:  # noqa: BLE001
        answer = f"raised {error!r}"
    sys.setprofile(None)
    return answer, {file: sorted(lines) for file, lines in executed.items()}


def choose_edits(
    files: Mapping[str, bytes], executed: Mapping[str, set[int]], number: int, rng: random.Random
) -> Iterator[tuple[str, int, bytes]]:
    """Edits as a file, a line and the file's new text: half of them in functions that ran."""
    hot, cold = [], []
    for file, data in files.items():
        if file == "pipeline.py" or not data.isascii():  # offsets are in bytes
            continue
        for node, ran in editable(ast.parse(data), executed.get(file, set())):
            (hot if ran else cold).append((file, node))
    chosen = rng.sample(hot, min(len(hot), number // 2))
    chosen += rng.sample(cold, min(len(cold), number - len(chosen)))
    for file, node in chosen:
        text = edited(files[file].decode(), node)
        if text is not None:
            yield file, node.lineno, text.encode()


def editable(tree: ast.Module, executed: set[int]) -> Iterator[tuple[ast.expr, bool]]:
    """The expressions that can be edited, each with whether the function that it is in has run."""
    pending: list[tuple[ast.AST, bool]] = [(tree, False)]
    while pending:
        node, ran = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))])
            ran = first in executed
        if isinstance(node, ast.JoinedStr | ast.Import | ast.ImportFrom | ast.AnnAssign | ast.arg):
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        if isinstance(node, ast.BinOp | ast.Compare) or (
            isinstance(node, ast.Constant) and isinstance(node.value, str | int)
        ):
            yield node, ran
        pending += [(child, ran) for child in ast.iter_child_nodes(node)]


SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.GtE,
    ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}  # fmt: skip


def edited(text: str, node: ast.expr) -> str | None:
    """``text`` with another constant or operator in the place of ``node``; None where it has none to offer."""
    old = ast.get_source_segment(text, node)
    if old is None:
        return None
    if isinstance(node, ast.Constant):
        value = node.value
        new: object = (
            not value if isinstance(value, bool) else value + 1 if isinstance(value, int) else f"{value}x"
        )
        replacement = f"({new!r})"
    elif isinstance(node, ast.BinOp) and type(node.op) in SWAPS:
        operator = SWAPS[type(node.op)]()
        replacement = f"({ast.unparse(ast.BinOp(node.left, operator, node.right))})"
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
        operators = [SWAPS[type(node.ops[0])](), *node.ops[1:]]
        replacement = f"({ast.unparse(ast.Compare(node.left, operators, node.comparators))})"
    else:
        return None
    start = sum(len(line) + 1 for line in text.split("\n")[: node.lineno - 1]) + node.col_offset
    assert text[start : start + len(old)] == old
    return text[:start] + replacement + text[start + len(old) :]


def unit_at(data: bytes, file: str, line: int) -> set[str]:
    """The names that `Fingerprint.covers` may have for what is written at ``line``: the top-level statement, or
    all that it guards.
    """
    module = sources_of({file: data}).module_of(file)
    names: set[str] = set()
    for node in ast.parse(data).body:
        first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))])
        if first <= line <= (node.end_lineno or 0):
            guards = isinstance(node, ast.If | ast.Try | ast.With)
            for each in ast.walk(node) if guards else [node]:
                if isinstance(each, ast.stmt):
                    names |= {f"{module}:{name}" for name in {f"line {each.lineno}", *bound_by(each)}}
    return names


def bound_by(node: ast.stmt) -> set[str]:
    """The names that a statement binds, as a unit would be called."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    names = sorted(
        {each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}
    )
    return {", ".join(names), *names}


if __name__ == "__main__":
    main()
