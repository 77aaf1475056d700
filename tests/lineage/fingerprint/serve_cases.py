"""Answers requests for fingerprints, one JSON document a line, each in a process forked from this warm one.

A request names a project laid out on the disk, its site and editable folders, variables, stages and declared
files.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any


def answer(request: dict[str, Any]) -> dict[str, Any]:
    os.environ.update(request["env"])
    os.chdir(request["project"])
    sys.dont_write_bytecode = True
    sys.path[:0] = [request[key] for key in ("project", "site", "editable") if Path(request[key]).is_dir()]
    import lineal

    module = importlib.import_module("pipeline")
    found = {}
    for stage in request["stages"]:
        fingerprint = lineal.fingerprint(
            getattr(module, stage), reads=request["reads"], project=request["project"]
        )
        found[stage] = fingerprint.hex
    return found


def main() -> None:
    import numpy  # noqa: F401
    import pandas  # noqa: F401
    import pydantic  # noqa: F401

    import lineal.fingerprint  # noqa: F401

    gc.freeze()  # so that collections in the forked processes do not copy what is shared
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a project prints is no answer
    for line in sys.stdin:
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(read)
            try:
                reply = json.dumps(answer(json.loads(line)))
            except BaseException as error:  # noqa: BLE001 - whatever the project raises is an answer
                reply = json.dumps({"error": f"{type(error).__name__}: {error}"})
            os.write(write, reply.encode())
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as stream:
            data = stream.read()
        os.waitpid(pid, 0)
        out.write((data or '{"error": "the process died"}') + "\n")
        out.flush()


if __name__ == "__main__":
    main()
