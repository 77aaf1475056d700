"""What is fine and what is not about an installation, a project, its stores and this machine.

Made for the first day and for the worst night: every check is made, also after another has failed, and each
that finds something says what to do. None runs the project's code or writes more than a probe, which is gone afterwards.
"""

from __future__ import annotations

import ast
import operator
import os
import platform
import re
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from lineal.api.checks import Checks, Found, failed, ok, warning
from lineal.api.config import PROJECT_FILES, Configuration
from lineal.api.doctor_stores import examine_disks, examine_store, examine_upstream
from lineal.api.targets import find_pipelines, resolve
from lineal.api.tracing import collectors, is_traced
from lineal.errors import LinealError, StoreUnavailable
from lineal.version import VERSION

Document = dict[str, Any]

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def doctor_document(configuration: Configuration) -> Document:
    """``{"checks": [{"name", "state", "detail", "hint"}], "ok"}``; ``ok`` is false when a check has failed.

    Names are unique; those of the store's checks begin with ``store``, those of the stores upstream with ``upstream``.
    """
    checks, place = Checks(), configuration.place
    checks.make("python", _check_python)
    checks.make("lineal", _check_installation)
    checks.make("dependencies", _check_dependencies)
    checks.make("git", _check_git)
    checks.make("project", partial(_check_project, configuration))
    checks.make("configuration", partial(_check_configuration, configuration))
    checks.make("pipelines", partial(_check_pipelines, configuration))
    checks.make("namespace", partial(_check_namespace, configuration))
    checks.make("threads", _check_threads)
    if collectors():
        checks.make("traces", _check_traces)
    if configuration.alerts or (configuration.root / ".lineal" / "outbox").is_dir():
        checks.make("alerts", partial(_check_alerts, configuration))
    if configuration.schedules:
        from lineal.api.doctor_schedules import examine_schedules  # few projects have any

        examine_schedules(checks, configuration)
    examine_store(checks, place, by_default=configuration.origins.get("store") == "default")
    examine_upstream(checks, place)
    examine_disks(checks, place, configuration.root)
    return {
        "checks": [asdict(check) for check in checks.made],
        "ok": all(check.state != "failed" for check in checks.made),
    }


def exit_code(document: Mapping[str, Any]) -> int:
    """What a command that found this exits with: 5 when a store's check failed, 1 when another did, else 0."""
    failed = [check["name"] for check in document["checks"] if check["state"] == "failed"]
    if any(name.partition(" ")[0] in ("store", "upstream") for name in failed):
        return StoreUnavailable.exit_code
    return 1 if failed else 0


# --- the installation ------------------------------------------------------------------------------


def _check_python() -> Found:
    detail = (
        f"{platform.python_version()} ({platform.python_implementation()}) on {platform.system()}"
        f" {platform.machine()}, {sys.executable}"
    )
    installed = _installed_metadata()
    bounds = installed["Requires-Python"] if installed is not None else None
    if bounds and not is_within(platform.python_version(), bounds):
        return failed(f"{detail}; Lineal needs {bounds}", "Make the environment anew with a newer Python.")
    return ok(detail)


def _check_installation() -> Found:
    detail = f"{VERSION}, in {Path(__file__).parents[1]}"
    installed = _installed_metadata()
    if installed is None:
        return warning(
            f"{detail}, which is not installed: versions of what it needs are not known",
            f"{_pip()} lineal",
        )
    if installed["Version"] != VERSION:
        return warning(
            f"{detail}; the installation's own record says {installed['Version']}",
            "Two versions are mixed, or an editable install is older than its source: install lineal again.",
        )
    return ok(detail)


def _check_dependencies() -> Found:
    requirements = list(read_requirements())
    wrong = []
    for name, bounds in requirements:
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            wrong.append((f"{name} is not installed", name + bounds))
            continue
        if not is_within(version, bounds):
            wrong.append((f"{name} is {version}, and {bounds} is needed", name + bounds))
    if wrong:
        needed = " ".join(f"'{requirement}'" for _, requirement in wrong)
        return failed("; ".join(problem for problem, _ in wrong), f"{_pip()} {needed}")
    if not requirements:
        return warning("not known: Lineal is not installed as a distribution")
    return ok(f"{len(requirements)} distributions, all there and within their bounds")


def read_requirements() -> Iterator[tuple[str, str]]:
    """(distribution, bounds on its version) of what Lineal itself always needs."""
    installed = _installed_metadata()
    for text in (installed.get_all("Requires-Dist") or []) if installed is not None else []:
        match = _REQUIREMENT.fullmatch(text)
        if match is not None:  # one that ends with a marker is for an extra
            yield match[1], match[2].strip(" ()")


_REQUIREMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^]]*\])?\s*([^;]*)")


