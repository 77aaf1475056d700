"""Stages that change the world: done when the world is not as asked, and never twice by accident."""

from __future__ import annotations

import pytest
from support import Project

DEPLOY = """
import os

from gates import wait_at
from journal import note
from lineal import pipeline, stage


@stage
def build(version: str) -> str:
    return f"model {version}"


@stage(effect=True)
def deploy(model: str, target: str = "production") -> str:
    note(f"{model} to {target}")
    wait_at("in-deploy")
    if os.environ.get("BROKEN"):
        raise ConnectionError("no route")
    return "done"


@pipeline
def ship(version: str, target: str = "production") -> str:
    return deploy(build(version), target)
"""


@pytest.fixture
def ship(project: Project) -> Project:
    project.keep_journal()
    project.gate("unused")
    project.write("ship.py", DEPLOY)
    return project


def test_going_back_to_an_earlier_version_deploys_it_again(ship: Project) -> None:
    deployed = [
        ship.json("run", f"version={version}").words("cache")["deploy"]
        for version in ("a", "a", "b", "a", "a")
    ]

    assert deployed == ["miss", "hit", "miss", "miss", "hit"]
    assert ship.journal() == ["model a to production", "model b to production", "model a to production"]


def test_targets_and_namespaces_have_histories_of_their_own(ship: Project) -> None:
    ship.json("run", "version=a")
    ship.json("run", "version=b", "target=staging")

    again = ship.json("run", "version=a")
    colleague = ship.json("run", "version=a", LINEAL_NAMESPACE="colleague")

    assert again.words("cache")["deploy"] == "hit"
    assert colleague.words("cache")["deploy"] == "miss"


def test_an_effect_that_was_broken_off_is_not_repeated_before_somebody_has_looked(ship: Project) -> None:
    gate = ship.gate("in-deploy")
    run = ship.start("run", "version=a")
    gate.meet()
    run.kill()
    run.communicate()
    assert gate.is_left()
    gate.open()
    ship.journal()

    unknown = ship.json("run", "version=a")
    other = ship.json("run", "version=b")
    text = ship.command("run", "version=a")
    assert ship.journal() == []
    forced = ship.json("run", "version=a", "--force", "deploy")
    settled = ship.json("run", "version=a")

    assert (unknown.code, other.code) == (1, 1)
    error = unknown.stages["deploy"]["error"]
    assert (error["kind"], unknown.stages["deploy"]["attempts"]) == ("effect_unknown", 0)
    assert "--force deploy" in error["hint"]
    assert "--force deploy" in text.out
    assert forced.code == 0
    assert ship.journal() == ["model a to production"]
    assert settled.words("cache")["deploy"] == "hit"


def test_an_effect_that_failed_is_tried_again_by_the_next_run_only(ship: Project) -> None:
    ship.edit("ship.py", "@stage(effect=True)", "@stage(effect=True, retries=3, retry_delay=0)")

    failed = ship.json("run", "version=a", BROKEN="yes")
    assert ship.journal() == ["model a to production"]
    mended = ship.json("run", "version=a")

    assert failed.stages["deploy"]["attempts"] == 1
    assert mended.words("state")["deploy"] == "succeeded"
    assert ship.journal() == ["model a to production"]


def test_an_idempotent_effect_is_retried(ship: Project) -> None:
    options = "effect=True, idempotent=True, retries=2, retry_delay=0"
    ship.edit("ship.py", "@stage(effect=True)", f"@stage({options})")

    failed = ship.json("run", "version=a", BROKEN="yes")

    assert failed.stages["deploy"]["attempts"] == 3
    assert len(ship.journal()) == 3


def test_an_effect_whose_inputs_failed_is_neither_done_nor_left_open(ship: Project) -> None:
    ship.edit("ship.py", 'return f"model {version}"', 'raise ValueError("no model")')
    failed = ship.json("run", "version=a")
    ship.edit("ship.py", 'raise ValueError("no model")', 'return f"model {version}"')

    assert failed.words("state") == {"build": "failed", "deploy": "upstream_failed"}
    assert ship.journal() == []
    assert ship.json("run", "version=a").code == 0
