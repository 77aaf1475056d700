"""How far two models are apart, by the numbers in them."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from lineal.reproduce.models import compare_models, main
from lineal.reproduce.tolerance import Tolerance

X = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 1.0], [3.0, 0.0]])
Y = np.array([0, 0, 1, 1])


def logistic(shift: float = 0.0) -> LogisticRegression:
    model = LogisticRegression().fit(X, Y)
    model.coef_ = model.coef_ + shift
    return model


def test_models_are_equal_within_the_norm_of_their_parameters() -> None:
    holds, words = compare_models(logistic(), logistic(1e-9), Tolerance(rtol=1e-6))

    assert holds
    assert words.startswith("norm of the difference 1.41e-09")
    assert not compare_models(logistic(), logistic(0.1), Tolerance(rtol=1e-6))[0]


def test_trees_are_compared_node_by_node() -> None:
    one, other = (RandomForestClassifier(3, random_state=seed).fit(X, Y) for seed in (0, 0))
    assert compare_models(one, other, Tolerance())[0]

    other.estimators_[0].tree_.threshold[0] += 0.5

    assert not compare_models(one, other, Tolerance())[0]


def test_what_differs_in_more_than_numbers_is_named() -> None:
    other = logistic()
    other.solver = "saga"

    holds, words = compare_models(logistic(), other, Tolerance(rtol=10.0))

    assert not holds
    assert words == "they differ in more than numbers: .['solver']"


def test_the_state_of_a_random_generator_is_no_parameter() -> None:
    one, other = ({"weights": [1.0], "rng": np.random.default_rng(seed)} for seed in (1, 2))

    assert compare_models(one, other, Tolerance())[0]


def test_the_program_leaves_its_answer_in_a_file(tmp_path: Path) -> None:
    for name, shift in (("expected", 0.0), ("actual", 1e-9)):
        (tmp_path / name).write_bytes(pickle.dumps(logistic(shift)))

    main([str(tmp_path / "expected"), str(tmp_path / "actual"), "1e-6", "0", str(tmp_path / "answer")])

    assert json.loads((tmp_path / "answer").read_bytes())[0] is True
