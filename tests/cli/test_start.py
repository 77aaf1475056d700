"""How the program starts: an unchanged run is answered before anything is imported that it does not need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support import Project

from lineal.engine import memo
from lineal.engine.memo import Unchanged
from lineal_cli import app, start

FLOW = """
from lineal import pipeline, stage


@stage
def one() -> int:
    return 1


@pipeline
def flow() -> int:
    return one()
"""


def test_only_run_and_status_ask_for_a_memo(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = Unchanged("flow", {"a": 1}, 1000)
    monkeypatch.setattr(memo, "answer_again", lambda words: known._replace(run_id="a run"))
    monkeypatch.setattr(memo, "foresee_again", lambda words: known)
    monkeypatch.setattr(app, "main", lambda arguments: 7)

    assert start.main(["why"]) == 7
    assert start.main(["run", "flow.py"]) == 0
    assert capsys.readouterr().out == "flow: nothing to do, 1,000 stages unchanged (0.00 s) · run a run\n"
    assert start.main(["status", "flow.py"]) == 0
    assert capsys.readouterr().out == "flow a=1: nothing to do, 1,000 stages unchanged\n"


def test_what_goes_wrong_is_told_as_any_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(words: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(memo, "answer_again", fail)

    assert start.main(["run"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_an_unchanged_run_imports_neither_click_nor_the_engine(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write("lineal.toml", "")
    project.write("flow.py", FLOW)
    script = (
        "import sys\n"
        "from lineal_cli.start import main\n"
        "assert main(['run', 'flow.py']) == 0\n"
        "print(sorted(sys.modules), file=sys.stderr)\n"
    )
    for _ in range(3):
        told = subprocess.run(
            [sys.executable, "-c", script],
            cwd=tmp_path,
            env=project.environment({}),
            check=True,
            capture_output=True,
            text=True,
        )

    assert "nothing to do, 1 stage unchanged" in told.stdout
    assert "'lineal.engine.memo'" in told.stderr
    for name in ("click", "msgspec", "lineal.api", "lineal.engine.session", "lineal.fingerprint", "json", "asyncio",
                 "logging", "subprocess", "importlib.metadata", "dataclasses", "inspect", "shutil"):  # fmt: skip
        assert f"'{name}'" not in told.stderr
