"""What a failing stage does to its run, to the stages around it, to the next run, and to the person at 3 am."""

from __future__ import annotations

import re
import sys

import pytest
from support import Ended, Project

WAYS_TO_FAIL = """
import os
import signal
import sys
import time
from typing import Annotated, NamedTuple

import pandas as pd
from lineal import Schema, field, pipeline, stage


class Flights(Schema):
    carrier: Annotated[str, field(isin=("AA", "UA"))]
    distance_miles: Annotated[int, field(ge=0)]


class Pair(NamedTuple):
    left: int
    right: int


@stage
def raises() -> int:
    return look_up({})


def look_up(table):
    return table["missing"]


@stage
def dies() -> int:
    print("about to die")
    os.kill(os.getpid(), signal.SIGKILL)


@stage
def leaves(status: int) -> int:
    os._exit(status)


@stage
def gives_up() -> int:
    sys.exit("enough")


@stage
def makes_bad_rows() -> Annotated[pd.DataFrame, Flights]:
    return pd.DataFrame({"carrier": ["AA", "ZZ", "YY"], "distance_miles": [1, -2, 3]})


@stage
def makes_floats() -> pd.DataFrame:
    return pd.DataFrame({"carrier": ["AA", "UA"], "distance_miles": [1.5, 2.0]})


@stage
def takes_rows(rows: Annotated[pd.DataFrame, Flights]) -> int:
    return len(rows)


@stage
def wrong_type() -> list[int]:
    return "no list"


@stage
def wrong_outputs() -> Pair:
    return (1, 2)


@stage
def a_lambda() -> object:
    return lambda: 1


@stage
def an_open_file() -> object:
    return open(__file__)


@stage
def a_generator() -> object:
    return (number for number in [1])


@stage(timeout="300ms")
def too_slow() -> int:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    while True:
        time.sleep(60)


@stage
def passed_on(number: int) -> int:
    return number


@stage
def fine() -> int:
    return 1


@pipeline
def ways() -> int:
    passed_on(passed_on(raises()))
    dies()
    leaves(0)
    leaves(3)
    gives_up()
    makes_bad_rows()
    takes_rows(makes_floats())
    wrong_type()
    wrong_outputs()
    a_lambda()
    an_open_file()
    a_generator()
    too_slow()
    return passed_on(fine())
"""


def test_every_way_to_fail_is_told_apart_and_stops_only_its_descendants(project: Project) -> None:
    project.write("ways.py", WAYS_TO_FAIL)

    run = project.json("run")
    again = project.json("run")

    assert run.code == 1
    assert run.document["state"] == "failed"
    assert {name: (error["kind"], error["type"]) for name, error in errors(run).items()} == {
        "raises": ("exception", "KeyError"),
        "dies": ("killed", "SIGKILL"),
        "leaves": ("killed", "ProcessExit"),
        "leaves#2": ("killed", "ProcessExit"),
        "gives_up": ("exception", "SystemExit"),
        "makes_bad_rows": ("contract", "SchemaViolated"),
        "takes_rows": ("contract", "SchemaViolated"),
        "wrong_type": ("contract", "UnsupportedValue"),
        "wrong_outputs": ("contract", "WrongValue"),
        "a_lambda": ("contract", "UnsupportedValue"),
        "an_open_file": ("contract", "UnsupportedValue"),
        "a_generator": ("contract", "UnsupportedValue"),
        "too_slow": ("timeout", "TimeoutError"),
    }
    told = errors(run)
    assert all(error["hint"] for name, error in told.items() if name != "raises")
    assert "status 0" in told["leaves"]["message"]
    assert "status 3" in told["leaves#2"]["message"]
    assert "'enough'" in told["gives_up"]["message"]
    assert (
        "column 'carrier': expected one of 'AA', 'UA', found 'ZZ' in 2 rows"
        in told["makes_bad_rows"]["message"]
    )
    assert "column 'distance_miles': expected ≥ 0, found -2 in 1 row" in told["makes_bad_rows"]["message"]
    assert "parameter rows" in told["takes_rows"]["message"]
    assert "column 'distance_miles': expected int, found float64" in told["takes_rows"]["message"]
    assert "0.3 s" in told["too_slow"]["message"]
    failed = {name for name, state in run.words("state").items() if state == "failed"}
    assert failed == set(told)
    assert {name for name, state in run.words("state").items() if state == "upstream_failed"} == {
        "passed_on",
        "passed_on#2",
    }
    assert run.words("state", "attempts", "cache")["passed_on#3"] == ("succeeded", 1, "miss")
    assert all(not stage["outputs"] for stage in run.stages.values() if stage["state"] != "succeeded")

    assert not list((project.store / "spool").glob("*/*"))
    assert again.code == 1  # what failed has left nothing that could be taken for a result
    assert again.words("state") == run.words("state")
    assert again.words("cache")["passed_on#3"] == "hit"
    assert {name for name, cache in again.words("cache").items() if cache == "miss"} == failed


