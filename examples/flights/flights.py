"""Will a flight from New York arrive more than 15 minutes late? Trained, tested and deployed every night."""

import shutil
from datetime import date
from pathlib import Path
from typing import Annotated, NamedTuple

import joblib
import pandas as pd
from lineal import File, Metrics, Schema, output, pipeline, stage, when
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import brier_score_loss, roc_auc_score
from threadpoolctl import threadpool_limits

from contracts import Arrivals, Features, Planes, RawFlights, RawWeather, Weather
from features.calendar import days_before, departures_this_hour, local_day, minute_of_day, scheduled_minutes
from features.carriers import normalise_carriers
from features.design import LABEL, design
from features.planes import plane_of
from features.routes import route_air_minutes
from features.weather import weather_at_departure

TRAINING_DAYS = 56
TEST_DAYS = 7
LATE_MINUTES = 15
PROJECT = Path(__file__).resolve().parent


class Raw(NamedTuple):
    flights: pd.DataFrame
    weather: pd.DataFrame
    planes: pd.DataFrame


class Valid(NamedTuple):
    flights: Annotated[pd.DataFrame, Arrivals]
    weather: Annotated[pd.DataFrame, Weather]
    planes: Annotated[pd.DataFrame, Planes]


class Featurized(NamedTuple):
    train: Annotated[pd.DataFrame, Features]
    test: Annotated[pd.DataFrame, Features]


class Trained(NamedTuple):
    model: HistGradientBoostingClassifier
    columns: list[str]


class Release(NamedTuple):
    model: File
    metrics: Metrics


@stage
def ingest(flights: File, weather: File, planes: File, run_date: date) -> Raw:
    """Read the sources, and keep the days that a model of ``run_date`` is made from."""
    window = TRAINING_DAYS + TEST_DAYS
    departures = pd.read_csv(flights)
    observations = pd.read_csv(weather)
    return Raw(
        flights=departures[days_before(run_date, window, departures)].reset_index(drop=True),
        weather=observations[days_before(run_date, window, observations)].reset_index(drop=True),
        planes=pd.read_csv(planes),
    )


@stage
def validate(
    flights: Annotated[pd.DataFrame, RawFlights],
    weather: Annotated[pd.DataFrame, RawWeather],
    planes: Annotated[pd.DataFrame, Planes],
) -> Valid:
    """Take in nothing that breaks its contract; leave out flights that were cancelled or diverted."""
    arrived = flights[flights["arr_delay"].notna()].reset_index(drop=True)
    print(f"{len(arrived):,} flights arrived, {len(flights) - len(arrived):,} were cancelled or diverted")
    return Valid(
        flights=with_hour(arrived)[columns_of(Arrivals)],
        weather=with_hour(weather)[columns_of(Weather)],
        planes=planes,
    )


@stage
def featurize(
    flights: Annotated[pd.DataFrame, Arrivals],
    weather: Annotated[pd.DataFrame, Weather],
    planes: Annotated[pd.DataFrame, Planes],
    run_date: date,
) -> Featurized:
    """What is known of each flight before it departs, in days to train on and later days to test on."""
    test = days_before(run_date, TEST_DAYS, flights)
    table = pd.DataFrame(
        {
            "carrier": normalise_carriers(flights["carrier"]),
            "origin": flights["origin"],
            "dest": flights["dest"],
            "minute_of_day": minute_of_day(flights["sched_dep_time"]),
            "weekday": local_day(flights).dt.day_of_week.astype("int64"),
            "scheduled_minutes": scheduled_minutes(flights["sched_dep_time"], flights["sched_arr_time"]),
            "departures_this_hour": departures_this_hour(flights),
            "distance_miles": flights["distance"],
            "route_air_minutes": route_air_minutes(flights, learn_from=~test),
        }
    )
    table = table.join(weather_at_departure(flights, weather)).join(plane_of(flights, planes))
    table[LABEL] = flights["arr_delay"] > LATE_MINUTES
    return Featurized(train=table[~test].reset_index(drop=True), test=table[test].reset_index(drop=True))


