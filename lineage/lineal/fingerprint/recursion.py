"""Recursion that is as deep as somebody's code: nesting, chains of imports, chains of calls."""

from __future__ import annotations

import ast
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_FRAMES = 50_000
_PARSER_FRAMES = 2_000

_lock = threading.Lock()
_inside: set[int] = set()  # the threads that have been given room
_limit = sys.getrecursionlimit()  # as it was before the first of them


@contextmanager
def deep_recursion() -> Iterator[None]:
    """Allow many more Python frames inside; they take no C stack."""
    global _limit
    thread = threading.get_ident()
    if thread in _inside:
        yield
        return
    with _lock:
        if not _inside:
            _limit = sys.getrecursionlimit()
        _inside.add(thread)
        sys.setrecursionlimit(max(_limit, _FRAMES))
    try:
        yield
    finally:
        with _lock:
            _inside.discard(thread)
            if not _inside:
                sys.setrecursionlimit(_limit)


def parse(source: str | bytes, file: str = "<text>", mode: str = "exec") -> ast.AST:
    """`ast.parse`, with no more recursion than the C stack has room for: up to Python 3.11 the parser goes by the
    limit that `deep_recursion` raises, and would crash.
    """
    with _parser_recursion():
        return ast.parse(source, file, mode)


@contextmanager
def _parser_recursion() -> Iterator[None]:
    limit = sys.getrecursionlimit()
    if _inside != {threading.get_ident()}:  # another thread may need the room
        yield
        return
    depth = 0
    frame = sys._getframe()
    while frame is not None:
        depth, frame = depth + 1, frame.f_back  # type: ignore[assignment]
    sys.setrecursionlimit(min(limit, depth + _PARSER_FRAMES))
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)
