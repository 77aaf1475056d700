from __future__ import annotations

import subprocess
import sys

import lineal.stages


def test_every_exported_name_is_there_once_and_in_order() -> None:
    names = lineal.stages.__all__

    assert names == sorted(set(names))
    assert all(hasattr(lineal.stages, name) for name in names)


def test_importing_the_room_imports_nothing_heavy() -> None:
    heavy = ("numpy", "pandas", "pyarrow", "fsspec", "s3fs", "rich", "asyncio", "difflib")
    code = f"import sys, lineal.stages; print(*[name for name in {heavy!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout.split() == []
