"""Builds the environments of past runs, each once, in the user's cache folder.

What is asked of an index is asked through uv, else pip, with their own configuration, so that mirrors, proxies and folders
of wheels serve as they always do. What the index does not give is taken from today's packages, where these hold the very
same version and every file is the one that was installed.

A folder is filled under a name of its own, and a link to it is made at the end: what was broken off leaves no link.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import msgspec

from lineal.fingerprint import Distributions
from lineal.fingerprint.distributions import Distribution
from lineal.notes import write_note
from lineal.reproduce import job
from lineal.reproduce.environments import LINEAL, EnvironmentUnavailable, Lock, Rank, Wanted
from lineal.version import VERSION
from lineal_store.canonical import encode

_PACKAGES = ("lineal", "lineal_store", "lineal_cli")
_NOTES = "lineal-environment.json"
_ABANDONED_SECONDS = 24 * 3600.0
_MOST_ASKED_ALONE = 3  # of those that are not reached, before the others are given up
_SHOWN = 8
_SAID = 300
_UNDERSTANDS = f"import lineal.api.replay as _, lineal.reproduce.job as job; raise SystemExit(job.FORMAT != {job.FORMAT})"

# What would have the installers look at, or write to, another environment.
_FOREIGN = frozenset(
    {"VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "PYTHONHOME", "UV_PYTHON", "UV_SYSTEM_PYTHON"}
    | {"UV_PROJECT_ENVIRONMENT", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_REQUIRE_VIRTUALENV"}
)  # fmt: skip
# uv reads none of pip's settings; who has set only these means both.
_AS_PIP = {
    "UV_DEFAULT_INDEX": "PIP_INDEX_URL",
    "UV_INDEX": "PIP_EXTRA_INDEX_URL",
    "UV_FIND_LINKS": "PIP_FIND_LINKS",
    "SSL_CERT_FILE": "PIP_CERT",
}


def folder_of(lock: Lock) -> Path:
    """Where the environment of this ``lock`` lies, or will. EnvironmentUnavailable for a user without a cache folder."""
    text = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
    if not os.path.isabs(text):  # noqa: PTH117
        raise EnvironmentUnavailable(
            "there is no folder to build an environment in", {}, "Set XDG_CACHE_HOME to a folder."
        )
    # Lineal itself may have to be today's, and what is reached decides what must be there.
    parts = [lock.python, [[each.name, each.version, each.rank] for each in lock.wanted], _lineal_here()]
    return Path(text, "lineal", "environments", hashlib.sha256(encode(parts)).hexdigest()[:32])


def is_there(folder: Path) -> bool:
    """Whether the environment in ``folder`` is whole, and the Python that it was made from still exists."""
    return (folder / "bin" / "python").exists() and (folder / _NOTES).exists()


def get_python(folder: Path, lock: Lock, contents: Mapping[str, str]) -> tuple[Path, tuple[str, ...]]:
    """The Python in ``folder``, which is built there as ``lock`` says where it is not yet, and what to know about it.

    ``contents`` are the recorded hashes of what distributions hold. `EnvironmentUnavailable` where something cannot be had;
    nothing is left of what was begun.
    """
    if not is_there(folder):
        _build(folder, lock, contents)
    place = folder.resolve()
    notes = msgspec.json.decode((place / _NOTES).read_bytes(), type=tuple[str, ...])
    return place / "bin" / "python", notes


def _build(folder: Path, lock: Lock, contents: Mapping[str, str]) -> None:
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _sweep(folder.parent)
    place = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
    try:
        notes = _Building(place, lock, contents).run()
        write_note(place / _NOTES, msgspec.json.encode(notes))
        link = place.with_name(f"{place.name}.link")
        link.symlink_to(place.name)
        link.replace(folder)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise


def _sweep(root: Path) -> None:
    """Remove what was broken off long ago: no link leads there."""
    linked = {path.resolve() for path in root.iterdir() if path.is_symlink()}
    for path in root.iterdir():
        is_linked = path.is_symlink() or path.resolve() in linked
        if not is_linked and time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
            shutil.rmtree(path, ignore_errors=True)


class _Building:
    """Fills the empty folder ``place``."""

    def __init__(self, place: Path, lock: Lock, contents: Mapping[str, str]) -> None:
        self._place, self._lock, self._contents = place, lock, contents
        self._python = place / "bin" / "python"
        self._notes: list[str] = []
        self._is_same_minor = _minor(lock.python) == _minor(platform.python_version())

    def run(self) -> list[str]:
        self._make_python()
        self._site = next(self._place.glob("lib/*/site-packages"))
        asked = [each for each in self._lock.wanted if each.requirement is not None]
        if self._ask(asked) is None:
            self._install([each for each in self._lock.wanted if each.requirement is None])
        else:
            self._install(self._lock.wanted)
        self._provide_lineal()
        self._check()
        return self._notes

    # -- Python -------------------------------------------------------------------------------

    def _make_python(self) -> None:
        wanted, here = self._lock.python, platform.python_version()
        base = getattr(sys, "_base_executable", sys.executable)
        uv = _find_uv()
        if uv is not None:
            versions = [base if here == wanted else wanted, base if self._is_same_minor else _minor(wanted)]
            commands = [
                [uv, "venv", "--quiet", "--no-project", "--python", version, str(self._place)]
                for version in dict.fromkeys(versions)
            ]
        else:
            other = base if self._is_same_minor else f"python{_minor(wanted)}"
            commands = [[other, "-m", "venv", "--without-pip", str(self._place)]]
        if all(_run(command) is not None for command in commands):
            raise EnvironmentUnavailable(
                f"there is no Python {_minor(wanted)} here",
                {},
                f"Install it (`uv python install {_minor(wanted)}`), or use --current-env.",
            )
        asked = [str(self._python), "-c", "import platform; print(platform.python_version())"]
        found = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
        if found != wanted:
            self._notes.append(f"Python {found} in place of {wanted}")

    # -- distributions ------------------------------------------------------------------------

    def _install(self, wanted: Sequence[Wanted]) -> None:
        """Have these installed that cannot be had all at once: what is the same here is copied, others are asked for apart.

        What is missing is known before anything large is copied.
        """
        optional = self._optional()
        ranks: tuple[Rank, ...] = ("needed", "own", "other")
        for rank in ranks:
            group = [each for each in wanted if each.rank == rank]
            here = [
                each for each in group if self._is_here(each) and (rank != "other" or each.name in optional)
            ]
            self._settle(rank, self._ask_apart([each for each in group if each not in here]))
            self._settle(
                rank, self._ask_apart([each for each in here if not self._copy(_today()[each.name])])
            )

    def _settle(self, rank: Rank, failed: Mapping[str, str]) -> None:
        """Go on without what can be done without, or with another version of what Lineal needs."""
        lacking = dict(failed) if rank == "needed" else {}
        for name in failed if rank == "own" else ():
            today = _today().get(name) if self._is_same_minor else None
            if name != LINEAL and (today is None or not self._copy(today)):
                lacking[name] = failed[name]
            elif today is not None and name != LINEAL:
                self._notes.append(f"{name} {today.version}, today's, which Lineal needs: {failed[name]}")
        if lacking:
            some = "; ".join(f"{name}: {why}" for name, why in list(lacking.items())[:_SHOWN])
            raise EnvironmentUnavailable(
                f"the recorded environment cannot be had: {some}",
                lacking,
                "Set up the index that has them (UV_DEFAULT_INDEX, UV_FIND_LINKS, or uv's and pip's own settings), "
                "or use --current-env.",
            )
        if failed and rank == "other":
            more = f" and {len(failed) - _SHOWN} more" if len(failed) > _SHOWN else ""
            names = ", ".join(sorted(failed)[:_SHOWN])
            self._notes.append(f"without {names}{more}: not to be had, and not reached")

    def _ask(self, wanted: Sequence[Wanted]) -> str | None:
        """Have an installer get all of these; None, or why it got none of them."""
        if not wanted:
            return None
        file = self._place / "requirements.txt"
        file.write_text("".join(f"{each.requirement}\n" for each in wanted))
        try:
            problems = []
            for command in _installers(self._python):
                problem = _run([*command, "--quiet", "--no-deps", "-r", str(file)])
                if problem is None:
                    return None
                problems.append(problem)
                if wanted[0].rank == "other":
                    break  # it can be done without
            return problems[0] if problems else "there is neither uv nor pip here"
        finally:
            file.unlink()

    def _ask_apart(self, wanted: Sequence[Wanted]) -> dict[str, str]:
        """Ask for these, by halves where it fails; why those that cannot be had cannot be, by name.

        Of what can be done without, only a few are found out one by one: each may take a while.
        """
        failed = {each.name: each.problem for each in wanted if each.requirement is None}
        pending = [[each for each in wanted if each.requirement is not None]]
        alone = 0
        while pending:
            group = pending.pop()
            if alone == _MOST_ASKED_ALONE and group[0].rank == "other":
                failed.update((each.name, "so many others cannot be had") for each in group)
            elif (problem := self._ask(group)) is not None:
                if len(group) == 1:
                    failed[group[0].name] = problem
                    alone += 1
                else:
                    half = len(group) // 2
                    pending += [group[half:], group[:half]]
        return failed

    def _is_here(self, wanted: Wanted) -> bool:
        """Whether today's packages have the very same."""
        found = _today().get(wanted.name) if self._is_same_minor else None
        if found is None or found.version != wanted.version:
            return False
        return self._contents.get(wanted.name) in (None, found.contents())

    def _optional(self) -> set[str]:
        """The names of what is not reached, but used by what is where it is installed: extras, by today's metadata."""
        here = Distributions()
        needed = [each.name for each in self._lock.wanted if each.rank == "needed"]
        return {name for each in needed for name in here.required_by(each, extras=True)}

    def _copy(self, found: Distribution) -> bool:
        """Copy an installed distribution, unless one of its files is not what was installed; whether it was copied."""
        files = [each for each in found.files() if not each[0].endswith(".pyc")]
        if found.editable is not None or not all(_is_as_installed(found.folder, *each) for each in files):
            return False
        for name, _ in files:
            target = self._site / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(found.folder, name), target)
        return bool(files)

    # -- Lineal, and the end ------------------------------------------------------------------

    def _provide_lineal(self) -> None:
        """Today's, unless the recorded one is there and understands what it will be told."""
        recorded = next((each.version for each in self._lock.wanted if each.name == LINEAL), None)
        if recorded is not None and _run([str(self._python), "-c", _UNDERSTANDS]) is None:
            self._notes.append(f"Lineal {recorded}, the recorded one")
            return
        for name, folder in _lineal_packages():
            target = self._site / name
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(folder, target, ignore=shutil.ignore_patterns("__pycache__"))
        self._notes.append(f"Lineal {VERSION}, today's")

    def _check(self) -> None:
        """What is needed has to be there, in its version; that it has other files is told."""
        found = {each.name: each for each in Distributions([str(self._site)]).everything()}
        for each in self._lock.wanted:
            installed = found.get(each.name)
            version = None if installed is None else installed.version.partition(" ")[0]
            if each.rank == "needed" and version != each.version.partition(" ")[0]:
                raise EnvironmentUnavailable(
                    f"the installer gave {each.name} {version} in place of {each.version}",
                    {each.name: f"the installer gave {version}"},
                    "Look for constraints and overrides in uv's and pip's settings, or use --current-env.",
                )
            contents = self._contents.get(each.name)
            if (
                installed is not None
                and each.rank == "needed"
                and contents not in (None, installed.contents())
            ):
                self._notes.append(f"{each.name} {version} has other files than the recorded one")


