"""The environment of workers, and of keys."""

from __future__ import annotations

import os

from lineal.engine.variables import worker_variables


def test_libraries_share_the_machine() -> None:
    cores = os.cpu_count() or 1

    assert worker_variables("process", 1, (), {})["OMP_NUM_THREADS"] == str(cores)
    assert worker_variables("process", cores * 4, (), {})["POLARS_MAX_THREADS"] == "1"


def test_what_the_environment_says_is_left_alone() -> None:
    found = worker_variables("process", 2, (), {"OMP_NUM_THREADS": "7", "MODE": "x"})

    assert (found["OMP_NUM_THREADS"], found["MODE"]) == ("7", "x")


def test_a_declared_variable_is_what_it_is_however_many_stages_run() -> None:
    found = [worker_variables("process", slots, ["OMP_NUM_THREADS"], {}) for slots in (1, 2)]

    assert all("OMP_NUM_THREADS" not in each for each in found)
    assert all("MKL_NUM_THREADS" in each for each in found)


def test_hashes_are_the_same_in_every_worker_unless_a_stage_declares_otherwise() -> None:
    set_by_user = {"PYTHONHASHSEED": "5"}

    assert worker_variables("process", 1, (), set_by_user)["PYTHONHASHSEED"] == "0"
    assert worker_variables("process", 1, ["PYTHONHASHSEED"], set_by_user)["PYTHONHASHSEED"] == "5"
    assert worker_variables("process", 1, ["PYTHONHASHSEED"], {})["PYTHONHASHSEED"] == "0"


def test_inline_stages_have_the_environment_of_this_process() -> None:
    assert worker_variables("inline", 1, (), {"MODE": "x"}) == {"MODE": "x"}
