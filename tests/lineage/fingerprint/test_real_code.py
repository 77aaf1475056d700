"""Code by others as the project, a slice of benchmarks/fingerprint_real_code.py: constants and operators of a library
are edited, and what a stage returns before and after is the judge.
"""

from __future__ import annotations

import importlib.util
import random
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "fingerprint_real_code.py"


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("fingerprint_real_code", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("package", ["attr", "click", "jinja2", "packaging", "rich", "sortedcontainers"])
def test_no_edit_of_a_library_changes_a_result_and_not_the_fingerprint(package: str, script: Any) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")

    found = script.examine(package, edits=16, functions=20, rng=random.Random(package))

    assert found["errors"] == []
    assert found["stale"] == []
    assert found["needless"] == []
    assert sum(found["edits"].values()) > 0
