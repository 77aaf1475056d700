"""Lineal on real data, told in seven acts: ``make demo``, or ``python examples/flights/demo.py``.

The acts are played by the real command line on a copy of this project in ``.demo``, which starts empty
each time and stays for you to look around. Whatever the story claims is checked against the JSON
documents of the same commands; if a claim does not hold, the demo says so and exits with 1.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import pandas as pd

from fetch import NAMES, fetch

HERE = Path(__file__).resolve().parent
PROJECT = HERE / ".demo" / "flights"
STORE = PROJECT / ".lineal" / "store"
DEPLOYED = PROJECT / "deployed" / "model.joblib"
HELPERS = PROJECT / "features" / "carriers.py"

TONIGHT = "run_date=2013-07-01"
TOMORROW = "run_date=2013-07-02"
BEFORE_FEATURES = {"ingest", "validate"}
FROM_FEATURES_ON = {"featurize", "train", "evaluate", "package", "register", "deploy"}
STAGES = BEFORE_FEATURES | FROM_FEATURES_ON

Document = dict[str, Any]


def main() -> int:
    started = perf_counter()
    set_up()
    told = Telling()
    first_run(told)
    second_run(told)
    edit_of_a_helper(told)
    edit_of_a_comment(told)
    three_in_the_morning(told)
    where_does_this_model_come_from(told)
    can_we_build_it_again(told)
    return told.close(perf_counter() - started)


def first_run(told: Telling) -> None:
    told.act(
        "The first run",
        """
        A nightly job: from the flights of New York in 2013, their weather and their planes to a deployed model
        that says which flights will be late. Nothing is known yet, so every stage runs.
        """,
    )
    told.lineal("run", TONIGHT)
    run = told.newest_run()
    told.claim("every stage ran, and the run succeeded", run["state"] == "succeeded" and ran(run) == STAGES)
    told.claim("the model is deployed", DEPLOYED.is_file())


def second_run(told: Telling) -> None:
    told.act("The same again", "Nothing has changed, so there is nothing to do.")
    seconds = told.lineal("run", TONIGHT)
    run = told.newest_run()
    imports = seconds_to_import_the_pipeline()
    told.say(
        f"{seconds:.1f} s in all, and nothing of the project was imported: importing flights.py in Python alone "
        f"takes {imports:.1f} s."
    )
    told.claim("every stage is a hit, no stage was started", hits(run) == STAGES and not ran(run))
    for _ in range(2):  # both are whole processes: on a busy machine one look may mislead
        seconds = min(seconds, seconds_of_another_run(told))
        imports = max(imports, seconds_to_import_the_pipeline())
    told.claim("that took less time than importing the project would have", seconds < imports)


def edit_of_a_helper(told: Telling) -> None:
    told.act(
        "An edit two calls deep",
        """
        featurize calls normalise_carriers, which calls clean_carrier. AirTran (FL) is being merged into
        Southwest (WN), so the two shall count as one carrier from now on:
        """,
    )
    edit(
        HELPERS,
        "    return clean_code(code)\n",
        '    return clean_code(code).replace("FL", "WN")\n',
    )
    before = digest(DEPLOYED)
    told.say("What has to run again, and why?")
    told.lineal("status", TONIGHT)
    status = told.document("status", TONIGHT)
    told.claim("what comes before featurize stays a hit", hits(status) == BEFORE_FEATURES)
    told.claim("featurize is a miss, for its code has changed", why(status, "featurize") == ("miss", "code"))
    told.lineal("run", TONIGHT)
    run = told.newest_run()
    told.claim("featurize and what follows from it ran, nothing else", ran(run) == FROM_FEATURES_ON)
    told.claim("a new model is deployed", digest(DEPLOYED) != before)


def edit_of_a_comment(told: Telling) -> None:
    told.act("An edit that means nothing", "In the same file, a comment and another docstring:")
    edit(
        HELPERS,
        '    """One carrier\'s code, as the model shall know it."""\n',
        '    """The code of one carrier, cleaned; merged carriers share one."""\n'
        "    # AirTran's last flight under its own name was in December 2014.\n",
    )
    told.lineal("run", TONIGHT)
    run = told.newest_run()
    told.claim("every stage is a hit, no stage was started", hits(run) == STAGES and not ran(run))


