from __future__ import annotations

from lineal_store import Digest, Store
from lineal_store.blobs import name_of
from lineal_store.protocols import Upload
from lineal_store.verify import Bad, Report, check


def test_a_whole_store_has_nothing_bad(store: Store) -> None:
    blobs = store.blobs.put_many([b"one", b"three"])

    for read_data in (False, True):
        report = check(
            store, read_data=read_data, referenced=[(blob.digest, blob.size_bytes) for blob in blobs]
        )
        assert report == Report(2, ())


def test_what_is_missing_resized_or_misnamed_is_found_without_reading(store: Store) -> None:
    missing, resized = Digest.of(b"missing"), store.blobs.put(b"resized")
    store.backend.create([Upload("blobs/ab/notes.txt", b"")])

    report = check(store, read_data=False, referenced=[(missing, 7), (resized, 8), (resized, 7)])

    assert report.checked == 2
    assert set(report.bad) == {
        Bad(str(missing), "is missing"),
        Bad(str(resized), "has 7 bytes, and is recorded with 8"),
        Bad("blobs/ab/notes.txt", "no blob is named so"),
    }
    assert [bad.what for bad in report.bad] == sorted(bad.what for bad in report.bad)


def test_changed_bytes_are_found_by_reading(store: Store) -> None:
    digest = store.blobs.put(b"data")
    store.backend.create([Upload(name_of(digest), b"dada", replace=True)])

    assert check(store, read_data=False).bad == ()
    assert check(store, read_data=True).bad == (Bad(str(digest), f"holds 4 bytes of {Digest.of(b'dada')}"),)
