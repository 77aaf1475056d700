"""Which stages of a past graph are executed again."""

from __future__ import annotations

from pathlib import Path

from lineal import Directory, File, Secret, pipeline, stage
from lineal.reproduce.job import HeldSource
from lineal.reproduce.selection import NO_SECRET, Selection, select_stages
from lineal.stages import Graph
from lineal.stages.wiring import Source, leaves


@stage
def load(source: File) -> list[int]:
    return []


@stage
def many(sources: dict[str, File], folder: Directory) -> int:
    return 0


@stage
def train(numbers: list[int]) -> int:
    return 0


@stage(effect=True)
def deploy(model: int) -> str:
    return ""


@stage
def announce(answer: str) -> str:
    return ""


@stage
def ask(password: Secret) -> int:
    return 0


def newest(text: str) -> str:
    raise AssertionError("nobody asks")


@stage(version_of=newest, limit="warehouse")
def query(text: str) -> int:
    return 0


@pipeline
def flow(source: str = "raw.txt") -> str:
    model = train(load(File(source)))
    query("select 1")
    return announce(deploy(model))


@pipeline
def secretive(password: Secret) -> int:
    return ask(password)


def graph(source: str = "raw.txt") -> Graph:
    return flow.trace({"source": source})


RAW = HeldSource("load", "source", "raw.txt", "/held/raw.txt")


def kept(selection: Selection) -> list[str]:
    return list(selection.graph.nodes)


def places(selection: Selection, stage_id: str) -> dict[str, Path]:
    inputs = selection.graph.nodes[stage_id].inputs.values()
    found = [leaf.value for binding in inputs for leaf in leaves(binding) if isinstance(leaf, Source)]
    return {value.url: value.path for value in found}


def test_what_is_wanted_is_executed_with_all_that_it_is_made_from_and_nothing_else() -> None:
    selection = select_stages(graph(), ["train"], [RAW])

    assert kept(selection) == ["load", "train"]
    assert selection.left_out == {}


def test_an_effect_and_what_needs_it_are_left_out() -> None:
    selection = select_stages(graph(), [], [RAW])

    assert kept(selection) == ["load", "train", "query"]
    assert selection.effects == ("deploy",)
    assert selection.left_out == {
        "deploy": "effects are never executed",
        "announce": "it needs deploy, which is not executed: effects are never executed",
    }
    assert selection.graph.outputs == {}


def test_where_an_effect_is_wanted_what_it_was_given_is_made() -> None:
    assert kept(select_stages(graph(), ["deploy"], [RAW])) == ["load", "train"]


def test_sources_are_the_recorded_content_under_their_own_address() -> None:
    assert places(select_stages(graph(), ["load"], [RAW]), "load") == {"raw.txt": Path("/held/raw.txt")}


def test_a_hit_that_was_recorded_with_another_address_gives_its_content() -> None:
    other = HeldSource("load", "source", "copy.txt", "/held/copy.txt")

    assert places(select_stages(graph(), ["load"], [other]), "load") == {"raw.txt": Path("/held/copy.txt")}


def test_where_parameters_are_others_content_goes_by_its_address_alone() -> None:
    elsewhere = HeldSource("another", "port", "other.txt", "/held/other.txt")

    found = select_stages(graph("other.txt"), ["load"], [RAW, elsewhere], changed=True)
    lacks = select_stages(graph("new.txt"), ["load"], [RAW], changed=True)

    assert places(found, "load") == {"other.txt": Path("/held/other.txt")}
    assert lacks.left_out == {"load": "it takes new.txt, which that run did not"}


def test_files_in_collections_and_directories_are_held_too() -> None:
    @pipeline
    def several() -> int:
        return many({"a": File("a.txt"), "b": File("b.txt")}, Directory("folder"))

    sources = [
        HeldSource("many", "sources['a']", "a.txt", "/held/a"),
        HeldSource("many", "sources['b']", "b.txt", "/held/b"),
        HeldSource("many", "folder", "folder", "/held/folder"),
    ]

    assert places(select_stages(several.trace({}), [], sources), "many") == {
        "a.txt": Path("/held/a"),
        "b.txt": Path("/held/b"),
        "folder": Path("/held/folder"),
    }


def test_items_of_a_mapped_stage_have_content_of_their_own() -> None:
    @pipeline
    def mapped() -> list[list[int]]:
        return load.map([File("a.txt"), File("b.txt")])

    sources = [
        HeldSource(f"load[{at}]", "source", f"{name}.txt", f"/held/{name}") for at, name in enumerate("ab")
    ]

    assert places(select_stages(mapped.trace({}), [], sources), "load") == {
        "a.txt": Path("/held/a"),
        "b.txt": Path("/held/b"),
    }


def test_a_stage_that_needs_a_secret_is_left_out_unless_it_was_given() -> None:
    unknown = select_stages(secretive.trace({"password": Secret(NO_SECRET)}), [], [])
    given = select_stages(secretive.trace({"password": Secret("hunter2")}), [], [])

    assert unknown.left_out == {"ask": "it needs the secret password, which no record has"}
    assert kept(given) == ["ask"]


def test_a_stage_that_the_pipeline_no_longer_calls_is_no_reason_to_execute_all_others() -> None:
    selection = select_stages(graph(), ["evaluate"], [RAW])

    assert kept(selection) == []
    assert selection.left_out == {"evaluate": "the pipeline does not call it this time"}


def test_nothing_is_asked_of_the_outside_world() -> None:
    options = select_stages(graph(), ["query"], []).graph.nodes["query"].options

    assert (options.version_of, options.limit) == (None, None)
