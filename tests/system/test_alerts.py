"""Somebody is told how a run ended, whatever the one who is to be told does meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
from receivers import answer, mailbox, silence, webhooks
from support import Project
from waiting import wait_until

FLIGHTS = """
from pathlib import Path

from lineal import File, Secret, pipeline, stage


@stage
def load(source: File, key: Secret) -> int:
    print("loading with", key.reveal())
    return 100 // int(Path(source).read_text())


@stage
def train(rows: int) -> int:
    return rows


@pipeline
def flights(key: Secret = Secret("hunter2")) -> int:
    return train(load(File("rows.txt"), key))
"""


def with_alert(project: Project, *alerts: str) -> None:
    project.write("flights.py", FLIGHTS)
    project.write("rows.txt", "0")
    project.write("lineal.toml", "".join(f"[[alerts]]\n{alert}\n" for alert in alerts))


def outbox(project: Project) -> list[Path]:
    return list((project.root / ".lineal" / "outbox").glob("*.json"))


def delivered(project: Project) -> None:
    """Wait until nothing is left to deliver, not for ever."""
    wait_until(lambda: not outbox(project))


def test_a_failure_and_the_recovery_are_told_to_a_webhook(project: Project) -> None:
    with webhooks() as server:
        with_alert(project, f'to = "{server.url}"\non = ["failed", "recovered", "late"]\nallow_local = true')
        failed = project.json("run")
        told = json.loads(server.next().body)
        project.write("rows.txt", "4")
        recovered = project.json("run")
        told_then = json.loads(server.next().body)
        unchanged = project.json("run")

        assert (failed.code, recovered.code, unchanged.code) == (1, 0, 0)
        assert (told["event"], told["run_id"], told["namespace"]) == (
            "failed",
            failed.document["run_id"],
            "tests",
        )
        assert told["failed"][0]["stage"] == "load"
        assert told["failed"][0]["type"] == "ZeroDivisionError"
        assert told["failed"][0]["log"] == ["loading with ***"]
        assert told["not_run"] == ["train"]
        assert told["parameters"] == {"key": "***"}
        assert (told_then["event"], told_then["run_id"]) == ("recovered", recovered.document["run_id"])
        assert told_then["recovered_from"]["run_id"] == failed.document["run_id"]
        delivered(project)
        assert server.all() == []
    shown = project.command(*told["look"][0].split()[1:])
    assert shown.code == 0 and "ZeroDivisionError" in shown.out


def test_what_fails_again_and_again_is_told_once_until_it_changes(project: Project) -> None:
    with webhooks() as server:
        with_alert(project, f'to = "{server.url}"\nallow_local = true')
        run = project.json("run", LINEAL_PAGE="https://ml.example.org")
        project.json("run")
        first = json.loads(server.next().body)
        project.write("rows.txt", "many")  # another error of the same stage
        project.json("run")
        second = json.loads(server.next().body)
        project.write("rows.txt", "4")
        project.json("run")
        recovered = json.loads(server.next().body)
        delivered(project)

        assert [told["failed"][0]["type"] for told in (first, second)] == ["ZeroDivisionError", "ValueError"]
        assert first["link"] == f"https://ml.example.org/runs/{run.document['run_id']}"
        assert (second["repeated"]["count"], recovered["event"]) == (1, "recovered")
        assert server.all() == []


RETRIED = """
from lineal import pipeline, stage


@stage(retries=1, retry_delay="10ms")
def load() -> int:
    raise OSError("no route")


@pipeline
def flights() -> int:
    return load()
"""


def test_retries_are_told_and_that_they_are_exhausted(project: Project) -> None:
    with webhooks() as server:
        with_alert(project, f'to = "{server.url}"\nallow_local = true\non = ["retry", "retries_exhausted"]')
        project.write("flights.py", RETRIED)
        project.json("run")
        told = {message["event"]: message for message in (json.loads(server.next().body) for _ in range(2))}

    assert told.keys() == {"retry", "retries_exhausted"}
    assert told["retries_exhausted"]["subject"].endswith("load failed after 2 attempts")


TABLE = """
import pyarrow as pa
from lineal import pipeline, stage


@stage
def load() -> pa.Table:
    return pa.table({"miles": [1, 2]})


@pipeline
def flights() -> pa.Table:
    return load()
