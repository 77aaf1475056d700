"""docs/reference/cli.md is what the commands say of themselves."""

from __future__ import annotations

import runpy
from pathlib import Path

from lineal_cli.app import COMMANDS

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def test_the_reference_is_current() -> None:
    generated = runpy.run_path(str(REFERENCE / "generate.py"))["reference"]()

    assert (REFERENCE / "cli.md").read_text("utf-8") == generated, "run: python docs/reference/generate.py"


def test_every_command_is_in_the_reference() -> None:
    page = (REFERENCE / "cli.md").read_text("utf-8")

    assert [name for name in COMMANDS if f"## lineal {name}\n" not in page] == []
