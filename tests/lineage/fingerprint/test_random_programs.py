"""Random small programs and random edits, with running them as the judge: a changed result needs a changed
fingerprint.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lineal.fingerprint import Fingerprint

MODULES = ("a", "b", "pkg/m", "pkg/n")


class Program:
    """A project of a few modules whose names refer to each other, each statement drawn from a small grammar."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.files: dict[str, list[str]] = {
            "reg.py": [
                "REG = {}",
                "def register(n):",
                "    def deco(f):",
                "        REG[n] = f",
                "        return f",
                "    return deco",
            ]
        }
        self.known: list[tuple[str, str]] = []  # (module, a name there that is a function of one argument)
        for module in (*MODULES, "pipeline"):
            self.module(module)

    def module(self, path: str) -> None:
        lines: list[str] = []
        dotted = path.replace("/", ".")
        names: list[str] = []
        rng = self.rng
        for module, name in rng.sample(self.known, min(len(self.known), 2)):
            form = rng.randrange(4)
            if form == 0:
                lines.append(f"from {module} import {name}")
                names.append(name)
            elif form == 1:
                lines.append(f"import {module}")
                names.append(f"{module}.{name}")
            elif form == 2:
                lines.append(f"from {module} import *")
                names.append(name)
            else:
                lines.append(f"import {module} as other_{module.replace('.', '_')}")
                names.append(f"getattr(other_{module.replace('.', '_')}, {name!r})")
        for number in range(rng.randrange(2, 5)):
            name = f"{path[-1]}{number}"
            lines += self.definition(name, names, rng.randrange(10_000))
            names.append(name)
            self.known.append((dotted, name))
        if path == "pipeline":
            used = rng.sample(names, min(len(names), 3))
            lines.append(
                f"def stage(): return [{', '.join(f'{each}(2)' for each in used)}, sorted((k, f(1)) for k, f in __import__('reg').REG.items())]"
            )
        self.files[f"{path}.py"] = lines

    def definition(self, name: str, names: list[str], number: int) -> list[str]:
        rng = self.rng
        inner = f"{rng.choice(names)}(x)" if names else "x"
        form = rng.randrange(9)
        if form == 0:
            return [f"def {name}(x, k={number}):", f"    return {inner} + k"]
        if form == 1:
            return [
                f"K_{name} = [{number}]",
                f"K_{name}.append({number + 1})",
                f"def {name}(x):",
                f"    return {inner} + K_{name}[x % 2]",
            ]
        if form == 2:
            return [
                f"class C_{name}:",
                f"    k = {number}",
                "    def __call__(self, x):",
                f"        return {inner} + self.k",
                f"{name} = C_{name}()",
            ]
        if form == 3:
            return [
                f"def make_{name}(n):",
                f"    return lambda x: {inner} + n",
                f"{name} = make_{name}({number})",
            ]
        if form == 4:
            return [
                "from reg import register",
                f"@register('{name}')",
                f"def {name}(x):",
                f"    return {inner} - {number}",
            ]
        if form == 5:
            return [
                f"FLAG_{name} = {number} % 2",
                f"if FLAG_{name}:",
                f"    def {name}(x): return {inner} + 1",
                "else:",
                f"    def {name}(x): return {inner} + {number}",
            ]
        if form == 6:
            return [
                f"class B_{name}:",
                f"    def f(self, x): return {inner} * {number}",
                f"class D_{name}(B_{name}): pass",
                f"{name} = D_{name}().f",
            ]
        if form == 7:
            return [
                f"def {name}(x): return x",
                f"S_{name} = {number}",
                f"def new_{name}(x): return {inner} + S_{name}",
                f"{name} = new_{name}",
            ]
        return [
            f"T_{name} = {{i: i + {number} for i in range(3)}}",
            f"{name} = lambda x: {inner} + T_{name}.get(x, 0)",
        ]

    def text(self) -> dict[str, str]:
        return {
            **{file: "\n".join(lines) + "\n" for file, lines in self.files.items()},
            "pkg/__init__.py": "",
        }

    def edited(self) -> dict[str, str]:
        """One number becomes another."""
        files = self.text()
        places = [
            (file, match) for file in self.files for match in re.finditer(r"(?<![\w'.])[1-9]\d*", files[file])
        ]
        file, match = self.rng.choice(places)
        text = files[file]
        files[file] = f"{text[: match.start()]}{int(match[0]) + 1}{text[match.end() :]}"
        return files


@given(seed=st.integers(0, 2**32))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_edit_that_changes_the_result_changes_the_fingerprint(
    seed: int, fingerprint_of: Callable[..., Fingerprint], result_of: Callable[[dict[str, str]], str]
) -> None:
    program = Program(random.Random(seed))
    before, after = program.text(), program.edited()

    if fingerprint_of(before).hex == fingerprint_of(after).hex:
        assert result_of(before) == result_of(after)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_programs_run(seed: int, result_of: Callable[[dict[str, str]], str]) -> None:
    assert result_of(Program(random.Random(seed)).text()).startswith(("[", "RecursionError"))
