"""The identity of code: what a stage's result depends on in the project, and nothing else.

A *fingerprint* is a hash over a static *closure*: the stage's function and every *unit* (top-level statement)
of project code that it reaches by name, in a canonical form of the syntax; the versions of the distributions
that it reaches; and what it declares. `Sources` hold the project's code as it was read once; `summarize` (in
`syntax`) turns a file into units; `Lookup` says what a name means; `Closures` follow it; `Fingerprinter` puts
it together. `install` runs modules from the very bytes that were fingerprinted. What cannot be seen is said:
*blind spots*.

No project code is imported, no value is hashed (but for what a closure captured), and nothing here knows
stages' options, keys or stores.
"""

from __future__ import annotations

import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lineal.fingerprint.cache import SummaryCache
    from lineal.fingerprint.distributions import Distributions
    from lineal.fingerprint.errors import FingerprintError
    from lineal.fingerprint.fingerprinter import BlindSpot, Fingerprint, Fingerprinter, Unit
    from lineal.fingerprint.live import fingerprint, fingerprint_function
    from lineal.fingerprint.loader import Loader, install, uninstall
    from lineal.fingerprint.pickles import find_pickled_names
    from lineal.fingerprint.sources import Sources, find_project_root

__all__ = [
    "BlindSpot",
    "Distributions",
    "Fingerprint",
    "FingerprintError",
    "Fingerprinter",
    "Loader",
    "Sources",
    "SummaryCache",
    "Unit",
    "find_pickled_names",
    "find_project_root",
    "fingerprint",
    "fingerprint_function",
    "install",
    "uninstall",
]

_HOMES = {
    "BlindSpot": "fingerprinter",
    "Distributions": "distributions",
    "Fingerprint": "fingerprinter",
    "FingerprintError": "errors",
    "Fingerprinter": "fingerprinter",
    "Loader": "loader",
    "Sources": "sources",
    "SummaryCache": "cache",
    "Unit": "fingerprinter",
    "find_pickled_names": "pickles",
    "find_project_root": "sources",
    "fingerprint": "live",
    "fingerprint_function": "live",
    "install": "loader",
    "uninstall": "loader",
}


def __getattr__(name: str) -> Any:
    # Parsing and hashing are imported when they are needed: workers and `--help` import this package too.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


class _CallableModule(types.ModuleType):
    """`lineal.fingerprint` is a function for users and this package for the import system, which puts the
    package in the parent's namespace whenever something below it is imported. Calling the package is calling
    the function.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return __getattr__("fingerprint")(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableModule
