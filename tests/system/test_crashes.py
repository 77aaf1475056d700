"""A run that is broken off, at any moment, loses no finished stage, starts nothing twice and leaves nobody behind."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys

from depth import DEEP, one_of
from support import Project

CHAIN = """
from gates import wait_at
from journal import note
from lineal import pipeline, stage


@stage
def one() -> int:
    note("one")
    wait_at("in-one")
    return 1


@stage
def two(number: int) -> int:
    note("two")
    wait_at("in-two")
    return number + 1


@stage
def three(number: int) -> int:
    note("three")
    wait_at("in-three")
    return number + 1


@pipeline
def chain() -> int:
    return three(two(one()))
"""


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_a_killed_run_goes_on_after_its_last_finished_stage_and_leaves_no_process(project: Project) -> None:
    project.keep_journal()
    gates = {name: project.gate(f"in-{name}") for name in ("one", "two", "three")}
    project.write("chain.py", CHAIN)

    for gate in gates.values():
        run = project.start("run")
        gate.meet()
        kill(run)
        assert gate.is_left()
        gate.open()
    last = project.json("run")

    assert last.code == 0
    assert project.journal() == ["one", "one", "two", "two", "three", "three"]
    assert last.words("cache") == {"one": "hit", "two": "hit", "three": "miss"}
    assert project.value(last.document["outputs"]["result"]) == b"3"
    runs = project.json("runs").document["runs"]
    assert [run["state"] for run in runs] == ["succeeded", "failed", "failed", "failed"]


def test_ctrl_c_cancels_the_run_which_can_be_taken_up_again(project: Project) -> None:
    project.keep_journal()
    gate = project.gate("in-two")
    project.write("chain.py", CHAIN)

    run = project.start("run", "--json")
    gate.meet()
    run.send_signal(signal.SIGINT)
    cancelled = project.ended(run)
    assert gate.is_left()
    gate.open()
    again = project.json("rerun", cancelled.document["run_id"])

    assert cancelled.code == 130
    assert cancelled.document["state"] == "cancelled"
    assert cancelled.words("state") == {"one": "succeeded", "two": "cancelled", "three": "cancelled"}
    listed = project.json("runs", "--state", "cancelled").document["runs"]
    assert [one["run_id"] for one in listed] == [cancelled.document["run_id"]]
    assert again.code == 0
    assert again.words("cache") == {"one": "hit", "two": "miss", "three": "miss"}
    assert project.journal() == ["one", "two", "two", "three"]


def test_ctrl_c_ends_an_inline_run_too(project: Project) -> None:
    project.keep_journal()
    gate = project.gate("in-two")
    project.write("chain.py", CHAIN)

    run = project.start("run", "--json", "--executor", "inline")
    gate.meet()
    run.send_signal(signal.SIGINT)
    cancelled = project.ended(run)

    assert cancelled.code == 130
    assert cancelled.words("state") == {"one": "succeeded", "two": "cancelled", "three": "cancelled"}


LATER = """
from lineal import pipeline, stage


@stage(retries=3, retry_delay="1h")
def later() -> int:
    raise ConnectionError("not now")


@pipeline
def flow() -> int:
    return later()
"""


def test_a_run_that_is_killed_while_it_waits_to_try_again_leaves_its_delay_to_the_next(
    project: Project,
) -> None:
    project.write("flow.py", LATER)
    first = project.start("run", "--json")
    line_with(first, " retry ")
    first.kill()
    first.wait()

    asked = project.json("status")
    second = project.start("run", "--json")
    told = line_with(second, " retry ")
    second.send_signal(signal.SIGINT)
    cancelled = project.ended(second)

    assert "ConnectionError: not now (attempt 1, of run " in told
    for answer in (asked, cancelled):
        assert re.search(
            r"`later` waits 3\d\d\d s more: run \S+ was stopped after attempt 1",
            answer.document["warnings"][0],
        )
    assert cancelled.words("state", "attempts") == {"later": ("cancelled", 0)}
    assert project.json("status").document["warnings"] == []  # whoever stops a run by hand ends its waits


def line_with(run: subprocess.Popen[str], word: str) -> str:
    """The next line on stderr with this word in it."""
    assert run.stderr is not None
    line = run.stderr.readline()
    while word not in line:
        assert line, "the command has ended"
        line = run.stderr.readline()
    return line


def test_ctrl_c_does_not_wait_for_a_retry(project: Project) -> None:
    project.write("flow.py", LATER)

    run = project.start("run", "--json")
    line_with(run, " retry ")
    run.send_signal(signal.SIGINT)
    cancelled = project.ended(run)

    assert cancelled.code == 130
    assert cancelled.words("state", "attempts") == {"later": ("cancelled", 1)}


STUBBORN = """
import os
import signal
import subprocess

from gates import wait_at
from lineal import pipeline, stage


def refuse(*_):
    subprocess.Popen(["sleep", "600"], pass_fds=held())
    wait_at("asked")


def held():
    return [int(fd) for fd in os.listdir("/proc/self/fd") if "in-stage" in os.path.realpath("/proc/self/fd/" + fd)]


@stage
def stubborn() -> int:
    signal.signal(signal.SIGTERM, refuse)
    wait_at("in-stage")
    return 1


@pipeline
def flow() -> int:
    return stubborn()
"""


def test_ctrl_c_pressed_again_kills_at_once_what_was_asked_politely_before(project: Project) -> None:
    inside, asked = project.gate("in-stage"), project.gate("asked")
    project.write("flow.py", STUBBORN)

    run = project.start("run", "--json")
    inside.meet()
    run.send_signal(signal.SIGINT)
    asked.meet()
    run.send_signal(signal.SIGINT)
    ended = project.ended(run)

    assert ended.code == 130
    assert ended.error["kind"] == "interrupted"  # not the run's own end, for which there was no time
    assert inside.is_left()
    assert project.json("runs").document["runs"][0]["state"] == "failed"
    inside.open(), asked.open()
    assert project.json("run").words("state") == {"stubborn": "succeeded"}


def test_a_run_that_takes_too_long_is_stopped_with_all_that_it_started_and_can_be_taken_up_again(
    project: Project,
) -> None:
    project.keep_journal()
    gate = project.gate("in-two")
    project.write("chain.py", CHAIN.replace("@pipeline", '@pipeline(timeout="1h")'))

    late = project.json("run", "--timeout", "6s")
    assert gate.is_left()
    gate.open()
    again = project.json("run")

    assert late.code == 1
    assert late.document["state"] == "failed"
    assert late.words("state") == {"one": "succeeded", "two": "failed", "three": "upstream_failed"}
    assert (late.stages["two"]["error"]["kind"], late.stages["two"]["attempts"]) == ("timeout", 1)
    assert "the run was stopped after its timeout of 6 s" in late.document["warnings"]
    assert again.words("cache") == {"one": "hit", "two": "miss", "three": "miss"}
    assert project.journal() == ["one", "two", "two", "three"]
    assert (
        project.json("status").document["warnings"] == []
    )  # the pipeline's graph, with its own timeout, is kept


def test_ctrl_c_while_the_project_is_read_is_an_answer_too(project: Project) -> None:
    gate = project.gate("at-import")
    project.write("flow.py", "from gates import wait_at\nfrom lineal import pipeline\nwait_at('at-import')\n")

    run = project.start("run", "flow.py:flow", "--json")
    gate.meet()
    run.send_signal(signal.SIGINT)
    ended = project.ended(run)

    assert ended.code == 130
    assert ended.error["kind"] == "interrupted"


def test_a_stage_takes_along_all_that_it_started(project: Project) -> None:
    """Daemons that leave the process group, ignore SIGTERM and lose their parent: after a timeout, at the end of a
    stage, and when the engine is killed."""
    over, ended, killed = (project.gate(name) for name in ("over", "ended", "killed"))
    project.write(
        "flow.py",
        """
        import os
        import subprocess
        import sys
        import textwrap
        import time

        from lineal import pipeline, stage

        DAEMON = '''
        import os, signal, sys
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                from gates import wait_at
                wait_at(sys.argv[1])
        '''


        def start_daemon(name):
            subprocess.run([sys.executable, "-c", textwrap.dedent(DAEMON), name], check=True)


        @stage(timeout="2s")
        def too_long() -> int:
            start_daemon("over")
            time.sleep(600)


        @stage
        def careless() -> int:
            start_daemon("ended")
            return 1


        @stage
        def unlucky(number: int) -> int:
            start_daemon("killed")
            time.sleep(600)


        @pipeline
        def flow(which: str) -> None:
            if which == "timeout":
                too_long()
            if which == "end":
                careless()
            if which == "kill":
                unlucky(1)
        """,
    )

    timed_out = project.start("run", "which=timeout")
    over.meet()
    assert project.ended(timed_out).code == 1
    assert over.is_left()

    finished = project.start("run", "which=end")
    ended.meet()
    assert project.ended(finished).code == 0
    assert ended.is_left()

    run = project.start("run", "which=kill")
    killed.meet()
    kill(run)
    assert killed.is_left()


def test_workers_that_lose_their_parent_are_replaced(project: Project) -> None:
    project.keep_journal()
    project.write(
        "flow.py",
        """
        import os
        import signal
        import time

        from journal import note
        from lineal import pipeline, stage


        @stage(retries=1, retry_delay=0)
        def orphaned() -> int:
            first = not os.path.exists(os.environ["JOURNAL"])
            note("try")
            if first:
                os.kill(os.getppid(), signal.SIGKILL)
                time.sleep(600)
            return 1


        @pipeline
        def flow() -> int:
            return orphaned()
        """,
    )

    run = project.json("run")

    assert run.code == 0
    assert run.words("state", "attempts") == {"orphaned": ("succeeded", 2)}


EVERY_CRASH = """
import json, os, shutil, signal, sys
from pathlib import Path

