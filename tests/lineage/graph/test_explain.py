"""Two actions, and what is said of their difference."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lineal.artifacts.values import encode_value
from lineal.fingerprint import Fingerprinter, Sources
from lineal.graph.change import Change
from lineal.graph.explain import Side, explain, explain_parameters
from lineal.graph.explain_code import MOST_DIFF_LINES, MOST_DIFFS, CodeSide, unit_diff
from lineal.graph.explain_inputs import Content
from lineal.graph.records import Action, CoveredUnit, Input, Manifest, Origin

ROOT = Path("/project/in/memory")
DIGEST, OTHER = "sha256:" + "ab" * 32, "sha256:" + "cd" * 32

FILES = {
    "pipeline.py": """
        from features import normalise

        def featurize(x):
            return normalise(x)
        """,
    "features.py": """
        from math import sqrt as root

        LIMIT = 3

        def normalise(x):
            return clean_carrier(x)[:LIMIT]

        def clean_carrier(x):
            return x.strip()

        def unrelated(x):
            return root(x)
        """,
}


class CodeInMemory:
    """A project of which some files may be lost."""

    def __init__(self, files: Mapping[str, str], lost: bool = False) -> None:
        data = {name: textwrap.dedent(text).encode() for name, text in files.items()}
        self._sources = None if lost else Sources(ROOT, [ROOT], data)
        self._data = {} if lost else data

    def find(self, file: str) -> bytes | None:
        return self._data.get(file)

    def sources(self) -> Sources | None:
        return self._sources


def side(
    files: Mapping[str, str] = FILES, *, lost: bool = False, no_manifest: bool = False, **action: Any
) -> Side:
    """The stage ``featurize`` of a project; ``lost`` and ``no_manifest`` say what of it is not in the store."""
    entries = (("pipeline", "featurize"),)
    found = Fingerprinter(CodeInMemory(files).sources() or Sources(ROOT, [ROOT], {})).stage(*entries[0])
    manifest = Manifest(
        hex=found.hex,
        units=[CoveredUnit(unit.unit, unit.file, unit.line, unit.hash) for unit in found.covers],
        distributions=action.pop("distributions", {}),
    )
    contents = action.pop("contents", {})

    def fingerprinter_of(code: Any) -> Fingerprinter | None:
        sources = code.sources()
        return Fingerprinter(sources) if sources is not None else None

    code: Any = CodeInMemory(files, lost)
    covered = CodeSide(None if no_manifest else manifest, code, entries, (), fingerprinter_of)
    fields = {"fingerprint": found.hex, **action}
    return Side(Action(stage="featurize", **fields), covered, "2026-11-22T03:17:00+00:00", contents)


def edited(file: str, before: str, after: str) -> dict[str, str]:
    assert before in FILES[file]
    return {**FILES, file: FILES[file].replace(before, after)}


def titles(changes: list[Change]) -> list[str]:
    return [change.title for change in changes]


def test_a_unit_that_changed_is_named_with_who_calls_it_and_shown() -> None:
    (change,) = explain(side(), side(edited("features.py", "x.strip()", "x.strip().upper()")))

    assert change.title == (
        "`clean_carrier()` in features.py, called by `featurize` through `normalise`, changed"
    )
    assert (change.kind, change.name, change.file) == ("code", "features:clean_carrier", "features.py")
    assert change.through == ("pipeline:featurize", "features:normalise", "features:clean_carrier")
    assert change.diff is not None
    assert change.diff.splitlines() == [
        "--- a/features.py",
        "+++ b/features.py",
        "@@ -9,2 +9,2 @@ features:clean_carrier",
        " def clean_carrier(x):",
        "-    return x.strip()",
        "+    return x.strip().upper()",
    ]


def test_the_stage_itself_comes_before_what_is_further_away() -> None:
    files = edited("features.py", "x.strip()", "x.strip().upper()")
    files["features.py"] = files["features.py"].replace("LIMIT = 3", "LIMIT = 4")
    files["pipeline.py"] = FILES["pipeline.py"].replace("normalise(x)", "normalise(x + '')")

    assert titles(explain(side(), side(files))) == [
        "`featurize()` in pipeline.py, the stage itself, changed",
        "`LIMIT` in features.py, used by `featurize` through `normalise`, changed",
        "`clean_carrier()` in features.py, called by `featurize` through `normalise`, changed",
    ]


def test_new_units_and_those_that_are_gone_are_said_as_such() -> None:
    files = edited("features.py", "clean_carrier(x)[:LIMIT]", "shorten(x)")
    files["features.py"] += "\n        def shorten(x):\n            return x\n"

    assert titles(explain(side(), side(files))) == [
        "`normalise()` in features.py, called by `featurize`, changed",
        "`shorten()` in features.py, called by `featurize` through `normalise`, is new",
        "`LIMIT` in features.py, used by `featurize` through `normalise`, is gone",
        "`clean_carrier()` in features.py, called by `featurize` through `normalise`, is gone",
    ]


def test_a_name_that_stands_for_something_else_is_told() -> None:
    before = edited("features.py", "x.strip()", "root(x)")
    after = {
        **before,
        "features.py": before["features.py"].replace("from math import sqrt", "from math import cbrt"),
    }

    assert titles(explain(side(before), side(after))) == [
        "`root` means something else in `clean_carrier()` in features.py: math.sqrt → math.cbrt"
    ]


def test_a_unit_that_moved_to_another_module_is_said_to_have_moved() -> None:
    text = textwrap.dedent(FILES["features.py"])
    moved = "def clean_carrier(x):\n    return x.strip()\n"
    files = {
        "pipeline.py": textwrap.dedent(FILES["pipeline.py"]),
        "features.py": "from text import clean_carrier\n" + text.replace(moved, ""),
        "text.py": moved,
    }

    assert titles(explain(side(), side(files))) == ["`clean_carrier` moved from features.py to text.py"]


def test_a_changed_condition_around_a_unit_is_shown() -> None:
    before = edited(
        "features.py", "LIMIT = 3", "import os\n        if os.name == 'a':\n            LIMIT = 3"
    )
    after = {**before, "features.py": before["features.py"].replace("== 'a'", "== 'b'")}

    (change,) = explain(side(before), side(after))

    assert "-if os.name == 'a':" in (change.diff or "").splitlines()


def test_without_the_earlier_source_the_unit_is_still_named() -> None:
    (change,) = explain(side(lost=True), side(edited("features.py", "x.strip()", "x")))

    assert change.title.endswith("changed")
    assert change.diff is None
    assert change.details == ["its earlier source is not in the store"]


def test_without_the_earlier_manifest_it_is_worked_out_again() -> None:
    changes = explain(side(no_manifest=True), side(edited("features.py", "x.strip()", "x")))

    assert titles(changes) == [
        "`clean_carrier()` in features.py, called by `featurize` through `normalise`, changed"
    ]


def test_without_either_the_change_of_code_is_still_told() -> None:
    (change,) = explain(side(no_manifest=True, lost=True), side(edited("features.py", "x.strip()", "x")))

    assert change.title == "the code changed"
    assert "not in the store any more" in change.details[0]


def test_code_that_is_only_counted_otherwise_is_said_to_be_the_same() -> None:
    (change,) = explain(side(fingerprint="0" * 32), side())

    assert change.title == "the code is the same, but this version of Lineal counts it in another way"


def test_versions_are_told_as_people_write_them() -> None:
    before = side(fingerprint="0" * 32, distributions={"pandas": "2.2.0", "old": "1", "module acme": "x"})
    after = side(distributions={"pandas": "2.2.3", "new": "2", "module acme": "y"})

    assert titles(explain(before, after)) == [
        "pandas 2.2.0 → 2.2.3",
        "old 1 is reached no more",
        "the installed module acme changed",
        "new 2 is reached now, and was not before",
    ]


def test_python_and_declared_variables_are_told_and_secrets_are_not() -> None:
    before = {"python": "3.11", "$THREADS": "1", "$API_TOKEN": "hush", "$DB": "postgres://me:hush@h/a"}
    after = {"python": "3.12", "$API_TOKEN": "hush2", "$DB": "postgres://me:hush@h/b", "$NEW": "1"}

    changes = explain(side(environment=before), side(environment=after))

    assert titles(changes) == [
        "Python 3.11 → 3.12",
        "environment variable THREADS is not set any more, was 1",
        "environment variable API_TOKEN changed; its value is not shown",
        "environment variable DB: postgres://me:***@h/a → postgres://me:***@h/b",
        "environment variable NEW is set now: 1",
    ]
    assert "hush" not in repr(changes)


def test_versions_that_were_observed_are_shown_as_they_were_returned() -> None:
    before, after = ({"version_of": text} for text in ('{"tuple": ["2026-11-21", 1]}', "xxh3:0123"))

    (change,) = explain(side(environment=before), side(environment=after))

    assert change.title == "what version_of observed: ('2026-11-21', 1) → xxh3:0123"


def test_parameters_are_told_as_they_were_written() -> None:
    before = {
        "rate": 0.1,
        "depth": 1,
        "grid": encode_value({"a": 1, "b": [1]}),
        "old": None,
        "xs[]": ["list", None],
    }
    after = {
        "rate": 0.2,
        "depth": 1.0,
        "grid": encode_value({"a": 2, "b": [1]}),
        "new": 5,
        "xs[]": ["list", None, None],
    }

    assert titles(explain(side(parameters=before), side(parameters=after))) == [
        "parameter rate: 0.1 → 0.2",
        "parameter depth: int 1 → float 1.0",
        'parameter grid["a"]: 1 → 2',
        "parameter old is gone, was None",
        "`xs` is made up of a list of 1 → a list of 2",
        "parameter new is new: 5",
    ]
    assert titles(explain_parameters({"rate": 0.1}, {"rate": 0.2})) == ["the run's parameter rate: 0.1 → 0.2"]


def taken(digest: str, **fields: Any) -> Input:
    return Input(digest=digest, type="pandas", **fields)


def test_inputs_are_told_with_who_made_them_and_what_is_in_them() -> None:
    def content(rows: int, dtype: str, run: str, at: str) -> Content:
        return Content(
            "pandas",
            Origin(action_key="k", output="result"),
            description={"rows": rows, "columns": {"dep_delay": dtype}},
            made_by="ingest",
            run_id=run,
            at=at,
        )

    (change,) = explain(
        side(
            inputs={"flights": taken(DIGEST)}, contents={"flights": content(336_776, "float64", "A", "then")}
        ),
        side(inputs={"flights": taken(OTHER)}, contents={"flights": content(336_780, "int32", "B", "now")}),
    )

    assert change.title == (
        "input `flights`, made by `ingest`, changed: column `dep_delay`: float64 → int32, rows 336,776 → 336,780"
    )
    assert change.details == ["made now by run B, before then by run A"]
    assert (change.before, change.after) == (DIGEST, OTHER)


def test_outside_data_is_told_with_its_address() -> None:
    before = {"raw": Content("file", Origin(url="a.csv"), 10, run_id="A", at="then")}
    after = {"raw": Content("file", Origin(url="b.csv"), 12, at="now")}

    (change,) = explain(
        side(inputs={"raw": taken(DIGEST)}, contents=before),
        side(inputs={"raw": taken(OTHER)}, contents=after),
    )

    assert change.title == "input `raw`, read from b.csv, changed: 10 B → 12 B"
    assert change.details == [
        "before, it was read from a.csv",
        "last written now; before, taken in then by run A",
    ]


def test_inputs_that_came_went_or_are_taken_otherwise_are_said_as_such() -> None:
    before = {"gone": taken(DIGEST), "item": taken(DIGEST, item=[0]), "read": taken(DIGEST, read_as="int")}
    after = {"new": taken(DIGEST), "item": taken(DIGEST, item=[1]), "read": taken(DIGEST, read_as="float")}

    assert titles(explain(side(inputs=before), side(inputs=after))) == [
        "input `gone` is gone",
        f"input `item` is taken in another way: {DIGEST}[0] → {DIGEST}[1]",
        "input `read` is read in another way: pandas as int → pandas as float",
        "input `new` is new",
    ]


SCHEMAS = {
    "pipeline.py": """
        from contracts import Flights

        class Valid:
            flights: Annotated[object, Flights]

        def featurize(raw: Annotated[object, Flights]) -> Valid:
            return raw
        """,
    "contracts.py": """
        from lineal import Schema, field

        class Flights(Schema, min_rows=1):
            carrier: str
            delay: float
        """,
}


def test_the_field_of_a_contract_that_changed_is_told() -> None:
    after = {
        **SCHEMAS,
        "contracts.py": SCHEMAS["contracts.py"].replace("delay: float", "delay: float | None"),
    }
    after["contracts.py"] = after["contracts.py"].replace("min_rows=1", "min_rows=2")

    changes = explain(
        side(SCHEMAS, schemas={"raw": "1", "-> flights": "1", "old": "1"}),
        side(after, schemas={"raw": "2", "-> flights": "2", "new": "2"}),
    )

    told = {change.title: change.details for change in changes if change.kind == "schema"}
    assert told == {
        "the contract `Flights` of the input `raw` changed": [
            "`delay`: float → float | None",
            "`min_rows=`: 1 → 2",
        ],
        "the contract `Flights` of the output `flights` changed": [
            "`delay`: float → float | None",
            "`min_rows=`: 1 → 2",
        ],
        "the input `old` has no contract any more": [],
        "the input `new` has a contract now": [],
    }


def test_a_class_that_the_bytes_of_an_input_name_is_told_by_its_units() -> None:
    before = {**FILES, "model.py": "class Model:\n    n = 1\n"}
    after = {**FILES, "model.py": "class Model:\n    n = 2\n"}

    (change,) = explain(side(before, code={"model:Model": "1"}), side(after, code={"model:Model": "2"}))
    (unknown,) = explain(side(code={"gone:Model": "1"}), side(code={"gone:Model": "2"}))

    assert change.title == "the class `Model` in model.py, which the bytes of an input name, changed"
    assert "+    n = 2" in (change.diff or "")
    assert unknown.title == "`Model` of gone, which the bytes of an input name, changed"


def test_equal_actions_have_nothing_to_tell() -> None:
    assert explain(side(), side()) == []


# -- diffs ------------------------------------------------------------------------------------


def many(count: int) -> dict[str, str]:
    body = "\n".join(f"def f{number}(x):\n    return x" for number in range(count))
    calls = " + ".join(f"f{number}(x)" for number in range(count))
    return {"pipeline.py": f"{body}\n\n\ndef featurize(x):\n    return {calls}\n"}


def test_of_many_units_only_the_first_are_shown() -> None:
    after = {"pipeline.py": many(60)["pipeline.py"].replace("    return x\n", "    return x + 0\n")}

    changes = explain(side(many(60)), side(after))

    assert len(changes) == 60
    assert sum(change.diff is not None for change in changes) == MOST_DIFFS


def long_table(step: int) -> dict[str, str]:
    rows = "\n".join(f"    {number * step}," for number in range(1, 5000))
    return {"pipeline.py": f"TABLE = [\n{rows}\n]\n\n\ndef featurize(x):\n    return TABLE\n"}


def test_a_long_diff_is_cut_and_says_so() -> None:
    (change,) = explain(side(long_table(1)), side(long_table(7919)))

    lines = (change.diff or "").splitlines()
    assert len(lines) == MOST_DIFF_LINES + 3
    assert lines[-1].startswith("… ") and lines[-1].endswith("more lines")


def test_of_a_very_long_line_the_part_is_shown_that_differs() -> None:
    def text(middle: str) -> dict[str, str]:
        return {
            "pipeline.py": f"TEXT = '{'x' * 9000}{middle}{'y' * 9000}'\n\n\ndef featurize(x):\n    return TEXT\n"
        }

    (change,) = explain(side(text("before")), side(text("after")))

    assert len(change.diff or "") < 1000
    assert "xbefore" in (change.diff or "") and "xafter" in (change.diff or "")


def test_equal_excerpts_have_no_diff() -> None:
    assert unit_diff(None, None, CoveredUnit("m:f", "m.py", 1, "1")) == ""