def is_within(version: str, bounds: str) -> bool:
    """Whether ``version`` keeps to ``bounds``. Only the numbers of a release count: 3.0rc1 is 3.0.

    >>> is_within("8.10", ">=8.2,<9"), is_within("2", ">=1,!=2.0"), is_within("3.10.1", "<3.10")
    (True, False, False)
    """
    for bound in filter(None, bounds.split(",")):
        match = _BOUND.fullmatch(bound.strip())
        if match is None:
            raise ValueError(f"bound {bound!r} cannot be read")
        if not _OPERATORS[match[1]](_release(version), _release(match[2])):
            return False
    return True


_BOUND = re.compile(r"(>=|<=|==|!=|>|<)\s*(\d[\w.]*)")
_OPERATORS: Mapping[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}


def _release(version: str) -> tuple[int, ...]:
    match = re.match(r"\d+(?:\.\d+)*", version)
    numbers = [int(number) for number in match[0].split(".")] if match else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _installed_metadata() -> metadata.PackageMetadata | None:
    try:
        return metadata.metadata("lineal")
    except metadata.PackageNotFoundError:
        return None


def _pip() -> str:
    return f"{sys.executable} -m pip install"


def _check_git() -> Found:
    path = shutil.which("git")
    if path is None:
        return warning(
            "not on the PATH: runs are recorded without their commit", "Install git, or add it to the PATH."
        )
    return ok(path)


def _check_threads() -> Found:
    told = [f"{name}={os.environ[name]}" for name in THREAD_VARIABLES if os.environ.get(name)]
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return ok(f"{count} processors; {' '.join(told) or 'no variable such as OMP_NUM_THREADS is set'}")


def _check_traces() -> Found:
    named = ", ".join(collectors())  # and not their values, which may have a key in them
    if not is_traced():
        return warning(
            f"{named} names a collector, and what sends to it is not installed: no run is traced",
            f"{_pip()} 'lineal[otel]'",
        )
    return ok(f"runs are traced, to what {named} names")


# --- the project -----------------------------------------------------------------------------------


def _check_project(configuration: Configuration) -> Found:
    root = configuration.root
    files = [name for name in PROJECT_FILES if (root / name).is_file()]
    if files:
        return ok(f"{root}, with {' and '.join(files)}")
    return ok(f"{root}; no {' or '.join(PROJECT_FILES)} here or above, so that all settings are defaults")


def _check_configuration(configuration: Configuration) -> Found:
    settings: dict[str, list[str]] = {}
    for setting, origin in configuration.origins.items():
        if origin != "default":
            settings.setdefault(origin, []).append(setting)
    told = [f"{', '.join(names)} by {origin}" for origin, names in settings.items()]
    profile = [f"profile {configuration.profile}"] if configuration.profile else []
    return ok("; ".join(profile + told) or "nothing is set; defaults everywhere")


def _check_pipelines(configuration: Configuration) -> Found:
    if not configuration.pipelines:
        try:
            found = resolve(None, configuration)
        except LinealError as problem:
            return warning(f"none is configured, and {problem}", problem.hint)
        return ok(f"none is configured; there is {found}")
    wrong: list[tuple[str, str | None]] = []
    doubtful = []
    for text in configuration.pipelines:
        try:
            target = resolve(text, configuration, folder=configuration.root)
            if target.file is not None:
                _parse(target.file)
        except SyntaxError as problem:
            wrong.append((f"{text}: line {problem.lineno} is not Python: {problem.msg}", None))
        except (OSError, ValueError) as problem:
            wrong.append((f"{text}: {problem}", None))
        except LinealError as problem:
            wrong.append((f"{text}: {problem}", problem.hint))
        else:
            if target.file is not None and target.name not in find_pipelines(target.file):
                doubtful.append(f"{text}: {target.file.name} shows no pipeline {target.name or 'at all'}")
    if wrong:
        return failed(
            "; ".join(problem for problem, _ in wrong), next((hint for _, hint in wrong if hint), None)
        )
    if doubtful:
        return warning(
            "; ".join(doubtful), "Check its spelling; one that is made by code, not by @pipeline, is fine."
        )
    return ok(", ".join(configuration.pipelines))


def _parse(file: Path) -> None:
    with warnings.catch_warnings(action="ignore"):  # about the user's own text, which is not asked about here
        ast.parse(file.read_bytes())


def _check_alerts(configuration: Configuration) -> Found:
    from lineal.api.doctor_alerts import check_alerts  # few projects have any

    return check_alerts(configuration)


def _check_namespace(configuration: Configuration) -> Found:
    origin = configuration.origins.get("namespace", "default")
    told = (
        f"{configuration.namespace} ({'the user, by default' if origin == 'default' else 'from ' + origin})"
    )
    if configuration.namespace == "production":
        return warning(
            f"{told}: whatever succeeds here becomes production's `latest`",
            "For anything but production set LINEAL_NAMESPACE, or --namespace, to another name.",
        )
    return ok(told)