def test_a_person_is_shown_the_own_frames_the_last_words_and_the_next_step(project: Project) -> None:
    project.write("ways.py", WAYS_TO_FAIL)

    run = project.command("run", "--until", "passed_on#2", "--until", "dies")
    run_id = shown_run(run)
    logs = project.command("logs", run_id, "dies")
    shown = project.command("show", run_id)

    assert run.code == 1
    assert "raises failed: KeyError: 'missing'" in run.out
    frames = re.findall(r'File "(.*)", line \d+, in (\w+)', run.out)
    assert frames == [(str(project.root / "ways.py"), "raises"), (str(project.root / "ways.py"), "look_up")]
    assert 'return table["missing"]' in run.out
    assert run.out.count("about to die") == 1
    assert "not run because of that: passed_on, passed_on#2" in run.out
    assert f"lineal logs {run_id} raises" in run.out
    assert "lineal run --until 'passed_on#2' --until dies" in run.out
    assert f"lineal rerun {run_id}" in shown.out
    assert "Traceback" not in run.out + run.err
    assert logs.out == "about to die\n"
    assert (
        shown.out.index("raises failed") < shown.out.index("dies failed") < shown.out.index("upstream_failed")
    )
    assert 'return table["missing"]' in shown.out


def test_the_next_run_goes_on_from_the_last_good_stage(project: Project) -> None:
    project.keep_journal()
    project.write(
        "flow.py",
        """
        from journal import note
        from lineal import pipeline, stage


        @stage
        def first() -> int:
            note("first")
            return 1


        @stage
        def second(number: int) -> int:
            note("second")
            return number // 0


        @stage
        def third(number: int) -> int:
            note("third")
            return number


        @stage
        def beside(number: int) -> int:
            note("beside")
            return number


        @pipeline
        def flow() -> int:
            number = first()
            beside(number)
            return third(second(number))
        """,
    )

    failed = project.json("run")
    assert sorted(project.journal()) == ["beside", "first", "second"]
    assert failed.document["outputs"] == {"result": None}
    project.edit("flow.py", "number // 0", "number // 1")
    mended = project.json("rerun", failed.document["run_id"])

    assert mended.code == 0
    assert project.journal() == ["second", "third"]
    assert mended.words("cache") == {"first": "hit", "second": "miss", "third": "miss", "beside": "hit"}


