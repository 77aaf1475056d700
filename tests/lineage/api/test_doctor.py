"""What the doctor finds of an installation and a project, and how findings are told."""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from lineal.api import open_project
from lineal.api.checks import Checks, failed, ok
from lineal.api.doctor import exit_code, is_within, read_requirements
from lineal.errors import StoreUnavailable, UsageError
from lineal.version import VERSION

Findings = dict[str, dict[str, Any]]
FLOW = "from lineal import pipeline\n\n\n@pipeline\ndef flow():\n    pass\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("LINEAL_")]:
        monkeypatch.delenv(name)
    root = tmp_path / "project"
    root.mkdir()
    (root / "lineal.toml").write_text('pipelines = ["flow.py:flow"]\n')
    (root / "flow.py").write_text(FLOW)
    return root


def examine(root: Path, **overrides: object) -> Findings:
    document = open_project(root, overrides=overrides).doctor()
    checks = document["checks"]
    assert document["ok"] is all(check["state"] != "failed" for check in checks)
    assert len({check["name"] for check in checks}) == len(checks)
    return {check["name"]: check for check in checks}


def states(found: Mapping[str, Mapping[str, Any]], state: str) -> list[str]:
    return [name for name, check in found.items() if check["state"] == state]


# --- the whole -------------------------------------------------------------------------------------


def test_of_a_new_project_everything_is_well_and_nothing_was_made(project: Path) -> None:
    before = sorted(project.rglob("*"))

    found = examine(project)

    assert states(found, "failed") == states(found, "warning") == []
    assert "first `lineal run` makes it" in found["store"]["detail"]
    assert sorted(project.rglob("*")) == before


def test_the_projects_code_is_not_run(project: Path) -> None:
    (project / "flow.py").write_text("raise SystemExit('run')\n" + FLOW)

    assert examine(project)["pipelines"]["state"] == "ok"


def test_a_configuration_that_cannot_be_read_is_the_ordinary_error(project: Path) -> None:
    (project / "lineal.toml").write_text("stor = 1\n")

    with pytest.raises(UsageError, match="unknown key stor"):
        open_project(project)


@pytest.mark.parametrize(
    ("failing", "code"),
    [
        ([], 0),
        (["git"], 1),
        (["store"], 5),
        (["git", "store clock"], 5),
        (["upstream s3://a/b"], 5),
        (["storehouse"], 1),
    ],
)
def test_a_failed_store_is_told_by_the_exit_code_before_anything_else(failing: list[str], code: int) -> None:
    checks = [{"name": name, "state": "failed"} for name in failing]

    assert exit_code({"checks": [*checks, {"name": "store disk", "state": "warning"}]}) == code


# --- findings --------------------------------------------------------------------------------------


def test_a_check_that_raises_has_failed_and_the_next_is_made() -> None:
    checks = Checks()

    def broken() -> Any:
        raise ValueError("surprise")

    def unavailable() -> Any:
        raise StoreUnavailable("s3://ml/churn", "no such bucket", "Make it.")

    assert checks.make("one", broken) is None
    assert isinstance(checks.make("two", unavailable), StoreUnavailable)
    checks.make("three", lambda: ok("fine"))

    assert [(check.name, check.state, check.detail, check.hint) for check in checks.made] == [
        ("one", "failed", "ValueError: surprise", None),
        ("two", "failed", "s3://ml/churn: no such bucket", "Make it."),
        ("three", "ok", "fine", None),
    ]


def test_one_cause_is_told_once() -> None:
    checks = Checks()
    for name in ("reading", "writing"):
        checks.make(name, lambda: failed("access denied", "Ask for rights."))

    told = [(check.detail, check.hint) for check in checks.made]
    assert told == [("access denied", "Ask for rights."), ("for the same reason as reading", None)]


def test_no_secret_is_told(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "FwoGZXIvYXdz")
    checks = Checks()
    checks.make(
        "upstream s3://key:pass@team", lambda: failed("wJalrXUtnFEMI was refused", "See FwoGZXIvYXdz.")
    )
    found = examine(project, store="gs://user:hunter22@bucket")

    assert [(check.name, check.detail, check.hint) for check in checks.made] == [
        ("upstream s3://***@team", "*** was refused", "See ***.")
    ]
    assert "hunter22" not in json.dumps(found)
    assert found["store"]["state"] == "failed"


# --- the installation ------------------------------------------------------------------------------


def test_python_and_lineal_are_told_with_their_places(project: Path) -> None:
    found = examine(project)

    assert found["python"]["detail"].startswith(f"{platform.python_version()} (")
    assert found["lineal"]["detail"].startswith(f"{VERSION}, in ")


def test_an_old_python_has_failed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "python_version", lambda: "3.9.18")

    found = examine(project)

    assert found["python"]["state"] == "failed"
    assert "Lineal needs >=3.11" in found["python"]["detail"]


