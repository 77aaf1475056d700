"""What each command asks the facade for, and the code it exits with."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

RUN_OPTIONS = {
    "force": (), "only": (), "until": (), "fail_fast": False, "jobs": None, "timeout": None, "why": None, "executor": None, "params_file": None,
    "check_determinism": None,
}  # fmt: skip


def without_listener(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in ("listener", "typed")}


def test_run_passes_target_parameters_and_options(
    project: Any, call: Callable[..., Any], document: Callable[[str], Any]
) -> None:
    project.answers["run"] = document("run")

    called = call(
        "run", "flights.py:flights", "run_date=2013-06-30", "--force", "train", "--force", "eval*", "--why", "a broken sensor", "--until",
        "deploy", "--fail-fast", "-j", "3", "--timeout", "2h", "--executor", "inline", "--params", "p.toml", "--json",
    )  # fmt: skip

    assert (called.exit_code, called.document) == (0, document("run"))
    [(verb, given, options)] = project.calls
    assert (verb, given) == ("run", ("flights.py:flights", ["run_date=2013-06-30"]))
    assert callable(options["listener"])
    assert without_listener(options) == {
        **RUN_OPTIONS,
        "force": ("train", "eval*"),
        "why": "a broken sensor",
        "until": ("deploy",),
        "fail_fast": True,
        "jobs": 3,
        "timeout": "2h",
        "executor": "inline",
        "params_file": Path("p.toml"),
    }


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], (None, [])),
        (["a=1"], (None, ["a=1"])),
        (["flights.py", "a=1", "b=x=y"], ("flights.py", ["a=1", "b=x=y"])),
        (["a=1", "flights.py"], ("flights.py", ["a=1"])),
    ],
)
def test_the_target_may_be_left_out(
    project: Any,
    call: Callable[..., Any],
    document: Callable[[str], Any],
    arguments: list[str],
    expected: Any,
) -> None:
    project.answers["run"] = document("run")

    call("run", *arguments)

    assert project.calls[0][1] == expected


def test_a_file_with_an_equals_sign_in_its_name_is_a_target(
    project: Any, call: Callable[..., Any], document: Callable[[str], Any], tmp_path: Path
) -> None:
    (tmp_path / "a=b.py").touch()
    project.answers["run"] = document("run")

    call("run", "a=b.py")

    assert project.calls[0][1] == ("a=b.py", [])


@pytest.mark.parametrize(("state", "exit_code"), [("succeeded", 0), ("failed", 1), ("cancelled", 130)])
def test_a_run_exits_by_its_state_and_prints_its_document(
    project: Any, call: Callable[..., Any], document: Callable[[str], Any], state: str, exit_code: int
) -> None:
    project.answers["run"] = {**document("run_failed"), "state": state}

    called = call("run", "--json")

    assert (called.exit_code, called.document["state"]) == (exit_code, state)


def test_a_dry_run_shows_the_status(
    project: Any, call: Callable[..., Any], document: Callable[[str], Any]
) -> None:
    project.answers["run"] = document("status")

    called = call("run", "-n")

    assert (called.exit_code, project.calls[0][2]) == (0, {**RUN_OPTIONS, "dry_run": True})
    assert "1 of 3 stages would run" in called.stdout


def test_rerun_takes_a_run(project: Any, call: Callable[..., Any], document: Callable[[str], Any]) -> None:
    project.answers["rerun"] = document("run_unchanged")

    called = call("rerun", "20261122-173120-4f9ac2", "-j", "2")

    assert "nothing to do, 3 stages unchanged" in called.stdout
    [(verb, given, options)] = project.calls
    assert (verb, given) == ("rerun", ("20261122-173120-4f9ac2",))
    assert without_listener(options) == {"jobs": 2, "executor": None}


@pytest.mark.parametrize(
    ("name", "exit_code"),
    [("cancel", 0), ("cancel_ended", 0), ("cancel_late", 0), ("cancel_lost", 0), ("cancel_unheard", 1)],
)
def test_cancel_tells_by_its_exit_code_whether_the_run_goes_on(
    project: Any, call: Callable[..., Any], document: Callable[[str], Any], name: str, exit_code: int
) -> None:
    project.answers["cancel"] = document(name)

    called = call("cancel", "20261122-173120-4f", "--json")

    assert (called.exit_code, called.document) == (exit_code, document(name))
    assert project.calls == [("cancel", ("20261122-173120-4f",), {})]


@pytest.mark.parametrize(
    ("name", "arguments", "exit_code"),
    [
        ("status", [], 0),
        ("status", ["--exit-code"], 3),
        ("run_unchanged", ["--exit-code"], 0),
    ],
)
def test_status_tells_by_its_exit_code_only_when_asked(
    project: Any,
    call: Callable[..., Any],
    document: Callable[[str], Any],
    name: str,
    arguments: list[str],
    exit_code: int,
) -> None:
    project.answers["status"] = document(name)

    assert call("status", *arguments).exit_code == exit_code


def test_a_stage_whose_condition_is_false_is_not_stale(
    project: Any, call: Callable[..., Any], document: Callable[[str], Any]
) -> None:
    unchanged = document("run_unchanged")
    unchanged["stages"][2].update(state="skipped", cache=None, reason="condition_false")
    project.answers["status"] = unchanged

    assert call("status", "--exit-code").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], (None, None, [])),
        (["train"], (None, "train", [])),
        (["train#2", "a=1"], (None, "train#2", ["a=1"])),
        (["flights"], ("flights", None, [])),
        (["flights.py"], ("flights.py", None, [])),
        (["flights.py", "train"], ("flights.py", "train", [])),
    ],
)
def test_why_tells_a_target_from_a_stage(
    project: Any,
    call: Callable[..., Any],
    document: Callable[[str], Any],
    arguments: list[str],
    expected: Any,
) -> None:
    project.answers["why"] = document("why")

    assert call("why", *arguments).exit_code == 0
    assert project.calls == [("why", expected, {})]


@pytest.mark.parametrize(
    ("arguments", "answer", "expected"),
    [
        (["fingerprint", "flights.py:train"], "fingerprint", (("flights.py:train",), {})),
        (["dag", "flights.py", "a=1"], "dag", (("flights.py", ["a=1"]), {})),
        (["logs", "RUN"], "logs", (("RUN", None), {})),
        (["logs", "RUN", "train"], "logs", (("RUN", "train"), {})),
        (["trace", "model.joblib"], "trace", (("model.joblib",), {})),
        (["impact", "raw.csv"], "impact", (("raw.csv",), {})),
        (["get", "x@latest", "-o", "out.bin"], "get", (("x@latest", Path("out.bin")), {})),
        (["show", "x@latest"], "show_artifact", (("x@latest",), {})),
        (["tag", "n", "x@latest"], "tag", (("n", "x@latest"), {"deployed": False, "delete": False})),
        (["tag", "n", "x", "--deployed"], "tag", (("n", "x"), {"deployed": True, "delete": False})),
        (["tag", "n", "--delete"], "tag", (("n", None), {"deployed": False, "delete": True})),
        (["refs"], "refs", ((), {})),
        (["runs"], "runs", ((), {"state": None, "since": None, "limit": 50})),
        (["store", "stats"], "store_stats", ((), {})),
    ],
)
def test_the_command_asks_for_one_document_and_prints_it(
    project: Any,
    call: Callable[..., Any],
    document: Callable[[str], Any],
    arguments: list[str],
    answer: str,
    expected: Any,
) -> None:
    verb = {"show_artifact": "show"}.get(answer, answer)
    project.answers[verb] = document(answer)

    as_json, as_text = call(*arguments, "--json"), call(*arguments)

    assert (as_json.exit_code, as_json.document, as_json.stderr) == (0, document(answer), "")
    assert (as_text.exit_code, as_text.stderr) == (0, "")
    assert as_text.stdout.strip()
    assert project.calls == [(verb, *expected)] * 2


@pytest.mark.parametrize(("form", "beginning"), [("mermaid", "flowchart"), ("dot", "digraph"), ("json", "{")])
def test_dag_draws_in_several_formats(
    project: Any, call: Callable[..., Any], document: Callable[[str], Any], form: str, beginning: str
) -> None:
    project.answers["dag"] = document("dag")

    assert call("dag", "--format", form).stdout.startswith(beginning)


@pytest.mark.parametrize("verb", ["trace", "impact"])
def test_what_is_unknown_exits_with_1_and_is_a_document(
    project: Any, call: Callable[..., Any], document: Callable[[str], Any], verb: str
) -> None:
    project.answers[verb] = document("trace_unknown")

    called = call(verb, "other.bin", "--json")

    assert (called.exit_code, called.document["found"]) == (1, False)


@pytest.mark.parametrize(("arguments", "read_data"), [([], False), (["--read-data"], True)])
def test_a_damaged_store_exits_with_4(
    project: Any,
    call: Callable[..., Any],
    document: Callable[[str], Any],
    arguments: list[str],
    read_data: bool,
) -> None:
    project.answers["store_verify"] = document("store_verify")
    assert call("store", "verify", *arguments).exit_code == 4
    assert project.calls == [("store_verify", (read_data,), {})]

    project.answers["store_verify"] = {"checked": 3, "bad": []}
    assert call("store", "verify").exit_code == 0


# --- runs ------------------------------------------------------------------------------------------


def test_runs_can_be_chosen_by_state_and_time(
    project: Any, call: Callable[..., Any], document: Callable[[str], Any]
) -> None:
    project.answers["runs"] = document("runs")

    call("runs", "--state", "failed", "--since", "2026-11-21T12:00:00+02:00", "--limit", "5")
    call("runs", "--since", "2h")

    assert project.calls[0][2] == {"state": "failed", "since": "2026-11-21T10:00:00+00:00", "limit": 5}
    ago = datetime.now(UTC) - datetime.fromisoformat(project.calls[1][2]["since"])
    assert 2 * 3600 <= ago.total_seconds() < 2 * 3600 + 60


@pytest.mark.parametrize(
    ("key", "order"),
    [
        ("auc", ["a", "b", "c"]),
        ("-auc", ["b", "a", "c"]),
        ("seconds", ["c", "b", "a"]),
        ("-run_id", ["a", "b", "c"]),
    ],
)
def test_runs_are_sorted_by_a_metric_or_column_and_those_without_come_last(
    project: Any, call: Callable[..., Any], document: Callable[[str], Any], key: str, order: list[str]
) -> None:
    run = document("runs")["runs"][0]
    metrics: list[dict[str, float]] = [{"auc": 0.9}, {"auc": 0.5}, {}]
    project.answers["runs"] = {
        "runs": [
            {**run, "run_id": name, "seconds": seconds, "metrics": measured}
            for seconds, (name, measured) in enumerate(zip("abc", metrics, strict=True))
        ]
    }

    called = call("runs", "--sort", key, "--json")

    assert [run["run_id"] for run in called.document["runs"]] == order


def test_the_first_of_all_runs_are_shown_where_they_are_sorted(
    project: Any, call: Callable[..., Any], document: Callable[[str], Any]
) -> None:
    run = document("runs")["runs"][0]
    project.answers["runs"] = {
        "runs": [
            {**run, "run_id": name, "metrics": {"auc": auc}}
            for name, auc in (("a", 0.5), ("b", 0.7), ("c", 0.9))
        ]
    }

    called = call("runs", "--sort", "auc", "--limit", "2", "--json")

    assert project.calls[0][2]["limit"] is None
    assert [run["run_id"] for run in called.document["runs"]] == ["c", "b"]


def test_runs_cannot_be_sorted_by_what_no_run_has(
    project: Any, call: Callable[..., Any], document: Callable[[str], Any]
) -> None:
    project.answers["runs"] = document("runs")

    called = call("runs", "--sort", "acu")

    assert called.exit_code == 2
    assert "runs cannot be sorted by acu; did you mean auc?" in called.stderr


# --- settings --------------------------------------------------------------------------------------


def test_options_override_the_configuration(project: Any, call: Callable[..., Any], tmp_path: Path) -> None:
    project.answers["refs"] = {"refs": []}

    call("refs", "--store", "s3://x", "--profile", "production", "--namespace", "ada")
    call("refs", "--store", "there")
    call("refs")

    start, first = project.opened[0]
    assert start == tmp_path
    assert first == {"profile": "production", "overrides": {"store": "s3://x", "namespace": "ada"}}
    assert project.opened[1][1]["overrides"]["store"] == str(tmp_path / "there")
    assert project.opened[2][1] == {"profile": None, "overrides": {"store": None, "namespace": None}}


def test_the_project_is_the_one_around_the_targets_file(
    project: Any, call: Callable[..., Any], document: Callable[[str], Any], tmp_path: Path
) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "flights.py").touch()
    project.answers["status"] = document("status")

    call("status", "far/flights.py:flights")

    assert project.opened[0][0] == tmp_path / "far" / "flights.py"


def test_a_parameter_may_be_longer_than_any_name_of_a_file(
    project: Any, call: Callable[..., Any], document: Callable[[str], Any]
) -> None:
    project.answers["run"] = document("run")

    called = call("run", "flights.py:flights", f"note={'x' * 5000}", "--json")

    assert called.exit_code == 0
    [(_, given, _)] = project.calls
    assert given == ("flights.py:flights", [f"note={'x' * 5000}"])


def test_schedules_are_listed(project: Any, call: Callable[..., Any], document: Callable[[str], Any]) -> None:
    project.answers["schedule_list"] = document("schedule_list")

    called = call("schedule", "list", "--json")

    assert (called.exit_code, called.document) == (0, document("schedule_list"))
    assert project.calls == [("schedule_list", (), {})]


@pytest.mark.parametrize(
    ("arguments", "name", "given"),
    [
        ([], None, {}),
        (
            ["nightly", "--from", "2026-03-28", "--to", "2026-03-31", "--takes", "3h", "--down", "a/b"],
            "nightly",
            {"since": "2026-03-28", "until": "2026-03-31", "takes": "3h", "absence": "a/b"},
        ),
    ],
)
def test_schedules_are_simulated_as_it_is_supposed(
    project: Any,
    call: Callable[..., Any],
    document: Callable[[str], Any],
    arguments: list[str],
    name: str | None,
    given: dict[str, str],
) -> None:
    project.answers["schedule_simulate"] = document("schedule_simulate")
    nothing = dict.fromkeys(["since", "until", "takes", "absence"])

    called = call("schedule", "simulate", *arguments, "--json")

    assert (called.exit_code, called.document) == (0, document("schedule_simulate"))
    assert project.calls == [("schedule_simulate", (name,), {**nothing, **given})]