# --- today's packages --------------------------------------------------------------------------------


@cache
def _today() -> Mapping[str, Distribution]:
    return {each.name: each for each in Distributions().everything()}


def _is_as_installed(folder: str, name: str, hashed: str) -> bool:
    """Whether the file has the hash that its installer noted, where that noted one."""
    try:
        with Path(folder, name).open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").digest()
    except OSError:
        return False
    return hashed in ("", f"sha256={urlsafe_b64encode(digest).decode().rstrip('=')}")


def _lineal_packages() -> list[tuple[str, Path]]:
    found = [(name, find_spec(name)) for name in _PACKAGES]
    return [(name, Path(spec.origin).parent) for name, spec in found if spec is not None and spec.origin]


@cache
def _lineal_here() -> str:
    """The identity of the Lineal that runs: its version does not change while it is being worked on."""
    hasher = hashlib.sha256(VERSION.encode())
    for name, folder in _lineal_packages():
        for path in sorted(folder.rglob("*.py")):
            hasher.update(f"{name}/{path.relative_to(folder)}".encode() + b"\0" + path.read_bytes())
    return hasher.hexdigest()


# --- installers --------------------------------------------------------------------------------------


def _find_uv() -> str | None:
    """uv as it was installed with Lineal, else the one on the path."""
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else shutil.which("uv")


