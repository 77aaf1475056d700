"""What becomes of a tick whose predecessor still runs."""

from __future__ import annotations

import pytest

from lineal.automation.running import decide
from lineal.automation.schedule import WhenRunning


@pytest.mark.parametrize("when_running", ["queue", "skip", "cancel"])
def test_a_tick_starts_a_run_where_none_goes_on(when_running: WhenRunning) -> None:
    assert decide(when_running, is_running=False) == "start"


@pytest.mark.parametrize(
    ("when_running", "decision"), [("queue", "wait"), ("skip", "pass over"), ("cancel", "replace")]
)
def test_a_run_that_goes_on_is_waited_for_or_kept_or_cancelled(
    when_running: WhenRunning, decision: str
) -> None:
    assert decide(when_running, is_running=True) == decision
