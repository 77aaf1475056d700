"""What a stage costs: cold and warm, chain and fan-out, beside doit and joblib in the same run.

usage: python benchmarks/stages.py [--cold 100 1000] [--warm 1000 10000] [--runs 5]

Every figure is a whole process, start-up and imports included, the best of some; stages are trivial, so that the cost is
the system's own. The cost per stage is the slope between the two sizes. Ratios to peers, measured in turn in the same run,
carry over to other machines; seconds do not. No peer waits for the disk, which Lineal does: what is cold is measured also for a joblib
that flushes each result, so that it is there after a power cut. Bytecode is written for everybody. Processor time is that of
the process and of all that it waited for, peak memory that of the largest of them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

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
    made = [step(start, place) for place in range(stages)]
    sums = [total(made[at : at + 1000]) for at in range(0, stages, 1000)]  # a stage takes so many inputs, not more
    return total(sums)
"""

FLUSHED_STORE = """
import os

from joblib import register_store_backend
from joblib._store_backends import FileSystemStoreBackend


def flush(path):
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def move_flushed(source, target):
    is_result = target.endswith("output.pkl")
    if is_result:
        flush(source)
    os.replace(source, target)
    if is_result:
        flush(os.path.dirname(target))
        flush(os.path.dirname(os.path.dirname(target)))


class Flushed(FileSystemStoreBackend):
    _move_item = staticmethod(move_flushed)


register_store_backend("flushed", Flushed)
"""
"""Lets a joblib.Memory with the backend ``flushed`` wait until each result is on the disk."""

JOBLIB = """
import sys

import flushed_store
from joblib import Memory

memory = Memory("cache", backend=sys.argv[3] if len(sys.argv) > 3 else "local", verbose=0)


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
    made = [step(0, place) for place in range(stages)]
    value = total([total(made[at : at + 1000]) for at in range(0, stages, 1000)])
"""


DOIT = """
import os
from pathlib import Path

STAGES = int(os.environ["STAGES"])
LAST = str(STAGES - 1) if os.environ["SHAPE"] == "chain" else "total"
DOIT_CONFIG = {"default_tasks": [f"stage:{LAST}"], "verbosity": 0, "reporter": "zero"}


def first(targets):
    Path(targets[0]).write_text("0")


def step(dependencies, targets, place):
    Path(targets[0]).write_text(str(int(Path(next(iter(dependencies))).read_text()) + place))


def total(dependencies, targets):
    Path(targets[0]).write_text(str(sum(int(Path(each).read_text()) for each in dependencies)))


def task_stage():
    Path("out").mkdir(exist_ok=True)
    yield {"name": "first", "actions": [first], "targets": ["out/first"], "uptodate": [True]}
    before = "first"
    for place in range(STAGES):
        yield {
            "name": str(place),
            "actions": [(step, [], {"place": place})],
            "file_dep": [f"out/{before}"],
            "targets": [f"out/{place}"],
        }
        if os.environ["SHAPE"] == "chain":
            before = str(place)
    sums = []
    for at in range(0, STAGES, 1000):
        made = [f"out/{place}" for place in range(at, min(at + 1000, STAGES))]
        sums.append(f"out/total-{at}")
        yield {"name": f"total-{at}", "actions": [total], "file_dep": made, "targets": sums[-1:]}
    yield {"name": "total", "actions": [total], "file_dep": sums, "targets": ["out/total"]}
"""


class Cost(NamedTuple):
    """Of one process and of all that it waited for: wall and processor seconds, and the peak memory of the largest in MB."""

    seconds: float
    processor: float
    megabytes: float


class System(NamedTuple):
    """One that is measured: its name, its files, and the words of its command for a shape and a number of stages."""

    name: str
    files: dict[str, str]
    words: tuple[str, ...]

    def command(self, shape: str, stages: int) -> list[str]:
        return [sys.executable, *(word.format(shape=shape, stages=stages) for word in self.words)]


def _lineal(executor: str) -> System:
    words = ("-m", "lineal_cli", "run", "pipelines.py:{shape}", "stages={stages}", "--executor", executor)
    return System(f"lineal, {executor}", {"pipelines.py": LINEAL}, words)


