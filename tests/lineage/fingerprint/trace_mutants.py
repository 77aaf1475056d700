"""Traces projects and their mutants, and tells those whose other graph has the same identity.

usage: python trace_mutants.py, with {case: {file: text}} as JSON on stdin. A mutant has one constant, operator, default,
annotation, decorator or statement changed. Printed are the counts of mutants and of those with another graph, and a
line for each that would be taken for the project before.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.machinery
import importlib.util
import json
import sys
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from types import ModuleType

from lineal.fingerprint import Fingerprinter, FingerprintError, Sources
from lineal.fingerprint.traced import traced_code
from lineal.stages.frozen import freeze

ROOT = Path("/project/in/memory")


class Files:
    """Imports modules from texts."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = files

    def find_spec(self, name: str, *_: object) -> importlib.machinery.ModuleSpec | None:
        file = f"{name}.py"
        return importlib.util.spec_from_loader(name, self, origin=file) if file in self._files else None  # type: ignore[arg-type]

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        file = f"{module.__name__}.py"
        module.__file__ = str(ROOT / file)
        exec(compile(self._files[file], module.__file__, "exec"), vars(module))  # noqa: S102 - as any import does


class Mutation(ast.NodeTransformer):
    """Changes the one place that is number ``wanted``; ``told`` says what it was, None where there are fewer."""

    def __init__(self, wanted: int) -> None:
        self._left = wanted
        self.told: str | None = None

    def _here(self, what: str) -> bool:
        self._left -= 1
        if self._left == -1:
            self.told = what
        return self._left == -1

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        value = node.value
        other: object = None
        if isinstance(value, bool):
            other = not value
        elif isinstance(value, int | float):
            other = value + 1
        elif isinstance(value, str):
            other = value + "a"
        if other is not None and self._here(f"{value!r} on line {node.lineno}"):
            return ast.copy_location(ast.Constant(other), node)  # type: ignore[arg-type]
        return node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if isinstance(node, ast.Compare) and self._here(f"a comparison on line {node.lineno}"):
            node.ops[0] = ast.NotEq()
        elif isinstance(node, ast.BinOp) and self._here(f"an operator on line {node.lineno}"):
            node.op = ast.Add() if isinstance(node.op, ast.Mult) else ast.Mult()
        elif isinstance(node, ast.AnnAssign) and self._here(f"an annotation on line {node.lineno}"):
            node.annotation = ast.Name("bytes", ast.Load())
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            self._definition(node)
        return node

    def _definition(self, node: ast.FunctionDef | ast.ClassDef) -> None:
        for parts in (node.body if len(node.body) > 1 else [], node.decorator_list):
            for place in range(len(parts)):
                if self._here(f"a statement or decorator of {node.name}"):
                    del parts[place]
                    return
        if isinstance(node, ast.FunctionDef):
            for place in range(len(node.args.defaults)):
                if self._here(f"a default of {node.name}"):
                    node.args.defaults[place] = ast.Constant(None)
            for argument in node.args.args:
                if argument.annotation is not None and self._here(f"{argument.arg} of {node.name}"):
                    argument.annotation = ast.Name("object", ast.Load())
            if node.returns is not None and self._here(f"the result of {node.name}"):
                node.returns = ast.Name("object", ast.Load())


def mutants(text: str) -> Iterator[tuple[str, str]]:
    number = 0
    while True:
        mutation = Mutation(number)
        tree = ast.fix_missing_locations(mutation.visit(ast.parse(text)))
        if mutation.told is None:
            return
        yield mutation.told, ast.unparse(tree)
        number += 1


def sources(files: Mapping[str, str]) -> Sources:
    return Sources(ROOT, [ROOT], {name: text.encode() for name, text in files.items()})


def trace(files: Mapping[str, str]) -> str:
    """A hash of the graph, or how tracing fails."""
    finder = Files(files)
    sys.meta_path.insert(0, finder)  # type: ignore[arg-type]
    try:
        pipeline = importlib.import_module("flow").flow
        given = {"run_date": date(2024, 3, 2)} if "run_date" in pipeline.signature.inputs else {}
        return hashlib.sha256(freeze(pipeline.trace(given), sources(files))).hexdigest()
    except Exception as error:  # noqa: BLE001 - whatever a mutant raises is how it differs
        return type(error).__name__
    finally:
        sys.meta_path.remove(finder)  # type: ignore[arg-type]
        for name in files:
            sys.modules.pop(name.removesuffix(".py"), None)


def identity(files: Mapping[str, str]) -> str:
    try:
        return traced_code(Fingerprinter(sources(files)), "flow", "flow").hex
    except FingerprintError:
        return "unreadable"


def main() -> None:
    everything = others = 0
    missed = []
    for case, files in json.load(sys.stdin).items():
        graph, known = trace(files), identity(files)
        assert len(graph) == 64, (case, graph)
        for name, text in files.items():
            for told, mutant in mutants(text):
                changed = {**files, name: mutant}
                everything += 1
                if trace(changed) != graph:
                    others += 1
                    if identity(changed) == known:
                        missed.append(f"{case}, {name}: {told}")
    print(json.dumps({"mutants": everything, "others": others, "missed": missed}))


if __name__ == "__main__":
    main()
