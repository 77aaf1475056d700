"""Records survive the way to bytes and back; a reader trusts no bytes."""

from __future__ import annotations

import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineal.graph.records import (
    FORMAT,
    Action,
    ActionResult,
    Environment,
    Input,
    Manifest,
    Origin,
    Output,
    RunRecord,
    SideProduct,
    StageRecord,
    from_bytes,
    seal_record,
    to_bytes,
    unseal_record,
)
from lineal_store.canonical import encode
from lineal_store.errors import CorruptRecord
from lineal_store.sealed import seal, unseal

DIGEST = "sha256:" + "ab" * 32
RESULT = ActionResult(
    action=Action(stage="train", fingerprint="f" * 32, inputs={"x": Input(digest=DIGEST, type="json")}),
    outputs={"result": Output(digest=DIGEST, type="json", size_bytes=3, inline=b"1.5")},
    origins={"x": Origin(url="raw.csv")},
    side_products=[SideProduct(path="model", digest=DIGEST, size_bytes=3)],
    manifest=DIGEST,
    code_tree=DIGEST,
    environment=DIGEST,
    seed=2**64 - 1,
    run_id="20261122-173120-4f9ac2",
    stage_id="train",
    attempt=1,
    started_at="2026-11-22T17:31:20+00:00",
    seconds=1.5,
)
RUN = RunRecord(
    run_id="20261122-173120-4f9ac2",
    pipeline="flights",
    target="flights.py:flights",
    state="failed",
    namespace="dev",
    stages=[StageRecord(id="train", name="train", state="failed", error={"kind": "exception"})],
    code_tree=DIGEST,
    environment=DIGEST,
    who="ada",
    host="engine",
    process=1,
    lineal="0.1.0",
    started_at="2026-11-22T17:31:20+00:00",
)


@pytest.mark.parametrize(("record", "kind"), [(RESULT, ActionResult), (RUN, RunRecord)])
def test_a_record_comes_back_equal(record: object, kind: type) -> None:
    assert unseal_record(seal_record(record), kind) == record  # type: ignore[arg-type]


_PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats()
    | st.sampled_from([float("nan"), struct.unpack(">d", b"\xff\xf8\0\0\0\0\0\1")[0], -0.0, 1e308])
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), _PLAIN))
def test_a_record_has_the_canonical_encoding(parameters: dict[str, object]) -> None:
    record = Action(stage="train", fingerprint="f" * 32, inputs={}, parameters=parameters)

    assert to_bytes(record) == encode(msgspec.to_builtins(record, builtin_types=(bytes,)))


@pytest.mark.parametrize(("record", "kind"), [(RESULT, ActionResult), (RUN, RunRecord)])
def test_a_field_of_a_later_version_is_passed_over(record: object, kind: type) -> None:
    fields = unseal(seal_record(record))  # type: ignore[arg-type]
    assert isinstance(fields, dict)

    assert unseal_record(seal({**fields, "from_the_future": [1]}), kind) == record


def test_what_an_older_version_did_not_record_is_not_known() -> None:
    fields = unseal(seal_record(RESULT))
    assert isinstance(fields, dict)
    del fields["work_seconds"]

    assert unseal_record(seal(fields), ActionResult).work_seconds is None


def test_a_later_format_is_refused_by_name() -> None:
    fields = unseal(seal_record(RESULT))
    assert isinstance(fields, dict)

    with pytest.raises(CorruptRecord, match=f"has format {FORMAT + 1}"):
        unseal_record(seal({**fields, "format": FORMAT + 1}), ActionResult)


@pytest.mark.parametrize("missing", ["action", "outputs", "manifest", "seed"])
def test_a_record_without_a_field_it_needs_is_refused(missing: str) -> None:
    fields = unseal(seal_record(RESULT))
    assert isinstance(fields, dict)
    del fields[missing]

    with pytest.raises(CorruptRecord, match="ActionResult"):
        unseal_record(seal(fields), ActionResult)


@given(st.binary(max_size=200))
@pytest.mark.parametrize("kind", [ActionResult, RunRecord, Manifest, Environment])
def test_hostile_bytes_give_one_kind_of_error(kind: type, data: bytes) -> None:
    with pytest.raises(CorruptRecord):
        from_bytes(data, kind)


@given(st.data())
def test_any_flipped_byte_is_found(data: st.DataObject) -> None:
    good = bytearray(seal_record(RESULT))
    good[data.draw(st.integers(0, len(good) - 1))] ^= data.draw(st.integers(1, 255))

    with pytest.raises(CorruptRecord):
        unseal_record(bytes(good), ActionResult)
