"""Long chains, wide fans and records of many pages."""

from __future__ import annotations

from support import Project

CHAIN = """
from lineal import pipeline, stage


@stage
def step(number: int) -> int:
    return number + 1


@pipeline
def chain(length: int = 1000) -> int:
    number = 0
    for _ in range(length):
        number = step(number)
    return number
"""


def test_a_chain_of_a_thousand_stages_runs_and_is_found_again(project: Project) -> None:
    project.write("chain.py", CHAIN)

    cold = project.json("run", "--executor", "inline")
    warm = project.json("run")
    text = project.command("run")

    assert cold.code == 0, cold.err[-2000:]
    assert project.value(cold.document["outputs"]["result"]) == b"1000"
    assert set(warm.words("cache", "attempts").values()) == {("hit", 0)}
    assert len(warm.stages) == 1000
    assert "nothing to do, 1,000 stages unchanged" in text.out
    run_id = cold.document["run_id"]
    assert len(project.json("show", run_id).document["stages"]) == 1000
    newest, *_ = project.json("runs").document["runs"]
    assert newest["counts"] == {"hit": 1000}
    traced = project.json("trace", cold.document["outputs"]["result"])
    assert sum(node["kind"] == "action" for node in traced.document["nodes"]) == 1000
    assert project.json("get", "chain.step#700@latest", "-o", "out.json").code == 0
    assert (project.root / "out.json").read_text() == "700"


def test_a_fan_of_three_hundred_stages_survives_one_that_fails(project: Project) -> None:
    project.write(
        "fan.py",
        """
        from lineal import pipeline, stage


        @stage
        def square(number: int) -> int:
            if number == 150:
                raise ValueError("not this one")
            return number * number


        @stage
        def total(numbers: list[int]) -> int:
            return sum(numbers)


        @pipeline
        def fan() -> int:
            return total([square(number) for number in range(300)])
        """,
    )

    failed = project.json("run")
    text = project.command("status")
    project.edit("fan.py", "if number == 150", "if number == 999")
    again = project.json("rerun", failed.document["run_id"])
    why = project.json("why", "total")

    states = list(failed.words("state").values())
    assert (states.count("succeeded"), states.count("failed"), states.count("upstream_failed")) == (299, 1, 1)
    shown = project.command("show", failed.document["run_id"])
    assert shown.out.startswith("square#151 failed: ValueError: not this one")
    assert "1 of 301 stages would run, 1 may" in text.out
    assert again.code == 0
    assert project.value(again.document["outputs"]["result"]) == b"8955050"
    assert why.document["stages"][0]["cache"] == "hit"
