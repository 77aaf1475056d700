"""Plants each bug of this folder in a copy of the tree, and has the tests that must catch it run: they have to fail.

A check that cannot fail proves nothing. A patch says first what is wrong with it and, after ``Caught by:``, what pytest is
given. Run as ``python tests/planted/catch.py [NAME…]``; ends with 1 when a bug was not caught.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PARTS = ("store", "lineage", "cli", "web", "tests", "pyproject.toml")
# Without Hypothesis' search for the smallest example: one is enough.
PYTEST = (
    "import sys, pytest; from hypothesis import Phase, settings;"
    "settings.register_profile('planted', phases=[Phase.explicit, Phase.generate]);"
    "settings.load_profile('planted'); sys.exit(pytest.main(sys.argv[1:]))"
)


def main(names: list[str]) -> int:
    patches = sorted(HERE.glob("*.patch"))
    chosen = [patch for patch in patches if not names or patch.stem in names]
    verdicts = {patch.stem: is_caught(patch) for patch in chosen}
    for name, caught in verdicts.items():
        print(f"{'caught' if caught else 'NOT CAUGHT':12}{name}")
    print(f"{sum(verdicts.values())} of {len(verdicts)} planted bugs were caught")
    return 0 if all(verdicts.values()) else 1


def is_caught(patch: Path) -> bool:
    """Whether the tests fail on a tree with that bug."""
    (tests,) = [line for line in patch.read_text().splitlines() if line.startswith("Caught by: ")]
    with tempfile.TemporaryDirectory(prefix="lineal-planted-") as folder:
        for part in PARTS:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, Path(folder) / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, folder)
        subprocess.run(["git", "apply", str(patch)], cwd=folder, check=True)
        paths = [str(Path(folder) / room) for room in ("store", "lineage", "cli", "web")]
        words = tests.removeprefix("Caught by: ").split(maxsplit=2)
        done = subprocess.run(
            [sys.executable, "-c", PYTEST, "-q", "-x", "-p", "no:cacheprovider", *words],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            check=False,
            capture_output=True,
            text=True,
        )
    if done.returncode != 1:  # 1 says that tests ran, and some failed
        print(f"{patch.stem}: pytest ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.returncode == 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
