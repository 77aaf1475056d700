"""The project that ``lineal init`` writes."""

from __future__ import annotations

import re
from pathlib import Path

from lineal.errors import UsageError

_SETTINGS = 'pipelines = ["pipeline.py:travel"]\n'
_PYPROJECT = """\
[project]
name = "{name}"
version = "0.1.0"
requires-python = ">=3.11"
dependencies = ["lineal"]

[tool.lineal]
{settings}
[tool.pytest.ini_options]
pythonpath = ["."]
"""
_GITIGNORE = ".lineal/\nlineal.local.toml\n__pycache__/\n"
_DATA = """\
distance_km,minutes
2.1,9
3.4,12
5.0,16
7.2,21
8.8,27
10.5,30
12.9,38
15.0,43
18.3,52
21.7,60
"""
_PIPELINE = '''\
"""How long does a way take? Three stages: read a table, fit a line to it, say how well it fits."""

import csv
from typing import NamedTuple

from lineal import File, Metrics, pipeline, stage


class Fitted(NamedTuple):
    model: dict[str, float]
    metrics: Metrics


@stage
def read(source: File) -> list[tuple[float, float]]:
    """(distance in km, minutes) of every way."""
    with open(source, newline="") as lines:
        return [(float(row["distance_km"]), float(row["minutes"])) for row in csv.DictReader(lines)]


@stage
def fit(ways: list[tuple[float, float]], *, through_origin: bool = False) -> dict[str, float]:
    """The line that fits best by least squares."""
    middle_x = 0.0 if through_origin else mean([x for x, _ in ways])
    middle_y = 0.0 if through_origin else mean([y for _, y in ways])
    slope = sum((x - middle_x) * (y - middle_y) for x, y in ways) / sum((x - middle_x) ** 2 for x, _ in ways)
    return {"minutes_per_km": slope, "minutes_at_start": middle_y - slope * middle_x}


@stage
def evaluate(model: dict[str, float], ways: list[tuple[float, float]]) -> Metrics:
    """The mean error in minutes."""
    return {"mean_error_minutes": mean([abs(predict(model, x) - y) for x, y in ways])}


def predict(model: dict[str, float], distance_km: float) -> float:
    return model["minutes_at_start"] + model["minutes_per_km"] * distance_km


def mean(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers)


@pipeline
def travel(source: str = "data/travel.csv", through_origin: bool = False) -> Fitted:
    ways = read(File(source))
    model = fit(ways, through_origin=through_origin)
    return Fitted(model, evaluate(model, ways))
'''
_TEST = '''\
"""Outside of a pipeline a stage is its function: these tests need no store."""

from pipeline import evaluate, fit

LINE = [(1.0, 5.0), (2.0, 7.0), (3.0, 9.0)]


def test_points_on_a_line_give_that_line() -> None:
    assert fit(LINE) == {"minutes_per_km": 2.0, "minutes_at_start": 3.0}


def test_a_perfect_model_has_no_error() -> None:
    assert evaluate(fit(LINE), LINE) == {"mean_error_minutes": 0.0}
'''


def write_project(folder: Path) -> dict[str, object]:
    """Write the files that are not there; returns what was created and what was kept, as paths.

    Where there is a pyproject.toml without settings of Lineal, they go into lineal.toml. UsageError where a file cannot
    be written, or where a file of the same name as a folder is in the way.
    """
    has_pipeline = (folder / "pipeline.py").exists()
    settings = "" if has_pipeline else _SETTINGS
    files = {
        "pipeline.py": _PIPELINE,
        ".gitignore": _GITIGNORE,
    }
    if not (folder / "pyproject.toml").exists():
        files["pyproject.toml"] = _PYPROJECT.format(name=_distribution_name(folder), settings=settings)
    elif settings and "[tool.lineal" not in (folder / "pyproject.toml").read_text("utf-8", errors="replace"):
        files["lineal.toml"] = settings
    if not has_pipeline:
        files["data/travel.csv"] = _DATA
        files["tests/test_pipeline.py"] = _TEST
    created, kept = [], []
    for name, text in sorted(files.items()):
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
            created.append(name)
        except FileExistsError:
            if not path.is_file():
                raise UsageError(f"{path} cannot be written: a file or folder is in the way") from None
            kept.append(name)
        except OSError as problem:
            raise UsageError(f"{path} cannot be written: {problem.strerror}") from None
    if "pyproject.toml" not in files:
        kept.append("pyproject.toml")
    return {"folder": str(folder), "created": created, "kept": sorted(kept)}


def _distribution_name(folder: Path) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")
    return name or "travel"
