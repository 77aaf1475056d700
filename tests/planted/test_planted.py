"""The planted bugs fit the code as it is; whether each is caught is for ``make test-planted``."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PATCHES = sorted(HERE.glob("*.patch"))


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_a_planted_bug_can_be_planted(patch: Path) -> None:
    done = subprocess.run(
        ["git", "apply", "--check", "--unsafe-paths", f"--directory={HERE.parents[1]}", str(patch)],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert [line for line in patch.read_text().splitlines() if line.startswith("Caught by: ")]