def test_attempts_are_repeated_as_often_as_declared(project: Project) -> None:
    project.keep_journal()
    project.write(
        "flow.py",
        """
        import time

        from journal import note, words
        from lineal import pipeline, stage


        @stage(retries=3, retry_delay=0)
        def third_time_lucky() -> int:
            note("lucky")
            print("try", words("lucky"))
            if words("lucky") < 3:
                raise ConnectionError("try again")
            return 1


        @stage(retries=2, retry_delay=0)
        def never() -> int:
            note("never")
            raise ConnectionError("no")


        @stage(retries=1, retry_delay=0, timeout="200ms")
        def slow() -> int:
            note("slow")
            time.sleep(60)


        @stage(retries=5)
        def wrong() -> int:
            note("wrong")
            return "the same the next time"


        @pipeline
        def flow() -> None:
            third_time_lucky(), never(), slow(), wrong()
        """,
    )
    with (project.root / "journal.py").open("a") as journal:
        journal.write(
            "\n\ndef words(word):\n    return open(os.environ['JOURNAL']).read().split().count(word)\n"
        )

    run = project.json("run")
    logs = project.json("logs", run.document["run_id"], "third_time_lucky").document["logs"]

    words = project.journal()
    assert {word: words.count(word) for word in words} == {"lucky": 3, "never": 3, "slow": 2, "wrong": 1}
    assert run.words("state", "attempts") == {
        "third_time_lucky": ("succeeded", 3),
        "never": ("failed", 3),
        "slow": ("failed", 2),
        "wrong": ("failed", 1),
    }
    assert run.stages["third_time_lucky"]["error"] is None
    assert errors(run)["slow"]["kind"] == "timeout"
    assert [(log["attempt"], log["text"]) for log in logs] == [(1, "try 1\n"), (2, "try 2\n"), (3, "try 3\n")]


def test_attempts_are_repeated_for_the_failures_that_are_named(project: Project) -> None:
    project.write("failures.py", "class Busy(Exception):\n    pass\n\n\nclass VeryBusy(Busy):\n    pass\n")
    project.write(
        "flow.py",
        """
        import os
        import signal
        import time

        from failures import Busy, VeryBusy
        from lineal import pipeline, stage


        def is_server_error(error):
            return getattr(error, "status", 0) >= 500


        class Answered(Exception):
            def __init__(self, status):
                super().__init__(status)
                self.status = status


        def again(on):
            return {"retries": 1, "retry_delay": 0, "retry_on": on}


        @stage(**again(Busy))
        def subclass() -> int:
            raise VeryBusy()


        @stage(**again(Busy))
        def another() -> int:
            raise KeyError("x")


        @stage(**again(is_server_error))
        def unavailable() -> int:
            raise Answered(503)


        @stage(**again(is_server_error))
        def forbidden() -> int:
            raise Answered(403)


        @stage(**again(Busy))
        def killed() -> int:
            os.kill(os.getpid(), signal.SIGKILL)


        @stage(timeout="200ms", **again(Busy))
        def slow() -> int:
            time.sleep(60)


        @stage(timeout="200ms", **again((Busy, TimeoutError)))
        def slow_again() -> int:
            time.sleep(60)


        @pipeline
        def flow() -> None:
            subclass(), another(), unavailable(), forbidden(), killed(), slow(), slow_again()
        """,
    )

    run = project.json("run")

    assert run.words("attempts") == {
        "subclass": 2,
        "another": 1,
        "unavailable": 2,
        "forbidden": 1,
        "killed": 2,
        "slow": 1,
        "slow_again": 2,
    }


def test_a_stage_that_prints_much_hangs_nothing_and_its_output_is_kept(project: Project) -> None:
    project.write(
        "flow.py",
        r"""
        import subprocess
        import sys

        from lineal import pipeline, stage


        @stage
        def loud() -> int:
            for number in range(40_000):
                print(f"line {number:06d} of very many", file=sys.stderr if number % 2 else sys.stdout, flush=True)
            sys.stdout.write("x" * 3_000_000)  # one line longer than is read at once
            sys.stdout.buffer.write(b"\xff\xfe\x00\n")
            sys.stdout.flush()
            subprocess.run(["echo", "from a child"])
            return 1


        @pipeline
        def flow() -> int:
            return loud()
        """,
    )

    run = project.json("run")
    text = project.json("logs", run.document["run_id"]).document["logs"][0]["text"]

    assert run.code == 0
    assert text.startswith("line 000000")
    assert text.count(" of very many\n") == 40_000
    assert text.endswith("from a child\n")


