"""What code runs on, as an exact lock: recorded with every run, so that it can be had again (`lineal.reproduce`)."""

# ruff: noqa: PTH116
# pathlib costs more here than all that is asked of it.
from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from lineal.executors import threads
from lineal.graph.records import Environment, to_bytes
from lineal.notes import write_note

if TYPE_CHECKING:
    from lineal.fingerprint import Distributions
    from lineal.fingerprint.distributions import Distribution
    from lineal_store import Digest, Store

VARIABLES = (
    *threads.VARIABLES,
    *("PYTHONHASHSEED", "TZ", "OMP_DYNAMIC", "CUBLAS_WORKSPACE_CONFIG"),
    *("OPENBLAS_CORETYPE", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS"),
    *("NPY_DISABLE_CPU_FEATURES", "NPY_ENABLE_CPU_FEATURES"),
)
"""These can change what numeric code computes, so they are recorded without being declared."""

_CPU_BYTES = 8192  # the first processor of hundreds
# Of x86 and of ARM: with other vector units sums are added up in another order, or rounded less often.
_CPU_FEATURES = ("sse", "ssse", "avx", "fma", "f16c", "amx", "asimd", "sve", "fphp", "bf16", "i8mm")


def keep_environment(store: Store, environment: Environment) -> Digest:
    """Put it into the store; nothing is stored twice."""
    return store.blobs.heal(to_bytes(environment))


def describe_environment(
    distributions: Distributions,
    declared: Iterable[str] = (),
    variables: Mapping[str, str] = os.environ,
    *,
    remember: Path | None = None,
) -> Environment:
    """What stages run on here that find ``variables`` in their environment and have ``declared`` some of them.

    What the installed files hold is read off the lists that installers leave; these are long, so that what was found is
    kept in the file ``remember``, by the identities of the lists.
    """
    import platform

    installed = distributions.everything()
    return Environment(
        python=platform.python_version(),
        implementation=platform.python_implementation(),
        build=" ".join(platform.python_build()),
        platform=_platform(),
        machine=platform.machine(),
        distributions={each.name: each.version for each in installed},
        variables={name: variables[name] for name in (*VARIABLES, *declared) if name in variables},
        contents=dict(_contents(installed, remember)),
        sources={each.name: each.source for each in installed if each.source is not None},
        editable=[each.name for each in installed if each.editable is not None],
        cpu=_cpu_features(),
        cores=threads.cores(),
    )


_Notes = dict[str, tuple[tuple[int, int, int, int], str]]


def _contents(installed: Iterable[Distribution], remember: Path | None) -> Iterator[tuple[str, str]]:
    before = _read_notes(remember)
    after: _Notes = {}
    for each in installed:
        if each.editable is not None:
            continue  # it lists no code
        path = f"{each.info}/RECORD"
        try:
            status = os.stat(path)
        except OSError:
            continue
        identity = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        known = before.get(path)
        after[path] = known if known is not None and known[0] == identity else (identity, each.contents())
        yield each.name, after[path][1]
    if remember is not None and after != before:
        with contextlib.suppress(OSError):  # a read-only project: the next run takes longer
            write_note(remember, msgspec.json.encode(after))


def _read_notes(remember: Path | None) -> _Notes:
    try:
        return {} if remember is None else msgspec.json.decode(remember.read_bytes(), type=_Notes)
    except (OSError, msgspec.DecodeError):
        return {}


def _platform() -> str:
    """What `platform.platform` says, without the process that it starts on Linux to be told of the machine once more."""
    import platform

    libc = "".join(platform.libc_ver()) if sys.platform == "linux" else ""
    if not libc:
        return platform.platform()
    system = os.uname()
    return f"{system.sysname}-{system.release}-{system.machine}-with-{libc}"


def _cpu_features() -> list[str]:
    """Those that matter, sorted; none where the system does not say (macOS: the machine's name tells them)."""
    if sys.platform != "linux":
        return []
    try:
        with open("/proc/cpuinfo", "rb", buffering=0) as stream:
            lines = stream.read(_CPU_BYTES).decode("ascii", "replace").splitlines()
    except OSError:
        return []
    found = (line.partition(":")[2].split() for line in lines if line.startswith(("flags", "Features")))
    return sorted(name for name in next(found, []) if name.startswith(_CPU_FEATURES))
