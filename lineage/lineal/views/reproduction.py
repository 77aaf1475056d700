"""The document of `lineal reproduce`: what was planned, what came of it, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lineal.reproduce import Reproduction, ReproductionPlan
from lineal.reproduce.environments import plan_environment
from lineal.reproduce.plan import Missing
from lineal.version import VERSION
from lineal.views.words import counted

Document = dict[str, Any]


def plan_document(plan: ReproductionPlan, *, current_environment: bool = False) -> Document:
    """What would be done: the document of a reproduction that has no verdict yet."""
    environment, notes = None, []
    if plan.environment is not None:
        planned = plan_environment(plan.environment, rebuild=not current_environment, reached=plan.reached)
        environment, notes = planned.kind, planned.difference.sentences()
    return {
        "verdict": None,
        "first_difference": None,
        "executed": [],
        "environment": environment,
        "artifacts": [],
        "digest": plan.digest,
        "name": plan.name,
        "made": _made(plan),
        "plan": {
            "stages": [
                {"id": stage.id, "seconds": round(stage.seconds, 3)}
                for stage in plan.stages
                if not stage.is_list
            ],
            "expected_seconds": round(plan.expected_seconds, 3),
            "sources": [
                {"url": url, "digest": digest}
                for url, digest in dict.fromkeys((source.url, source.digest) for source in plan.sources)
            ],
            "missing": _missing(plan.missing),
            "environment": notes,
        },
        "changes": list(plan.changes),
        "not_executed": {},
        "diagnosis": None,
        "causes": [],
        "notes": [],
        "problem": None,
        "tolerance": None,
        "lineal": {"recorded": plan.run.lineal, "used": VERSION},
        "at": None,
        "seconds": 0.0,
        "folder": None,
        "report": None,
    }


def reproduction_document(found: Reproduction, planned: Document) -> Document:
    """What came of the plan whose document is ``planned``."""
    first, interpreter = found.first_difference, found.interpreter
    return {
        **planned,
        "verdict": found.verdict,
        "first_difference": first.stage if first is not None else None,
        "executed": list(found.executed),
        "environment": interpreter.kind if interpreter is not None else planned["environment"],
        "artifacts": [
            {
                "stage": one.stage,
                "output": one.output,
                "expected": one.expected,
                "actual": one.actual,
                "verdict": one.verdict,
                "detail": one.detail,
            }
            for one in found.artifacts
        ],
        "plan": {
            **planned["plan"],
            "missing": _missing(found.missing),
            "environment": list(interpreter.notes)
            if interpreter is not None
            else planned["plan"]["environment"],
        },
        "not_executed": dict(found.left_out),
        "diagnosis": found.diagnosis,
        "causes": list(found.causes),
        "notes": list(found.notes),
        "problem": None
        if found.problem is None
        else {"type": found.problem.type, "message": found.problem.message, "hint": found.problem.hint},
        "tolerance": None
        if found.tolerance is None
        else {"rtol": found.tolerance.rtol, "atol": found.tolerance.atol},
        "lineal": {"recorded": found.plan.run.lineal, "used": found.lineal or VERSION},
        "at": found.at.isoformat(),
        "seconds": round(found.seconds, 3),
        "folder": str(found.folder) if found.folder is not None else None,
    }


def _made(plan: ReproductionPlan) -> Document:
    run, environment = plan.run, plan.environment
    return {
        "run_id": run.run_id,
        "pipeline": run.pipeline,
        "target": run.target,
        "logical_date": run.logical_date,
        "at": run.started_at,
        "who": run.who,
        "host": run.host,
        "code_tree": run.code_tree,
        "git": None if run.git is None else {"commit": run.git.commit, "dirty": run.git.dirty},
        "python": environment.python if environment is not None else None,
        "platform": environment.platform if environment is not None else None,
    }


def _missing(missing: Iterable[Missing]) -> list[Document]:
    return [
        {"kind": one.kind, "name": one.name, "problem": one.problem, "is_fatal": one.is_fatal}
        for one in missing
    ]


def headline(document: Mapping[str, Any]) -> str:
    """The outcome in one sentence."""
    name, verdict, count = document["name"], document["verdict"], len(document["artifacts"])
    expected = {one["expected"] for one in document["artifacts"]}
    if document["digest"] is not None and expected and document["digest"] not in expected:
        name = f"what {name} was made from"
    if document["changes"]:
        same = "makes no difference" if verdict in ("identical", "within_tolerance") else "makes a difference"
        return f"{', '.join(document['changes'])} {same} to {name}"
    if verdict == "identical":
        return f"{name} was rebuilt bit for bit, with {counted(count, 'artifact')} compared"
    if verdict == "within_tolerance":
        tolerance = document["tolerance"]
        return f"{name} was rebuilt within rtol={tolerance['rtol']:g}, atol={tolerance['atol']:g}"
    if verdict == "different":
        itself = [one["verdict"] for one in document["artifacts"] if one["expected"] == document["digest"]]
        but = f"; {name} itself is {itself[0]}" if itself and itself[0] == "identical" else ""
        return f"{document['first_difference']} is the first stage that made something else than then{but}"
    lacking = [one["name"] for one in document["plan"]["missing"] if one["is_fatal"]]
    if lacking:
        return f"{name} cannot be rebuilt: {lacking[0]} is missing"
    where = f": {document['first_difference']} is where it ends" if document["executed"] else ""
    return f"{name} cannot be rebuilt here{where}"
