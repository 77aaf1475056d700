from __future__ import annotations

import sys
from typing import BinaryIO

import pytest

from lineal.executors.code import stage_named
from lineal.executors.inline import InlineExecutor
from lineal.executors.observe import Observer
from lineal.executors.observe_places import Places
from lineal.executors.testing import ExecutorTests, Make, Workbench
from lineal_store import Digest


class TestInlineExecutor(ExecutorTests):
    @pytest.fixture
    def make_executor(self) -> Make:
        sys.modules.pop("stages_for_tests", None)
        return lambda setup, store, slots: InlineExecutor(store, stage_named, Observer(Places(setup.root)))

    def test_an_attempt_that_has_not_begun_can_be_killed(self, bench) -> None:
        attempt_id = bench.submit("fail", why="never")

        bench.executor.kill(attempt_id)

        assert bench.outcome(attempt_id).failure is None

    def test_a_large_output_is_hashed_once(self, bench: Workbench, hashed: list[object]) -> None:
        outcome = bench.attempt("both", a=100_000)

        assert outcome.failure is None
        assert outcome.outputs["right"].digest == str(Digest.of(b"x" * 100_000))
        assert len(hashed) == 1


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Grows by one whenever a file is hashed."""
    seen: list[object] = []
    real = Digest.of_stream

    def of_stream(stream: BinaryIO) -> tuple[Digest, int]:
        seen.append(stream)
        return real(stream)

    monkeypatch.setattr(Digest, "of_stream", of_stream)
    return seen
