"""What a stage declares beside its code: the files that it reads, and more code that it depends on."""

# ruff: noqa: PTH117
# os.path keeps symbolic links as they are, and costs less for thousands of paths.
from __future__ import annotations

import os
import re
import types
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from lineal_store.digest import Digest

if TYPE_CHECKING:
    from lineal.fingerprint.sources import Sources


_PICKLES = (b"\x80", b"\x78")
"""The first byte of a pickle, and of a compressed one."""

_LONGEST_TEXT = 1 << 18
"""Longer files are data, not configuration."""

_DOTTED = re.compile(r"(?<![\w.:/-])[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*(?:[.:][A-Za-z_]\w*)(?![\w/-])")


def hash_reads(root: Path, reads: Iterable[str | os.PathLike[str]]) -> dict[str, str]:
    """The digests of declared files by name, sorted; ``absent`` for one that is not there.

    Names are relative to ``root`` where the file lies in it. A folder counts with all files in it, a pattern
    with all that match.
    """
    found: dict[str, str] = {}
    for each in reads:
        name = os.fspath(each)
        path = Path(os.path.normpath(root / name))
        if any(character in name for character in "*?[") and not path.exists():
            matches = sorted(root.glob(name)) if not os.path.isabs(name) else []
            found[name] = "pattern"
        else:
            matches = [path]
        for match in matches:
            files = sorted(file for file in match.rglob("*") if file.is_file()) if match.is_dir() else [match]
            if match.is_dir():
                found[_name(root, match)] = "folder"
            for file in files:
                try:
                    found[_name(root, file)] = str(Digest.of_file(file)[0])
                except OSError:
                    found[_name(root, file)] = "absent"
    return dict(sorted(found.items()))


def find_names_in_pickles(root: Path, read: Iterable[str]) -> list[tuple[str, str]]:
    """The modules and names that those of the declared files ``read`` name that are pickles, sorted."""
    from lineal.fingerprint.pickles import find_pickled_names

    found: set[tuple[str, str]] = set()
    for name in read:
        try:
            with (root / name).open("rb") as stream:
                start = stream.read(1)
                if start in _PICKLES:
                    found.update(find_pickled_names(start + stream.read()))
        except OSError:
            continue  # a folder, a pattern, or not there
    return sorted(found)


def find_names_in_texts(root: Path, read: Iterable[str]) -> list[str]:
    """The dotted names, ``a.b`` or ``a.b:c``, in those of the declared files ``read`` that are short texts, sorted."""
    found: set[str] = set()
    for name in read:
        try:
            with (root / name).open("rb") as stream:
                data = stream.read(_LONGEST_TEXT + 1)
            text = data.decode() if len(data) <= _LONGEST_TEXT else ""
        except (OSError, UnicodeDecodeError):
            continue
        found.update(_DOTTED.findall(text))
    return sorted(found)


def _name(root: Path, path: Path) -> str:
    try:
        return path.relative_to(root).as_posix()
    except ValueError:
        return path.as_posix()


def entry_of(declared: object, sources: Sources) -> tuple[str, str]:
    """The module and the name that an item of ``depends_on`` stands for: ``"m"``, ``"m:f"``, a module, a
    function, a class.
    """
    if isinstance(declared, str):
        module, _, name = declared.partition(":")
        if not name:
            parts = module.split(".")
            for length in range(len(parts), 0, -1):
                if sources.find(".".join(parts[:length])) is not None:
                    return ".".join(parts[:length]), ".".join(parts[length:])
        return module, name
    if isinstance(declared, types.ModuleType):
        return declared.__name__, ""
    wrapped = getattr(declared, "__wrapped__", declared)
    name = getattr(wrapped, "__qualname__", "") or type(declared).__qualname__
    return getattr(wrapped, "__module__", None) or type(declared).__module__, name.partition(".")[0]
