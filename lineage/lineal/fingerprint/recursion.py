"""Room for recursion that is as deep as somebody's code: nesting, chains of imports, chains of calls."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_FRAMES = 50_000


@contextmanager
def deep_recursion() -> Iterator[None]:
    """Allow many more Python frames inside; they take no C stack."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, _FRAMES))
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)
