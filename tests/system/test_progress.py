"""What a person sees of a run, on a real terminal and without one."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys

import pytest
from msgspec.structs import replace
from support import Project

from lineal.graph.history import newest_runs, read_stages
from lineal.graph.records import seal_record
from lineal_store import open_store

FLOW = """
import sys

from gates import wait_at
from lineal import pipeline, stage


@stage
def load(number: int) -> int:
    return number


@stage
def train(data: int) -> int:
    print("epoch 1")
    sys.stdout.flush()
    wait_at("training")
    return data + 1


@stage
def check(data: int) -> int:
    if data > 10:
        raise ValueError(f"{data} is too much")
    return data


@stage
def report(checked: int, model: int) -> str:
    return f"{checked} {model}"


@pipeline
def flow(number: int = 1, rate: float = 0.1) -> str:
    data = load(number)
    return report(check(data), train(data))
"""


@pytest.fixture
def flow(project: Project) -> Project:
    project.gate("training").open()
    project.write("flow.py", FLOW)
    return project


def read_until(terminal: int, text: bytes) -> bytes:
    """What is written to the terminal, up to and with ``text``."""
    seen = b""
    while text not in seen:
        assert select.select([terminal], [], [], 60)[0], seen
        seen += os.read(terminal, 65536)
    return seen


def read_to_the_end(terminal: int) -> bytes:
    seen = b""
    while True:
        try:
            data = os.read(terminal, 65536)
        except OSError:  # Linux's way to say that nobody has the other end any more
            return seen
        if not data:
            return seen
        seen += data


def test_on_a_terminal_it_is_shown_what_runs_and_ctrl_c_leaves_a_whole_terminal(project: Project) -> None:
    gate = project.gate("training")
    project.write("flow.py", FLOW)
    terminal, its_end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "lineal_cli", "run", "number=2"],
        cwd=project.root,
        env=project.environment({"TERM": "xterm", "CI": ""}),
        stdout=subprocess.PIPE,
        stderr=its_end,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,  # noqa: PLW1509
    )
    os.close(its_end)
    try:
        gate.meet()
        seen = read_until(terminal, b"epoch 1")
        process.send_signal(signal.SIGINT)
        seen += read_to_the_end(terminal)
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        os.close(terminal)

    text = seen.decode()
    assert process.returncode == 130
    assert re.search(r"train  \d s  epoch 1", text)
    assert "1 running" in text
    assert set(re.findall(r"\x1b\[?[^A-Za-z]*[A-Za-z]", text)) <= {"\x1b[K", "\x1b[J"} | {
        f"\x1b[{up}A" for up in range(10)
    }  # nothing that would have to be undone
    assert text.rpartition("\x1b[J")[2].strip() == ""
    assert "flow: cancelled" in out and "1 stopped" in out
    assert "try again from there:  lineal run number=2" in out


def test_in_a_pipe_every_change_is_a_line_and_hits_are_told_where_something_runs(flow: Project) -> None:
    flow.command("run")

    changed = flow.command("run", "rate=0.2").err
    flow.edit("flow.py", "data + 1", "data + 2")
    edited = [line[10:] for line in flow.command("run").err.splitlines()]

    assert changed == ""
    assert {"load    unchanged", "check   unchanged", "train | epoch 1"[10:]} <= set(edited)
    assert any(re.fullmatch(r"train   succeeded  miss: code changed  .* s", line) for line in edited)


def test_how_long_a_stage_takes_is_known_from_earlier_runs(flow: Project) -> None:
    flow.command("run")
    store = open_store(flow.store)
    run = next(newest_runs(store, "flow"))
    slow = [replace(stage, seconds=200.0) for stage in read_stages(store, run)]
    later = replace(run, run_id=run.run_id[:-1] + ("0" if run.run_id[-1] == "f" else "f"), stages=slow)
    store.runs.finish(later.run_id, seal_record(later))

    lines = flow.command("run", "number=3").err

    assert re.search(r"train +running +miss: input changed, usually ~3 min", lines)


def test_the_report_says_for_each_failure_what_was_not_run_and_what_went_on(flow: Project) -> None:
    run = flow.command("run", "number=11", "rate=0.5")

    assert run.code == 1
    assert "check failed: ValueError: 11 is too much" in run.out
    assert "not run because of that: report" in run.out
    assert "went on regardless: train" in run.out
    assert "try again from there:  lineal run number=11 rate=0.5" in run.out
    assert flow.command("run", "number=11", "--json").document["state"] == "failed"