def test_errors_of_any_size_leave_a_record_that_can_be_read(project: Project) -> None:
    project.write(
        "flow.py",
        """
        from lineal import pipeline, stage


        @stage
        def long_winded() -> int:
            raise ValueError("first words " + "x" * 3_000_000 + " last words")


        @stage
        def bottomless(depth: int) -> int:
            def down(depth):
                return down(depth + 1)
            return down(depth)


        @pipeline
        def flow() -> None:
            long_winded()
            for depth in range(10):
                bottomless(depth)
        """,
    )

    run = project.json("run")
    shown = project.command("show", run.document["run_id"])

    assert run.code == 1
    assert len(run.out) < 1_000_000
    message = run.stages["long_winded"]["error"]["message"]
    assert message.startswith("first words")
    assert message.endswith("last words")
    assert run.stages["bottomless"]["error"]["type"] == "RecursionError"
    assert shown.code == 0
    assert "maximum recursion depth exceeded" in shown.out


def test_what_raises_while_the_pipeline_is_read_is_one_sentence_with_the_own_line(project: Project) -> None:
    flow = """
        from lineal import pipeline, stage
        import helpers

        @stage
        def one() -> int:
            return 1

        @pipeline
        def flow() -> int:
            helpers.check()
            return one()
    """
    project.write("flow.py", flow)
    project.write("unreached.py", "def broken(:\n")
    stories = {
        "def check():\n    raise LookupError('no such table')\n": (
            "flow.py:11",
            "LookupError: no such table",
        ),
        "1 / 0\n": ("helpers.py:1", "ZeroDivisionError"),
        "import absent_package\n": ("helpers.py:1", "absent_package"),
        "def check(:\n    pass\n": ("helpers.py:1", "SyntaxError"),
        "import sys\nsys.exit(7)\n": ("helpers.py:2", "SystemExit"),
    }
    for helper, (place, words) in stories.items():
        project.write("helpers.py", helper)
        told, text = project.json("run"), project.command("run")
        assert (told.code, text.code) == (2, 2), text.err
        assert place in told.error["message"]
        assert words in told.error["message"]
        assert place in text.err
        assert "Traceback" not in text.err
        assert text.out == ""

    project.write("helpers.py", "def check():\n    pass\n")
    assert project.json("run").code == 0  # the file with the syntax error is reached by nothing


def test_code_that_only_fails_in_a_worker_fails_the_stages_and_says_where(project: Project) -> None:
    project.write(
        "flow.py",
        """
        import sys

        from lineal import pipeline, stage

        if "lineal.executors.zygote" in sys.modules or sys.argv[0].endswith("zygote.py"):
            raise ImportError("no licence on this machine")


        @stage(retries=3, retry_delay="30s")
        def one() -> int:
            return 1


        @pipeline
        def flow() -> int:
            return one()
        """,
    )

    run = project.json("run")

    assert run.code == 1
    error = run.stages["one"]["error"]
    assert (error["type"], error["message"]) == (
        "ImportError",
        "the project cannot be imported: no licence on this machine",
    )
    assert run.stages["one"]["attempts"] == 1  # the next attempt would import the same
    assert "flow.py" in run.stages["one"]["traceback"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the names of threads")
def test_polars_at_work_while_the_project_is_imported_fails_the_stages_rather_than_hanging_them(
    project: Project,
) -> None:
    project.write(
        "flow.py",
        """
        import polars
        from lineal import pipeline, stage

        LIMITS = polars.DataFrame({"limit": [3, 1, 2]}).filter(polars.col("limit") > 1)


        @stage
        def one() -> int:
            return polars.DataFrame({"x": [1, 2]}).filter(polars.col("x") > 1).height


        @pipeline
        def flow() -> int:
            return one()
        """,
    )

    run = project.json("run")

    assert run.code == 1
    error = run.stages["one"]["error"]
    assert "polars was put to work while the project was imported" in error["message"]
    assert "--executor inline" in error["hint"]
    assert project.command("run", "--executor", "inline").code == 0


def errors(run: Ended) -> dict[str, dict[str, str]]:
    return {name: stage["error"] for name, stage in run.stages.items() if stage["error"] is not None}


def shown_run(run: Ended) -> str:
    found = re.search(r"run (\d{8}-\d{6}-\w+)", run.out)
    assert found is not None
    return found[1]