"""


def test_columns_that_change_are_told_although_the_run_succeeds(project: Project) -> None:
    with webhooks() as server:
        with_alert(project, f'to = "{server.url}"\nallow_local = true\non = ["schema_drift"]')
        project.write("flights.py", TABLE)
        project.json("run")
        project.edit("flights.py", "[1, 2]", "[1.5, 2]")
        run = project.json("run")
        told = json.loads(server.next().body)
        delivered(project)

        assert run.code == 0
        assert (told["event"], told["stage"], told["run_id"]) == (
            "schema_drift",
            "load",
            run.document["run_id"],
        )
        assert told["notes"] == ["load.result: miles is double, was int64"]
        assert server.all() == []


LUCK = """
import uuid

from lineal import pipeline, stage


@stage
def draw() -> str:
    return str(uuid.uuid4())


@pipeline
def flights() -> str:
    return draw()
"""


def test_other_bytes_from_the_same_are_told(project: Project) -> None:
    with webhooks() as server:
        with_alert(project, f'to = "{server.url}"\nallow_local = true\non = ["nondeterminism"]')
        project.write("flights.py", LUCK)
        project.json("run")
        project.json("run", "--check-determinism")
        told = json.loads(server.next().body)

    assert (told["event"], told["stage"]) == ("nondeterminism", "draw")
    assert "executed again it made other bytes of result" in told["notes"][0]


def test_that_what_is_deployed_cannot_be_built_again_is_told(project: Project) -> None:
    with webhooks() as server:
        with_alert(project, f'to = "{server.url}"\nallow_local = true\non = ["irreproducible", "recovered"]')
        project.write("flights.py", LUCK)
        digest = project.json("run").document["outputs"]["result"]
        project.json("tag", "live", digest, "--deployed")
        again = project.json("reproduce", digest)
        told = json.loads(server.next().body)

    assert again.code == 4
    assert told["subject"] == "[lineal] live (tests) can no longer be built"
    assert told["look"][0] == f"lineal reproduce {digest}"
    assert "the first stage that differs is draw" in told["notes"]


def test_a_failure_is_told_by_mail_and_by_a_command(project: Project) -> None:
    with mailbox() as server:
        with_alert(
            project,
            'to = "mailto:team@example.org"\non = ["failed"]',
            "to = \"command:sh -c 'cat > told.new; mv told.new told.json'\"",
        )
        run = project.json("run", LINEAL_SMTP_URL=server.url)
        letter = server.next()
        delivered(project)

    assert letter.recipients == ["team@example.org"]
    assert "load: ZeroDivisionError" in letter.text
    assert json.loads((project.root / "told.json").read_text())["run_id"] == run.document["run_id"]


def test_a_dead_channel_does_not_keep_a_run(project: Project) -> None:
    with silence() as port:
        with_alert(project, f'to = "http://127.0.0.1:{port}/"\nallow_local = true')
        run = project.json("run")  # returns although nobody has answered, and nobody will

        assert run.code == 1
        (waiting,) = outbox(project)
        assert json.loads(waiting.read_text())["attempts"] == 0
        _end_deliverer(project)


def test_a_message_outlives_whoever_was_to_deliver_it(project: Project) -> None:
    with webhooks(answer(503), answer(200)) as server:
        with_alert(project, f'to = "{server.url}"\nallow_local = true')
        project.json("run")
        first = server.next()
        wait_until(lambda: json.loads(outbox(project)[0].read_text())["attempts"] == 1)
        _end_deliverer(project)
        (waiting,) = outbox(project)
        os.utime(waiting, (0, 0))  # it is due now

        status = project.json("status")
        second = server.next()

        assert status.code == 0
        assert first.headers["Lineal-Message-Id"] == second.headers["Lineal-Message-Id"] == waiting.stem
        delivered(project)


def test_what_cannot_be_delivered_is_told_by_the_next_run_and_by_the_doctor(project: Project) -> None:
    with webhooks(answer(410, b"no such hook")) as server:
        with_alert(project, f'to = "{server.url}"\nallow_local = true')
        project.json("run")
        server.next()
        delivered(project)
    project.write("rows.txt", "4")
    project.write("lineal.toml", '[[alerts]]\nto = "command:true"\n')

    assert project.json("run").document["warnings"] == [
        "alerts were not delivered: 1; `lineal doctor` says why"
    ]
    (check,) = [one for one in project.json("doctor").document["checks"] if one["name"] == "alerts"]
    assert check["state"] == "warning"
    assert "answers 410 no such hook" in check["detail"]
    assert "token=abc" not in check["detail"]


def test_an_outbox_that_cannot_be_written_costs_a_warning_and_no_run(project: Project) -> None:
    with_alert(project, 'to = "command:true"')
    (project.root / ".lineal").mkdir()
    (project.root / ".lineal" / "outbox").write_text("in the way")
    run = project.json("run")

    assert run.code == 1
    assert run.words("state") == {"load": "failed", "train": "upstream_failed"}
    (warning,) = run.document["warnings"]
    assert warning.startswith("an alert could not be written down: ")


def test_a_run_that_breaks_off_is_told(project: Project) -> None:
    with_alert(project, "to = \"command:sh -c 'cat > told.new; mv told.new told.json'\"")
    project.write("rows.txt", "4")
    project.command("run")
    project.edit("flights.py", "100 //", "200 //")
    runs = project.store / "runs"
    runs.rename(runs.with_name("runs.away"))
    runs.write_text("in the way")

    broken = project.json("run")
    assert broken.code == 5
    wait_until((project.root / "told.json").exists)
    told = json.loads((project.root / "told.json").read_text())
    assert told["state"] == "failed" and "StoreUnavailable" in told["problem"]


def test_a_project_without_alerts_has_no_outbox(project: Project) -> None:
    with_alert(project)
    project.write("lineal.toml", "")
    project.json("run")

    assert not (project.root / ".lineal" / "outbox").exists()
    assert not (project.root / ".lineal" / "alerts").exists()


def test_a_run_of_hits_imports_nothing_of_it(project: Project) -> None:
    with_alert(project, 'to = "command:true"')
    project.write("rows.txt", "4")
    project.json("run")
    warm = project.command("run", PYTHONPROFILEIMPORTTIME="1")

    assert warm.code == 0 and "lineal.engine.session" in warm.err
    assert "lineal.alerts" not in warm.err


def test_an_alert_test_says_which_channel_answered(project: Project) -> None:
    with webhooks() as server:
        with_alert(project, f'to = "{server.url}"\nallow_local = true', 'to = "command:false"')
        tried = project.json("alerts", "test")
        one = project.json("alerts", "test", "--to", server.url)

        assert (tried.code, one.code) == (1, 0)
        assert [result["ok"] for result in tried.document["results"]] == [True, False]
        assert json.loads(server.next().body)["event"] == "test"
    assert one.document["results"] == [
        {"to": f"http://127.0.0.1:{server.port}/…", "ok": True, "detail": "delivered"}
    ]


def test_an_alert_test_without_alerts_is_a_usage_error(project: Project) -> None:
    tried = project.json("alerts", "test")

    assert tried.code == 2
    assert tried.error["message"] == "no alerts are configured"


def test_what_a_command_is_told_by_variables_does_not_keep_lineal_from_working_in_it(
    project: Project,
) -> None:
    with_alert(project, 'to = "command:sh notify.sh"')
    project.write(
        "notify.sh",
        '"$PYTHON" -m lineal_cli show "$LINEAL_RUN_ID" --json > shown.new; echo $? > code; mv shown.new shown.json',
    )
    run = project.json("run", PYTHON=sys.executable)
    wait_until((project.root / "shown.json").exists)

    assert (project.root / "code").read_text() == "0\n"
    assert json.loads((project.root / "shown.json").read_text())["run_id"] == run.document["run_id"]


def test_a_pipeline_that_is_run_by_a_program_is_told_of_too(project: Project) -> None:
    with_alert(project, "to = \"command:sh -c 'cat > told.new; mv told.new told.json'\"")
    code = "import flights; print(flights.flights.run().state)"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        cwd=project.root,
        env=project.environment({}),
        capture_output=True,
        text=True,
    )
    wait_until((project.root / "told.json").exists)

    assert ran.stdout == "failed\n"
    assert json.loads((project.root / "told.json").read_text())["event"] == "failed"


def _end_deliverer(project: Project) -> None:
    """Kill what delivers this project's messages, and wait until it has let go of them."""
    for process in psutil.process_iter(["cmdline"]):
        if process.info["cmdline"] and process.info["cmdline"][-2:] == [
            "lineal.alerts.deliver",
            str(project.root),
        ]:
            process.kill()
            process.wait(60)
