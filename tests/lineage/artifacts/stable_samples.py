"""Run as a program: prints the digest of many artifacts' bytes, for comparison between processes.

Every estimator is fitted, kept, fitted again, kept, read back and kept once more.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from lineal.artifacts import decode, encode
from lineal.artifacts.values import encode_value

rng = np.random.default_rng(0)
ROWS = 400
FEATURES = pd.DataFrame(
    {
        "distance": rng.normal(size=ROWS),
        "hour": rng.integers(0, 24, ROWS).astype("float64"),
        "carrier": pd.Categorical(rng.choice(["AA", "B6", "UA"], ROWS)),
    }
)
FEATURES.loc[:20, "distance"] = np.nan
LATE = (FEATURES["hour"] + rng.normal(size=ROWS) > 12).to_numpy().astype(int)
NUMBERS = FEATURES[["distance", "hour"]].fillna(0.0)
TEXTS = ["late again", "on time", "late but fine", "never on time"]

ESTIMATORS: dict[str, tuple[Any, Any, Any]] = {
    "hist_gradient_boosting": (
        HistGradientBoostingClassifier(max_iter=5, random_state=0, categorical_features="from_dtype"),
        FEATURES,
        LATE,
    ),
    "random_forest": (RandomForestClassifier(10, random_state=0), NUMBERS, LATE),
    "gradient_boosting": (GradientBoostingClassifier(n_estimators=5, random_state=0), NUMBERS, LATE),
    "logistic_regression": (LogisticRegression(), NUMBERS, LATE),
    "pipeline": (make_pipeline(StandardScaler(), LogisticRegression()), NUMBERS, LATE),
    "column_transformer": (
        make_pipeline(
            ColumnTransformer(
                [("scale", StandardScaler(), ["hour"]), ("encode", OneHotEncoder(), ["carrier"])],
                remainder="drop",
            ),
            LogisticRegression(),
        ),
        FEATURES,
        LATE,
    ),
    "ordinal_encoder": (OrdinalEncoder(), FEATURES[["carrier"]], None),
    "tfidf": (TfidfVectorizer(stop_words=["but", "on", "again"]), TEXTS, None),
}

VALUES: dict[str, tuple[Any, Any]] = {
    "frame": (FEATURES, pd.DataFrame),
    "table": (pa.table({"s": pa.array(["a", "b", None]).dictionary_encode(), "x": [1.5, None, 2]}), pa.Table),
    "polars frame": (
        pl.DataFrame({"s": pl.Series(["b", "a", None], dtype=pl.Categorical), "x": [[1.5], None, []]}),
        pl.DataFrame,
    ),
    "array": (rng.normal(size=(3, 4)), np.ndarray),
    "set": ({f"word {n}" for n in range(100)}, set[str]),
    "set of tuples": (
        {(f"word {n}", n) for n in range(50)},
        set[tuple[str, int]],
    ),
    "json": ({"b": 0.1, "a": [None, True, 2**70]}, dict[str, Any]),
    "pickled sets": (
        [{f"word {n}" for n in range(50)}, frozenset({(date(2026, 1, 1), "x")}), 1j],
        list[complex],
    ),
}


def digest_of(value: Any, annotation: Any, folder: Path) -> tuple[str, Any]:
    encoded = encode(value, annotation, folder / "value")
    return hashlib.sha256(encoded.path.read_bytes()).hexdigest(), decode(
        encoded.codec, encoded.path, annotation
    )


def digests(folder: Path) -> dict[str, list[str]]:
    found = {name: [digest_of(value, kind, folder)[0]] for name, (value, kind) in VALUES.items()}
    for name, (estimator, features, target) in ESTIMATORS.items():
        kind = type(estimator)
        first, back = digest_of(estimator.fit(features, target), kind, folder)
        again, _ = digest_of(estimator.fit(features, target), kind, folder)
        found[name] = [first, again, digest_of(back, kind, folder)[0]]
        assert back is not estimator
    parameters = encode_value({"sets": [{f"word {n}" for n in range(50)}, {1, (2, "a"), b"c"}]})
    found["parameters"] = [hashlib.sha256(repr(parameters).encode()).hexdigest()]
    return found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        json.dump(digests(Path(name)), sys.stdout)