def _has_pip() -> bool:
    return find_spec("pip") is not None


def _installers(python: Path) -> Iterator[list[str]]:
    """Commands that install into the environment of ``python``, the better first."""
    uv = _find_uv()
    if uv is not None:
        no_index = ["--no-index"] if os.environ.get("PIP_NO_INDEX") else []
        yield [uv, "pip", "install", "--python", str(python), *no_index]
    if _has_pip():
        pip = [sys.executable, "-m", "pip", "--python", str(python), "install"]
        yield [*pip, "--no-input", "--disable-pip-version-check"]


def _run(command: Sequence[str]) -> str | None:
    """None where it went well; else what it said, in one line."""
    variables = {name: text for name, text in os.environ.items() if name not in _FOREIGN}
    for name, other in _AS_PIP.items():
        if other in variables:
            variables.setdefault(name, variables[other])
    try:
        done = subprocess.run(
            command,
            check=False,
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
    except OSError as error:
        return f"{command[0]} cannot be started: {error.strerror}"
    if done.returncode == 0:
        return None
    return _in_one_line(done.stderr) or f"{Path(command[0]).name} ended with {done.returncode}"


def _in_one_line(text: str) -> str:
    """What an installer complained about, without its drawings."""
    words = " ".join(text.translate(dict.fromkeys(map(ord, "×╰─▶│├"), " ")).split())
    return words if len(words) <= _SAID else f"{words[:_SAID]}…"


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
