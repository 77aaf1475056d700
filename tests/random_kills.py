"""Runs of a small project that are killed at random moments, and what is left after each kill.

Run as ``python random_kills.py ROOT EXECUTOR KILLS SEED``. A journey begins with an empty store, goes through a few runs
that are killed, and ends with runs that are left alone. Its engines are forked from this process, which has imported all
that they need, so that little of the time in which they can be killed is spent on imports. Who is killed follows from the
seed, and when: after which part of the time that a run takes, counted from its start or from that of its first stage. What
it is doing then is the machine's to choose.

One JSON document a kill goes to stdout, with what was wrong after it (``problems``), and one for the end of each journey.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import psutil

from lineal.api import open_project
from lineal.events import Event, StageChanged
from lineal.graph.records import ActionResult, unseal_record

FLOW = """
import os
import time

import lineal
from lineal import File, pipeline, stage


def note(name, number):
    time.sleep(0.03)  # so long that results are committed in several groups
    journal = os.open(os.environ["JOURNAL"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(journal, f"{os.environ['RUN']} {name} {number}\\n".encode())
    os.close(journal)


@stage(retries=3, retry_delay=0)
def small(number: int) -> int:
    note("small", number)
    return 10 * number


@stage(retries=3, retry_delay=0)
def large(number: int) -> bytes:
    note("large", number)
    return bytes([number]) * 100_000  # a worker puts that into the store itself


@stage(retries=3, retry_delay=0)
def written(number: int, data: bytes) -> File:
    note("written", number)
    place = lineal.output("file")
    place.write_bytes(data[:50_000])
    return File(place)


@stage(retries=3, retry_delay=0)
def copied(number: int, data: bytes) -> bytes:
    note("copied", number)
    return data[:100]


@stage(retries=3, retry_delay=0)
def joined(number: int, left: int, file: File, right: bytes) -> int:
    note("joined", number)
    return left + len(file.path.read_bytes()) + right[0]


@pipeline
def flow(number: int) -> int:
    data = large(number)
    return joined(number, small(number), written(number, data), copied(number, data))
"""
STAGES = ("small", "large", "written", "copied", "joined")
NUMBERS = (1, 2, 3)  # so many questions to one store: the answer to another one is a wrong hit
VICTIMS = {"inline": ["engine"], "process": ["engine", "family", "zygote", "worker", "worker"]}
PATIENCE_SECONDS = 60.0

Made = tuple[str, int]  # a stage, and the number that it was given


def main(root: Path, executor: str, kills: int, seed: int) -> None:
    adopt_orphans()
    random = Random(seed)
    (root / "lineal.toml").write_text("")
    (root / "flow.py").write_text(FLOW)
    Journey(root, executor).import_what_is_needed()
    journey = Journey(root, executor)
    began = time.monotonic()
    for number in NUMBERS:
        journey.quiet_run(number)
    usual_seconds = (time.monotonic() - began) / len(NUMBERS)
    reference, done = journey.filed(), 0
    while done < kills:
        journey = Journey(root, executor, reference)
        for _ in range(random.randint(1, 8)):
            if done == kills or not (numbers := journey.unanswered()):
                break
            told = journey.killed_run(random, random.choice(numbers), usual_seconds)
            if told is not None:  # else the run had ended before
                done += 1
                print(json.dumps({"kill": done, **told}), flush=True)
        print(json.dumps({"journey": True, "problems": journey.end()}), flush=True)


@dataclass
class Journey:
    """Runs on a store that is empty at first. ``reference`` is what an undisturbed one comes to."""

    root: Path
    executor: str
    reference: dict[Made, str] = field(default_factory=dict)
    runs: int = 0
    asked: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        for path in (self.root / ".lineal" / "store", self.journal, self.told):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    @property
    def journal(self) -> Path:
        return self.root.parent / "journal.txt"

    @property
    def told(self) -> Path:
        """The stages of which listeners heard that they have succeeded."""
        return self.root.parent / "told.txt"

    @property
    def document(self) -> Path:
        return self.root.parent / "document.json"

    def filed(self) -> dict[Made, str]:
        """The digest of what each result in the store names."""
        if not (self.root / ".lineal" / "store").exists():
            return {}
        records = [
            unseal_record(each.data, ActionResult) for each in open_project(self.root).store.actions.list()
        ]
        return {
            (record.stage_id, record.action.parameters["number"]): record.outputs["result"].digest
            for record in records
        }

    def unanswered(self) -> list[int]:
        """The numbers for which something is still to be executed."""
        filed = self.filed()
        return [number for number in NUMBERS if any((name, number) not in filed for name in STAGES)]

    def import_what_is_needed(self) -> None:
        """Import what a run imports, the project's own code excepted."""
        child = os.fork()
        if child == 0:
            try:
                self._run(NUMBERS[0])
                open_project(self.root).store_verify(read_data=True)
                self.told.write_text("\n".join(sys.modules))
                os._exit(0)
            finally:  # a forked child must never return into main
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        for name in self.told.read_text().split():
            if name not in ("flow", "__main__"):
                with contextlib.suppress(ImportError):  # some are made by others
                    importlib.import_module(name)

    def killed_run(self, random: Random, number: int, usual_seconds: float) -> dict[str, Any] | None:
        """One run in which somebody is killed; None where it had ended before."""
        moment, from_first_stage = random.random(), random.random() < 0.8
        wanted = random.choice(VICTIMS[self.executor])
        before = self.filed()
        self.asked.add(number)
        with self._engine(number) as (engine, ended):
            if from_first_stage:
                while not any(int(line[0]) == self.runs for line in self._lines(self.journal)):
                    if select.select([ended], [], [], 0.001)[0]:
                        return None
                moment /= 2  # about the half of a run is over by then
            if select.select([ended], [], [], moment * usual_seconds)[0]:
                return None
            victims = find_victims(engine, wanted) or [engine]
            for pid in victims:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if not select.select([ended], [], [], PATIENCE_SECONDS)[0]:
                os.kill(engine, signal.SIGKILL)
                return {"problems": [f"the run went on for ever after its {wanted} was killed"]}
        problems = self._problems(before)
        if engine not in victims:
            problems += self._problems_of_end(number)
        filed = len({made for made in self.filed() if made[1] == number})
        killed = "engine" if victims == [engine] else wanted
        return {"victim": killed, "moment": moment, "number": number, "filed": filed, "problems": problems}

    def quiet_run(self, number: int) -> list[str]:
        """A run that is left alone, and what was wrong with it."""
        before = self.filed()
        with self._engine(number) as (_, ended):
            if not select.select([ended], [], [], PATIENCE_SECONDS)[0]:
                return ["a run that was left alone did not end"]
        executed = self._executed()
        wanted = {(name, number) for name in STAGES} - before.keys()
        problems = [] if executed == wanted else [f"{executed} were executed, and not {wanted}"]
        return [*problems, *self._problems(before), *self._problems_of_end(number)]

    def end(self) -> list[str]:
        """What is wrong in the end: with runs that are left alone, and with processes that nobody ended."""
        problems = [problem for number in sorted(self.asked) for problem in self.quiet_run(number)]
        wanted = {made: digest for made, digest in self.reference.items() if made[1] in self.asked}
        if self.filed() != wanted:
            problems.append(f"there is {self.filed()}, and not {wanted}")
        return problems + [f"{name} is still running" for name in left_behind()]

    @contextlib.contextmanager
    def _engine(self, number: int) -> Iterator[tuple[int, int]]:
        """A process that performs a run, and the descriptor at which its end shows."""
        self.runs += 1
        self.document.unlink(missing_ok=True)
        ended, held = os.pipe()
        engine = os.fork()
        if engine == 0:
            try:
                os.close(ended)
                self._run(number)
                os._exit(0)
            finally:  # a forked child must never return into main
                os._exit(1)
        os.close(held)
        try:
            yield engine, ended
        finally:
            os.close(ended)
            os.waitpid(engine, 0)

    def _run(self, number: int) -> None:
        os.environ |= {"JOURNAL": str(self.journal), "RUN": str(self.runs)}
        told = os.open(self.told, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

        def listen(event: Event) -> None:
            if isinstance(event, StageChanged) and event.state == "succeeded":
                os.write(told, f"{self.runs} {event.stage} {number}\n".encode())

        project = open_project(self.root)
        document = project.run(
            "flow.py", [f"number={number}"], executor=self.executor, jobs=2, listener=listen
        )
        self.document.write_text(json.dumps(document))

    def _problems(self, before: dict[Made, str]) -> list[str]:
        """What is wrong now, after a run that found ``before``."""
        filed, problems = self.filed(), []
        executed = self._executed()
        told = {(name, number) for _, name, number in self._lines(self.told)}
        if executed & before.keys():
            problems.append(f"completed, and executed again: {executed & before.keys()}")
        if told - filed.keys():
            problems.append(f"told to have succeeded, and lost: {told - filed.keys()}")
        if before.keys() - filed.keys():
            problems.append(f"completed, and lost: {before.keys() - filed.keys()}")
        if self.reference and not filed.items() <= self.reference.items():
            problems.append(f"there is {filed}, and not {self.reference}")
        if (self.root / ".lineal" / "store").exists():
            bad = open_project(self.root).store_verify(read_data=True)["bad"]
            problems += [f"damaged: {each}" for each in bad]
        return problems

    def _problems_of_end(self, number: int) -> list[str]:
        if not self.document.exists():
            return ["the engine ended without an answer"]
        document = json.loads(self.document.read_text())
        if document["state"] != "succeeded":
            errors = [(stage["id"], stage["state"], stage["error"]) for stage in document["stages"]]
            return [f"the run {document['state']}: {errors}"]
        wanted = self.reference.get(("joined", number))
        found = document["outputs"]["result"]
        return [] if wanted in (None, found) else [f"the answer is {found}, and not {wanted}"]

    def _executed(self) -> set[Made]:
        """What the latest run has begun."""
        return {(name, number) for run, name, number in self._lines(self.journal) if int(run) == self.runs}

    def _lines(self, path: Path) -> list[tuple[str, str, int]]:
        if not path.exists():
            return []
        words = [line.split() for line in path.read_text().splitlines()]
        return [(run, name, int(number)) for run, name, number in words]


def find_victims(engine: int, wanted: str) -> Sequence[int]:
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(engine)
        zygotes = process.children()
        below = process.children(recursive=True)
        match wanted:
            case "family":
                return [engine, *(each.pid for each in below)]
            case "zygote":
                return [each.pid for each in zygotes]
            case "worker":
                return [each.pid for each in below if each not in zygotes][:1]
    return []


def adopt_orphans() -> None:
    """Become the parent of what a killed engine leaves (prctl(2), PR_SET_CHILD_SUBREAPER), where the system can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


def left_behind() -> list[str]:
    """The processes that do not end by themselves within a while; they are ended."""
    until = time.monotonic() + PATIENCE_SECONDS
    while children := psutil.Process().children(recursive=True):
        psutil.wait_procs(children, timeout=0.1)  # reaps those that were adopted
        if time.monotonic() > until:
            names = [" ".join(child.cmdline()) for child in children]
            for child in children:
                child.kill()
            return names
    return []


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