def test_distributions_that_are_missing_or_too_old_are_named_with_the_command_that_installs_them(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = metadata.version

    def version(name: str) -> str:
        if name == "xxhash":
            raise metadata.PackageNotFoundError(name)
        return "2020.1" if name == "s3fs" else real(name)

    monkeypatch.setattr(metadata, "version", version)

    check = examine(project)["dependencies"]

    assert check["state"] == "failed"
    assert "xxhash is not installed" in check["detail"]
    assert "s3fs is 2020.1, and >=" in check["detail"]
    assert "-m pip install" in check["hint"]
    assert "'s3fs>=" in check["hint"] and "'xxhash>=" in check["hint"]


def test_the_bounds_of_all_that_lineal_needs_can_be_read() -> None:
    requirements = dict(read_requirements())

    assert "s3fs" in requirements
    assert all(is_within(metadata.version(name), bounds) for name, bounds in requirements.items())


@pytest.mark.parametrize(
    ("version", "bounds", "expected"),
    [
        ("1.10", ">=1.9", True),
        ("1.9", ">=1.10", False),
        ("2.0.0", "==2", True),
        ("2.0.1", ">2,<2.1", True),
        ("3.0rc1", ">=3", True),
        ("3.13.0+local", "<3.13", False),
        ("1.5", "!=1.5.0", False),
        ("1.5", "<=1.5", True),
        ("1", "", True),
    ],
)
def test_versions_are_compared_by_their_numbers(version: str, bounds: str, expected: bool) -> None:
    assert is_within(version, bounds) is expected


def test_what_runs_without_being_installed_is_a_warning(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> Any:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "metadata", missing)

    found = examine(project)

    assert states(found, "failed") == []
    assert states(found, "warning") == ["lineal", "dependencies"]


def test_two_versions_that_are_mixed_are_a_warning(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lineal.api.doctor.VERSION", "99.0")

    check = examine(project)["lineal"]

    assert check["state"] == "warning"
    assert f"own record says {VERSION}" in check["detail"]


def test_without_git_there_is_a_warning(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)

    assert states(examine(project), "warning") == ["git"]


def test_thread_variables_are_told(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")

    assert "OMP_NUM_THREADS=3" in examine(project)["threads"]["detail"]


def test_a_collector_that_nothing_can_send_to_is_a_warning(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "traces" not in examine(project)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://key@collector:4318")
    assert examine(project)["traces"]["state"] == "ok"

    monkeypatch.setattr("lineal.api.doctor.is_traced", lambda: False)
    check = examine(project)["traces"]
    assert (check["state"], "lineal[otel]" in str(check["hint"]), "key" in str(check)) == (
        "warning",
        True,
        False,
    )


# --- the project -----------------------------------------------------------------------------------


def test_which_source_set_what_is_told(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "lineal.local.toml").write_text("strict = true\n")
    monkeypatch.setenv("LINEAL_NAMESPACE", "ada")

    found = examine(project, store=str(project / "elsewhere"))

    told = found["configuration"]["detail"].split("; ")
    assert sorted(told) == [
        "namespace by LINEAL_NAMESPACE",
        "pipelines by lineal.toml",
        "store by flags",
        "strict by lineal.local.toml",
    ]
    assert found["namespace"]["detail"] == "ada (from LINEAL_NAMESPACE)"


def test_a_folder_that_is_no_project_is_told_as_such(tmp_path: Path) -> None:
    found = examine(tmp_path)

    assert "all settings are defaults" in found["project"]["detail"]
    assert states(found, "warning") == ["pipelines"]


def test_the_namespace_production_is_remarked_upon(project: Path) -> None:
    check = examine(project, namespace="production")["namespace"]

    assert (check["state"], "LINEAL_NAMESPACE" in check["hint"]) == ("warning", True)


@pytest.mark.parametrize(
    ("configured", "text", "state", "detail"),
    [
        ("flow.py:flow", FLOW, "ok", "flow.py:flow"),
        ("flow:flow", FLOW, "ok", "flow:flow"),
        ("flwo.py:flow", FLOW, "failed", "there is no file flwo.py; did you mean flow.py?"),
        ("nowhere.to.be:flow", FLOW, "failed", "there is no module nowhere.to.be"),
        ("flow.py:flow", FLOW + "def\n", "failed", "line 7 is not Python"),
        ("flow.py:flow", "def flow(): ...\n", "warning", "flow.py shows no pipeline flow"),
    ],
)
def test_configured_pipelines_are_looked_up_without_importing_them(
    project: Path, configured: str, text: str, state: str, detail: str
) -> None:
    (project / "lineal.toml").write_text(f'pipelines = ["{configured}"]\n')
    (project / "flow.py").write_text(text)

    check = examine(project)["pipelines"]

    assert (check["state"], detail in check["detail"]) == (state, True), check


def test_a_pipeline_that_nobody_configured_is_found(project: Path) -> None:
    (project / "lineal.toml").write_text("")

    assert examine(project)["pipelines"]["detail"] == "none is configured; there is flow:flow"


def test_two_pipelines_that_nobody_configured_are_a_warning_that_names_them(project: Path) -> None:
    (project / "lineal.toml").write_text("")
    (project / "other.py").write_text(FLOW)

    check = examine(project)["pipelines"]

    assert (check["state"], "flow.py:flow, other.py:flow" in check["hint"]) == ("warning", True)