@stage
def train(features: Annotated[pd.DataFrame, Features], learning_rate: float = 0.1) -> Trained:
    """Fit the model. Its trees are small, for much of a delay is luck.

    One thread is enough, and a fitted model remembers how many there were: with a fixed number it is the
    same, bit for bit, on every machine.
    """
    columns = [name for name in features.columns if name != LABEL]
    model = HistGradientBoostingClassifier(
        learning_rate=learning_rate,
        max_iter=60,
        max_leaf_nodes=8,
        categorical_features="from_dtype",
        early_stopping=False,  # pyright: ignore[reportArgumentType] (it infers str from "auto")
        random_state=0,
    )
    with threadpool_limits(limits=1):
        model.fit(design(features, columns), features[LABEL])
    return Trained(model, columns)


@stage
def evaluate(
    model: HistGradientBoostingClassifier, columns: list[str], features: Annotated[pd.DataFrame, Features]
) -> Metrics:
    """How well the model tells late flights from others, on days it has not seen."""
    late = features[LABEL]
    chance = model.predict_proba(design(features, columns))[:, 1]
    return {
        "auc": float(roc_auc_score(late, chance)),
        "brier": float(brier_score_loss(late, chance)),
        "base_rate": float(late.mean()),
        "rows": float(len(features)),
    }


@stage
def package(model: HistGradientBoostingClassifier, columns: list[str], metrics: Metrics) -> File:
    """The one file that a service needs: the model, the columns it takes, and how good it was."""
    path = output("model.joblib")
    joblib.dump({"model": model, "columns": columns, "metrics": dict(metrics)}, path)
    return File(path)


@stage
def register(packaged: File, metrics: Metrics, run_date: date) -> dict[str, object]:
    """The model's card."""
    return {
        "name": f"flight-delays-{run_date}",
        "predicts": f"arrival more than {LATE_MINUTES} minutes late",
        "run_date": run_date.isoformat(),
        "metrics": dict(metrics),
        "size_bytes": Path(packaged).stat().st_size,
    }


@stage(effect=True)
def deploy(packaged: File, card: dict[str, object], target: str) -> dict[str, object]:
    """Put the packaged model where the service looks for it, whole or not at all."""
    folder = PROJECT / target
    folder.mkdir(parents=True, exist_ok=True)
    arriving = folder / ".model.joblib.arriving"
    shutil.copyfile(packaged, arriving)
    arriving.replace(folder / "model.joblib")
    return {"deployed": card["name"], "path": f"{target}/model.joblib"}


@pipeline
def flights(
    run_date: date,
    flights: str = "raw/flights.csv.zip",
    weather: str = "raw/weather.csv",
    planes: str = "raw/planes.csv",
    learning_rate: float = 0.1,
    target: str = "deployed",
) -> Release:
    """From raw files to a deployed model, if it is good enough."""
    raw = ingest(File(flights), File(weather), File(planes), run_date)
    valid = validate(raw.flights, raw.weather, raw.planes)
    featurized = featurize(valid.flights, valid.weather, valid.planes, run_date)
    model, columns = train(featurized.train, learning_rate)
    metrics = evaluate(model, columns, featurized.test)
    packaged = package(model, columns, metrics)
    with when(metrics["auc"] >= 0.60):
        card = register(packaged, metrics, run_date)
        deploy(packaged, card, target)
    return Release(packaged, metrics)


def columns_of(contract: type[Schema]) -> list[str]:
    """What the contract speaks of, in its order."""
    return list(contract.__annotations__)


def with_hour(table: pd.DataFrame) -> pd.DataFrame:
    """The table with its hours as instants, so that clocks and summer time play no part in a join."""
    return table.assign(hour_utc=pd.to_datetime(table["time_hour"], utc=True))
