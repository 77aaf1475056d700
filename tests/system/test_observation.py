"""What a stage does besides what it declares is noticed, told, and where it is code not reused."""

from __future__ import annotations

import pytest
from support import Ended, Project

EXECUTORS = pytest.mark.parametrize("executor", ["process", "inline"])

HELPERS = """
FACTOR = 2


class Scaler:
    def apply(self, x):
        return times(x)


def times(x):
    return x * FACTOR


def tripled(x):
    return 3 * x
"""


def with_stage(project: Project, body: str, *, options: str = "", imports: str = "") -> None:
    """A pipeline of one stage, ``train``, which is given a number and the file ``given``."""
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    project.write("helpers.py", HELPERS)
    (project.root / "flow.py").write_text(
        f"{imports}\nfrom lineal import File, pipeline, stage\n\n\n"
        f"@stage({options})\ndef train(x: int, given: File) -> int:\n{lines}\n\n\n"
        '@pipeline\ndef flow(x: int = 5) -> int:\n    return train(x, File("given"))\n'
    )


def told(ended: Ended) -> list[str]:
    return list(ended.document["warnings"])


PICKLED = "pickle.load(given.open())"
"""What the fingerprint cannot see through: the bytes of a file name project code."""


@EXECUTORS
@pytest.mark.parametrize(
    ("data", "body", "named"),
    [
        ("chelpers\ntimes\n.", f"return {PICKLED}(x)", "helpers:times"),
        ("chelpers\ntimes\n.", f"return sum(map({PICKLED}, [x]))", "helpers:times"),
        ("chelpers\nScaler\n.", f"return {PICKLED}().apply(x)", "helpers:Scaler"),
        (
            "chelpers\ntripled\n.",
            f"found = []\nthread = threading.Thread(target=lambda: found.append({PICKLED}(x)))"
            + "\nthread.start()\nthread.join()\nreturn found[0]",
            "helpers:tripled",
        ),
        (
            "chelpers\ntripled\n.",
            f"with ThreadPoolExecutor() as pool:\n    return pool.submit({PICKLED}, x).result()",
            "helpers:tripled",
        ),
    ],
    ids=["called", "passed on", "a method", "in a thread", "in a pool"],
)
def test_code_outside_the_fingerprint_is_no_hit_until_it_is_declared(
    project: Project, executor: str, data: str, body: str, named: str
) -> None:
    imports = "import pickle, threading\nfrom concurrent.futures import ThreadPoolExecutor\nimport helpers"
    with_stage(project, body, imports=imports)
    project.write("given", data)
    run = ("run", "--executor", executor)
    first = project.json(*run)
    module, name = named.split(":")

    assert first.document["state"] == "succeeded"
    (warning,) = told(first)
    assert warning.startswith(f"`{module}.{name}` in helpers.py:")
    assert f'the fingerprint of `train` does not cover it: declare depends_on=["{named}"]' in warning
    assert project.json("status").words("cache", "reason") == {"train": ("miss", "uncached")}
    again = project.json(*run)
    assert again.words("cache", "state") == {"train": ("miss", "succeeded")}
    assert again.document["outputs"] == first.document["outputs"]

    project.edit("flow.py", "@stage()", f'@stage(depends_on=["{named}"])')
    assert project.json(*run).words("cache", "reason") == {"train": ("miss", "code")}
    declared = project.json(*run)

    assert declared.words("cache") == {"train": "hit"}
    assert told(declared) == []
    project.edit("helpers.py", "x * FACTOR", "x + FACTOR")
    project.edit("helpers.py", "3 * x", "4 * x")
    assert project.json("status").words("cache", "reason") == {"train": ("miss", "code")}


def test_status_and_why_say_that_nothing_changed_and_why_it_runs(project: Project) -> None:
    with_stage(project, f"return {PICKLED}(x)", imports="import pickle, helpers")
    project.write("given", "chelpers\ntimes\n.")
    project.command("run")

    status, why = project.json("status"), project.json("why")

    (warning,) = told(status)
    assert warning.startswith("`train` runs again though nothing changed: `helpers.times` in helpers.py:")
    assert why.document["stages"][0]["changes"] == []
    assert 'declare depends_on=["helpers:times"]' in why.document["stages"][0]["notes"][0]


def test_a_result_that_is_not_reused_is_traced_like_any_other(project: Project) -> None:
    with_stage(project, f"return {PICKLED}(x)", imports="import pickle, helpers")
    project.write("given", "chelpers\ntimes\n.")

    run = project.json("run")

    digest = run.document["outputs"]["result"]
    assert project.json("trace", digest).document["found"]
    shown = project.json("show", digest).document
    assert shown["made_by"]["action_key"] == run.words("action_key")["train"]
    assert shown["observed"]["uncovered"] == ["helpers:times"]
    assert "depends_on" in shown["observed"]["refused"]
    assert project.json("store", "verify").code == 0


