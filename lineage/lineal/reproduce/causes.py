"""Why an artifact may have come out otherwise: what is known of a stage then and now, in sentences, the most telling first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from lineal.graph.action import unit_changes
from lineal.graph.records import Manifest, Observed
from lineal.reproduce.environments import Change, EnvironmentDifference

Diagnosis = Literal["nondeterministic", "drift", "parameters", "failed"]
"""Executed twice, a stage made other bytes each time; it made the same bytes twice, and others than then; it was given other
parameters; it failed."""

_NAMED = 5
_UNSEEDED = re.compile(
    r"numpy\.random\.(default_rng|RandomState|Generator|SeedSequence|PCG64)|random\.(Random|SystemRandom)"
    r"|secrets\.\w+|os\.(urandom|getrandom)|uuid\.uuid[14]"
)
_CLOCK = re.compile(
    r"time\.(time|time_ns|monotonic\w*|perf_counter\w*|process_time\w*|localtime|gmtime|ctime)"
    r"|datetime\.(datetime|date)\.(now|today|utcnow)|pandas\.Timestamp\.(now|today|utcnow)"
)
_PROCESS = re.compile(
    r"os\.(getpid|getppid|cpu_count|listdir|scandir)|builtins\.id|socket\.gethostname|glob\.\w+"
)
_PARALLEL = re.compile(r"(threading|concurrent\.futures|multiprocessing|asyncio|joblib)\..+")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of the first stage that differs: its manifests and what was seen of it, then and now.

    ``reached`` are the dotted names outside the project that its code reaches; ``difference`` is that of the environments, where the
    recorded one was not to be had, and ``lineal`` that of the versions of Lineal.
    """

    recorded: Manifest | None
    current: Manifest | None
    observed: Sequence[Observed] = ()
    reached: Sequence[str] = ()
    difference: EnvironmentDifference | None = None
    lineal: Change | None = None


def find_causes(evidence: Evidence, diagnosis: Diagnosis) -> list[str]:
    """Likely causes, in sentences."""
    found = [*_inside(evidence), *_undeclared(evidence.observed)]
    around = [*_code(evidence), *_environment(evidence)]
    return [*found, *around] if diagnosis == "nondeterministic" else [*around, *found]


def _code(evidence: Evidence) -> Iterable[str]:
    if evidence.recorded is None or evidence.current is None:
        return
    changed = [change.unit for change in unit_changes(evidence.recorded, evidence.current)]
    if changed:
        yield f"code that it reaches is not what it was: {_some(changed)}"


def _environment(evidence: Evidence) -> Iterable[str]:
    if evidence.lineal is not None:
        yield f"{evidence.lineal}, and it is Lineal that writes values as bytes"
    found = evidence.difference
    if found is None:
        return
    reached = evidence.recorded.distributions if evidence.recorded is not None else {}
    packages = [change for change in found.reached if change.name in reached or not reached]
    for change in packages:
        yield f"package {change}"
    yield from (str(change) for change in (found.python, found.machine) if change is not None)
    if found.cpu is not None:
        yield f"the processor has other vector units, and numeric libraries choose by them: {found.cpu}"
    if found.cores is not None:
        yield f"the {found.cores.name} is another, which decides over numbers of threads: {found.cores}"


def _inside(evidence: Evidence) -> Iterable[str]:
    """What its code calls that differs from one execution to the next."""
    names = evidence.reached
    for pattern, what in (
        (_UNSEEDED, "its code makes random numbers that are not seeded for it"),
        (_CLOCK, "its code reads the clock"),
        (_PROCESS, "its code looks at the process or the machine"),
        (_PARALLEL, "its code works in parallel, which can add numbers up in another order"),
    ):
        matching = [name.removeprefix("builtins.") for name in names if pattern.fullmatch(name)]
        if matching:
            yield f"{what}: {_some(matching)}"


def _undeclared(observed: Sequence[Observed]) -> Iterable[str]:
    def seen(of: str) -> list[str]:
        return list(dict.fromkeys(name for one in observed for name in getattr(one, of)))

    if files := seen("files"):
        yield f"it reads files that it does not declare: {_some(files)}"
    if variables := seen("variables"):
        yield f"it reads environment variables that it does not declare: {_some(variables)}"
    if connections := seen("connections"):
        yield f"it connects to {_some(connections)}: what it reads there is not recorded"
    if urls := seen("urls"):
        yield f"it asks where its inputs came from, which is no part of them: {_some(urls)}"
    if any(one.children for one in observed):
        yield "it starts processes, of which nothing is seen"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
