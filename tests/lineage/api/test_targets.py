"""TARGET: what was typed, to a module and the pipeline in it."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lineal.api.config import Configuration
from lineal.api.targets import (
    ImportFailed,
    Target,
    find_pipelines,
    find_start,
    import_folders,
    is_target,
    load_module,
    pick_pipeline,
    resolve,
)
from lineal.errors import UsageError

ONE = "from lineal import pipeline\n\n@pipeline\ndef {0}():\n    pass\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return tmp_path.resolve()


@pytest.fixture
def _own_modules() -> Iterator[None]:
    """What a test imports is forgotten after it."""
    modules, path = set(sys.modules), list(sys.path)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def write(folder: Path, name: str, text: str = "") -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
    return file


def configured(root: Path, *pipelines: str) -> Configuration:
    return Configuration(root, str(root / "store"), pipelines=pipelines)


def at(project: Path, text: str | None, *pipelines: str, folder: Path | None = None) -> Target:
    return resolve(text, configured(project, *pipelines), folder=folder or project)


def refusal(project: Path, text: str | None, *pipelines: str) -> tuple[str, str]:
    with pytest.raises(UsageError) as caught:
        at(project, text, *pipelines)
    assert caught.value.exit_code == 2
    return str(caught.value), caught.value.hint or ""


# --- paths -----------------------------------------------------------------------------------------


def test_a_file_with_a_name(project: Path) -> None:
    file = write(project, "jobs/flights.py")

    assert at(project, "jobs/flights.py:nightly") == Target("flights", project / "jobs", file, "nightly")
    assert at(project, f"{file}:nightly").name == "nightly"


def test_the_home_of_nobody_is_no_file(project: Path) -> None:
    message, _ = refusal(project, "~nobody-of-that-name/flow.py")

    assert message == "there is no file ~nobody-of-that-name/flow.py"


def test_the_module_is_named_from_the_first_folder_above_without_init(project: Path) -> None:
    write(project, "src/company/__init__.py")
    write(project, "src/company/jobs/__init__.py")
    file = write(project, "src/company/jobs/flights.py")

    target = at(project, "src/company/jobs/flights.py:f")

    assert target == Target("company.jobs.flights", project / "src", file, "f")


def test_the_name_may_be_left_out_when_the_file_declares_one(project: Path) -> None:
    write(project, "flights.py", ONE.format("nightly"))

    assert at(project, "flights.py").name == "nightly"


def test_the_name_stays_open_when_syntax_shows_not_exactly_one(project: Path) -> None:
    write(project, "two.py", ONE.format("a") + ONE.format("b"))
    write(project, "none.py", "x = 1")

    assert at(project, "two.py").name is None
    assert at(project, "none.py").name is None


def test_paths_are_relative_to_the_current_folder_then_to_the_root(project: Path) -> None:
    inner = write(project, "jobs/flights.py").parent
    write(project, "other.py")

    assert at(project, "flights.py:f", folder=inner).file == inner / "flights.py"
    assert at(project, "other.py:f", folder=inner).file == project / "other.py"


def test_a_colon_in_the_path_of_an_existing_file_is_part_of_it(project: Path) -> None:
    write(project, "12:30/flights.py", ONE.format("f"))

    assert at(project, "12:30/flights.py") == Target(
        "flights", project / "12:30", project / "12:30/flights.py", "f"
    )


def test_a_missing_file_is_refused_with_the_nearest_and_with_what_there_is(project: Path) -> None:
    write(project, "flights.py", ONE.format("nightly"))

    message, hint = refusal(project, "flihgts.py")

    assert message == "there is no file flihgts.py; did you mean flights.py?"
    assert hint == "There is flights.py:nightly."


def test_a_folder_is_refused_with_the_pipelines_in_it(project: Path) -> None:
    write(project, "jobs/flights.py", ONE.format("nightly"))

    message, hint = refusal(project, "./jobs")

    assert message == "./jobs is a folder, not a file"
    assert hint == "There is flights.py:nightly."


def test_a_file_that_python_cannot_import_by_name_is_refused(project: Path) -> None:
    write(project, "my-flights.py")
    write(project, "notes.txt")

    assert "'my-flights' is not a name that Python can import" in refusal(project, "my-flights.py")[0]
    assert refusal(project, "notes.txt")[0] == "notes.txt is not a Python file"


# --- modules and configured names ------------------------------------------------------------------


def test_a_module_is_found_below_the_root_its_src_and_the_current_folder(project: Path) -> None:
    write(project, "company/__init__.py")
    inside = write(project, "company/flights.py")
    in_src = write(project, "src/jobs.py")
    here = write(project, "here/local.py")

    assert at(project, "company.flights:f") == Target("company.flights", project, inside, "f")
    assert at(project, "jobs:f") == Target("jobs", project / "src", in_src, "f")
    assert at(project, "local:f", folder=project / "here") == Target("local", project / "here", here, "f")


def test_an_installed_module_is_found_without_being_imported(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "wsgiref"]:
        monkeypatch.delitem(sys.modules, name)  # another test's library has it
    assert at(project, "wsgiref.simple_server:f") == Target("wsgiref.simple_server", project, None, "f")
    assert "wsgiref" not in sys.modules


def test_an_unknown_module_is_refused(project: Path) -> None:
    message, hint = refusal(project, "no_such.thing:f")

    assert message == "there is no module no_such.thing"
    assert hint.startswith("A target is path/to/file.py[:pipeline]")


def test_a_configured_name_stands_for_its_target_from_any_folder(project: Path) -> None:
    file = write(project, "jobs/flights.py")
    elsewhere = write(project, "elsewhere/x.py").parent

    target = at(project, "nightly", "jobs/flights.py:nightly", folder=elsewhere)

    assert target == Target("flights", project / "jobs", file, "nightly")
    assert at(project, "nightly:train", "jobs/flights.py:nightly").name == "train"


def test_an_unknown_name_is_refused_with_the_configured_ones(project: Path) -> None:
    message, hint = refusal(project, "nihgtly", "flights.py:nightly", "flights.py:hourly")

    assert message == "there is no target nihgtly; did you mean nightly?"
    assert hint == "There are hourly, nightly."


# --- no target -------------------------------------------------------------------------------------


def test_without_a_target_the_only_configured_pipeline_is_meant(project: Path) -> None:
    write(project, "flights.py", ONE.format("nightly"))
    write(project, "other.py", ONE.format("other"))

    assert at(project, None, "flights.py:nightly").name == "nightly"


def test_without_a_target_the_only_declared_pipeline_is_meant(project: Path) -> None:
    file = write(project, "jobs/flights.py", ONE.format("nightly"))
    write(project, "tests/test_flights.py", ONE.format("toy"))
    write(project, "venv/pyvenv.cfg")
    write(project, "venv/lib.py", ONE.format("foreign"))

    assert at(project, None) == Target("flights", project / "jobs", file, "nightly")


def test_without_a_target_several_pipelines_are_listed(project: Path) -> None:
    write(project, "flights.py", ONE.format("a") + ONE.format("b"))

    assert refusal(project, None) == (
        "the project has 2 pipelines; say which is meant",
        "There are flights.py:a, flights.py:b.",
    )
    assert refusal(project, None, "x.py:x", "y.py:y")[1] == "There are x, y."


def test_without_a_target_and_a_pipeline_the_way_to_start_is_shown(project: Path) -> None:
    message, hint = refusal(project, None)

    assert message == f"no pipeline was found in {project}"
    assert "lineal init" in hint


# --- what is a target ------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["flights.py", "missing.py", "flights.py:f", "a.b:c", "nightly", "./x"])
def test_targets_are_told_from_stages(project: Path, text: str) -> None:
    assert is_target(text, configured(project, "flights.py:nightly"), project)


@pytest.mark.parametrize("text", ["train", "train#2", "score[0]", "sub/train", "tr*"])
def test_stages_are_told_from_targets(project: Path, text: str) -> None:
    assert not is_target(text, configured(project, "flights.py:nightly"), project)


def test_the_search_for_the_project_starts_at_the_targets_file(project: Path) -> None:
    file = write(project, "far/flights.py")

    assert find_start("far/flights.py:f", project) == file
    assert find_start("package.module:f", project) == project
    assert find_start(None, project) == project


# --- pipelines by syntax ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("from lineal import pipeline\n@pipeline\ndef a(): ...\n@pipeline()\ndef b(): ...", ["a", "b"]),
        ("import lineal\n@lineal.pipeline\ndef a(): ...", ["a"]),
        ("import lineal as ln\n@ln.pipeline(name='x')\ndef a(): ...", ["a"]),
        ("from lineal import pipeline as flow\na = flow(print)", ["a"]),
        ("from lineal import *\n@pipeline\ndef a(): ...", ["a"]),
        ("from transformers import pipeline\na = pipeline('sentiment')", []),
        ("from lineal import pipeline\ndef f():\n    @pipeline\n    def inner(): ...", []),
        ("this is no Python: pipeline", []),
        ("pipeline = '\0'", []),
    ],
)
def test_pipelines_are_found_by_syntax(project: Path, source: str, names: list[str]) -> None:
    assert find_pipelines(write(project, "x.py", source)) == names


# --- importing -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_own_modules")
def test_a_module_is_imported_with_its_folders_first_on_the_path(project: Path) -> None:
    write(project, "src/helper_in_src.py", "VALUE = 1")
    write(project, "jobs/beside.py", "VALUE = 2")
    write(project, "jobs/job_a.py", "from beside import VALUE as a\nfrom helper_in_src import VALUE as b")
    target = at(project, "jobs/job_a.py:x")

    module = load_module(target, project)

    assert (module.a, module.b) == (2, 1)
    assert sys.path[:3] == [str(folder) for folder in import_folders(target, project)]
    assert import_folders(target, project) == [project / "jobs", project, project / "src"]


@pytest.mark.usefixtures("_own_modules")
def test_a_module_that_raises_is_shown_by_the_users_own_line(project: Path) -> None:
    write(project, "deep_b.py", "import json\n\ndef f():\n    json.loads('{')\n")
    write(project, "job_b.py", "from deep_b import f\nf()\n")

    with pytest.raises(ImportFailed) as caught:
        load_module(at(project, "job_b.py:x"), project)

    assert f"importing job_b failed at {project}{os.sep}deep_b.py:4: JSONDecodeError: " in str(caught.value)
    assert (caught.value.exit_code, caught.value.kind) == (2, "import")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.usefixtures("_own_modules")
@pytest.mark.parametrize(
    ("source", "line", "message", "hint"),
    [
        ("x = 1\ndef f(:\n", 2, "SyntaxError", ""),
        (
            "\nimport no_such_package_anywhere.part\n",
            2,
            "ModuleNotFoundError",
            "Install no_such_package_anywhere",
        ),
        ("import sys\nsys.exit(3)\n", 2, "SystemExit: 3", ""),
    ],
)
def test_what_keeps_a_module_from_being_imported_is_named(
    project: Path, source: str, line: int, message: str, hint: str
) -> None:
    write(project, "job_c.py", source)

    with pytest.raises(ImportFailed, match=message) as caught:
        load_module(at(project, "job_c.py:x"), project)

    assert f"job_c.py:{line}: " in str(caught.value)
    assert hint in (caught.value.hint or "")


@pytest.mark.usefixtures("_own_modules")
def test_a_file_whose_module_name_is_taken_is_refused(project: Path) -> None:
    write(project, "json.py")

    with pytest.raises(UsageError, match="the module json is already") as caught:
        load_module(at(project, "json.py:x"), project)

    assert caught.value.hint == "Rename the file, or put it into a package."


# --- picking ---------------------------------------------------------------------------------------

TWO = """
from lineal import pipeline, stage
from pick_imported import imported

