from __future__ import annotations

import pytest

from lineal.executors.process import ProcessExecutor
from lineal.executors.testing import IsolatedExecutorTests, Make


class TestProcessExecutor(IsolatedExecutorTests):
    @pytest.fixture
    def make_executor(self) -> Make:
        return lambda setup, store, slots: ProcessExecutor(setup, slots)

    def test_code_that_cannot_be_imported_fails_every_attempt_with_the_reason(self, bench) -> None:
        from dataclasses import replace

        bench.executor._setup = replace(bench.executor._setup, modules=("no_such_module",))

        failures = [bench.attempt("add", a=1, b=number).failure for number in range(2)]

        assert [failure.type for failure in failures] == ["ModuleNotFoundError"] * 2
        assert "cannot be imported" in failures[0].message
