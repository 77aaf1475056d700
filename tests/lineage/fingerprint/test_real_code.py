"""Code by others as the project, a slice of benchmarks/fingerprint_real_code.py: constants and operators of a library
are edited, and what a stage returns before and after is the judge.
"""

from __future__ import annotations

import importlib.util

import pytest
import warm


@pytest.mark.parametrize("package", ["attr", "click", "jinja2", "packaging", "rich", "sortedcontainers"])
def test_no_edit_of_a_library_changes_a_result_and_not_the_fingerprint(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")

    found = warm.call("real_code:examine", package, 10, 20, timeout_seconds=600)

    assert found is not None
    assert found["errors"] == []
    assert found["stale"] == []
    assert found["needless"] == []
    assert sum(found["edits"].values()) > 0