@stage
def number() -> int:
    return 1

@pipeline
def first():
    return number()

@pipeline
def second():
    return number()

also_first = first
"""


@pytest.fixture
def _picking(project: Path, _own_modules: None) -> None:
    write(project, "pick_imported.py", ONE.format("imported"))
    write(project, "pick_two.py", TWO)
    write(project, "pick_one.py", TWO.replace("@pipeline\ndef second", "def second"))
    write(project, "pick_none.py", "from pick_imported import imported")


@pytest.mark.usefixtures("_picking")
def test_the_only_pipeline_that_a_module_declares_is_picked(project: Path) -> None:
    module = load_module(at(project, "pick_one.py:x"), project)

    assert pick_pipeline(module, None) is module.first
    assert pick_pipeline(module, "imported") is module.imported


@pytest.mark.usefixtures("_picking")
@pytest.mark.parametrize(
    ("file", "name", "message", "hint"),
    [
        ("pick_two", None, "declares 2 pipelines: first, second", "Say which: pick_two.py:first"),
        ("pick_none", None, "declares no pipeline", "Decorate a function"),
        ("pick_two", "secnod", "declares no pipeline secnod; did you mean second?", "There are "),
        ("pick_two", "number", "number in .* is a Stage, not a pipeline", "A target is"),
    ],
)
def test_a_pipeline_that_cannot_be_picked_is_refused_with_what_there_is(
    project: Path, file: str, name: str | None, message: str, hint: str
) -> None:
    module = load_module(at(project, f"{file}.py:x"), project)

    with pytest.raises(UsageError, match=message) as caught:
        pick_pipeline(module, name)

    assert (caught.value.hint or "").startswith(hint)
