"""Processes that ask for the same action at the same moment, round after round.

Run as ``python racers.py ROOT RACERS ROUNDS CLAIMS``, where CLAIMS is ``respected`` or ``ignored``: then every racer goes
ahead as if it were alone, they file their results at the same moment too, and only what the store promises is left. The
action's result is never the same twice.
One JSON document a round goes to stdout.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path

import lineal.engine.session
import lineal.executors.inline  # noqa: F401 — here, so that no racer need do it
from lineal.api import open_project
from lineal_store.actions import Actions, Filed
from lineal_store.claims import Claims

FLOW = """
import os

from lineal import pipeline, stage


@stage
def drawn(round: int) -> str:
    return os.urandom(16).hex()


@pipeline
def flow(round: int) -> str:
    return drawn(round)
"""
PATIENCE_SECONDS = 120.0


def main(root: Path, racers: int, rounds: int, claims: str) -> None:
    (root / "lineal.toml").write_text("")
    (root / "flow.py").write_text(FLOW)
    context = multiprocessing.get_context("fork")
    start = context.Barrier(racers)
    if claims == "ignored":
        ignore_claims(start)
    lines = []
    for _ in range(racers):
        ours, theirs = context.Pipe()
        context.Process(target=race, args=(root, rounds, start, theirs), daemon=True).start()
        theirs.close()
        lines.append(ours)
    for number in range(rounds):
        told = [line.recv() for line in lines]
        print(json.dumps({"round": number, "racers": told, "filed": filed(root)}), flush=True)
        for line in lines:
            line.send("on")


def race(root: Path, rounds: int, start: Barrier, line: Connection) -> None:
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115 — stdout is the rounds'
    for number in range(rounds):
        start.wait(PATIENCE_SECONDS)
        document = open_project(root).run("flow.py", [f"round={number}"], executor="inline")
        (stage,) = document["stages"]
        told = {name: stage[name] for name in ("cache", "attempts")}
        line.send({**told, "output": document["outputs"]["result"], "warnings": document["warnings"]})
        line.recv()


def ignore_claims(together: Barrier) -> None:
    """Nobody looks for a result after somebody has filed one."""
    publish = Actions.publish

    def claim(self: Claims, key: str) -> None:
        together.wait(PATIENCE_SECONDS)

    def publish_together(self: Actions, records: Sequence[tuple[str, bytes]]) -> Sequence[Filed]:
        together.wait(PATIENCE_SECONDS)
        return publish(self, records)

    Claims.claim, Actions.publish = claim, publish_together  # type: ignore[assignment, method-assign]


def filed(root: Path) -> int:
    """How many results there are, retired ones included."""
    return sum(1 for _ in open_project(root).store.actions.list(retired=True))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
