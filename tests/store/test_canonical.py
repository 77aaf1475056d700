from __future__ import annotations

import math
import struct
import tracemalloc

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support import spelled

from lineal_store import CorruptRecord, RecordTooLarge, canonical

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(1 << 70), max_value=1 << 70)
    | st.floats()
    | st.text(max_size=40)
    | st.binary(max_size=40)
    | st.sampled_from(
        [2**n + d for n in (5, 7, 8, 15, 16, 31, 32, 63, 64, 127, 128, 256) for d in (-1, 0, 1)]
    )
    | st.sampled_from(
        [-(2**n) + d for n in (5, 7, 8, 15, 16, 31, 32, 63, 64, 127, 128, 256) for d in (-1, 0, 1)]
    )
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=40), inner, max_size=20),
    max_leaves=30,
)


def same(one: object, two: object) -> bool:
    """Equal, with types told apart, NaN equal to itself, and -0.0 unlike 0.0."""
    if type(one) is not type(two):
        return False
    if isinstance(one, float) and isinstance(two, float):
        return (math.isnan(one) and math.isnan(two)) or struct.pack(">d", one) == struct.pack(">d", two)
    if isinstance(one, list) and isinstance(two, list):
        return len(one) == len(two) and all(map(same, one, two))
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    return one == two


# -- one value, one encoding -----------------------------------------------------------------------------------------


@given(values)
def test_what_is_encoded_is_decoded(value: object) -> None:
    assert same(canonical.decode(canonical.encode(value)), value)


@given(st.dictionaries(st.text(max_size=5), scalars, max_size=8), st.randoms())
def test_the_order_of_a_dict_does_not_count(value: dict[str, object], random: object) -> None:
    keys = list(value)
    random.shuffle(keys)  # type: ignore[attr-defined]

    assert canonical.encode({key: value[key] for key in keys}) == canonical.encode(value)


@given(values, values)
def test_values_that_differ_have_encodings_that_differ(one: object, two: object) -> None:
    assert same(one, two) == (canonical.encode(one) == canonical.encode(two))


@given(values)
def test_any_msgpack_reader_understands_it(value: object) -> None:
    def big(code: int, data: bytes) -> int:
        assert code == 1
        return int.from_bytes(data, "big", signed=True)

    assert same(msgpack.unpackb(canonical.encode(value), ext_hook=big), value)


def test_lookalikes_are_told_apart() -> None:
    lookalikes = [1, 1.0, True, "1", b"1", [1], {"1": 1}, 0, 0.0, -0.0, False, None, "", b"", [], {}]

    assert len({canonical.encode(value) for value in lookalikes}) == len(lookalikes)


def test_every_nan_is_one() -> None:
    nans = [struct.unpack(">d", bytes.fromhex(bits))[0] for bits in ("7ff8000000000000", "fff8000000000001")]

    assert {canonical.encode(nan).hex() for nan in nans} == {"cb7ff8000000000000"}


class Text(str):
    pass


@pytest.mark.parametrize(
    "value",
    [
        (),
        (1,),
        {1, 2},
        {1: 2},
        {b"a": 1},
        {None: 1},
        object(),
        1j,
        bytearray(b"x"),
        Text("x"),
        [{"a": (1,)}],
        {Text("k"): 1},
    ],
    ids=spelled,
)
def test_other_types_are_refused(value: object) -> None:
    with pytest.raises(TypeError, match="a record"):
        canonical.encode(value)


def test_a_surrogate_is_refused() -> None:
    for value in ("\ud800", {"\ud800": 1}):
        with pytest.raises(ValueError, match="surrogates"):
            canonical.encode(value)


def test_a_value_may_nest_as_deep_as_is_promised_and_no_deeper() -> None:
    value: object = None
    for _ in range(canonical.MAX_DEPTH):
        value = [value]

    assert same(canonical.decode(canonical.encode(value)), value)
    with pytest.raises(ValueError, match="nest"):
        canonical.encode({"deeper": value})
    with pytest.raises(CorruptRecord, match="nests"):
        canonical.decode(b"\x91" + canonical.encode(value))


