"""The child process of `lineal reproduce`: ``python -m lineal.api.replay FOLDER`` executes stages of a past run again.

It knows the folder in which its job lies, and through it the restored code and a scratch store: nothing of the user's project and store.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Collection, Sequence
from pathlib import Path

from msgspec.structs import replace

from lineal.api.project import open_project
from lineal.engine.session import Code, RunRequest, execute_run
from lineal.errors import LinealError
from lineal.reproduce.job import Answer, Job, Problem, read_job, write
from lineal.reproduce.plan import call_of
from lineal.reproduce.selection import NO_SECRET, select_stages
from lineal.version import VERSION
from lineal.views.progress import Notice
from lineal.views.showing import LineDisplay, Progress


def main(arguments: Sequence[str]) -> None:
    folder = Path(arguments[0])
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        answer = replay(read_job(folder / "job"))
    except LinealError as error:
        problem = Problem(type=type(error).__name__, message=str(error), hint=error.hint)
        answer = Answer(problem=problem)
    write(folder / "answer", replace(answer, lineal=VERSION))


def replay(job: Job) -> Answer:
    """Execute what ``job`` says. Raises LinealError where nothing can be executed at all."""
    project = open_project(Path(job.root), overrides={"store": job.store, "namespace": "reproduce"})
    changes = [*job.changes, *job.secrets]
    given = {change.partition("=")[0] for change in changes}
    unknown = [name for name, value in job.parameters.items() if value == NO_SECRET and name not in given]
    assignments = [*changes, *(f"{name}={NO_SECRET}" for name in unknown)]
    request = project.request_again(job.run_id, job.target, job.parameters, assignments)
    selection = select_stages(request.graph, job.wanted, job.sources, changed=bool(job.changes))
    for name in {name for node in request.graph.nodes.values() for name in node.options.env}:
        if name not in job.variables:
            os.environ.pop(name, None)
    if not selection.graph.nodes:
        return Answer(left_out=dict(selection.left_out), effects=list(selection.effects))
    shown = Progress(_Lines(lambda text: print(text, file=sys.stderr, flush=True)))
    request = replace(request, executor=job.executor, listener=shown)
    record = execute_run(replace(request, graph=selection.graph, force=job.again))
    reached = sorted(_reached(request, {call_of(stage) for stage in job.again}))
    return Answer(
        run_id=record.run_id,
        left_out=dict(selection.left_out),
        effects=list(selection.effects),
        reached=reached,
    )


def _reached(request: RunRequest, stages: Collection[str]) -> set[str]:
    """The dotted names outside the project that the code of these stages reaches."""
    found: set[str] = set()
    if stages:
        fingerprinter = Code.of(request.sources, request.root).fingerprinter
        for stage in (request.graph.nodes[name].stage for name in stages):
            found.update(fingerprinter.stage(stage.module, stage.qualname).outside)
    return found


class _Lines(LineDisplay):
    """Every stage is executed here, so that why goes without saying."""

    def tell(self, notices: Sequence[Notice]) -> None:
        super().tell(
            [replace(notice, said="") if notice.said.startswith("miss") else notice for notice in notices]
        )


def _end_with_parent() -> None:
    """Stop as if by Ctrl-C when the process that asked for this is gone: it holds the other end of stdin."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    main(sys.argv[1:])
