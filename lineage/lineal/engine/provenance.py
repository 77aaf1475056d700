"""Who ran what, when and on which code: recorded with every run, so that it can be rebuilt."""

from __future__ import annotations

import getpass
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lineal_store.runs import Runs

if TYPE_CHECKING:
    import subprocess

    from lineal.fingerprint.sources import Sources
    from lineal_store import Digest, Store

_GIT_SECONDS = 5.0
_LONGEST_DIFF_BYTES = 1 << 20


def keep_code(store: Store, sources: Sources) -> Digest:
    """Put the project's source files into the store as one tree; nothing is stored twice."""
    from lineal_store import Digest

    tree = _code_tree(sources)
    digest = Digest.of(tree)
    if digest not in store.blobs.sizes([digest]):  # children go before parents: a tree that is there is whole
        store.blobs.put_many([*sources.files.values(), tree])
    return digest


def mend_code(store: Store, sources: Sources) -> None:
    """Replace what is lost or damaged of the copy of the code that the run's results will name."""
    store.blobs.mend([*sources.files.values(), _code_tree(sources)])


def _code_tree(sources: Sources) -> bytes:
    from lineal_store.tree import Tree, TreeEntry

    entries = (
        TreeEntry(path, 0o644, sources.digest(path), len(data))
        for path, data in sorted(sources.files.items())
    )
    return Tree(tuple(entries)).encode()


def new_run_id(started_at: datetime) -> str:
    """The id of a run that begins then: ids sort by time."""
    fraction = started_at.microsecond * 0x10000 // 1_000_000
    return Runs.new_id(started_at, f"{fraction:04x}{os.urandom(2).hex()}")


def user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def host_name() -> str:
    return os.uname().nodename


def command_line() -> list[str]:
    """How this process was started, for people who read the record; only its own words, no variables."""
    return [Path(sys.argv[0]).name, *sys.argv[1:]] if sys.argv and sys.argv[0] else []


class Checkout(NamedTuple):
    """What git says of the project; ``branch`` is None where no branch is checked out."""

    commit: str
    branch: str | None
    dirty: bool


class GitState:
    """Asks git about the project while the run goes on; None where there is no repository, or no git."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._process: subprocess.Popen[str] | None = None
        if any((folder / ".git").exists() for folder in (root, *root.parents)):
            import subprocess  # most of what a run of hits would import otherwise

            try:
                self._process = subprocess.Popen(
                    [
                        "git",
                        "--no-optional-locks",
                        "status",
                        "--porcelain=v2",
                        "--branch",
                        "--untracked-files=no",
                    ],
                    cwd=root,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                )
            except OSError:
                pass  # no git on this machine

    def wait(self) -> Checkout | None:
        if self._process is None:
            return None
        from subprocess import TimeoutExpired

        try:
            text, _ = self._process.communicate(timeout=_GIT_SECONDS)
        except TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            return None
        return parse_status(text) if self._process.returncode == 0 else None

    def read_diff(self) -> bytes | None:
        """What is changed against the commit, in files that git tracks; None where that is too much, or cannot be had."""
        import subprocess

        try:
            done = subprocess.run(
                [
                    "git",
                    "--no-optional-locks",
                    "diff",
                    "--no-ext-diff",
                    "--no-textconv",
                    "--no-color",
                    "HEAD",
                ],
                cwd=self._root,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_GIT_SECONDS,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout if 0 < len(done.stdout) <= _LONGEST_DIFF_BYTES else None


def parse_status(text: str) -> Checkout | None:
    """Commit, branch and dirtiness out of ``git status --porcelain=v2 --branch``."""
    headers = dict(line[2:].split(" ", 1) for line in text.splitlines() if line.startswith("# branch."))
    commit = headers.get("branch.oid")
    if commit is None or commit == "(initial)":
        return None
    branch = headers.get("branch.head")
    dirty = any(not line.startswith("#") for line in text.splitlines())
    return Checkout(commit, None if branch == "(detached)" else branch, dirty)
