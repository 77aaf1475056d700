"""One job, in a process of its own: ``python -m lineal.api.job ROOT STATE JOB TOKEN``.

The process holds the job's lock as long as it lives, and says itself in the state what becomes of the job: whoever started it may
be gone by then.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

from lineal.api.config import Configuration
from lineal.api.log import VARIABLE, Log, make_log
from lineal.api.notices import facts_of
from lineal.automation.launching import Launcher, lock_path
from lineal.automation.locks import held
from lineal.errors import LinealError
from lineal.events import Event, RunStarted, StageChanged
from lineal.state import Job, JobState, State

LOCKS = "jobs"
FILE = "state.sqlite"
DAEMON_LOCK = "daemon.lock"


def launcher_of(configuration: Configuration, variables: Mapping[str, str]) -> Launcher:
    """What starts the processes of a project's jobs, with that environment, and finds those that others have started."""
    folder = configuration.state
    command = [sys.executable, "-m", "lineal.api.job", str(configuration.root), str(folder)]
    return Launcher(command, configuration.root, folder / LOCKS, variables)


def run_job(root: Path, folder: Path, job_id: int, token: str, log: Log) -> int:
    """Run the job if ``token`` says that it is this process's; the code to exit with."""
    with held(lock_path(folder / LOCKS, job_id)) as mine:
        if not mine:  # whoever was started before still runs it
            return 0
        with State(folder / FILE) as state:
            job = state.begin(job_id, token, _now())
            if job is None:
                return 0
            state_of_run, note, run_id = _run(root, state, job, token, log)
            if run_id is not None:
                state.note_run(job.id, token, run_id)
            state.end(job.id, token, state_of_run, _now(), note)
    return 0 if state_of_run == "succeeded" else 1


def _run(root: Path, state: State, job: Job, token: str, log: Log) -> tuple[JobState, str, str | None]:
    """How the run ended, a note where it did not even begin, and its id."""
    from lineal.api import open_project

    facts = facts_of(job)
    if job.kind == "drill":
        return *_drill(root, job, log), None

    def hear(event: Event) -> None:
        match event:
            case RunStarted():
                state.note_run(job.id, token, event.run_id)
                log(event.at, "info", "the run begins", run_id=event.run_id, **facts)
            case StageChanged(state="failed" | "up_for_retry" as became) if event.failure is not None:
                said = f"{event.failure.type}: {event.failure.message}"
                level = "error" if became == "failed" else "warning"
                log(event.at, level, said, run_id=event.run_id, stage=event.stage, state=became, **facts)

    options = state.backfills()[job.name].options if job.kind == "backfill" else {}
    swept = json.loads(job.variant) if job.kind == "backfill" and job.variant else []
    try:
        document = open_project(root).run(
            job.target,
            [*options.get("assignments", ()), *swept],
            data=job.parameters,
            logical_date=datetime.fromisoformat(job.logical_date) if job.logical_date else None,
            trigger=job.origin,
            force=tuple(options.get("force", ())),
            why=options.get("why"),
            until=tuple(options.get("until", ())),
            listener=hear,
        )
    except KeyboardInterrupt:
        return "cancelled", "", None
    except LinealError as error:
        note = f"{type(error).__name__}: {error}"
        log(_now(), "error", note, hint=error.hint, **facts)
        return "failed", note, None
    for warning in document["warnings"]:
        log(_now(), "warning", warning, run_id=document["run_id"], **facts)
    ended: JobState = document["state"] if document["state"] in ("succeeded", "cancelled") else "failed"
    return ended, "", document["run_id"]


def _drill(root: Path, job: Job, log: Log) -> tuple[JobState, str]:
    """Reproduce all that is deployed under the names that the job has patterns of; what of it cannot be built is told by alerts."""
    from lineal.api import open_project

    project, lost = open_project(root), []
    patterns = job.parameters["reproduce"]
    deployed = {
        str(ref["name"]): str(ref["digest"])
        for ref in project.refs()["refs"]
        if ref.get("deployed") and any(fnmatchcase(str(ref["name"]), pattern) for pattern in patterns)
    }
    for name, digest in deployed.items():
        try:
            found = project.reproduce(digest)
            verdict = str(found["verdict"])
        except LinealError as error:
            verdict = f"{type(error).__name__}: {error}"
        is_there = verdict in ("identical", "within_tolerance")
        log(
            _now(),
            "info" if is_there else "error",
            f"reproduced: {verdict}",
            deployment=name,
            **facts_of(job),
        )
        if not is_there:
            lost.append(f"{name}: {verdict}")
    if lost:
        return "failed", "; ".join(lost)
    return "succeeded", f"{len(deployed)} reproduced" if deployed else "nothing is deployed under these names"


def _now() -> datetime:
    return datetime.now(UTC)


def main() -> int:
    root, folder, job_id, token = sys.argv[1:]
    return run_job(Path(root), Path(folder), int(job_id), token, make_log(os.environ.get(VARIABLE, "text")))


if __name__ == "__main__":
    sys.exit(main())