def three_in_the_morning(told: Telling) -> None:
    told.act(
        "3:17 in the morning",
        """
        The next night. Somebody upstream has changed an export: departure times arrive as 515.0 instead of
        515, distances as "1400.0 mi". Most code would not even notice the first, and a model of stale or wrong
        data would be deployed.
        """,
    )
    break_source(PROJECT / "raw" / "flights.csv.zip", PROJECT / "incoming" / "flights.csv")
    before = digest(DEPLOYED)
    told.lineal("run", TOMORROW, "flights=incoming/flights.csv", exit_code=1)
    run = told.newest_run()
    validate = stage(run, "validate")
    message = str((validate["error"] or {}).get("message"))
    told.claim("the run failed", run["state"] == "failed")
    told.claim(
        "validate failed on its contract, and named both columns",
        validate["state"] == "failed"
        and validate["error"]["kind"] == "contract"
        and "sched_dep_time" in message
        and "distance" in message,
    )
    told.claim(
        "nothing downstream ran",
        {one["name"] for one in run["stages"] if one["state"] == "upstream_failed"} == FROM_FEATURES_ON,
    )
    told.claim("the model of the night before is still deployed, byte for byte", digest(DEPLOYED) == before)


def where_does_this_model_come_from(told: Telling) -> None:
    told.act(
        "Where does this model come from?",
        """
        Months later the deployed file turns up on another machine, under another name. Its bytes are enough.
        """,
    )
    with tempfile.TemporaryDirectory(prefix="lineal-demo-") as folder:
        found = Path(folder, "found-in-production.bin")
        shutil.copyfile(DEPLOYED, found)
        told.lineal("trace", found.name, folder=found.parent, LINEAL_STORE=str(STORE))
        trace = told.document("trace", found.name, folder=found.parent, LINEAL_STORE=str(STORE))
        told.claim("the file is known by its bytes", trace["found"] and trace["digest"] == digest(found))
    nodes: list[Document] = trace["nodes"]
    told.claim(
        "every stage that made it is named",
        STAGES - {"register", "deploy"} <= {node["name"] for node in nodes if node["kind"] == "action"},
    )
    told.claim(
        "so is each raw file, by the digest of the bytes that were read",
        {digest(PROJECT / "raw" / name) for name in NAMES} <= {node["digest"] for node in nodes},
    )
    told.claim(
        "and the learning rate it was trained with",
        any((node["parameters"] or {}).get("learning_rate") == 0.1 for node in nodes),
    )


def can_we_build_it_again(told: Telling) -> None:
    told.act(
        "Can we build it again?",
        """
        By now the project has moved on: the model has another number of trees, the helper was edited once more, and the raw
        weather was overwritten. The file and the store are enough.
        """,
    )
    edit(PROJECT / "flights.py", "max_iter=60", "max_iter=80")
    edit(HELPERS, '.replace("FL", "WN")', '.replace("FL", "DL")')
    (PROJECT / "raw" / "weather.csv").write_text("overwritten\n")
    with tempfile.TemporaryDirectory(prefix="lineal-demo-") as folder:
        found = Path(folder, "found-in-production.bin")
        shutil.copyfile(DEPLOYED, found)
        told.lineal("reproduce", found.name, folder=found.parent, LINEAL_STORE=str(STORE))
        trace = told.document("trace", found.name, folder=found.parent, LINEAL_STORE=str(STORE))
    [model] = [node for node in trace["nodes"] if node["digest"] == trace["digest"]]
    told.claim(
        "every artifact on the way is what it was, bit for bit, and the model's trace tells of it",
        [one["verdict"] for one in model["reproductions"]] == ["identical"],
    )


