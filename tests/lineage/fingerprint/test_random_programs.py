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
                "class Base:",
                "    kinds = []",
                "    def __init_subclass__(cls, **more): cls.kinds.append(cls.__name__)",
                "    def run(self, x): return self.step(x) + self.weight",
                "    weight = 1",
                "class Meta(type):",
                "    def __new__(m, n, b, d): return super().__new__(m, n, b, {**d, 'made': len(n)})",
                "    def __rshift__(cls, k):",
                "        REG.setdefault(cls.__name__, lambda x: k)",
                "        return cls",
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
        form = rng.randrange(26)
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
        if form == 8:
            return [
                "from reg import Base",
                f"class H_{name}(Base):",
                f"    def step(self, x): return {inner} + {number}",
                f"def {name}(x): return H_{name}().run(x)",
            ]
        if form == 9:
            return [
                "import reg",
                f"reg.Base.weight = {number}",
                f"def {name}(x): return {inner} + len(reg.Base.kinds)",
            ]
        if form == 10:
            return [
                "from reg import Meta",
                f"class M_{name}(metaclass=Meta):",
                f"    def __class_getitem__(cls, k): return k + {number}",
                f"M_{name} >> {number + 1}",
                f"def {name}(x): return M_{name}[{inner}] + M_{name}.made",
            ]
        if form == 11:
            return [
                "from contextlib import contextmanager",
                "@contextmanager",
                f"def c_{name}(k):",
                f"    yield k + {number}",
                f"def {name}(x):",
                f"    with c_{name}({inner}) as y: return y",
            ]
        if form == 12:
            return [
                "from dataclasses import dataclass, field",
                "@dataclass",
                f"class A_{name}:",
                f"    x: int = {number}",
                f"    ys: list = field(default_factory=lambda: [{number}])",
                f"def {name}(x): return {inner} + A_{name}().x + len(repr(A_{name}()))",
            ]
        if form == 13:
            return [
                f"class P_{name}:",
                "    @property",
                f"    def v(self): return self.w + {number}",
                "    @v.setter",
                f"    def v(self, k): self.w = k * {number}",
                f"def {name}(x):",
                f"    p = P_{name}()",
                f"    p.v = {inner}",
                "    return p.v",
            ]
        if form == 14:
            return [
                f"L_{name} = []",
                f"def add_{name}(k): L_{name}.append(k)",
                f"list(map(add_{name}, [{number}, 2]))",
                f"def {name}(x): return {inner} + sum(L_{name})",
            ]
        if form == 15:
            return [
                f"G_{name} = 0",
                f"def set_{name}(k):",
                f"    global G_{name}",
                f"    G_{name} = k",
                f"set_{name}({number})",
                f"def {name}(x): return {inner} + G_{name}",
            ]
        if form == 16:
            return [
                "try:",
                f"    assert {number} % 3",
                f"    E_{name} = {number}",
                "except AssertionError:",
                f"    E_{name} = {number + 5}",
                f"def {name}(x): return {inner} + E_{name}",
            ]
        if form == 17:
            return [
                "import functools",
                f"def two_{name}(k, x): return {inner} + k",
                f"{name} = functools.partial(two_{name}, {number})",
            ]
        if form == 18:
            return [
                f"def g_{name}(x):",
                f"    yield {inner}",
                f"    yield from range({number % 5})",
                f"def {name}(x): return sum(g_{name}(x))",
            ]
        if form == 19:
            return [
                "import sys",
                f"setattr(sys.modules[__name__], 'N_{name}', {number})",
                f"def {name}(x): return {inner} + N_{name}",
            ]
        if form == 20:
            return [
                f"def d_{name}(k):",
                f"    def deco(f): return lambda x: f(x) + k + {number}",
                "    return deco",
                f"@d_{name}({number + 1})",
                f"def {name}(x): return {inner}",
            ]
        if form == 21:
            return [
                f"class O_{name}:",
                "    class In:",
                f"        k = {number}",
                f"        def f(self, x): return {inner} + self.k",
                f"O_{name}.In.k += {number}",
                f"{name} = O_{name}.In().f",
            ]
        if form == 22:
            return [
                f"X_{name} = {number}",
                f"Y_{name} = X_{name} + 1",
                f"X_{name} = 7",
                f"def {name}(x): return {inner} + Y_{name}",
            ]
        if form == 23:
            return [
                f"def {name}(x):",
                "    match x % 3:",
                f"        case 0: return {inner}",
                f"        case 1 | 2 as y if y < {number % 4}: return y + {number}",
                f"        case _: return {number}",
            ]
        if form == 24:
            return [
                f"D_{name} = {{'a': lambda x: {inner} + {number}, 'b': len}}",
                f"def {name}(x): return D_{name}['a'](x)",
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
        """One number or operator becomes another, or one statement of a line goes."""
        files = self.text()
        kind = self.rng.choice(["number", "number", "operator", "line"])
        pattern = {
            "number": r"(?<![\w'.])[1-9]\d*",
            "operator": r" [+*] (?=[\w(])",
            "line": r"(?m)^\w[^:\n]*\n",
        }[kind]
        places = [(file, match) for file in self.files for match in re.finditer(pattern, files[file])]
        if not places:
            return files
        file, match = self.rng.choice(places)
        new = {"number": lambda: str(int(match[0]) + 1), "operator": lambda: " - ", "line": lambda: ""}[
            kind
        ]()
        text = files[file]
        files[file] = f"{text[: match.start()]}{new}{text[match.end() :]}"
        return files


@given(seed=st.integers(0, 2**32))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_edit_that_changes_the_result_changes_the_fingerprint(
    seed: int, fingerprint_of: Callable[..., Fingerprint], result_of: Callable[[dict[str, str]], str]
) -> None:
    program = Program(random.Random(seed))
    before, after = program.text(), program.edited()

    if fingerprint_of(before).hex == fingerprint_of(after).hex:
        result = result_of(after)
        if not result.startswith("not imported"):  # a module that breaks gives no result that could be stale
            assert result == result_of(before)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_programs_run(seed: int, result_of: Callable[[dict[str, str]], str]) -> None:
    assert result_of(Program(random.Random(seed)).text()).startswith(("[", "RecursionError"))