@EXECUTORS
def test_a_module_that_is_imported_by_a_name_from_outside_is_seen(project: Project, executor: str) -> None:
    with_stage(
        project,
        "return importlib.import_module(given.open().read().decode().strip()).value(x)",
        imports="import importlib",
    )
    project.write("plugin.py", "def value(x):\n    return x + 1\n")
    project.write("given", "plugin")

    (warning,) = told(project.json("run", "--executor", executor))

    assert "`plugin` in plugin.py ran, and the fingerprint of `train` does not cover it" in warning
    assert 'depends_on=["plugin"]' in warning


def test_a_script_that_is_run_by_its_path_is_seen(project: Project) -> None:
    with_stage(
        project,
        "return runpy.run_path(given.open().read().decode().strip())['value']",
        imports="import runpy",
    )
    project.write("script.py", "value = 7\n")
    project.write("given", "script.py")

    warnings = told(project.json("run"))

    assert any("`script` in script.py ran" in warning for warning in warnings)
    assert project.json("run").words("cache") == {"train": "miss"}


@EXECUTORS
def test_what_a_module_runs_while_it_is_imported_is_covered_where_the_module_is(
    project: Project, executor: str
) -> None:
    """``registered`` is called by the import alone, which changes nothing that the stage reaches."""
    with_stage(project, "import late\nreturn late.value(x) {}")
    project.write(
        "late.py",
        """
        import logging


        def registered(function):
            logging.getLogger("late").info("registered")
            return function


        registered(print)


        def value(x):
            return x
        """,
    )
    project.write("given", "clate\nregistered\n.")
    flow = (project.root / "flow.py").read_text()
    (project.root / "flow.py").write_text("import pickle\n" + flow.replace(" {}", ""))

    assert told(project.json("run", "--executor", executor)) == []

    (project.root / "flow.py").write_text("import pickle\n" + flow.replace(" {}", f" if {PICKLED}(x) else 0"))
    (warning,) = told(project.json("run", "--executor", executor))
    assert warning.startswith("`late.registered` in late.py:5 ran")


def test_methods_of_what_a_stage_is_given_are_covered(project: Project) -> None:
    project.write("helpers.py", HELPERS)
    project.write(
        "flow.py",
        """
        from lineal import pipeline, stage
        from helpers import Scaler


        @stage
        def make() -> object:
            return Scaler()


        @stage
        def use(scaler: object) -> int:
            return scaler.apply(3)


        @pipeline
        def flow() -> int:
            return use(make())
        """,
    )

    first = project.json("run")

    assert told(first) == []
    assert set(project.json("run").words("cache").values()) == {"hit"}
    project.edit("helpers.py", "x * FACTOR", "x + FACTOR")
    assert project.json("run").words("cache")["use"] == "miss"


def test_ordinary_stages_are_told_nothing(project: Project) -> None:
    """Libraries read files and variables of their own, open temporary files, and are imported late."""
    with_stage(
        project,
        """
        import tempfile, zoneinfo, datetime, logging
        import pandas as pd
        from sklearn.linear_model import LinearRegression
        with tempfile.TemporaryDirectory() as folder:
            pd.DataFrame({"x": [x]}).to_csv(f"{folder}/x.csv")
            frame = pd.read_csv(f"{folder}/x.csv")
        pd.read_csv(given)
        datetime.datetime.now(zoneinfo.ZoneInfo("Europe/Berlin"))
        logging.getLogger(__name__).warning("fitted %s", LinearRegression().fit(frame, [1]))
        return int(frame["x"][0])
        """.replace("\n        ", "\n"),
    )
    project.write("given", "a,b\n1,2\n")

    assert told(project.json("run")) == []
    assert project.json("run").words("cache") == {"train": "hit"}


LOOKS = {
    "a file": ("return len(open('limits.json').read())", 'reads=["limits.json"]'),
    "a file by a library": (
        "import pandas\nreturn len(pandas.read_json('limits.json'))",
        'reads=["limits.json"]',
    ),
    "a variable": ("return len(os.environ.get('MODE', ''))", 'env=["MODE"]'),
}
LOOKING = pytest.mark.parametrize(("body", "option"), LOOKS.values(), ids=LOOKS)


@EXECUTORS
@LOOKING
def test_what_a_stage_looks_at_is_told_until_it_is_declared(
    project: Project, executor: str, body: str, option: str
) -> None:
    with_stage(project, body, imports="import os")
    project.write("given", "")
    project.write("limits.json", "[1]")

    first = project.json("run", "--executor", executor)

    (warning,) = told(first)
    assert warning.startswith("`train` reads ")
    assert f"which it does not declare: {option}" in warning
    assert "(flow.py:" in warning
    assert project.json("run").words("cache") == {"train": "hit"}  # it may be harmless
    shown = project.json("show", "flow.train@latest").document["observed"]
    assert shown["files"] + shown["variables"] in (["limits.json"], ["MODE"])
    assert shown["units"] == ["flow:train"]
    assert shown["modules"] == ["flow"]

    project.edit("flow.py", "@stage()", f"@stage({option})")
    assert told(project.json("run", "--executor", executor)) == []