class Telling:
    """The narrator: says what happens, runs commands in sight, and keeps count of what did not hold."""

    def __init__(self) -> None:
        self._acts: list[tuple[str, float]] = []
        self._broken: list[str] = []

    def act(self, title: str, text: str) -> None:
        self._acts.append((title, 0.0))
        number = len(self._acts)
        print(f"\n\n{number}. {title}\n{'-' * (len(title) + 3)}")
        self.say(text)

    def say(self, text: str) -> None:
        print("\n" + textwrap.fill(" ".join(text.split()), 100), flush=True)

    def lineal(self, *arguments: str, exit_code: int = 0, folder: Path = PROJECT, **variables: str) -> float:
        """Run a command where everybody can see it, and return its wall time in seconds."""
        shown = [f"{name}={shlex.quote(value)}" for name, value in variables.items()]
        print("\n$ " + " ".join([*shown, "lineal", *arguments]), flush=True)
        started = perf_counter()
        process = subprocess.run(command(arguments), cwd=folder, env=environment(variables), check=False)
        seconds = perf_counter() - started
        title, total = self._acts[-1]
        self._acts[-1] = (title, total + seconds)
        print()
        if process.returncode != exit_code:
            self.claim(f"lineal {arguments[0]} exits with {exit_code}, not {process.returncode}", False)
        elif exit_code:
            self.claim(f"lineal {arguments[0]} exits with {exit_code}", True)
        return seconds

    def document(self, *arguments: str, folder: Path = PROJECT, **variables: str) -> Document:
        """What a command says with ``--json``. Raises SystemExit where it says nothing."""
        process = subprocess.run(
            command([*arguments, "--json"]),
            cwd=folder,
            env=environment(variables),
            check=False,
            capture_output=True,
            text=True,
        )
        try:
            document: Document = json.loads(process.stdout)
        except ValueError:
            sys.exit(f"lineal {' '.join(arguments)} --json printed no document:\n{process.stderr}")
        if "error" in document:
            sys.exit(f"lineal {' '.join(arguments)}: {document['error']}")
        return document

    def newest_run(self) -> Document:
        runs = self.document("runs", "--limit", "1")["runs"]
        return self.document("show", runs[0]["run_id"])

    def claim(self, text: str, holds: bool) -> None:
        print(f"  {'checked' if holds else 'DOES NOT HOLD'}: {text}", flush=True)
        if not holds:
            self._broken.append(f"{self._acts[-1][0]}: {text}")

    def close(self, seconds: float) -> int:
        """Sum up; the exit code is 1 where a claim did not hold."""
        print("\n\nWhat you saw\n------------\n")
        for number, (title, spent) in enumerate(self._acts, 1):
            print(f"  {number}. {title:<34} {spent:5.1f} s")
        print(f"\n{seconds:.0f} s altogether. The copy that was played with is yours now:")
        print(f"  cd {shlex.quote(os.path.relpath(PROJECT))} && lineal runs")
        for text in self._broken:
            print(f"\nThis did not hold. {text}", file=sys.stderr)
        return 1 if self._broken else 0


def set_up() -> None:
    """An empty ``.demo`` with a copy of the project, which git is told to leave alone."""
    shutil.rmtree(PROJECT.parent, ignore_errors=True)
    shutil.copytree(
        HERE, PROJECT, ignore=shutil.ignore_patterns(".*", "__pycache__", "deployed", "raw", "demo.py")
    )
    fetch(PROJECT / "raw")
    (PROJECT.parent / ".gitignore").write_text("*\n")


def edit(file: Path, old: str, new: str) -> None:
    """Replace some text that the file has once, and show the difference."""
    before = file.read_text()
    if before.count(old) != 1:
        sys.exit(f"the demo is out of step with {file}: it expects to find once:\n{old}")
    after = before.replace(old, new)
    file.write_text(after)
    name = file.relative_to(PROJECT).as_posix()
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), name, name, n=2, lineterm="")
    print("\n" + textwrap.indent("\n".join(lines), "  "))


def break_source(good: Path, broken: Path) -> None:
    """A copy of the flights as a careless export writes them: times as floats, distances with their unit."""
    table = pd.read_csv(good)
    table["sched_dep_time"] = table["sched_dep_time"].astype("float64")
    table["distance"] = table["distance"].map("{}.0 mi".format)
    broken.parent.mkdir(parents=True)
    table.to_csv(broken, index=False)


def ran(run: Document) -> set[str]:
    """The stages of which the run started at least one attempt."""
    return {one["name"] for one in run["stages"] if one["attempts"] > 0}


def hits(document: Document) -> set[str]:
    return {one["name"] for one in document["stages"] if one["cache"] == "hit"}


def why(document: Document, name: str) -> tuple[str, str]:
    one = stage(document, name)
    return one["cache"], one["reason"]


def stage(document: Document, name: str) -> Document:
    return next(one for one in document["stages"] if one["name"] == name)


def digest(file: Path) -> str:
    with file.open("rb") as stream:
        return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"


def seconds_of_another_run(told: Telling) -> float:
    started = perf_counter()
    told.document("run", TONIGHT)
    return perf_counter() - started


def seconds_to_import_the_pipeline() -> float:
    started = perf_counter()
    subprocess.run([sys.executable, "-c", "import flights"], cwd=PROJECT, env=environment({}), check=True)
    return perf_counter() - started


def command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "lineal_cli", *arguments]


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Ours, without settings that would take the demo to another store."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LINEAL_")}
    return {**kept, **variables}


if __name__ == "__main__":
    sys.exit(main())
