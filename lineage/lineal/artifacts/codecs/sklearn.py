"""scikit-learn estimators and pipelines, as pickles that ``joblib.load`` reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

from lineal.artifacts.codecs.pickle import pickled, preview_of_pickle, unpickled
from lineal.artifacts.codecs.protocol import Description, StreamCodec


class SklearnCodec(StreamCodec):
    """A canonical pickle, which is what joblib calls an uncompressed file. Reading one runs what it names."""

    name = "sklearn"
    suffix = ".joblib"
    executes_code = True

    def write(self, value: Any, annotation: object, stream: BinaryIO) -> Description:
        facts = pickled(value, stream)
        features = getattr(value, "n_features_in_", None)
        if isinstance(features, int):
            facts["features"] = features
        version = value.__getstate__().get("_sklearn_version")
        if isinstance(version, str):
            facts["sklearn"] = version
        return facts

    def decode(self, path: Path, annotation: object) -> Any:
        return unpickled(self.name, path)

    def preview(self, path: Path, limit: int = 20) -> Description:
        return preview_of_pickle(self.name, path)


CODEC = SklearnCodec()
