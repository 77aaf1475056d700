"""benchmarks/fingerprint_real_code.py as a module."""

from __future__ import annotations

import importlib.util
import random
import sys
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "fingerprint_real_code.py"


def examine(package: str, edits: int, functions: int) -> Any:
    """What it finds with edits of this package, the same each time."""
    spec = importlib.util.spec_from_file_location("fingerprint_real_code", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.examine(package, edits, functions, random.Random(package))
