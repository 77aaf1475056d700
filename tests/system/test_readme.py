"""What the README shows, works."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from support import Project

README = Path(__file__).parents[2] / "README.md"
_FILE = re.compile(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", re.DOTALL)
_RUN = re.compile(r"<!-- run -->\n```console\n(.*?)```", re.DOTALL)


def test_every_command_of_the_readme_succeeds_on_the_files_that_it_shows(project: Project) -> None:
    text = README.read_text()
    project.is_cold = True
    for name, content in _FILE.findall(text):
        project.write(name, content)
    commands = [line for block in _RUN.findall(text) for line in block.splitlines()]
    assert len(commands) >= 4

    for line in commands:
        program, *arguments = shlex.split(line.removeprefix("$ "))
        assert program == "lineal"
        ended = project.command(*arguments)
        assert ended.code == 0, f"{line}\n{ended.out}{ended.err}"


def test_the_second_run_of_the_readme_finds_nothing_to_do(project: Project) -> None:
    for name, content in _FILE.findall(README.read_text()):
        project.write(name, content)
    project.command("run")

    assert set(project.json("run").words("cache").values()) == {"hit"}


def test_every_document_that_the_readme_links_to_is_there() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README.read_text())

    assert links
    assert [link for link in links if not (README.parent / link).exists()] == []
