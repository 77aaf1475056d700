"""What is known of a run while it goes on, and which of it is worth a line."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from lineal.events import (
    Event,
    ExecutionStarted,
    Failure,
    OutputCaptured,
    RunStarted,
    StageChanged,
    StageExpanded,
)
from lineal.views.progress import LINES_KEPT, MANY, Board

AT = datetime(2026, 11, 22, 12, 3, 4, tzinfo=UTC)
FEW = ("ingest", "train", "evaluate")
FAN = tuple(f"score#{number}" for number in range(1, 101))


def started(*stages: str) -> RunStarted:
    return RunStarted(AT, "run", "flights", stages)


def executing(
    *stages: str, expected: Mapping[str, float] | None = None, executor: str = "process"
) -> ExecutionStarted:
    return ExecutionStarted(AT, "run", executor, 2, dict.fromkeys(stages, ()), expected or {})


def changed(stage: str, state: Any, **more: Any) -> StageChanged:
    return StageChanged(AT, "run", stage, state, **more)


def hit(stage: str) -> StageChanged:
    return changed(stage, "succeeded", cache="hit", reason="unchanged")


def running(stage: str, attempt: int = 1, reason: str = "code") -> StageChanged:
    return changed(stage, "running", cache="miss", reason=reason, attempt=attempt)


def succeeded(stage: str, seconds: float = 0.0) -> StageChanged:
    return changed(stage, "succeeded", cache="miss", reason="code", attempt=1, seconds=seconds)


def failed(stage: str, message: str = "bad row", state: str = "failed", attempt: int = 1) -> StageChanged:
    failure = Failure("exception", "ValueError", message)
    return changed(stage, state, cache="miss", reason="code", attempt=attempt, failure=failure)


def wrote(stage: str, text: str, stream: str = "stdout") -> OutputCaptured:
    return OutputCaptured(AT, "run", stage, 1, stream, text)


def told(board: Board, *events: Event, now: float = 0.0) -> list[tuple[str, str, str]]:
    """Who, what and what else of everything that is worth a line."""
    notices = [notice for event in events for notice in board.take(event, now)]
    return [(notice.subject, notice.state, notice.said) for notice in notices]


def board_of(*stages: str, expected: Mapping[str, float] | None = None) -> Board:
    """A board on which something is executed already."""
    board = Board()
    board.take(started(*stages), 0.0)
    board.take(executing(*stages, expected=expected), 0.0)
    return board


def test_a_stage_is_told_when_it_starts_is_tried_again_and_ends() -> None:
    notices = told(
        board_of(*FEW),
        running("train"),
        failed("train", state="up_for_retry"),
        running("train", attempt=2),
        succeeded("train", 3.2),
    )

    assert notices == [
        ("train", "running", "miss: code changed"),
        ("train", "retry", "ValueError: bad row, attempt 1"),
        ("train", "running", "miss: code changed, attempt 2"),
        ("train", "succeeded", "miss: code changed"),
    ]


def test_how_long_a_stage_takes_as_a_rule_is_told_when_it_starts() -> None:
    notices = told(board_of(*FEW, expected={"train": 200.0}), running("train"))

    assert notices == [("train", "running", "miss: code changed, usually ~3 min")]


def test_of_a_failure_the_type_and_the_first_line_of_the_message_are_told_clean() -> None:
    notices = told(board_of(*FEW), failed("train", "bad \x1b[2Jrow\nand more"))

    assert notices == [("train", "failed", "ValueError: bad \\x1b[2Jrow")]


def test_a_run_without_work_is_worth_no_line() -> None:
    assert told(Board(), started(*FEW), *(hit(stage) for stage in FEW)) == []


def test_hits_are_told_when_something_is_executed() -> None:
    notices = told(
        Board(),
        started(*FEW),
        hit("ingest"),
        running("train"),
        executing(*FEW),
        succeeded("train"),
        hit("evaluate"),
    )

    assert notices == [
        ("ingest", "unchanged", ""),
        ("train", "running", "miss: code changed"),
        ("train", "succeeded", "miss: code changed"),
        ("evaluate", "unchanged", ""),
    ]


def test_many_hits_are_one_line() -> None:
    stages = (*FAN, "train", "report")

    notices = told(
        Board(), started(*stages), *map(hit, FAN), running("train"), executing(*stages), hit("report")
    )

    assert notices == [("100 stages", "unchanged", ""), ("train", "running", "miss: code changed")]


def test_the_stages_of_a_large_family_are_told_a_tenth_at_a_time() -> None:
    board = board_of(*FAN, "train")

    notices = [
        one
        for number, stage in enumerate(FAN)
        for one in told(board, running(stage), succeeded(stage), now=60.0 * number)
    ]

    assert len(notices) == 10
    assert notices[0] == ("score", "running", "10 of 100")
    assert notices[-1] == ("score", "succeeded", "100 of 100")


def test_a_large_family_that_takes_no_time_is_told_at_its_end_alone() -> None:
    ends = [event for stage in FAN for event in (running(stage), succeeded(stage))]

    assert told(board_of(*FAN, "train"), *ends) == [("score", "succeeded", "100 of 100")]


def test_what_was_a_hit_before_is_no_news_of_a_large_family() -> None:
    board = Board()
    told(board, started(*FAN), *map(hit, FAN[:50]), executing(*FAN))

    notices = told(board, running(FAN[50]), succeeded(FAN[50]))

    assert notices == []


def test_failures_in_a_large_family_are_told_one_by_one_up_to_a_number() -> None:
    notices = told(board_of(*FAN), *(failed(stage) for stage in FAN))

    assert [one for one in notices if one[2].startswith("ValueError")] == [
        (stage, "failed", "ValueError: bad row") for stage in FAN[:MANY]
    ]
    assert notices[MANY:] == [("score", "failed", "further failures are only counted")]


def test_stages_that_are_not_run_are_not_told_one_by_one() -> None:
    notices = told(
        board_of(*FEW),
        changed("train", "upstream_failed", reason="upstream"),
        changed("evaluate", "cancelled"),
    )

    assert notices == []


def test_a_stage_that_is_stopped_is_told_without_why_it_ran() -> None:
    stopped = changed("train", "cancelled", cache="miss", reason="code", attempt=1)

    assert told(board_of(*FEW), running("train"), stopped)[1:] == [("train", "cancelled", "")]


def test_that_a_stage_still_runs_is_no_news() -> None:
    board = board_of(*FEW)
    told(board, running("train"), now=10.0)

    assert told(board, running("train"), now=20.0) == []
    assert board.running["train"].time(30.0) == "20 s"


def test_what_is_skipped_is_told_in_a_small_pipeline() -> None:
    notices = told(board_of(*FEW), changed("train", "skipped", reason="condition_false"))

    assert notices == [("train", "skipped", "its condition is false")]


# -- what runs --------------------------------------------------------------------------------


def test_the_summary_counts_what_became_of_the_stages_and_tells_the_time_left() -> None:
    board = board_of("a", "b", "c", "d", "e", "f", expected=dict.fromkeys("abcdef", 60.0))

    told(board, hit("a"), running("b"), succeeded("b"), failed("c"), running("d"))

    assert (
        board.summary(20.0)
        == "1 running · 2 queued · 1 unchanged · 1 ran · 1 failed · 20 s · about 1 min left"
    )


def test_time_left_is_said_to_be_unknown_where_it_is() -> None:
    assert board_of(*FEW).summary(0.0).endswith("time left unknown")
    assert board_of(*FEW, expected={"train": 60.0}).summary(0.0).endswith("more than 1 min left")


def test_a_stage_that_runs_is_shown_with_its_time_and_how_long_it_takes_as_a_rule() -> None:
    board = board_of(*FEW, expected={"train": 30.0})
    told(board, running("train"), running("ingest"), now=100.0)

    assert board.running["train"].time(110.0) == "10 s of ~30 s"
    assert board.running["train"].time(160.0) == "1 min 00 s, usually ~30 s"
    assert board.running["ingest"].time(110.0) == "10 s"


def test_a_large_family_is_one_thing_that_is_under_way() -> None:
    board = board_of(*FAN, *FEW)
    told(board, succeeded(FAN[0]), failed(FAN[1]), running(FAN[2]), running("train"))

    [family] = board.large_families(3)

    assert (family.name, family.said()) == ("score", "2 of 100 · 1 running · 1 failed")


def test_the_time_left_of_a_large_family_is_told_by_the_pace_of_this_very_run() -> None:
    board = board_of(*FAN)
    told(board, running(FAN[0]), succeeded(FAN[0]), now=10.0)
    assert board.summary(20.0).endswith("time left unknown")

    told(
        board,
        *(event for stage in FAN[1:20] for event in (running(stage), succeeded(stage))),
        running(FAN[20]),
    )

    assert board.summary(30.0).endswith("about 1 min left")  # 20 of 100 have taken 20 s


def test_the_time_left_of_the_others_remains_unknown() -> None:
    board = board_of(*FAN, "train")
    told(
        board,
        *(event for stage in FAN[:20] for event in (running(stage), succeeded(stage))),
        running(FAN[20]),
    )

    assert board.summary(20.0).endswith("more than 1 min left")


def test_items_that_are_known_only_while_the_run_goes_on_are_counted() -> None:
    board = board_of("split", "score")

    told(board, *(changed(f"score[{number}]", "queued") for number in range(50)), running("score[7]"))

    assert board.summary(0.0).startswith("1 running · 51 queued")
    assert [family.name for family in board.large_families(3)] == ["score"]


def test_the_heartbeat_names_what_runs() -> None:
    board = board_of(*FEW)
    told(board, running("train"))

    beat = board.heartbeat(AT, 60.0)

    assert (beat.subject, beat.said) == (
        "still running",
        "train 1 min 00 s · 1 running · 2 queued · 1 min 00 s · time left unknown",
    )


def test_the_heartbeat_of_a_wide_run_is_one_short_line() -> None:
    board = board_of(*FAN)
    told(board, *map(running, FAN))

    assert "score#4 1 min 00 s and 96 more · 100 running" in board.heartbeat(AT, 60.0).said


# -- what stages print ------------------------------------------------------------------------


def test_what_a_stage_prints_is_taken_line_by_line() -> None:
    board = board_of(*FEW)
    texts = [
        wrote("train", "ep"),
        wrote("train", "warning\n", "stderr"),
        wrote("train", "och 1\nepoch 2\nlast"),
    ]

    lines = [board.take_output(text) for text in texts]

    assert lines == [[], ["warning"], ["epoch 1", "epoch 2"]]
    assert board.finish_lines("train") == ["last"]
    assert list(board.tails["train"]) == ["warning", "epoch 1", "epoch 2", "last"]


def test_of_a_progress_bar_the_last_state_counts_also_while_it_is_drawn() -> None:
    board = board_of(*FEW)
    told(board, running("train"))

    board.take_output(wrote("train", "\r10 %\r50 %"))
    assert board.running["train"].last_line == "50 %"

    assert board.take_output(wrote("train", "\r100 %\r")) == []
    assert board.running["train"].last_line == "100 %"
    assert board.take_output(wrote("train", "\n")) == ["100 %"]


def test_the_last_line_of_a_stage_is_clean_and_not_empty() -> None:
    board = board_of(*FEW)
    told(board, running("train"))

    board.take_output(wrote("train", "\tloss\x1b]0;title\x07\n\n  \n"))

    assert board.running["train"].last_line == " loss\\x1b]0;title\\x07"


def test_a_line_that_does_not_end_is_cut_into_lines() -> None:
    board = board_of(*FEW)

    lines = [line for _ in range(100) for line in board.take_output(wrote("train", 1000 * "x"))]

    assert 0 < len(lines) < 20
    assert len("".join(lines)) + len("".join(board.finish_lines("train"))) == 100_000


def test_only_the_last_lines_of_the_last_attempt_are_kept_and_none_of_what_went_well() -> None:
    board = board_of(*FEW)
    told(board, running("train"))
    board.take_output(wrote("train", "first attempt\n"))
    told(board, failed("train", state="up_for_retry"), running("train", attempt=2))

    board.take_output(wrote("train", "".join(f"{number}\n" for number in range(100))))
    assert list(board.tails["train"]) == [str(number) for number in range(100 - LINES_KEPT, 100)]

    told(board, succeeded("train"))
    assert board.tails == {}


def test_ten_thousand_stages_cost_less_than_a_twentieth_of_a_millisecond_each() -> None:
    stages = [f"score#{number}" for number in range(10_000)]
    events = [
        event for stage in stages for event in (changed(stage, "queued"), running(stage), succeeded(stage))
    ]
    expected = dict.fromkeys(stages, 1.0)

    began = time.process_time()
    board = board_of(*stages, expected=expected)
    for number, event in enumerate(events):
        board.take(event, 0.0)
        if number % 100 == 0:
            board.summary(1.0)
            board.large_families(3)

    assert time.process_time() - began < 10_000 * 0.05e-3


def expanded(stage: str, number: int) -> StageExpanded:
    return StageExpanded(AT, "run", stage, tuple(f"{stage}[{place}]" for place in range(number)))


def test_items_stand_in_the_place_of_the_stage_that_is_mapped() -> None:
    board = board_of("days", "score", "best", expected={"days": 1.0, "score": 10.0, "best": 1.0})

    told(board, succeeded("days"), expanded("score", 3), running("score[0]"))

    assert board.counts["queued"] == 3  # two items, and what comes after them
    assert board.running["score[0]"].expected == 10.0
    assert "about" in board.summary(1.0)


def test_a_list_that_was_there_before_anything_is_executed_is_counted_as_well() -> None:
    board = Board()
    told(board, started("days", "score"), hit("days"), expanded("score", 40), running("score[0]"))
    told(board, executing("days", "score", expected={"score": 10.0}))

    (family,) = board.large_families(3)
    assert (family.name, family.total, family.untimed) == ("score", 40, 0)
    assert board.running["score[0]"].expected == 10.0


def test_a_hit_that_is_executed_again_is_told_as_such() -> None:
    board = board_of("train")

    events = [
        changed("train", state, cache="hit", reason="unchanged", attempt=1)
        for state in ("running", "succeeded")
    ]

    assert told(board, *events) == [
        ("train", "running", "executed again"),
        ("train", "succeeded", "executed again"),
    ]
