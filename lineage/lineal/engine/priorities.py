"""What to begin first when more is ready than may run at once: what the end of the run waits for longest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def critical_paths(parents: Mapping[str, Sequence[str]], seconds: Mapping[str, float]) -> dict[str, float]:
    """For each task how long the longest chain is that begins with it, in seconds: the higher, the sooner it should begin.

    ``parents`` are given in an order in which parents come first; those that are no tasks do not count. ``seconds`` is how long tasks took
    before. One of which that is not known counts as the median of the others, so that among unknown tasks the longest
    chain by their number goes first (highest level first: Adam, Chandy and Dickson, "A comparison of list schedules for parallel
    processing systems", CACM, 1974). Linear in tasks and edges.
    """
    known = sorted(seconds[task] for task in parents if task in seconds)
    usual = max(known[len(known) // 2], _LEAST_SECONDS) if known else 1.0  # of two the larger
    after = dict.fromkeys(parents, 0.0)  # the longest chain behind each
    paths = {}
    for task in reversed(list(parents)):
        path = paths[task] = seconds.get(task, usual) + after[task]
        for parent in parents[task]:
            if parent in after:
                after[parent] = max(after[parent], path)
    return {task: paths[task] for task in parents}


_LEAST_SECONDS = 1e-3  # so that depth counts where everything took no time
