"""Projects in memory: fingerprinted without a disk, run from the recorded bytes in a forked process."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from lineal.fingerprint import Fingerprint, Fingerprinter, Sources, install

ROOT = Path("/project/in/memory")


def sources_of(files: Mapping[str, str | bytes]) -> Sources:
    data = {
        name: text if isinstance(text, bytes) else textwrap.dedent(text).encode()
        for name, text in files.items()
    }
    return Sources(ROOT, [ROOT], data)


@pytest.fixture
def fingerprint_of() -> Callable[..., Fingerprint]:
    """The fingerprint of ``stage`` in pipeline.py of a project given as text by file name."""

    def compute(
        files: Mapping[str, str | bytes], stage: str = "stage", module: str = "pipeline", **options: object
    ) -> Fingerprint:
        return Fingerprinter(sources_of(files)).stage(module, stage, **options)  # type: ignore[arg-type]

    return compute


@pytest.fixture
def result_of() -> Callable[[Mapping[str, str | bytes]], str]:
    """What ``pipeline.stage()`` returns or raises, run in a forked process from the recorded bytes; ``not imported``
    and the error, when that is as far as it gets.
    """

    def run(files: Mapping[str, str | bytes]) -> str:
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(read)
            try:
                install(sources_of(files))
                sys.path.insert(0, str(ROOT))
                answer = "not imported"
                import pipeline  # type: ignore[import-not-found]

                answer = ""
                answer = repr(pipeline.stage())
            except BaseException as error:  # noqa: BLE001 - whatever the project raises is an answer
                answer = f"{answer} {type(error).__name__}: {error}".strip()
            os.write(write, json.dumps(answer).encode())
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as stream:
            data = stream.read()
        os.waitpid(pid, 0)
        return str(json.loads(data))

    return run
