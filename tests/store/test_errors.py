from __future__ import annotations

import pickle

import pytest

from lineal_store import Digest, errors

ONE, TWO = Digest.of(b"1"), Digest.of(b"2")
ERRORS = [
    errors.StoreUnavailable("/store", "the disk is full", "Free some space.", True),
    errors.ObjectMissing("/store", "a/x"),
    errors.BlobMissing("/store", ONE),
    errors.DigestMismatch(ONE, TWO, "/store/blobs/ab/cd"),
    errors.CorruptRecord("runs/x", "it ends too early"),
    errors.RecordTooLarge(2_000_000, 1_048_576),
    errors.InvalidName("a//b", "cannot name a ref", "Join parts by single slashes."),
    errors.RunExists("/store", "20261122-173120-4f9ac2"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_survives_pickling_and_speaks_in_a_sentence(error: errors.LinealError) -> None:
    again = pickle.loads(pickle.dumps(error))

    assert type(again) is type(error)
    assert str(again) == str(error)
    assert (again.hint, again.exit_code, again.kind, again.transient) == (
        error.hint,
        error.exit_code,
        error.kind,
        error.transient,
    )
    assert len(str(error)) > 15


def test_every_error_is_tried_here() -> None:
    ours = {
        value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)
    }

    assert ours - {errors.LinealError} == {type(error) for error in ERRORS}
