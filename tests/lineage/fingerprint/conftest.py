"""Projects in memory: fingerprinted without a disk, run from the recorded bytes in a forked process."""

from __future__ import annotations

from collections.abc import Callable

import in_memory
import pytest
import warm
from in_memory import Files

from lineal.fingerprint import Fingerprint


@pytest.fixture
def fingerprint_of() -> Callable[..., Fingerprint]:
    """The fingerprint of ``stage`` in pipeline.py of a project given as text by file name."""
    return in_memory.fingerprint_of


@pytest.fixture
def result_of() -> Callable[[Files], str]:
    """What ``pipeline.stage()`` returns or raises, as `in_memory.result_of` tells it."""
    return lambda files: str(warm.call("in_memory:result_of", dict(files)))
