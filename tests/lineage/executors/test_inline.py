from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
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

    def test_an_attempt_is_interrupted_from_another_thread(self, bench: Workbench, tmp_path: Path) -> None:
        file = tmp_path / "pid"
        attempt_id = bench.submit("spawn_and_sleep", pid_file=str(file))
        before = signal.getsignal(signal.SIGINT)

        def interrupt() -> None:
            while not (file.exists() and file.read_text()):
                pass
            bench.executor.interrupt()
            os.kill(int(file.read_text()), signal.SIGKILL)  # inline, nobody else looks after it

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            bench.executor.wait(None)
        thread.join()

        assert bench.outcome(attempt_id).failure is None
        assert signal.getsignal(signal.SIGINT) is before

    def test_where_nothing_runs_nobody_is_interrupted(self, bench: Workbench) -> None:
        bench.executor.interrupt()

        assert bench.bytes_of(bench.attempt("add", a=1, b=2)) == b"3"

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
