"""A project in a folder of its own, and the real command line in a process of its own."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import warm
from depth import DEEP


def spelled(value: object) -> str:
    """A test's id for a parameter: its repr without addresses, which differ between the processes of one test run."""
    return re.sub(r" at 0x[0-9a-f]+", "", value if isinstance(value, str) else repr(value))


@dataclass(frozen=True)
class Ended:
    """How a command ended; ``document`` is its JSON, where it was asked for."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        return dict(json.loads(self.out))

    @property
    def stages(self) -> dict[str, dict[str, Any]]:
        return {stage["id"]: stage for stage in self.document["stages"]}

    def words(self, *keys: str) -> dict[str, Any]:
        """For each stage the values under ``keys``, alone where it is one."""
        return {
            name: stage[keys[0]] if len(keys) == 1 else tuple(stage[key] for key in keys)
            for name, stage in self.stages.items()
        }

    @property
    def error(self) -> dict[str, Any]:
        return dict(self.document["error"])


class Project:
    """A folder with a pipeline in it.

    Its commands are forked off processes that have imported the program (`warm`), unless ``is_cold``: for tests of what
    the program imports when it starts, and of what two processes do not have in common.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.variables: dict[str, str] = {}
        self.is_cold = False

    def copied(self, root: Path) -> Project:
        """The project as it is now, in another place; what its code notes is told there."""
        shutil.copytree(self.root, root)
        copy = Project(root)
        copy.variables, copy.is_cold = dict(self.variables), self.is_cold
        if "JOURNAL" in self.variables:
            copy.variables["JOURNAL"] = str(root.parent / "journal.txt")
        return copy

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    def edit(self, name: str, before: str, after: str) -> None:
        path = self.root / name
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after))

    def command(self, *arguments: str, cwd: Path | None = None, **variables: str) -> Ended:
        """Run ``lineal`` with these arguments, as a user would."""
        folder, variables = cwd or self.root, self.environment(variables)
        if DEEP or self.is_cold or not warm.can_run(variables):
            done = subprocess.run(
                [sys.executable, "-m", "lineal_cli", *arguments],
                check=False,
                cwd=folder,
                env=variables,
                capture_output=True,
                text=True,
                timeout=120,
            )
        else:
            done = warm.run(arguments, folder, variables)
        return Ended(done.returncode, done.stdout, done.stderr)

    def json(self, *arguments: str, cwd: Path | None = None, **variables: str) -> Ended:
        return self.command(*arguments, "--json", cwd=cwd, **variables)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "lineal_cli", *arguments],
            cwd=self.root,
            env=self.environment({}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # as a terminal starts it: where the tests run in the background, Ctrl-C is ignored and that is inherited
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,  # noqa: PLW1509
        )

    def ended(self, process: subprocess.Popen[str]) -> Ended:
        """How a command that was started ends."""
        try:
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()  # where it has not ended
        return Ended(process.returncode, out, err)

    @property
    def store(self) -> Path:
        return Path(self.variables.get("LINEAL_STORE", self.root / ".lineal" / "store"))

    def value(self, digest: str) -> bytes:
        """The bytes that the store holds under ``digest``."""
        hexadecimal = digest.removeprefix("sha256:")
        return (self.store / "blobs" / hexadecimal[:2] / hexadecimal[2:]).read_bytes()

    def keep_journal(self) -> None:
        """From now on ``journal.note(word)`` in the project's code is told by `journal`."""
        self.variables["JOURNAL"] = str(self.root.parent / "journal.txt")
        self.write(
            "journal.py",
            """
            import os


            def note(word):
                with open(os.environ["JOURNAL"], "a") as journal:
                    journal.write(word + "\\n")
            """,
        )

    def journal(self) -> list[str]:
        """The words noted since the last call."""
        path = Path(self.variables["JOURNAL"])
        words = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return words

    def gate(self, name: str) -> Gate:
        """A gate for ``gates.wait_at(name)`` in the project's code."""
        self.write(
            "gates.py",
            """
            import os
            import time


            def wait_at(name):
                path = os.path.join(os.environ["GATES"], name)
                if os.path.exists(path):
                    held = os.open(path, os.O_WRONLY)
                    os.set_inheritable(held, True)
                    os.write(held, b"here\\n")
                    until = time.monotonic() + 600
                    while time.monotonic() < until and not os.path.exists(path + ".passes"):
                        time.sleep(0.01)
                    os.close(held)
            """,
        )
        self.variables["GATES"] = str(self.root.parent)
        return Gate(self.root.parent / name)

    def environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("LINEAL_")}
        return {**ours, "NO_COLOR": "1", "LINEAL_NAMESPACE": "tests", **self.variables, **variables}


class Gate:
    """A place where a stage stops until it is let through or killed, and where it is met without waiting longer than needed.

    A named pipe: whoever stands there, and every process that it started, holds it open as long as it lives.
    """

    PATIENCE_SECONDS = 60.0

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._path = path
        self._end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def meet(self) -> None:
        """Return when somebody stands there."""
        assert self._wait(select.POLLIN) & select.POLLIN
        os.read(self._end, 4096)

    def is_left(self) -> bool:
        """Wait until nobody holds the pipe, not for ever."""
        while True:
            if self._wait(select.POLLIN) & select.POLLIN:
                os.read(self._end, 4096)
            else:
                return bool(self._wait(select.POLLHUP) & select.POLLHUP)

    def let_through(self) -> None:
        """Let everybody go on who stands there, or will."""
        self._path.with_name(self._path.name + ".passes").touch()

    def open(self) -> None:
        """Let everybody pass who comes from now on."""
        self._path.unlink()
        os.close(self._end)

    def _wait(self, event: int) -> int:
        poll = select.poll()
        poll.register(self._end, event)
        return sum(found for _, found in poll.poll(self.PATIENCE_SECONDS * 1000))
