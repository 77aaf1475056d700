"""What a stage costs: cold and warm, chain and fan-out, beside joblib in the same run.

usage: python benchmarks/stages.py [--stages 100 1000] [--runs 3]

Every figure is a whole process, start-up and imports included; stages are trivial, so that the cost is the
system's own. The cost per stage is the slope between the two sizes. Ratios to joblib, measured in turn in the
same run, carry over to other machines; seconds do not. Bytecode is written for everybody.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LINEAL = """
from lineal import pipeline, stage


@stage
def first() -> int:
    return 0


@stage
def step(value: int, place: int) -> int:
    return value + place


@pipeline
def chain(stages: int) -> int:
    value = first()
    for place in range(stages):
        value = step(value, place)
    return value


@stage
def total(values: list[int]) -> int:
    return sum(values)


@pipeline
def fan(stages: int) -> int:
    start = first()
    return total([step(start, place) for place in range(stages)])
"""

JOBLIB = """
import sys

from joblib import Memory

memory = Memory("cache", verbose=0)


@memory.cache
def step(value, place):
    return value + place


@memory.cache
def total(values):
    return sum(values)


shape, stages = sys.argv[1], int(sys.argv[2])
value = 0
if shape == "chain":
    for place in range(stages):
        value = step(value, place)
else:
    value = total([step(0, place) for place in range(stages)])
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stages", type=int, nargs=2, default=[100, 1000])
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    small, large = options.stages
    print(f"{'':34}{small:>8}{large:>8}   seconds, whole process, median of {options.runs}; then ms a stage")
    for shape in ("chain", "fan"):
        for executor in ("inline", "process"):
            for kind in ("cold", "warm"):
                times = [
                    measure(lineal_command(shape, executor, n), kind, options.runs) for n in options.stages
                ]
                peer = [measure(joblib_command(shape, n), kind, options.runs) for n in options.stages]
                show(f"lineal {executor} {shape} {kind}", times, options.stages)
                show(f"joblib {shape} {kind}", peer, options.stages)
                print(f"{'ratio':34}" + "".join(f"{a / b:8.2f}" for a, b in zip(times, peer, strict=True)))
    return 0


def show(name: str, times: list[float], stages: list[int]) -> None:
    slope = 1000 * (times[1] - times[0]) / (stages[1] - stages[0])
    print(f"{name:34}" + "".join(f"{seconds:8.2f}" for seconds in times) + f"{slope:10.3f}", flush=True)


def lineal_command(shape: str, executor: str, stages: int) -> list[str]:
    target = f"pipelines.py:{shape}"
    return [sys.executable, "-m", "lineal_cli", "run", target, f"stages={stages}", "--executor", executor]


def joblib_command(shape: str, stages: int) -> list[str]:
    return [sys.executable, "peer.py", shape, str(stages)]


def measure(command: list[str], kind: str, runs: int) -> float:
    """Median wall seconds of ``command`` in a fresh folder each time; warm runs follow an uncounted cold one."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    times = []
    for _ in range(runs):
        folder = Path(tempfile.mkdtemp(prefix="lineal-benchmark-"))
        try:
            (folder / "pipelines.py").write_text(LINEAL)
            (folder / "peer.py").write_text(JOBLIB)
            if kind == "warm":
                subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
            started = time.perf_counter()
            subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
            times.append(time.perf_counter() - started)
        finally:
            shutil.rmtree(folder)
    return statistics.median(times)


if __name__ == "__main__":
    sys.exit(main())
