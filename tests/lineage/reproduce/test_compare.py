"""Verdicts on what was made then and now."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineal.graph.records import Output, StageRecord
from lineal.reproduce.compare import Comparison
from lineal.reproduce.plan import RecordedStage
from lineal.reproduce.tolerance import Tolerance
from lineal_store import Store, open_store


@pytest.fixture
def stores(tmp_path: Path) -> tuple[Store, Store]:
    return open_store(tmp_path / "then"), open_store(tmp_path / "now")


def output(store: Store, data: str, type_: str = "json") -> Output:
    return Output(digest=str(store.blobs.put(data.encode())), type=type_, size_bytes=len(data))


def recorded(stage: str, made: Output) -> RecordedStage:
    return RecordedStage(stage, "0" * 32, {"result": made}, 1.0)


def again(stage: str, made: Output | None, *, items: int | None = None, **more: object) -> StageRecord:
    outputs = {} if made is None else {"result": made}
    state = "succeeded" if made is not None else "failed"
    return StageRecord(id=stage, name=stage, **{"state": state, **more}, outputs=outputs, items=items)  # type: ignore[arg-type]


def verdicts(comparison: Comparison, then: list[RecordedStage], now: list[StageRecord]) -> dict[str, str]:
    return {one.stage: one.verdict for one in comparison.stages({one.id: one for one in then}, now)}


def test_equal_bytes_are_identical_and_others_are_shown(stores: tuple[Store, Store]) -> None:
    then, now = stores
    before = [recorded("a", output(then, "1")), recorded("b", output(then, '{"x": 1}'))]
    after = [again("a", output(now, "1")), again("b", output(now, '{"x": 2}'))]

    same, other = Comparison(then, now).stages({one.id: one for one in before}, after)

    assert (same.verdict, same.detail) == ("identical", None)
    assert (other.verdict, other.detail) == ("different", '["x"]: 1 → 2')
    assert other.expected != other.actual


def test_values_that_do_not_differ_are_told_from_bytes_that_do(stores: tuple[Store, Store]) -> None:
    then, now = stores
    before, after = recorded("a", output(then, '{"x": 1}')), again("a", output(now, '{ "x" : 1 }'))

    [strict] = Comparison(then, now).stages({"a": before}, [after])
    [loose] = Comparison(then, now, Tolerance()).stages({"a": before}, [after])

    assert (strict.verdict, strict.detail) == ("different", "the same values, written as other bytes")
    assert (loose.verdict, loose.detail) == ("within_tolerance", "no value differs")


def test_a_pickle_is_not_opened_and_its_other_bytes_are_called_that(stores: tuple[Store, Store]) -> None:
    then, now = stores
    hostile = "cos\nsystem\n(S'touch /tmp/never'\ntR."
    before, after = output(then, hostile, "pickle"), output(now, "other", "pickle")

    comparison = Comparison(then, now, Tolerance(rtol=1.0))
    [found] = comparison.stages({"a": recorded("a", before)}, [again("a", after)])

    assert found.verdict == "different"
    assert found.detail is not None
    assert found.detail.startswith("other bytes of a pickle")


def test_models_may_be_compared_by_who_is_trusted_to(stores: tuple[Store, Store]) -> None:
    then, now = stores
    before, after = output(then, "one", "sklearn"), output(now, "other", "sklearn")

    comparison = Comparison(then, now, Tolerance(), lambda *_: (True, "close"))
    [found] = comparison.stages({"a": recorded("a", before)}, [again("a", after)])

    assert (found.verdict, found.detail) == ("within_tolerance", "close")


def test_a_list_comes_after_its_items_and_is_what_they_are(stores: tuple[Store, Store]) -> None:
    then, now = stores
    items = [("s[0]", "1.0", "1.0"), ("s[1]", "2.0", "2.1")]
    before = [recorded("s", output(then, "tree", "list"))]
    before += [recorded(name, output(then, old)) for name, old, _ in items]
    after = [again("s", output(now, "other tree", "list"), items=2)]
    after += [again(name, output(now, new)) for name, _, new in items]

    strict = verdicts(Comparison(then, now), before, after)
    loose = verdicts(Comparison(then, now, Tolerance(rtol=0.1)), before, after)

    assert list(strict.items()) == [("s[0]", "identical"), ("s[1]", "different"), ("s", "different")]
    assert loose == {"s[0]": "identical", "s[1]": "within_tolerance", "s": "within_tolerance"}


def test_what_was_not_made_says_why(stores: tuple[Store, Store]) -> None:
    then, now = stores
    error: dict[str, str | None] = {"kind": "exception", "type": "ValueError", "message": "no rows"}
    before = [recorded(name, output(then, name)) for name in ("a", "b", "c")]
    after = [
        again("a", None, error=error),
        again("b", None, state="upstream_failed"),
        again("c", None, state="skipped"),
    ]

    found = Comparison(then, now).stages({one.id: one for one in before}, after)

    assert {one.verdict for one in found} == {"not_reproducible"}
    assert [one.detail for one in found] == [
        "a failed: ValueError: no rows",
        "b did not run, because a stage before it failed",
        "c was skipped: its condition came out otherwise",
    ]


def test_a_stage_that_was_not_recorded_has_nothing_to_be_compared_with(stores: tuple[Store, Store]) -> None:
    then, now = stores

    assert Comparison(then, now).stages({}, [again("new", output(now, "1"))]) == ()
