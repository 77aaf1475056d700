"""Threads of numeric libraries."""

from __future__ import annotations

import os

import pytest

from lineal.executors import threads


def test_the_cores_that_may_be_used_are_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "cores", lambda: 8)

    assert threads.bounds(3, ())["OMP_NUM_THREADS"] == "2"
    assert set(threads.bounds(16, ()).values()) == {"1"}


def test_what_is_settled_stays_out() -> None:
    assert "OMP_NUM_THREADS" not in threads.bounds(1, {"OMP_NUM_THREADS"})


def test_libraries_that_are_loaded_are_limited_too(monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow

    before = pyarrow.cpu_count()
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    try:
        threads.limit(3, ["OMP_NUM_THREADS"])
        assert (os.environ["OMP_NUM_THREADS"], pyarrow.cpu_count()) == ("3", 3)

        threads.limit(5, [])
        assert (os.environ["OMP_NUM_THREADS"], pyarrow.cpu_count()) == ("3", 3)
    finally:
        pyarrow.set_cpu_count(before)
