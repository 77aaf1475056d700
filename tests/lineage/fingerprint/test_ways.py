"""How a stage comes to depend on a unit."""

from __future__ import annotations

import textwrap
from pathlib import Path

from lineal.fingerprint import Fingerprinter, Sources
from lineal.fingerprint.ways import Way, Ways

FILES = {
    "pipeline.py": """
        from features import normalise
        from features.text import LIMIT
        import registry

        def stage(x):
            return normalise(x) + LIMIT + registry.PLUGINS["a"]
        """,
    "features/__init__.py": "from .steps import normalise\n",
    "features/steps.py": """
        from .text import clean

        def normalise(x):
            return clean(x)

        def unused(x):
            return x
        """,
    "features/text.py": """
        LIMIT = 3

        def clean(x):
            return deeper(x)[:LIMIT]

        def deeper(x):
            return Helper(x)

        class Helper:
            pass
        """,
    "registry.py": """
        PLUGINS = {}

        def register(f):
            PLUGINS[f.__name__] = f
            return f

        @register
        def a():
            return 1
        """,
}


def project() -> Fingerprinter:
    root = Path("/project/in/memory")
    return Fingerprinter(
        Sources(root, [root], {name: textwrap.dedent(text).encode() for name, text in FILES.items()})
    )


def ways(*entries: tuple[str, str]) -> Ways:
    return Ways(project().closures, entries or (("pipeline", "stage"),))


def test_the_way_leads_from_the_stage_through_those_that_call() -> None:
    assert ways().find("features.text:clean") == Way(
        ("pipeline:stage", "features.steps:normalise", "features.text:clean")
    )


def test_the_shortest_way_is_taken() -> None:
    assert ways().find("features.text:LIMIT") == Way(("pipeline:stage", "features.text:LIMIT"))


def test_the_stage_itself_is_a_way_of_one() -> None:
    assert ways().find("pipeline:stage") == Way(("pipeline:stage",))


def test_what_is_not_reached_has_no_way() -> None:
    assert ways().find("features.steps:unused") == Way()


def test_what_registers_itself_on_import_is_reached_by_what_it_changes() -> None:
    way = ways().find("registry:a")

    assert way.changes
    assert way.units[0] == "pipeline:stage"
    assert way.units[-1] == "registry:a"


def test_a_stage_that_is_imported_from_elsewhere_starts_where_it_is_written() -> None:
    assert ways(("features", "normalise")).find("features.text:Helper").units == (
        "features.steps:normalise",
        "features.text:clean",
        "features.text:deeper",
        "features.text:Helper",
    )


def test_every_unit_of_a_closure_can_be_told_how_it_is_reached() -> None:
    fingerprinter = project()
    found = Ways(fingerprinter.closures, (("pipeline", "stage"),))

    for unit in fingerprinter.stage("pipeline", "stage").covers:
        assert found.find(unit.unit).units[-1:] == (unit.unit,)
