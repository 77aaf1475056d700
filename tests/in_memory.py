"""Projects in memory: fingerprinted without a disk, run from the recorded bytes."""

from __future__ import annotations

import resource
import signal
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

from lineal.fingerprint import Fingerprint, Fingerprinter, FingerprintError, Sources, install

ROOT = Path("/project/in/memory")
Files = Mapping[str, str | bytes]


def sources_of(files: Files) -> Sources:
    data = {
        name: text if isinstance(text, bytes) else textwrap.dedent(text).encode()
        for name, text in files.items()
    }
    return Sources(ROOT, [ROOT], data)


def fingerprint_of(
    files: Files, stage: str = "stage", module: str = "pipeline", **options: object
) -> Fingerprint:
    """The fingerprint of ``stage`` in pipeline.py of a project given as text by file name."""
    return Fingerprinter(sources_of(files)).stage(module, stage, **options)  # type: ignore[arg-type]


def result_of(files: Files) -> str:
    """What ``pipeline.stage()`` returns or raises; ``not imported`` and the error, when that is as far as it gets.

    For a process that does nothing else: what is imported here stays.
    """
    answer = "not imported"
    try:
        install(sources_of(files))
        sys.path.insert(0, str(ROOT))
        import pipeline  # type: ignore[import-not-found]

        answer = ""
        return repr(pipeline.stage())
    except BaseException as error:  # noqa: BLE001 - whatever the project raises is an answer
        return f"{answer} {type(error).__name__}: {error}".strip()


def units_of(files: Files, most_seconds: int) -> tuple[str, float]:
    """The number of units, or the error, and the megabytes that this process has taken; it dies after ``most_seconds``."""
    signal.alarm(most_seconds)
    try:
        found = str(len(fingerprint_of(files).covers))
    except FingerprintError as error:
        found = f"refused: {error}"
    except BaseException as error:  # noqa: BLE001 - the test says what it was
        found = f"raised {error!r}"
    return found, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
