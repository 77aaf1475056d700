"""What 200 MB between two cached stages cost: an array and a table, beside joblib and Hamilton in the same run.

usage: python benchmarks/artifacts.py [--runs 5] [--kinds array table]

One stage makes the value, a second takes it and a parameter. Cold: in a fresh folder. Warm: again, nothing has changed. Load:
with another parameter, so that the value is kept and the second stage runs; it reads every byte of it.

Every figure is a whole process, start-up and imports included, the median of some runs in which all take their turns: wall
seconds, processor seconds (of all processes), peak memory of the largest process in MB, in which pages of a mapped file count.
Ratios are those to the best peer for each figure. joblib is measured also with its mapped arrays, Hamilton without the plugins
that it would load. Lineal alone flushes what it writes to the disk; the last ratios are those to a joblib that does so too. Bytecode
is written for everybody.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from stages import FLUSHED_STORE, Cost, cost_of

STEPS = ("cold", "warm", "load")

BODIES = {
    "array": """
import numpy as np

Value = np.ndarray


def make_value() -> np.ndarray:
    return np.random.default_rng(7).random(25_000_000)


def measure_value(value: np.ndarray) -> float:
    return float(value.sum())
""",
    "table": """
import numpy as np
import pandas as pd

Value = pd.DataFrame


def make_value() -> pd.DataFrame:
    random, rows = np.random.default_rng(7), 3_000_000
    customers = pd.array([f"customer {number:08}" for number in range(100_000)], dtype="str")
    return pd.DataFrame(
        {
            "order": np.arange(rows),
            "items": random.integers(1, 100, rows),
            "customer": customers.take(random.integers(0, len(customers), rows)),
            "price": random.random(rows) * 100,
            "weight": random.normal(20.0, 5.0, rows),
            "distance": random.exponential(300.0, rows).round(1),
        }
    )


def measure_value(value: pd.DataFrame) -> float:
    return float(value.drop(columns="customer").sum().sum() + value["customer"].str.len().sum())
""",
}

LINEAL = """
from lineal import pipeline, stage
from body import Value, make_value, measure_value


@stage
def make() -> Value:
    return make_value()


@stage
def use(value: Value, factor: float) -> float:
    return factor * measure_value(value)


@pipeline
def flow(factor: float) -> float:
    return use(make(), factor)
"""

JOBLIB = """
import sys

import flushed_store
from body import make_value, measure_value
from joblib import Memory

memory = Memory("cache", backend=sys.argv[3], mmap_mode=None if sys.argv[2] == "read" else "r", verbose=0)


@memory.cache
def make():
    return make_value()


@memory.cache
def use(value, factor):
    return factor * measure_value(value)


print(use(make(), float(sys.argv[1])))
"""

HAMILTON_STAGES = """
from body import Value, make_value, measure_value


def value() -> Value:
    return make_value()


def result(value: Value, factor: float) -> float:
    return factor * measure_value(value)
"""

HAMILTON = """
import sys

from hamilton import registry

registry.disable_autoload()

import flow
from hamilton import driver

built = driver.Builder().with_modules(flow).with_cache().build()
print(built.execute(["result"], inputs={"factor": float(sys.argv[1])}))
"""


class System(NamedTuple):
    """One that is measured: its name, its files, and the words of its command, in which ``{factor}`` stands for the parameter."""

    name: str
    files: dict[str, str]
    words: tuple[str, ...]

    def measured(self, body: str) -> list[Cost]:
        """The cost of each of `STEPS`, in a folder of its own."""
        with tempfile.TemporaryDirectory(prefix="lineal-benchmark-") as folder:
            for name, text in {**self.files, "body.py": body}.items():
                Path(folder, name).write_text(text)
            return [self._step(Path(folder), factor) for factor in ("2.0", "2.0", "3.0")]

    def _step(self, folder: Path, factor: str) -> Cost:
        return cost_of([sys.executable, *(word.format(factor=factor) for word in self.words)], folder)


def _lineal(executor: str) -> System:
    words = ("-m", "lineal_cli", "run", "flow.py:flow", "factor={factor}", "--executor", executor)
    return System(f"lineal, {executor}", {"flow.py": LINEAL}, words)


def _joblib(name: str, *how: str) -> System:
    return System(name, {"peer.py": JOBLIB, "flushed_store.py": FLUSHED_STORE}, ("peer.py", "{factor}", *how))


LINEALS = [_lineal("process"), _lineal("inline")]
PEERS = [
    _joblib("joblib", "read", "local"),
    _joblib("joblib, mapped", "mapped", "local"),
    System("hamilton", {"peer.py": HAMILTON, "flow.py": HAMILTON_STAGES}, ("peer.py", "{factor}")),
]
FLUSHED = [_joblib("joblib, flushed", "read", "flushed"), _joblib("mapped, flushed", "mapped", "flushed")]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--kinds", nargs="*", choices=BODIES, default=list(BODIES))
    options = parser.parse_args()
    systems = [*LINEALS, *PEERS, *FLUSHED]
    for kind in options.kinds:
        measured = [[system.measured(BODIES[kind]) for system in systems] for _ in range(options.runs)]
        medians = [
            [_median([one[at][step] for one in measured]) for step in range(len(STEPS))]
            for at in range(len(systems))
        ]
        print(f"\n{kind:18}" + "".join(f"{f'{step}: s, cpu s, MB':>26}" for step in STEPS))
        for system, costs in zip(systems, medians, strict=True):
            print(f"{system.name:18}" + "".join(f"{c[0]:12.2f}{c[1]:7.2f}{c[2]:7.0f}" for c in costs))
        compared = {"best": medians[len(LINEALS) : -len(FLUSHED)], "flushed": medians[-len(FLUSHED) :]}
        for system, costs in zip(LINEALS, medians, strict=False):
            for word, peers in compared.items():
                ratios = [_ratios(cost, [peer[step] for peer in peers]) for step, cost in enumerate(costs)]
                columns = "".join(f"{r[0]:12.2f}{r[1]:7.2f}{r[2]:7.2f}" for r in ratios)
                name = system.name.removeprefix("lineal, ")
                print(f"{f'{name} / {word}':18}" + columns, flush=True)
    return 0


def _median(costs: Sequence[Cost]) -> Cost:
    return Cost(*(statistics.median(figures) for figures in zip(*costs, strict=True)))


def _ratios(cost: Cost, peers: Sequence[Cost]) -> Cost:
    """``cost`` in parts of the least of the peers', for each figure."""
    return Cost(*(mine / min(theirs) for mine, theirs in zip(cost, zip(*peers, strict=True), strict=True)))


if __name__ == "__main__":
    sys.exit(main())
