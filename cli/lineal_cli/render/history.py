"""Past runs, what they printed, and how they were stopped: the documents of ``runs``, ``logs`` and ``cancel``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lineal.api.nearest import did_you_mean
from lineal.errors import UsageError
from lineal.views.words import last_state
from lineal_cli.render.text import clean, clean_log, moment, paint, paint_state, seconds, table, values

Run = Mapping[str, Any]
COLUMNS = ("run_id", "pipeline", "state", "namespace", "logical_date", "started_at", "seconds")


def render_runs(document: Mapping[str, Any], *, with_metrics: bool = False) -> str:
    runs: Sequence[Run] = document["runs"]
    if not runs:
        return "no runs"
    metrics = list(dict.fromkeys(name for run in runs for name in run["metrics"])) if with_metrics else []
    header = ("run", "pipeline", "state", "started", "time", "hit", "ran", "failed", *metrics, "parameters")
    rows = [
        (
            clean(run["run_id"]),
            clean(run["pipeline"]),
            paint_state(run["state"]) + (paint(" (lost)", "red") if run["lost"] else ""),
            moment(run["started_at"]),
            seconds(run["seconds"]) if run["seconds"] is not None else "",
            *(run["counts"].get(name, 0) or "" for name in ("hit", "succeeded", "failed")),
            *(_metric(run["metrics"].get(name)) for name in metrics),
            paint(values(run["parameters"], most=30), "dim"),
        )
        for run in runs
    ]
    return table(rows, [clean(title) for title in header], right=range(4, 8 + len(metrics)))


def sort_runs(runs: Sequence[Run], key: str) -> list[Run]:
    """By a metric or column, largest first; by ``-key`` smallest first. Runs without it come last."""
    name = key.removeprefix("-")
    known = [*COLUMNS, *dict.fromkeys(metric for run in runs for metric in run["metrics"])]
    if name not in known:
        raise UsageError(
            f"runs cannot be sorted by {name}{did_you_mean(name, known)}", f"There are {', '.join(known)}."
        )

    def found(run: Run) -> Any:
        return run[name] if name in COLUMNS else run["metrics"].get(name)

    def is_missing(item: object) -> bool:
        return item is None or (isinstance(item, float) and math.isnan(item))

    there = [run for run in runs if not is_missing(found(run))]
    there.sort(key=found, reverse=not key.startswith("-"))
    return there + [run for run in runs if is_missing(found(run))]


def render_cancel(document: Mapping[str, Any]) -> str:
    run_id, state = clean(document["run_id"]), clean(document["state"])
    again = f"`lineal rerun {run_id}` goes on after its last finished stage."
    if document["lost"] is not None:
        return f"run {run_id} does not go on: it is lost, {clean(document['lost'])}\n{again}"
    if not document["asked"]:
        return f"run {run_id} had ended before: {paint_state(state)}"
    if state == "running":
        return (
            f"run {run_id} was asked to stop, and goes on still\n"
            "It stops as soon as it can: what a stage does in Lineal's own process may have to come to its end."
        )
    if state == "cancelled":
        return f"run {run_id} is {paint_state(state)}\n{again}"
    return f"run {run_id} came to its end before it could be stopped: {paint_state(state)}"


def render_logs(document: Mapping[str, Any]) -> str:
    logs = document["logs"]
    texts = [_as_shown(log["text"]).rstrip("\n") for log in logs]
    if len(logs) == 1:
        return texts[0] or "(it printed nothing)"
    if not logs:
        return "nothing was printed"
    return "\n\n".join(
        f"{paint(_log_title(log), 'bold')}\n{text}".rstrip() for log, text in zip(logs, texts, strict=True)
    )


def _as_shown(text: str) -> str:
    """What a terminal would show in the end: of a progress bar its last state."""
    return "\n".join(clean_log(last_state(line)) for line in text.split("\n"))


def _log_title(log: Mapping[str, Any]) -> str:
    attempt = f", attempt {log['attempt']}" if log["attempt"] else ""
    return f"{clean(log['stage'])}{attempt}"


def _metric(number: object) -> str:
    return f"{number:.6g}" if isinstance(number, int | float) else ""
