"""The environment of the processes that stages run in: decided once a run, for them and for the keys."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping

from lineal.executors.threads import bounds


def worker_variables(
    executor: str, slots: int, declared: Collection[str], environ: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """What stages find in their environment, where ``slots`` of them run at once on this machine.

    Numeric libraries get the machine's cores divided by ``slots`` as their number of threads, unless the environment says
    otherwise. A variable that a stage declares is part of its key, so it is left as it is, set or not: its value must not
    depend on how many stages run at once.
    """
    if executor == "inline":  # this very process
        return dict(environ)
    seed = environ.get("PYTHONHASHSEED", "0") if "PYTHONHASHSEED" in declared else "0"
    return {**environ, **bounds(slots, {*environ, *declared}), "PYTHONHASHSEED": seed}
