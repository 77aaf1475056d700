"""Which files a stage wrote, as far as Python's audit events tell.

Native writers and child processes raise no event and are not seen.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lineal.graph.records import SideProduct
from lineal_store.digest import Digest

_WRITING = os.O_WRONLY | os.O_RDWR
_MOST_SIDE_PRODUCTS = 1000
_written: dict[str, None] | None = None
_installed = False


@contextmanager
def observed_writes() -> Iterator[dict[str, None]]:
    """The absolute paths that Python code opens for writing, or renames to, inside the block."""
    global _written, _installed
    if not _installed:  # an audit hook stays for the life of the process
        sys.addaudithook(_hook)
        _installed = True
    before, _written = _written, {}
    try:
        yield _written
    finally:
        _written = before


def side_products(written: dict[str, None], *, apart_from: Path) -> tuple[SideProduct, ...]:
    """The regular files among ``written`` that are still there, outside the folder ``apart_from``."""
    found: dict[str, SideProduct] = {}
    scratch = Path(os.path.realpath(apart_from))
    for name in written:
        path = Path(os.path.realpath(name))
        if len(found) == _MOST_SIDE_PRODUCTS:
            break
        if path.suffix == ".pyc" or path.is_relative_to(scratch):
            continue
        try:
            if stat.S_ISREG(path.stat().st_mode):
                digest, size = Digest.of_file(path)
                found[str(path)] = SideProduct(path=str(path), digest=str(digest), size_bytes=size)
        except OSError:
            continue  # gone, or not ours to read: nothing was left behind
    return tuple(found.values())


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if _written is None or event not in ("open", "os.rename", "os.link"):
        return
    if event == "open":
        path, mode, flags = arguments
        writes = (isinstance(flags, int) and flags & _WRITING) or (
            isinstance(mode, str) and set(mode) & set("wax+")
        )
        if not writes:
            return
    else:
        path = arguments[1]
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    if isinstance(path, (str, os.PathLike)):
        # not resolved: that would cost system calls for every file that is opened
        _written[os.path.abspath(os.fspath(path))] = None  # noqa: PTH100
