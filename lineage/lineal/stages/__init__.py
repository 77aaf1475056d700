"""What users declare: stages, pipelines, and what a pipeline wires.

A stage is a typed function, a pipeline a function that calls stages. Tracing runs the pipeline's function
once, with its parameters: every call of a stage is written down as a node and answered with promises
of what the stage will return, so that the next call can be wired to it. What is left behind is the
graph: plain, frozen values, with one binding for each parameter and the conditions of `when` and
`unless` around the call. Nothing here executes a stage, hashes anything, or knows where results are kept.
"""

from __future__ import annotations

from lineal.durations import parse_duration
from lineal.stages.conditions import AllOf, AnyOf, Comparison, Condition, Not, Truth, follow, holds
from lineal.stages.errors import (
    ConditionError,
    GraphError,
    ItemMissing,
    ParameterError,
    PipelineError,
    StageDefinitionError,
    WiringError,
)
from lineal.stages.names import nearest_hint
from lineal.stages.options import StageOptions
from lineal.stages.pipeline import Pipeline, pipeline, unless, when
from lineal.stages.promise import Promise
from lineal.stages.signature import Outputs, Port, Signature
from lineal.stages.stage import Stage, stage
from lineal.stages.wiring import Binding, Collection, Constant, Graph, Node, Result, Source, leaves, resolve

__all__ = [
    "AllOf",
    "AnyOf",
    "Binding",
    "Collection",
    "Comparison",
    "Condition",
    "ConditionError",
    "Constant",
    "Graph",
    "GraphError",
    "ItemMissing",
    "Node",
    "Not",
    "Outputs",
    "ParameterError",
    "Pipeline",
    "PipelineError",
    "Port",
    "Promise",
    "Result",
    "Signature",
    "Source",
    "Stage",
    "StageDefinitionError",
    "StageOptions",
    "Truth",
    "WiringError",
    "follow",
    "holds",
    "leaves",
    "nearest_hint",
    "parse_duration",
    "pipeline",
    "resolve",
    "stage",
    "unless",
    "when",
]
