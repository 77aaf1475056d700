"""Whole projects on the disk, before and after an edit: cases/README.md says what each must do.

Each side is laid out at the same place (elsewhere for a case that says ``relocate``) and fingerprinted by
live function, in a process of its own with another hash seed for the second side.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CASES = Path(__file__).with_name("cases")


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, subprocess.Popen[str]]]:
    script = str(Path(__file__).with_name("serve_cases.py"))
    running = {
        side: subprocess.Popen(
            [sys.executable, script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        for side, seed in (("before", "1"), ("after", "2"))
    }
    yield running
    for server in running.values():
        assert server.stdin is not None
        server.stdin.close()
        server.wait()


def lay_out(case: Path, side: str, about: dict[str, Any], work: Path) -> dict[str, Any]:
    moved = about["relocate"] and side == "after"
    folders = {
        "project": work / ("elsewhere/deep/project" if moved else "project"),
        "site": work / "site",
        "editable": work / "editable",
    }
    for folder in (work / "project", work / "elsewhere", folders["site"], folders["editable"]):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(case / side, folders["project"])
    folders["site"].mkdir()
    if (case / f"{side}_site").exists():
        shutil.copytree(case / f"{side}_site", folders["site"], dirs_exist_ok=True)
        for file in folders["site"].rglob("*"):
            if file.is_file() and b"@EDITABLE@" in file.read_bytes():
                file.write_text(file.read_text().replace("@EDITABLE@", str(folders["editable"])))
    if (case / f"{side}_editable").exists():
        shutil.copytree(case / f"{side}_editable", folders["editable"])
    request: dict[str, Any] = {key: str(folder) for key, folder in folders.items()}
    stages = [stage["name"] for stage in about["stage"]]
    return {
        **request,
        "env": about.get(f"env_{side}", {}),
        "reads": about["declared_files"],
        "stages": stages,
    }


@pytest.mark.parametrize("case", sorted(CASES.glob("*/case.toml")), ids=lambda case: case.parent.name)
def test_a_project_edit_does_to_the_fingerprint_what_the_case_says(
    case: Path, servers: dict[str, subprocess.Popen[str]], tmp_path: Path
) -> None:
    about, answers = tomllib.loads(case.read_text()), {}
    for side, server in servers.items():
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(lay_out(case.parent, side, about, tmp_path)) + "\n")
        server.stdin.flush()
        answers[side] = json.loads(server.stdout.readline())
        assert "error" not in answers[side], answers[side]["error"]

    for stage in about["stage"]:
        changed = answers["before"][stage["name"]] != answers["after"][stage["name"]]
        if stage["expect"] != "may":
            assert changed == (stage["expect"] == "must_change"), stage["reason"]