import lineal.api, lineal.engine.session, lineal.views.verify  # here, so that no child need do it

root = Path(sys.argv[1])
WRITES = {"os.link", "os.rename", "os.mkdir", "os.remove", "os.chmod"}


def run(crash_at):
    left = crash_at

    def hook(event, arguments):
        nonlocal left
        opens = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if (opens or event in WRITES) and ".lineal" in str(arguments[:2]):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    filed = len(list((root / ".lineal" / "store" / "actions").glob("??/[!.]*")))
    if crash_at:
        sys.addaudithook(hook)
    document = lineal.api.open_project(root).run("chain.py", executor="inline")
    bad = lineal.api.open_project(root).store_verify(read_data=True)["bad"]
    executed = sum(stage["attempts"] for stage in document["stages"])
    facts = {"filed": filed, "executed": executed, "bad": bad}
    return {"state": document["state"], "outputs": document["outputs"], **facts}


def forked(crash_at):
    pid = os.fork()
    if pid == 0:
        try:
            facts = run(crash_at)
            if not crash_at:
                print(json.dumps(facts), flush=True)
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


crash_at, crashed = 1, -9
while crashed == -9:
    shutil.rmtree(root / ".lineal", ignore_errors=True)
    crashed = forked(crash_at)
    if forked(0) != 0:
        sys.exit(f"the run after a crash at write {crash_at} failed")
    crash_at += int(sys.argv[2])
sys.exit(crashed)
"""


def test_wherever_a_run_is_killed_the_next_one_succeeds_on_a_whole_store(project: Project) -> None:
    """The crash point moves through the writes of a run, as SQLite's own tests do it; a few of them in an ordinary run."""
    project.keep_journal()
    project.gate("unused")
    project.write("chain.py", CHAIN)

    done = subprocess.run(
        [sys.executable, "-c", EVERY_CRASH, str(project.root), str(one_of(5, 1))],
        env=project.environment({}),
        check=False,
        capture_output=True,
        text=True,
        timeout=one_of(300, 3600),
    )

    assert done.returncode == 0, done.stdout + done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(told) > one_of(10, 50)
    for after in told:
        assert after["state"] == "succeeded"
        assert after["executed"] == 3 - after["filed"]  # what was filed is not executed again, the rest is
        assert after["bad"] == []
    filed = {after["filed"] for after in told}
    assert filed >= {0, 3}
    assert filed & {1, 2} or not DEEP  # in the middle of a group
    assert len({after["outputs"]["result"] for after in told}) == 1


LEARNING = """
from gates import wait_at
from journal import note
import lineal
from lineal import pipeline, stage


@stage
def learn() -> int:
    saved = lineal.checkpoint_dir() / "epoch"
    done = int(saved.read_text()) if saved.exists() else 0
    note(f"from {done}")
    for epoch in range(done + 1, 4):
        saved.write_text(str(epoch))
        wait_at(f"after-{epoch}")
    return epoch


@pipeline
def flow() -> int:
    return learn()
"""


def test_a_stage_goes_on_from_its_checkpoints_after_its_run_was_killed(project: Project) -> None:
    project.keep_journal()
    gate = project.gate("after-2")
    project.write("flow.py", LEARNING)

    run = project.start("run")
    gate.meet()
    kill(run)
    assert gate.is_left()
    gate.open()
    again = project.json("run")

    assert again.words("state") == {"learn": "succeeded"}
    assert project.journal() == ["from 0", "from 2"]
    assert list((project.root / ".lineal" / "checkpoints").iterdir()) == []
    assert project.json("run", "--force", "learn").code == 0
    assert project.journal() == ["from 0"]


def test_two_runs_of_one_action_never_share_its_checkpoints(project: Project) -> None:
    project.keep_journal()
    gate = project.gate("after-2")
    project.write("flow.py", LEARNING.replace("@stage", "@stage(cache=False)"))

    first = project.start("run", "--json")
    gate.meet()
    second = project.start("run", "--json")
    line_with(second, "waiting for its checkpoints")
    gate.open()
    kill(first)

    assert project.ended(second).words("state") == {"learn": "succeeded"}
    assert project.journal() == ["from 0", "from 2"]