@LOOKING
def test_strict_caches_no_result_of_a_stage_that_looks_at_more_than_it_declares(
    project: Project, body: str, option: str
) -> None:
    with_stage(project, body, imports="import os")
    project.write("given", "")
    project.write("limits.json", "[1]")
    relaxed = project.json("run")
    assert project.json("run").words("cache") == {"train": "hit"}

    project.write("lineal.toml", "strict = true\n")
    first, second, status = project.json("run"), project.json("run"), project.json("status")

    for ended in (first, second):
        assert ended.words("state", "cache", "reason") == {"train": ("succeeded", "miss", "uncached")}
        assert ended.document["outputs"] == relaxed.document["outputs"]
    assert status.words("cache", "reason") == {"train": ("miss", "uncached")}
    assert "strict is set, and `train` reads" in told(status)[0]
    project.edit("flow.py", "@stage()", f"@stage({option})")
    project.command("run")
    assert project.json("run").words("cache") == {"train": "hit"}
    project.edit("flow.py", f"@stage({option})", "@stage()")
    project.write("lineal.toml", "")
    assert project.json("run").words("cache") == {
        "train": "hit"
    }  # what was there still counts without strict


def test_what_is_read_on_import_concerns_the_stages_that_use_it(project: Project) -> None:
    project.write("settings.json", '{"a": 1}')
    project.write(
        "settings.py",
        """
        import json
        import os

        with open("settings.json") as stream:
            SETTINGS = json.load(stream)
        MODE = os.environ.get("MODE")


        def unrelated():
            return 1
        """,
    )
    project.write(
        "flow.py",
        """
        import settings
        from lineal import pipeline, stage


        @stage
        def uses() -> int:
            return settings.SETTINGS["a"]


        @stage
        def does_not() -> int:
            return settings.unrelated()


        @pipeline
        def flow() -> tuple[int, int]:
            return uses(), does_not()
        """,
    )

    (warning,) = told(project.json("run"))

    assert warning.startswith("`uses` reads settings.json (settings.py:5), which it does not declare")


def test_a_stage_with_child_processes_is_marked_and_told_nothing(project: Project) -> None:
    with_stage(
        project, "return int(subprocess.check_output(['cat', 'secret.txt']))", imports="import subprocess"
    )
    project.write("given", "")
    project.write("secret.txt", "4")

    assert told(project.json("run")) == []

    assert "is not seen" in project.json("show", "flow.train@latest").document["observed"]["note"]
    assert "note" in project.command("show", "flow.train@latest").out
    assert project.json("run").words("cache") == {"train": "hit"}


def test_a_declared_variable_is_what_the_stage_finds_however_many_run_at_once(project: Project) -> None:
    with_stage(
        project,
        "return int(os.environ.get('OMP_NUM_THREADS', -1))",
        options='env=["OMP_NUM_THREADS"]',
        imports="import os",
    )
    project.write("given", "")
    project.variables = {"OMP_NUM_THREADS": ""}
    environment = project.environment({})
    del environment["OMP_NUM_THREADS"]
    project.environment = lambda variables: {**environment, **variables}  # type: ignore[method-assign]

    first = project.json("run", "-j", "1")

    assert project.value(first.document["outputs"]["result"]) == b"-1"
    assert project.json("run", "-j", "2").words("cache") == {"train": "hit"}
    set_now = project.json("run", OMP_NUM_THREADS="3")
    assert set_now.words("cache", "reason") == {"train": ("miss", "environment")}
    assert project.value(set_now.document["outputs"]["result"]) == b"3"


def test_a_variable_that_is_part_of_the_key_is_no_blind_spot(project: Project) -> None:
    with_stage(project, "return len(os.environ['MODE'])", options='env=["MODE"]', imports="import os")

    assert project.json("fingerprint", "flow.py:train").document["blind_spots"] == []


def test_an_attempt_that_fails_is_told_nothing_of(project: Project) -> None:
    with_stage(project, "raise ValueError(open('given').read())")
    project.write("given", "")

    assert told(project.json("run")) == []


def test_code_of_an_editable_install_is_the_projects(project: Project) -> None:
    """Found on ``PYTHONPATH``, used in place: no distribution, and no bytecode."""
    project.write("../elsewhere/ed/__init__.py", "")
    project.write("../elsewhere/ed/used.py", "def value(x):\n    return x\n")
    project.write("../elsewhere/ed/plugin.py", "def value(x):\n    return x + 1\n")
    with_stage(
        project,
        "return ed.used.value(x) + importlib.import_module(given.open().read().decode().strip()).value(x)",
        imports="import importlib\nimport ed.used",
    )
    project.write("given", "ed.plugin")
    project.variables = {"PYTHONPATH": str(project.root.parent / "elsewhere")}

    (warning,) = told(project.json("run"))

    assert 'declare depends_on=["ed.plugin"]' in warning
    assert list((project.root.parent / "elsewhere").rglob("plugin*.pyc")) == []
