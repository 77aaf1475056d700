"""What `lineal status` and `lineal run` cost, as whole processes, in a project whose modules import pandas and scikit-learn.

usage: python benchmarks/unchanged.py [--runs 15]

Bytecode is compiled first. Every figure is in milliseconds: the best and the median of some processes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FLOW = """
from typing import NamedTuple

import pandas as pd
from lineal import File, Metrics, pipeline, stage, when
from sklearn.ensemble import HistGradientBoostingClassifier


class Trained(NamedTuple):
    model: HistGradientBoostingClassifier
    metrics: Metrics


@stage
def load(source: File) -> pd.DataFrame:
    return pd.read_csv(source)


@stage
def train(table: pd.DataFrame, rate: float = 0.1) -> Trained:
    model = HistGradientBoostingClassifier(learning_rate=rate, max_iter=3).fit(table[["a"]], table["b"])
    return Trained(model, {"auc": float(model.score(table[["a"]], table["b"]))})


@stage(effect=True)
def deploy(model: HistGradientBoostingClassifier, target: str) -> str:
    return target


@pipeline
def flow(source: str = "raw.csv", rate: float = 0.1) -> Trained:
    trained = train(load(File(source)), rate)
    with when(trained.metrics["auc"] >= 0.1):
        deploy(trained.model, target="production")
    return trained
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    lineal = [sys.executable, "-m", "lineal_cli"]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "project")
        root.mkdir()
        (root / "lineal.toml").touch()
        (root / "flow.py").write_text(FLOW)
        (root / "raw.csv").write_text("a,b\n" + "".join(f"{n},{n % 2}\n" for n in range(200)))
        measure(
            "python -c 'import click, msgspec, xxhash'",
            [sys.executable, "-c", "import click, msgspec, xxhash"],
            root,
            runs,
        )
        measure("lineal run, for the first time", [*lineal, "run"], root, 1)
        measure("lineal status", [*lineal, "status", "--exit-code"], root, runs)
        measure("lineal run", [*lineal, "run"], root, runs)
        edited = FLOW.replace("max_iter=3", "max_iter=4")
        (root / "flow.py").write_text(edited)
        measure("lineal status after an edit of a stage", [*lineal, "status"], root, runs)
        (root / "flow.py").write_text(edited.replace('"production"', 'str("production" or open("x"))'))
        measure("lineal status of a graph that may not be kept", [*lineal, "status"], root, 3)


def measure(what: str, command: list[str], root: Path, runs: int) -> None:
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    seconds = []
    for _ in range(runs + (runs > 1)):  # the first one compiles what is not compiled yet
        started = time.perf_counter()
        subprocess.run(command, cwd=root, env=variables, check=True, capture_output=True)
        seconds.append(time.perf_counter() - started)
    taken = [1000 * each for each in seconds[runs > 1 :]]
    print(f"{what:<48} best {min(taken):6.0f}   median {statistics.median(taken):6.0f}")


if __name__ == "__main__":
    main()