JOBLIB_FILES = {"peer.py": JOBLIB, "flushed_store.py": FLUSHED_STORE}
PEERS = [
    System("doit", {"dodo.py": DOIT}, ("-m", "doit")),
    System("joblib", JOBLIB_FILES, ("peer.py", "{shape}", "{stages}")),
]
FLUSHED = System("joblib, flushed", JOBLIB_FILES, ("peer.py", "{shape}", "{stages}", "flushed"))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cold", type=int, nargs="*", default=[100, 1000], metavar="STAGES")
    parser.add_argument("--warm", type=int, nargs="*", default=[1000, 10000], metavar="STAGES")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lineal-benchmark-") as root:
        benchmark(Path(root), options)
    return 0


def benchmark(root: Path, options: argparse.Namespace) -> None:
    """Every project in a folder of its own below ``root``.

    Nothing is removed before the end: for some seconds after a file was deleted ext4 takes several times as long to make new ones.
    """
    for shape in ("chain", "fan"):
        if options.cold:
            title(f"{shape}, cold", options.cold)
            for system in (_lineal("inline"), _lineal("process"), *PEERS, FLUSHED):
                costs = [cold(root, system, shape, n, options.runs) for n in options.cold]
                show(system.name, costs, options.cold)
        if options.warm:
            title(f"{shape}, warm", options.warm)
            systems = [_lineal("inline"), *PEERS]  # nothing is executed
            sizes = [warm(root, systems, shape, n, options.runs) for n in options.warm]
            for at, system in enumerate(systems):
                show(system.name, [costs[at] for costs in sizes], options.warm)
            for at, peer in enumerate(PEERS, start=1):
                ratios = [costs[0].seconds / costs[at].seconds for costs in sizes]
                print(f"{'lineal / ' + peer.name:18}" + "".join(f"{ratio:29.2f}" for ratio in ratios))


def title(what: str, stages: Sequence[int]) -> None:
    print(f"\n{what:18}" + "".join(f"{f'{n} stages: s, cpu s, MB':>29}" for n in stages) + "   ms a stage")


def show(name: str, costs: Sequence[Cost], stages: Sequence[int]) -> None:
    slope = ""
    if len(costs) > 1:
        slope = f"{1000 * (costs[-1].seconds - costs[0].seconds) / (stages[-1] - stages[0]):13.3f}"
    columns = (f"{one.seconds:13.3f}{one.processor:8.3f}{one.megabytes:8.0f}" for one in costs)
    print(f"{name:18}" + "".join(columns) + slope, flush=True)


def cold(root: Path, system: System, shape: str, stages: int, runs: int) -> Cost:
    """In a fresh folder each time."""
    return best([measure(system, project(root, system), shape, stages) for _ in range(runs)])


def warm(root: Path, systems: Sequence[System], shape: str, stages: int, runs: int) -> list[Cost]:
    """Of each, after one run that is not counted; in turn, so that what else goes on meets all of them."""
    folders = [project(root, system) for system in systems]
    for system, folder in zip(systems, folders, strict=True):
        measure(system, folder, shape, stages)
    costs = [
        [measure(system, folder, shape, stages) for system, folder in zip(systems, folders, strict=True)]
        for _ in range(runs)
    ]
    return [best(of_one) for of_one in zip(*costs, strict=True)]


def best(costs: Sequence[Cost]) -> Cost:
    return Cost(*(min(figures) for figures in zip(*costs, strict=True)))


def project(root: Path, system: System) -> Path:
    """A fresh project of ``system``."""
    folder = Path(tempfile.mkdtemp(dir=root))
    for name, text in system.files.items():
        Path(folder, name).write_text(text)
    return folder


def measure(system: System, folder: Path, shape: str, stages: int) -> Cost:
    return cost_of(system.command(shape, stages), folder, SHAPE=shape, STAGES=str(stages))


def cost_of(command: Sequence[str], folder: Path, **variables: str) -> Cost:
    """What ``command`` costs in ``folder``, with ``variables`` in its environment; leaves when it fails."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, env=environment | variables, stdout=output, stderr=output
        )
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            sys.exit(f"{' '.join(command)} failed:\n{output.read().decode()[-2000:]}")
    return Cost(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


if __name__ == "__main__":
    sys.exit(main())