def test_a_record_may_be_as_large_as_is_promised_and_no_larger() -> None:
    largest = bytes(canonical.MAX_RECORD_BYTES - 5)

    assert len(canonical.encode(largest)) == canonical.MAX_RECORD_BYTES
    assert canonical.decode(canonical.encode(largest)) == largest
    with pytest.raises(RecordTooLarge):
        canonical.encode(largest + b"x")
    with pytest.raises(CorruptRecord, match="more than"):
        canonical.decode(canonical.encode(largest + b"x", limit=1 << 30))


# -- no other encoding is accepted -----------------------------------------------------------------------------------


@given(st.binary(max_size=60))
@example(b"")
def test_decoding_is_total_and_what_it_accepts_is_canonical(data: bytes) -> None:
    try:
        value = canonical.decode(data)
    except CorruptRecord:
        return
    assert canonical.encode(value) == data


@given(values, st.data())
def test_a_changed_encoding_is_refused_or_another_values(value: object, data: st.DataObject) -> None:
    encoded = bytearray(canonical.encode(value))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(encoded) - 1))
        encoded[at] = data.draw(st.integers(0, 255))
    try:
        decoded = canonical.decode(bytes(encoded))
    except CorruptRecord:
        return
    assert canonical.encode(decoded) == bytes(encoded)


@given(values, st.data())
def test_a_prefix_is_refused_and_so_is_a_tail(value: object, data: st.DataObject) -> None:
    encoded = canonical.encode(value)
    for wrong in (encoded[: data.draw(st.integers(0, len(encoded) - 1))], encoded + b"\x00"):
        with pytest.raises(CorruptRecord):
            canonical.decode(wrong)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("cc01", "shortest"),
        ("cd00ff", "shortest"),
        ("cf00000000ffffffff", "shortest"),
        ("d0ff", "shortest"),
        ("d07f", "shortest"),
        ("d1ff80", "shortest"),
        ("d3ffffffff80000000", "shortest"),
        ("d90161", "shortest"),
        ("da001f" + "61" * 31, "shortest"),
        ("c50001ff", "shortest"),
        ("dc000101", "shortest"),
        ("de0001a16101", "shortest"),
        ("c70901" + "00" + "ff" * 8, "shortest"),
        ("c70a01" + "00" * 2 + "ff" * 8, "shortest"),
        ("c71001" + "7f" + "ff" * 15, "shortest"),
        ("d801" + "00" * 16, "shortest"),
        ("d401" + "01", "d4"),
        ("c70902" + "01" + "00" * 8, "extension type 2"),
        ("ca3f800000", "ca"),
        ("c1", "c1"),
        ("cb7ff8000000000001", "NaN"),
        ("cbfff8000000000000", "NaN"),
        ("82a16201a16102", "order"),
        ("82a16101a16102", "order"),
        ("810101", "no text"),
        ("81c4016101", "no text"),
        ("a1ff", "UTF-8"),
        ("a3eda080", "UTF-8"),
        ("0101", "1 bytes follow"),
        ("", "too early"),
        ("a261", "too early"),
        ("cb00", "too early"),
        ("9101" + "02", "follow"),
    ],
)
def test_what_is_not_canonical_is_named(wrong: str, why: str) -> None:
    with pytest.raises(CorruptRecord, match=why) as refusal:
        canonical.decode(bytes.fromhex(wrong), what="actions/ab/cd.0")
    assert "actions/ab/cd.0" in str(refusal.value)


@pytest.mark.parametrize("header", ["ddffffffff", "dfffffffff", "dbffffffff", "c6ffffffff", "c9ffffffff01"])
def test_a_header_that_announces_gigabytes_allocates_nothing(header: str) -> None:
    bombs = [
        bytes.fromhex(header),
        bytes.fromhex("91" * 20 + header),
        bytes.fromhex("dd000fff00" * 60) + bytes(1 << 20),
    ]
    tracemalloc.start()
    try:
        for bomb in bombs:
            with pytest.raises(CorruptRecord):
                canonical.decode(bomb[: canonical.MAX_RECORD_BYTES])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 3 << 20
