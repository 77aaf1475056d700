"""Live functions: found again in the source, or described by what they captured."""

from __future__ import annotations

import importlib
import linecache
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import lineal.fingerprint
from lineal.fingerprint import FingerprintError, fingerprint
from lineal.fingerprint.values import Describer

Load = Callable[[str], ModuleType]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Import a project of one module, live_pipeline.py, with this text."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write_and_import(text: str) -> ModuleType:
        (tmp_path / "pyproject.toml").write_text("")
        (tmp_path / "live_pipeline.py").write_text(text)
        sys.modules.pop("live_pipeline", None)
        importlib.invalidate_caches()
        return importlib.import_module("live_pipeline")

    yield write_and_import
    sys.modules.pop("live_pipeline", None)


def test_the_room_is_the_function_too(load: Load) -> None:
    module = load("def f(): return 1\n")

    assert lineal.fingerprint(module.f) == fingerprint(module.f)  # type: ignore[operator]


def test_closures_made_from_one_text_differ_by_what_they_captured(load: Load) -> None:
    text = "def make(n):\n    def f(x=1): return x + n\n    return f\nfs = [make(1), make(2), make(1)]\n"
    one, two, again = (fingerprint(f).hex for f in load(text).fs)

    assert one == again
    assert one != two


def test_a_captured_lock_or_logger_is_no_obstacle(load: Load) -> None:
    text = (
        "import threading, logging\ndef make():\n    lock, log = threading.Lock(), logging.getLogger('x')\n"
        "    def f():\n        with lock: log.debug('x')\n    return f\nfs = [make(), make()]\n"
    )
    one, two = (fingerprint(f) for f in load(text).fs)

    assert one.hex == two.hex
    assert any(spot.kind == "opaque_value" for spot in one.blind_spots)


def test_a_captured_function_counts_by_its_code(load: Load) -> None:
    text = "def h(): return {k}\ndef make(g):\n    return lambda: g()\nfs = [make(h)]\n"

    assert fingerprint(load(text.format(k=1)).fs[0]).hex != fingerprint(load(text.format(k=2)).fs[0]).hex


def test_two_lambdas_of_one_line_differ(load: Load) -> None:
    one, two = (fingerprint(f).hex for f in load("fs = [lambda x: x + 1, lambda x: x + 2]\n").fs)

    assert one != two


def test_a_wrapper_without_a_name_of_its_own_is_found_by_what_it_wraps(load: Load) -> None:
    text = "import functools\nclass Stage:\n    def __init__(self, f): functools.update_wrapper(self, f)\n@Stage\ndef f(): return {k}\n"
    module = load(text.format(k=1))
    before = fingerprint(module.f).hex

    assert fingerprint(module.f.__wrapped__).hex == before
    assert fingerprint(load(text.format(k=2)).f).hex != before


def test_the_name_in_main_is_the_name_when_imported(load: Load) -> None:
    module = load("def f(): return 1\n")
    imported = fingerprint(module.f).hex
    main = ModuleType("__main__")
    main.__file__ = module.__file__
    saved, sys.modules["__main__"] = sys.modules["__main__"], main
    try:
        exec(compile(Path(str(module.__file__)).read_text(), str(module.__file__), "exec"), main.__dict__)  # noqa: S102
        assert fingerprint(main.f).hex == imported
    finally:
        sys.modules["__main__"] = saved


def test_a_function_of_no_project_is_refused() -> None:
    with pytest.raises(FingerprintError):
        fingerprint(len)


class TestCells:
    """What was typed into a notebook or at a prompt."""

    def run(self, *cells: str) -> dict[str, Any]:
        """Run cells as a notebook does: each compiled under a name that linecache knows."""
        main = ModuleType("__main__")
        saved, sys.modules["__main__"] = sys.modules["__main__"], main
        try:
            for number, cell in enumerate(cells):
                name = f"<cell {number} {hash(cells)}>"
                linecache.cache[name] = (len(cell), None, cell.splitlines(keepends=True), name)
                exec(compile(cell, name, "exec"), main.__dict__)  # noqa: S102
            return {"hex": fingerprint(main.stage).hex}
        finally:
            sys.modules["__main__"] = saved

    def test_a_helper_in_another_cell_counts_and_a_comment_does_not(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        stage = "def stage(x=1):\n    return h(x) + K\n"
        before = self.run("def h(x): return x\n", "K = 1\n", stage)

        assert self.run("# note\ndef h(x):\n    return x\n", "K = 1\n", stage) == before
        assert self.run("def h(x): return -x\n", "K = 1\n", stage) != before
        assert self.run("def h(x): return x\n", "K = 2\n", stage) != before

    def test_imported_project_code_is_followed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(str(tmp_path))
        prints = set()
        for k in range(2):
            (tmp_path / "cell_helpers.py").write_text(f"def f(): return {k}\n")
            sys.modules.pop("cell_helpers", None)
            prints.add(self.run("import cell_helpers as c\n", "def stage(): return c.f()\n")["hex"])
        sys.modules.pop("cell_helpers", None)

        assert len(prints) == 2


def test_values_are_described_by_type_and_content() -> None:
    import numpy

    def describe(value: Any) -> str:
        return Describer(lambda code: f"code {code.__qualname__}").describe(value)

    different = [
        1, 1.0, True, "1", b"1", None, (1,), [1], {1}, frozenset({1}), {1: 1}, {"1": 1}, -0.0, 0.0, 1j,
        numpy.array([1]), numpy.array([1.0]), numpy.array([[1]]), numpy.int64(1), Path("1"), range(1), int, ...,
    ]  # fmt: skip
    descriptions = [describe(value) for value in different]

    assert len(set(descriptions)) == len(different)
    assert describe({1, 2, 3, "a"}) == describe({"a", 3, 2, 1})
    assert describe(float("nan")) == describe(float("nan"))
    assert describe({"a": 1, "b": 2}) != describe({"b": 2, "a": 1})
    cyclic: list[Any] = []
    cyclic.append(cyclic)
    assert "again" in describe(cyclic)
    opaque = Describer(lambda code: f"code {code.__qualname__}")
    opaque.describe(threading.Lock())
    assert opaque.opaque == ["_thread.lock"]
