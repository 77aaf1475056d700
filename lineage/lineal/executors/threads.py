"""How many threads the numeric libraries of a stage start: stages that run at once share the machine."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from lineal.errors import UsageError

VARIABLES = (
    "OMP_NUM_THREADS",  # also pyarrow's and torch's
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
)
"""By these the numeric libraries are told how many threads to use."""


def bounds(slots: int, settled: Collection[str]) -> dict[str, str]:
    """The variables that divide the machine's cores by ``slots``, apart from those that are ``settled`` already."""
    threads = str(max(1, cores() // slots))
    return {name: threads for name in VARIABLES if name not in settled}


def limit(count: int, variables: Collection[str]) -> None:
    """Have the libraries of this process use ``count`` threads.

    ``variables`` are the environment's that are ours to set; where the user has settled the one that all
    obey, libraries that are loaded are left alone too.
    """
    os.environ.update(dict.fromkeys(variables, str(count)))
    if "OMP_NUM_THREADS" not in variables:
        return
    if "numpy" in sys.modules:
        try:
            import threadpoolctl
        except ImportError:  # comes with scikit-learn
            pass
        else:
            threadpoolctl.threadpool_limits(count)
    if "pyarrow" in sys.modules:
        sys.modules["pyarrow"].set_cpu_count(count)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(count)


def refuse_threads_of_polars() -> None:
    """Raise `UsageError` where polars works with threads already: a fork has none of them, and would wait for them for ever.

    Only Linux tells the names of threads.
    """
    for thread in Path("/proc/self/task").glob("*/comm"):
        with suppress(OSError):  # it has ended meanwhile
            if re.fullmatch(r"polars-\d+\n", thread.read_text()):
                raise UsageError(
                    "polars was put to work while the project was imported, and its threads do not reach the stages",
                    "Do that work in a stage or a function, or run with --executor inline.",
                )


def cores() -> int:
    """How many this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
