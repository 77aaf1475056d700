"""How good the model is over the year: ``python measure.py``, after ``python fetch.py``, trains and tests it on 22 run dates.

Stages are called as the plain functions that they are, so nothing is taken from a store or kept.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from statistics import mean
from time import perf_counter

from lineal import File
from threadpoolctl import threadpool_limits

from fetch import NAMES, RAW
from flights import evaluate, featurize, ingest, train, validate

FIRST, LAST, COUNT = date(2013, 3, 20), date(2013, 12, 28), 22


def main() -> None:
    flights, weather, planes = (File(str(RAW / name)) for name in NAMES)
    spent: dict[str, float] = {}
    aucs = []
    for number in range(COUNT):
        run_date = FIRST + (LAST - FIRST) * number // (COUNT - 1)
        with stopwatch("ingest", spent):
            raw = ingest(flights, weather, planes, run_date)
        with stopwatch("validate", spent):
            valid = validate(raw.flights, raw.weather, raw.planes)
        with stopwatch("featurize", spent):
            features = featurize(valid.flights, valid.weather, valid.planes, run_date)
        with stopwatch("train", spent):
            model, columns = train(features.train)
        with stopwatch("evaluate", spent):
            metrics = evaluate(model, columns, features.test)
        aucs.append(metrics["auc"])
        print(
            f"{run_date}: " + ", ".join(f"{name} {value:.3f}" for name, value in metrics.items()), flush=True
        )
    print(f"\nAUC over {COUNT} run dates: mean {mean(aucs):.3f}, from {min(aucs):.3f} to {max(aucs):.3f}")
    print("Seconds on average: " + ", ".join(f"{name} {total / COUNT:.2f}" for name, total in spent.items()))


@contextmanager
def stopwatch(name: str, spent: dict[str, float]) -> Iterator[None]:
    """Add the seconds that the block takes."""
    started = perf_counter()
    yield
    spent[name] = spent.get(name, 0.0) + perf_counter() - started


if __name__ == "__main__":
    with threadpool_limits(limits=1):  # on small tables threads cost more than they save
        main()
