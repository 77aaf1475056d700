from __future__ import annotations

import sys

import pytest

from lineal.executors.code import stage_named
from lineal.executors.inline import InlineExecutor
from lineal.executors.observe import Observer
from lineal.executors.observe_places import Places
from lineal.executors.testing import ExecutorTests, Make


class TestInlineExecutor(ExecutorTests):
    @pytest.fixture
    def make_executor(self) -> Make:
        sys.modules.pop("stages_for_tests", None)
        return lambda setup, store, slots: InlineExecutor(store, stage_named, Observer(Places(setup.root)))

    def test_an_attempt_that_has_not_begun_can_be_killed(self, bench) -> None:
        attempt_id = bench.submit("fail", why="never")

        bench.executor.kill(attempt_id)

        assert bench.outcome(attempt_id).failure is None
