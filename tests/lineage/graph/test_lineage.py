"""Families of bytes: who made what from what."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lineal.graph.action import action_key
from lineal.graph.lineage import ActionNode, ArtifactNode, Lineage
from lineal.graph.records import Action, ActionResult, Input, Origin, Output, SideProduct, seal_record
from lineal_store import Digest, Store, open_store


def digest(name: str) -> str:
    return str(Digest.of(name.encode()))


@dataclass
class Story:
    """Action results told one after the other."""

    store: Store
    keys: dict[str, str] = field(default_factory=dict)

    def made(
        self,
        stage: str,
        *outputs: str,
        out_of: tuple[str, ...] = (),
        sources: tuple[str, ...] = (),
        left: dict[str, str] | None = None,
    ) -> str:
        """``stage`` made ``outputs`` of earlier stages' outputs (``stage/output``) and of outside files."""
        inputs, origins = {}, {}
        for place, taken in enumerate(out_of):
            maker, name = taken.split("/")
            inputs[f"p{place}"] = Input(digest=digest(name), type="json")
            origins[f"p{place}"] = Origin(action_key=self.keys[maker], output="result")
        for source in sources:
            inputs[source] = Input(digest=digest(source), type="file")
            origins[source] = Origin(url=source)
        action = Action(stage=stage, fingerprint="f" * 32, inputs=inputs)
        self.keys[stage] = action_key(action)
        result = ActionResult(
            action=action,
            outputs={
                f"o{n}": Output(digest=digest(o), type="json", size_bytes=1) for n, o in enumerate(outputs)
            },
            origins=origins,
            side_products=[
                SideProduct(path=path, digest=digest(name), size_bytes=1)
                for path, name in (left or {}).items()
            ],
            manifest=digest("manifest"),
            code_tree=digest("code"),
            environment=digest("environment"),
            seed=1,
            run_id="20261122-173120-4f9ac2",
            stage_id=stage,
            attempt=1,
            started_at=f"2026-11-22T17:{len(self.keys):02}:00+00:00",
            seconds=1.0,
        )
        self.store.actions.publish([(self.keys[stage], seal_record(result))])
        return self.keys[stage]

    def edges(self, of: str, *, downwards: bool = False) -> set[tuple[str, str]]:
        lineage = Lineage(self.store)
        family = lineage.descendants(digest(of)) if downwards else lineage.ancestors(digest(of))
        names = {f"xxh3:{key}": stage for stage, key in self.keys.items()}
        content = {digest(name): name for name in self.content}
        names |= content
        assert set(family.nodes) == {node for edge in family.edges for node in edge} | {digest(of)}
        return {(names[child], names[parent]) for child, parent in family.edges}

    content: tuple[str, ...] = ("raw", "table", "model", "metrics", "card", "text")


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(open_store(tmp_path / "store"))


def test_ancestors_lead_down_to_what_was_taken_from_outside(story: Story) -> None:
    story.made("ingest", "table", sources=("raw",))
    story.made("train", "model", "metrics", out_of=("ingest/table",))

    assert story.edges("model") == {
        ("model", "train"),
        ("train", "table"),
        ("table", "ingest"),
        ("ingest", "raw"),
    }
    node = Lineage(story.store).ancestors(digest("model")).nodes[digest("raw")]
    assert isinstance(node, ArtifactNode)
    assert (node.kind, node.url) == ("source", "raw")


def test_descendants_are_all_that_was_made_from_it(story: Story) -> None:
    story.made("ingest", "table", sources=("raw",))
    story.made("train", "model", out_of=("ingest/table",))
    story.made("other", "card", sources=("text",))

    assert story.edges("raw", downwards=True) == {
        ("ingest", "raw"),
        ("table", "ingest"),
        ("train", "table"),
        ("model", "train"),
    }


def test_a_copy_that_a_stage_left_outside_leads_to_the_stage_that_made_the_bytes(story: Story) -> None:
    story.made("train", "model", sources=("raw",))
    story.made("deploy", "card", out_of=("train/model",), left={"/srv/model": "model"})

    assert story.edges("model") == {("model", "train"), ("train", "raw")}
    assert [product.path for product, _ in Lineage(story.store).copies(digest("model"))] == ["/srv/model"]


def test_of_several_makers_of_equal_bytes_the_deployed_one_is_meant(story: Story) -> None:
    story.made("first", "model", sources=("raw",))
    story.made("second", "model", sources=("text",))
    story.made("deploy", "card", out_of=("first/model",), left={"/srv/model": "model"})

    assert story.edges("model") == {("model", "first"), ("first", "raw")}


def test_a_recorded_origin_is_preferred_to_a_newer_maker_of_equal_bytes(story: Story) -> None:
    story.made("first", "table", sources=("raw",))
    story.made("train", "model", out_of=("first/table",))
    story.made("second", "table", sources=("text",))

    assert story.edges("model") == {
        ("model", "train"),
        ("train", "table"),
        ("table", "first"),
        ("first", "raw"),
    }


def test_a_stage_that_passes_bytes_on_is_no_origin_of_them(story: Story) -> None:
    story.made("ingest", "table", sources=("raw",))
    story.made("validate", "table", out_of=("ingest/table",))
    story.made("train", "model", out_of=("validate/table",))

    assert ("table", "validate") not in story.edges("model")
    assert ("table", "ingest") in story.edges("model")


def test_a_file_that_is_only_copied_is_raw_data(story: Story) -> None:
    story.made("copy", "card", sources=("raw",), left={"/srv/raw": "raw"})

    node = Lineage(story.store).ancestors(digest("raw")).nodes[digest("raw")]

    assert isinstance(node, ArtifactNode)
    assert node.kind == "source"
    assert story.edges("raw") == set()


def test_bytes_that_come_back_after_a_round_trip_end_the_search(story: Story) -> None:
    story.made("encode", "text", sources=("raw",))
    story.made("decode", "raw", out_of=("encode/text",))

    assert len(story.edges("raw")) <= 4


def test_bytes_that_nobody_made_or_took_are_not_known(story: Story) -> None:
    story.made("ingest", "table", sources=("raw",))
    lineage = Lineage(story.store)

    assert lineage.knows(digest("raw"))
    assert not lineage.knows(digest("elsewhere"))
    assert lineage.find_maker(digest("raw")) is None


def test_an_unreadable_record_hides_only_itself(story: Story) -> None:
    story.made("ingest", "table", sources=("raw",))
    story.store.actions.publish([("0" * 32, b"garbage")])

    assert Lineage(story.store).knows(digest("table"))


def test_a_family_of_two_thousand_generations_needs_no_recursion(tmp_path: Path) -> None:
    story = Story(open_store("memory://two-thousand-generations"))
    story.made("s0", "v0", sources=("raw",))
    for number in range(1, 2000):
        story.made(f"s{number}", f"v{number}", out_of=(f"s{number - 1}/v{number - 1}",))

    family = Lineage(story.store).ancestors(digest("v1999"))

    assert sum(isinstance(node, ActionNode) for node in family.nodes.values()) == 2000
