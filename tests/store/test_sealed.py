from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineal_store import CorruptRecord, canonical
from lineal_store.sealed import seal, unseal

RECORD = {"parameters": {"rate": 0.1}, "stage": "train", "seconds": 12}


def test_what_is_sealed_is_unsealed() -> None:
    assert unseal(seal(RECORD)) == RECORD


def test_every_flipped_bit_is_found() -> None:
    sealed = seal(RECORD)

    for at in range(len(sealed)):
        for bit in range(8):
            damaged = sealed[:at] + bytes([sealed[at] ^ (1 << bit)]) + sealed[at + 1 :]
            with pytest.raises(CorruptRecord):
                unseal(damaged)


def test_every_truncation_and_extension_is_found() -> None:
    sealed = seal(RECORD)

    for damaged in [sealed[:size] for size in range(len(sealed))] + [sealed + b"\0", b"\0" * len(sealed)]:
        with pytest.raises(CorruptRecord, match="runs/x"):
            unseal(damaged, what="runs/x")


def test_a_record_that_is_not_sealed_is_refused_and_a_sealed_one_is_not_plain() -> None:
    with pytest.raises(CorruptRecord):
        unseal(canonical.encode(RECORD))
    with pytest.raises(CorruptRecord):
        canonical.decode(seal(RECORD))


@given(st.binary(max_size=100))
def test_unsealing_is_total(data: bytes) -> None:
    with pytest.raises(CorruptRecord):
        unseal(data)
