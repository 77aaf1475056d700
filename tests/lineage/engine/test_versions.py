"""Sources that are no files: a version that is observed, and an age that a result may have."""

from __future__ import annotations

from pathlib import Path

import pytest
from clocked import Runs, stages

FLOW = """
from datetime import date
from pathlib import Path

from lineal import Secret, pipeline, stage

ASKED = []
RAN = []


def newest(day: date, table: str = "flights", password: Secret | None = None) -> object:
    ASKED.append((day, table))
    return {observed}


def limit(count: int) -> int:
    return count


@stage
def count() -> int:
    return 3


@stage(version_of=newest, {options})
def read(day: date, table: str, password: Secret = Secret("hunter2")) -> int:
    RAN.append(table)
    return 1


@stage
def use(rows: int) -> int:
    RAN.append("use")
    return rows


@pipeline
def flow(day: date = date(2026, 11, 22)) -> int:
    {body}
"""

ONE = "return use(read(day, 'flights'))"


def write(runs: Runs, observed: str, *, options: str = "version='1'", body: str = ONE) -> None:
    runs.write(FLOW.format(observed=observed, options=options, body=body))


def test_a_stage_is_a_hit_as_long_as_its_source_has_the_version_that_it_had(runs: Runs) -> None:
    (runs.root / "table.txt").write_text("1")
    write(runs, f"Path({str(runs.root / 'table.txt')!r}).read_text()")
    first = runs.run()
    same = runs.run()
    (runs.root / "table.txt").write_text("2")
    other = runs.run()

    assert [stages(run)["read"].cache for run in (first, same, other)] == ["miss", "hit", "miss"]
    assert stages(other)["read"].reason == "environment"
    assert stages(other)["use"].cache == "hit"  # what was read is the same


def test_a_version_that_was_there_before_finds_the_result_of_then(runs: Runs) -> None:
    keys = []
    for version in ("1", "2", "1"):
        write(runs, version)
        keys.append((stages(runs.run())["read"].cache, stages(runs.run())["read"].action_key))

    assert [cache for cache, _ in keys] == ["miss", "miss", "hit"]
    assert keys[0][1] == keys[2][1] != keys[1][1]


@pytest.mark.parametrize(
    ("one", "other"), [("1", "1.0"), ("1", "'1'"), ("None", "'None'"), ("b'a'", "'a'"), ("[1]", "(1,)")]
)
def test_versions_of_other_types_are_other_versions(runs: Runs, one: str, other: str) -> None:
    write(runs, one)
    runs.run()
    write(runs, other)

    assert stages(runs.run(preview=True))["read"].cache == "miss"


def test_a_version_may_be_long_and_is_asked_for_once_for_the_same_arguments(runs: Runs) -> None:
    body = "read(day, 'a'); read.options(name='again')(day, 'a'); return read.options(name='b')(day, 'b')"
    write(runs, "'x' * 100_000", body=body)

    record = runs.run()

    assert record.state == "succeeded"
    assert [table for _, table in runs.module.ASKED] == ["a", "b"]
    assert {stage.cache for stage in stages(runs.run()).values()} == {"hit"}


def test_what_it_raises_fails_the_stage_before_it_has_begun_and_tells_no_secret(runs: Runs) -> None:
    write(runs, "1 / 0 if password is None else open(password.reveal())")

    record = runs.run()

    read = stages(record)["read"]
    assert (record.state, read.state, read.attempts) == ("failed", "failed", 0)
    assert read.error is not None
    assert (read.error["kind"], read.error["type"]) == ("exception", "FileNotFoundError")
    assert read.error["message"] == "[Errno 2] No such file or directory: '***'"
    assert "version_of=clocked_flow:newest" in str(read.error["hint"])
    assert "in newest" in read.traceback
    assert "hunter2" not in read.traceback


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return use.options(version_of=limit)(1)", "takes count, which is no parameter of the stage"),
        (
            "return take.options(version_of=limit)(count())",
            "takes count of take, which other stages have to make first",
        ),
    ],
)
def test_what_it_cannot_be_given_is_said(runs: Runs, body: str, message: str) -> None:
    write(runs, "1", body=body)
    path = runs.root / "clocked_flow.py"
    path.write_text(
        path.read_text().replace(
            "@pipeline", "@stage\ndef take(count: int) -> int:\n    return count\n\n\n@pipeline"
        )
    )

    record = runs.run()

    assert record.state == "failed"
    errors = [str(stage.error["message"]) for stage in record.stages if stage.error is not None]
    assert any(message in error for error in errors)


# -- age --------------------------------------------------------------------------------------


def test_a_result_that_is_too_old_is_made_again_and_superseded(runs: Runs) -> None:
    write(runs, "1", options='refresh="1d"')
    first = runs.run()
    runs.clock.pass_by(86_000)
    young = runs.run()
    runs.clock.pass_by(1_000)
    old = runs.run()
    after = runs.run()

    assert [stages(run)["read"].cache for run in (first, young, old, after)] == ["miss", "hit", "miss", "hit"]
    assert stages(old)["read"].reason == "retired"
    assert stages(old)["use"].cache == "hit"
    key = stages(first)["read"].action_key
    assert key is not None
    (_, retirement), (_, current) = runs.store.actions.history(key)
    assert retirement is not None
    assert retirement.reason == "expired"
    assert current is None


def test_a_preview_says_how_old_it_is(runs: Runs) -> None:
    write(runs, "1", options='refresh="1h"')
    runs.run()
    runs.clock.pass_by(3 * 86400)

    assert runs.run(preview=True).warnings == [
        "`read` runs again though nothing changed: its result is 3 d old, and refresh= allows 60 min"
    ]


def test_how_old_a_result_may_be_is_no_part_of_a_key(runs: Runs) -> None:
    write(runs, "1", options='refresh="1h"')
    runs.run()
    write(runs, "1", options='refresh="1d"')

    assert stages(runs.run())["read"].cache == "hit"


def test_a_refresh_that_fails_leaves_the_old_result_for_those_who_allow_it(
    runs: Runs, tmp_path: Path
) -> None:
    flag = tmp_path / "fail"
    write(runs, "1", options='refresh="1h"')
    path = runs.root / "clocked_flow.py"
    path.write_text(
        path.read_text().replace("    RAN.append(table)\n", f"    assert not Path({str(flag)!r}).exists()\n")
    )
    runs.run()
    runs.clock.pass_by(7200)
    flag.write_text("")
    failed = runs.run()
    path.write_text(path.read_text().replace('refresh="1h"', 'refresh="1d"'))

    assert stages(failed)["read"].state == "failed"
    assert stages(runs.run())["read"].cache == "hit"
