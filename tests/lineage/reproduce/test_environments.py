"""Whether today's packages are the recorded ones in what counts, and what else would have to be installed."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest

from lineal.graph.records import Environment
from lineal.reproduce.environments import (
    Change,
    Wanted,
    compare_environments,
    current_environment,
    find_python,
    plan_lock,
    replay_variables,
)

THEN = Environment(
    python="3.11.7",
    implementation="CPython",
    build="main",
    platform="Linux-6.1-x86_64-with-glibc2.36",
    machine="x86_64",
    distributions={"numpy": "2.0", "pandas": "3.0", "pyarrow": "26.0", "rich": "15.0"},
    contents={"numpy": "aa", "pandas": "bb"},
    cpu=["avx", "avx2"],
    cores=4,
)


def now(**changes: object) -> Environment:
    return msgspec.structs.replace(THEN, **changes)


def test_an_equal_environment_is_the_same() -> None:
    difference = compare_environments(THEN, THEN, {"numpy": "2.0"})

    assert difference.is_same
    assert difference.sentences() == []


def test_another_version_of_what_is_reached_counts() -> None:
    today = now(distributions={**THEN.distributions, "numpy": "2.1"})

    difference = compare_environments(THEN, today, {"numpy": "2.0"})

    assert not difference.is_same
    assert difference.can_be_rebuilt
    assert difference.reached == (Change("numpy", "2.0", "2.1"),)
    assert difference.sentences() == ["numpy 2.0 is 2.1 here"]


def test_another_version_of_what_is_not_reached_is_only_told() -> None:
    today = now(distributions={"numpy": "2.0", "pandas": "3.0", "pyarrow": "26.0", "pytest": "9"})

    difference = compare_environments(THEN, today, {"numpy": "2.0"})

    assert difference.is_same
    assert difference.sentences() == ["not reached: pytest 9 is new, rich 15.0 is missing"]


def test_what_tables_are_written_with_counts_although_no_stage_names_it() -> None:
    today = now(distributions={**THEN.distributions, "pyarrow": "27.0"})

    assert not compare_environments(THEN, today, {"numpy": "2.0"}).is_same


def test_another_build_of_the_same_version_counts() -> None:
    difference = compare_environments(THEN, now(contents={"numpy": "cc"}), {"numpy": "2.0", "pandas": "3.0"})

    assert difference.sentences() == ["numpy 2.0 is 2.0, with other files, here"]
    assert difference.can_be_rebuilt


def test_a_patch_release_of_python_is_told_and_another_minor_version_counts() -> None:
    patch, minor = (compare_environments(THEN, now(python=each)) for each in ("3.11.9", "3.12.0"))

    assert (patch.is_same, minor.is_same) == (True, False)
    assert patch.sentences() == ["Python 3.11.7 is 3.11.9 here (another patch release)"]
    assert minor.sentences() == ["Python 3.11.7 is 3.12.0 here"]


def test_another_kind_of_machine_is_another_environment_that_cannot_be_rebuilt_here() -> None:
    difference = compare_environments(THEN, now(machine="aarch64"))

    assert (difference.is_same, difference.can_be_rebuilt) == (False, False)


def test_missing_features_of_the_processor_are_told() -> None:
    difference = compare_environments(THEN, now(cpu=["avx", "fma"], cores=8))

    assert difference.is_same
    assert difference.sentences() == [
        "this processor has no avx2, and has besides fma",
        "number of cores 4 is 8 here",
    ]


def test_what_was_not_recorded_is_no_difference() -> None:
    then = now(contents={}, cpu=[], cores=0)

    assert compare_environments(then, THEN, {"numpy": "2.0"}).sentences() == []


def test_a_lock_asks_for_exact_versions_where_they_come_from() -> None:
    then = now(
        distributions={
            "numpy": "2.0",
            "ours": "1.0 (c0ffee)",
            "msgspec": "0.22",
            "rich": "15.0",
            "mine": "0.1",
        },
        sources={"ours": "git+https://host/ours@c0ffee"},
        editable=["mine"],
    )

    lock = plan_lock(then, {"numpy": "2.0", "ours": "1.0 (c0ffee)"}, ["msgspec"])

    assert lock.python == "3.11.7"
    assert lock.wanted == (
        Wanted("msgspec", "0.22", "own", "msgspec==0.22"),
        Wanted("numpy", "2.0", "needed", "numpy==2.0"),
        Wanted("ours", "1.0 (c0ffee)", "needed", "ours @ git+https://host/ours@c0ffee"),
        Wanted("rich", "15.0", "other", "rich==15.0"),
    )


@pytest.mark.parametrize(
    ("name", "version", "source"),
    [
        ("--index-url=https://evil", "1.0", None),
        ("a", "1.0\n--index-url=https://evil", None),
        ("a", "1.0 ", "file:///home/me/a"),
        ("a", "1.0", "https://host/a.whl\n-r /etc/passwd"),
        ("a", "1.0", "ext::sh -c true"),
        ("module loose", "ab", None),
    ],
)
def test_nobody_is_asked_for_what_is_no_plain_requirement(
    name: str, version: str, source: str | None
) -> None:
    then = now(distributions={name: version}, sources={} if source is None else {name: source})

    (wanted,) = plan_lock(then, {name: version}, []).wanted

    assert wanted.requirement is None
    assert wanted.problem


def test_todays_python_is_used_where_it_has_what_counts() -> None:
    here = current_environment()
    some = next(name for name in here.distributions if name not in here.editable)
    then = msgspec.structs.replace(here, distributions={**here.distributions, "gone": "1.0"})

    found = find_python(then, rebuild=True, reached={some: here.distributions[some]})

    assert (found.python, found.kind) == (Path(sys.executable), "same")
    assert found.notes == ("not reached: gone 1.0 is missing",)


def test_todays_python_is_used_as_it_is_where_nothing_is_to_be_rebuilt() -> None:
    here = current_environment()
    then = msgspec.structs.replace(here, distributions={**here.distributions, "gone": "1.0"})

    found = find_python(then, rebuild=False, reached={"gone": "1.0"})

    assert (found.python, found.kind) == (Path(sys.executable), "current")
    assert found.notes == ("gone 1.0 is missing",)


def test_past_code_finds_the_recorded_variables_and_no_others_of_their_kind() -> None:
    then = now(variables={"OMP_NUM_THREADS": "1", "DECLARED": "then"})
    today = {"OPENBLAS_CORETYPE": "Haswell", "DECLARED": "now", "HOME": "/home/me", "PYTHONPATH": "/lib"}

    assert replay_variables(then, "rebuilt", today) == {
        "OMP_NUM_THREADS": "1",
        "DECLARED": "then",
        "HOME": "/home/me",
    }
    assert replay_variables(then, "same", today)["PYTHONPATH"] == "/lib"
