"""The room's face: what it exports, and what it costs to look at it."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys
from tempfile import TemporaryDirectory
from types import ModuleType

import pytest

import lineal_store

MODULES = [
    importlib.import_module(info.name)
    for info in pkgutil.walk_packages(lineal_store.__path__, "lineal_store.")
]


def test_everything_exported_is_there_and_nothing_else_is_offered() -> None:
    for name in lineal_store.__all__:
        assert getattr(lineal_store, name).__name__ == name
    assert list(lineal_store.__all__) == sorted(
        lineal_store.__all__, key=lambda name: (not name[0].isupper(), name)
    )
    with pytest.raises(AttributeError):
        lineal_store.nothing  # noqa: B018


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_public_name_says_what_it_is(module: ModuleType) -> None:
    assert module.__doc__
    own = [value for name, value in vars(module).items() if not name.startswith("_")]
    for value in own:
        if getattr(value, "__module__", None) != module.__name__ or not callable(value):
            continue
        assert value.__doc__, value
        if inspect.isclass(value) and "backends" not in module.__name__ and "testing" not in module.__name__:
            members = {name: member for name, member in vars(value).items() if not name.startswith("_")}
            for name, member in members.items():
                if callable(member) or isinstance(member, property | classmethod | staticmethod):
                    assert member.__doc__, f"{value}.{name}"


def test_a_module_is_one_idea_of_readable_length() -> None:
    assert {m.__name__: n for m in MODULES if (n := len(inspect.getsource(m).splitlines())) > 450} == {}


def test_importing_the_room_imports_nothing_else() -> None:
    program = "import importlib, typing; before = set(sys.modules); import lineal_store; "
    program += "print(*(set(sys.modules) - before))"
    command = [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {program}"]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    assert set(loaded) - {"__future__"} == {"lineal_store"}


def test_opening_a_local_store_imports_nothing_that_it_does_not_use() -> None:
    unused = "asyncio ctypes fsspec importlib.metadata lineal lineal_store.tree lineal_store.verify numpy pandas pyarrow"
    unused += (
        " pytest rich s3fs secrets tempfile uuid xxhash lineal_store.testing lineal_store.backends.memory"
    )
    program = (
        "import sys, lineal_store; s = lineal_store.open_store(sys.argv[1]); s.actions.find(['0' * 32]); "
    )
    program += f"s.blobs.put(b'x'); s.blobs.sizes([]); print(*(set(sys.modules) & set({unused.split()!r})))"
    with TemporaryDirectory() as directory:
        lineal_store.open_store(directory)
        command = [sys.executable, "-c", program, directory]
        loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    assert loaded == []
