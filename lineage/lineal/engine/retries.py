"""Whether a failed attempt is followed by another, and after how long: decided from the stage's options.

No clock and no chance of its own: the draw is an argument, so that a delay is a function of what is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from lineal.events import Failure
from lineal.stages import StageOptions

_TIMEOUT = ("TimeoutError", "OSError", "Exception", "BaseException")


def is_worth_retrying(options: StageOptions, failure: Failure, raised: Sequence[str]) -> bool:
    """Whether another attempt may end otherwise; ``raised`` are the names of the exception's classes.

    A broken contract would break again. A worker that was killed or lost says nothing about the stage, and a timeout
    counts as a TimeoutError. A function in ``retry_on`` has been asked where the exception was raised.
    """
    if failure.kind in ("contract", "code_changed", "effect_unknown"):
        return False
    if failure.kind in ("killed", "out_of_memory") or not isinstance(options.retry_on, tuple):
        return True
    classes = _TIMEOUT if failure.kind == "timeout" else raised
    return any(_names(wanted, found) for wanted in options.retry_on for found in classes)


def delay_seconds(options: StageOptions, attempts: int, draw: float) -> float:
    """How long to wait after the first ``attempts`` have failed; ``draw`` is from [0, 1).

    Each delay is ``retry_backoff`` times the one before, as far as ``retry_max_delay`` (which shortens none
    below ``retry_delay``); ``retry_jitter`` of it is drawn on top, so that stages which failed together do not come back
    together (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
    """
    first, most = options.retry_delay_seconds, options.retry_max_delay_seconds
    delay = first
    for _ in range(attempts - 1):
        if delay >= most or options.retry_backoff == 1.0:
            break
        delay *= options.retry_backoff
    return max(first, min(delay, most)) * (1.0 + options.retry_jitter * draw)


def draw_of(run_id: str, stage_id: str, attempts: int) -> float:
    """The draw for one delay: another one for each run, stage and attempt, and the same whenever it is asked for."""
    return Random(f"{run_id} {stage_id} {attempts}").random()


def _names(wanted: str, found: str) -> bool:
    # a script's own classes are called __main__'s in its process, and by the module's name in a worker
    own = wanted.removeprefix("__main__.")
    return found == wanted or (own != wanted and found.endswith(f".{own}"))
