"""The room as a whole."""

from __future__ import annotations

import subprocess
import sys

import pytest

import lineal.artifacts


def test_everything_promised_is_there() -> None:
    assert all(hasattr(lineal.artifacts, name) for name in lineal.artifacts.__all__)


HEAVY = ("numpy", "pandas", "polars", "pyarrow", "sklearn", "joblib", "fsspec", "scipy")


@pytest.mark.parametrize("code", ["", "Schema.__init_subclass__; codec_for(dict[str, int])"])
def test_importing_the_room_imports_no_library(code: str) -> None:
    script = (
        f"import sys; from lineal.artifacts import *; {code}\nprint([n for n in {HEAVY} if n in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
