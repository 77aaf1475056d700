"""Why an artifact may have come out otherwise."""

from __future__ import annotations

from lineal.graph.records import CoveredUnit, Manifest, Observed
from lineal.reproduce.causes import Evidence, find_causes
from lineal.reproduce.environments import Change, EnvironmentDifference


def manifest(hash_: str = "1" * 32, **distributions: str) -> Manifest:
    unit = CoveredUnit("flow:train", "flow.py", 3, hash_)
    return Manifest(hex="f" * 32, units=[unit], distributions=distributions)


def test_random_numbers_that_are_not_seeded_and_clocks_are_named_by_what_is_called() -> None:
    reached = ["builtins.len", "numpy.random.default_rng", "time.time", "numpy.random.normal", "uuid.uuid4"]

    assert find_causes(Evidence(manifest(), manifest(), reached=reached), "nondeterministic") == [
        "its code makes random numbers that are not seeded for it: numpy.random.default_rng, uuid.uuid4",
        "its code reads the clock: time.time",
    ]


def test_packages_that_the_stage_reaches_come_first_where_it_drifted() -> None:
    difference = EnvironmentDifference(
        python=Change("Python", "3.11.7", "3.12.1"),
        reached=(Change("scikit-learn", "1.5", "1.9"), Change("polars", "1.0", "1.1")),
        cpu=Change("processor", "avx512f", ""),
    )
    observed = [Observed(files=["/etc/routes.csv"], variables=["MODE"])]
    then = manifest(**{"scikit-learn": "1.5"})

    causes = find_causes(Evidence(then, manifest(), observed, difference=difference), "drift")

    assert causes[0] == "package scikit-learn 1.5 is 1.9 here"
    assert not any("polars" in cause for cause in causes)
    assert [cause.partition(":")[0] for cause in causes[1:]] == [
        "Python 3.11.7 is 3.12.1 here",
        "the processor has other vector units, and numeric libraries choose by them",
        "it reads files that it does not declare",
        "it reads environment variables that it does not declare",
    ]


def test_another_lineal_is_named_for_it_writes_the_bytes() -> None:
    evidence = Evidence(manifest(), manifest(), lineal=Change("Lineal", "0.1.0", "0.2.0"))

    assert find_causes(evidence, "drift") == [
        "Lineal 0.1.0 is 0.2.0 here, and it is Lineal that writes values as bytes"
    ]


def test_code_that_is_not_what_it_was_is_named() -> None:
    causes = find_causes(Evidence(manifest(), manifest("2" * 32)), "drift")

    assert causes == ["code that it reaches is not what it was: flow:train"]


def test_where_nothing_is_known_nothing_is_said() -> None:
    assert find_causes(Evidence(None, None), "drift") == []
