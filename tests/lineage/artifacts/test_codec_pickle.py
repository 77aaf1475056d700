"""The codecs that pickle: what they take, what they refuse, and what they tell without unpickling."""

from __future__ import annotations

import os
import pickle
import threading
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from lineal.artifacts import UnreadableValue, UnsupportedValue, codec_named, decode, encode


class Vocabulary:
    def __init__(self, words: set[str]) -> None:
        self.words = words

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and other.words == self.words


class Locked:
    def __init__(self) -> None:
        self.lock = threading.Lock()


class Canary:
    """Leaves a file where it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


def test_an_object_of_any_other_class_comes_back(tmp_path: Path) -> None:
    encoded = encode(Vocabulary({"b", "a"}), Vocabulary, tmp_path / "value")

    assert encoded.codec == "pickle"
    assert decode("pickle", encoded.path, Vocabulary) == Vocabulary({"a", "b"})


def test_the_description_names_the_class_and_the_project_code_that_reading_needs(tmp_path: Path) -> None:
    encoded = encode(Vocabulary({"a"}), Vocabulary, tmp_path / "value")

    module = Vocabulary.__module__
    assert encoded.description == {"class": f"{module}.Vocabulary", "names": [f"{module}:Vocabulary"]}


def local_class() -> Any:
    class Local:
        pass

    return Local()


def local_function() -> Any:
    def inner() -> None: ...

    return inner


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (lambda: 1, "a lambda cannot be kept"),
        (local_class(), r"the local class local_class\.<locals>\.Local cannot be kept"),
        (local_function(), r"the local function local_function\.<locals>\.inner cannot be kept"),
        (Locked(), r"Locked cannot be pickled: cannot pickle '_thread\.lock' object"),
        (threading.Lock(), "lock cannot be pickled"),
        ((number for number in [1]), "generator cannot be pickled"),
        ([complex, lambda: 1], "cannot be pickled"),
    ],
    ids=["lambda", "class", "function", "attribute", "lock", "generator", "inside"],
)
def test_what_no_other_process_could_read_is_refused_with_what_to_do(
    value: Any, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedValue, match=message) as caught:
        encode(value, list[complex] if isinstance(value, list) else type(value), tmp_path / "value")

    assert caught.value.hint is not None


def test_an_object_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    chain: Any = None
    for _ in range(100_000):
        chain = [chain]

    with pytest.raises(UnsupportedValue, match="nested too deeply"):
        encode(chain, list[complex], tmp_path / "value")


def test_joblib_and_pickle_read_an_estimator(tmp_path: Path) -> None:
    model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])

    encoded = encode(model, LogisticRegression, tmp_path / "model.joblib")

    assert encoded.description["class"] == "sklearn.linear_model._logistic.LogisticRegression"
    assert encoded.description["features"] == 1
    for back in (
        joblib.load(encoded.path),
        pickle.loads(encoded.path.read_bytes()),
        decode("sklearn", encoded.path, LogisticRegression),
    ):
        assert np.array_equal(back.coef_, model.coef_)


def test_an_estimator_with_a_lambda_in_it_is_refused(tmp_path: Path) -> None:
    from sklearn.preprocessing import FunctionTransformer

    with pytest.raises(UnsupportedValue, match=r"FunctionTransformer cannot be pickled: .*lambda"):
        encode(FunctionTransformer(lambda x: x), FunctionTransformer, tmp_path / "value")


@pytest.mark.parametrize("codec", ["pickle", "sklearn"])
def test_a_preview_tells_the_class_and_unpickles_nothing(codec: str, tmp_path: Path) -> None:
    canary = tmp_path / "unpickled"
    for number, data in enumerate(
        [pickle.dumps(Canary(str(canary)), protocol=5), pickle.dumps(Canary(str(canary)), protocol=2)]
    ):
        path = tmp_path / str(number)
        path.write_bytes(data)

        preview = codec_named(codec).preview(path)

        assert preview == {"class": "posix.mkdir", "length": len(data)}
    assert not canary.exists()


@pytest.mark.parametrize(
    "data",
    [b"\x80\x05\x95", b"\x80\x05\x8c\xff", b"\x80\x05h\x09.", b"\x80\x05\x93", b"\x80\x05\x8e" + b"\xff" * 8],
)
def test_a_preview_of_hostile_bytes_tells_nothing_and_fails_no_worse(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "value").write_bytes(data)

    assert codec_named("pickle").preview(tmp_path / "value")["class"] is None


@pytest.mark.parametrize("data", [b"", b"\x80\x05.", b"not a pickle", b"\x80\x05cnowhere\nlost\n."])
def test_reading_other_bytes_is_one_typed_error(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "value").write_bytes(data)

    with pytest.raises(UnreadableValue):
        decode("pickle", tmp_path / "value", object)


def test_a_preview_of_bytes_that_are_no_pickle_says_so(tmp_path: Path) -> None:
    (tmp_path / "value").write_bytes(b"text")

    with pytest.raises(UnreadableValue, match="they are no pickle"):
        codec_named("sklearn").preview(tmp_path / "value")
