"""What a store lacks is looked for upstream: checked, and never written there."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from lineal_store import BlobMissing, Digest, Place, Store, StoreUnavailable, Upstream, open_store
from lineal_store.backends.memory import MemoryBackend
from lineal_store.blobs import name_of
from lineal_store.protocols import Upload

KEY = "0" * 32
ABSENT = Digest.of(b"nowhere")


def places(store: Store) -> list[tuple[str, int]]:
    return [(info.name, info.size_bytes) for info in store.backend.list("")]


@pytest.fixture
def team(tmp_path: Path) -> Store:
    return open_store(tmp_path / "team")


@pytest.fixture
def own(tmp_path: Path, team: Store) -> Store:
    return open_store(Place(str(tmp_path / "own"), upstream=(team.url,)))


def test_a_blob_that_is_missing_here_is_read_upstream(own: Store, team: Store) -> None:
    digest = team.blobs.put(b"theirs")

    assert own.blobs.read(digest) == b"theirs"
    assert own.blobs.sizes([digest]) == {}
    with pytest.raises(BlobMissing, match="own"):
        own.blobs.read(ABSENT)


def test_what_is_fetched_or_opened_is_kept_here(own: Store, team: Store) -> None:
    first, second = team.blobs.put(b"first"), team.blobs.put(b"second")

    assert own.blobs.fetch(first).read_bytes() == b"first"
    with own.blobs.open(second) as stream:
        assert stream.read() == b"second"
    assert own.blobs.sizes([first, second]) == {first: 5, second: 6}
    with pytest.raises(BlobMissing):
        own.blobs.fetch(ABSENT)


def test_nothing_is_ever_written_upstream(own: Store, team: Store) -> None:
    digest = team.blobs.put(b"theirs")
    team.actions.publish([(KEY, b"result")])
    before = places(team)

    own.blobs.fetch(digest)
    own.blobs.put(b"mine")
    own.actions.publish([("1" * 32, b"result")])
    assert own.upstream is not None
    own.upstream.find([KEY, "1" * 32])

    assert places(team) == before


def test_results_and_sizes_are_found_in_the_first_store_that_has_them(tmp_path: Path, team: Store) -> None:
    other = open_store(tmp_path / "other")
    team.actions.publish([(KEY, b"of the team")])
    other.actions.publish([(KEY, b"of others"), ("1" * 32, b"of others")])
    digest = other.blobs.put(b"theirs")
    upstream = Upstream([lambda: team, lambda: other])

    assert {key: filed.data for key, filed in upstream.find([KEY, "1" * 32, "2" * 32]).items()} == {
        KEY: b"of the team",
        "1" * 32: b"of others",
    }
    assert upstream.sizes([digest, ABSENT]) == {digest: 6}


def test_what_is_damaged_upstream_is_not_taken_and_said(own: Store, team: Store) -> None:
    digest = team.blobs.put(b"theirs")
    team.backend.create([Upload(name_of(digest), b"thiers", replace=True)])

    for use in (own.blobs.read, own.blobs.fetch):
        with pytest.raises(BlobMissing):
            use(digest)
    assert own.blobs.sizes([digest]) == {}
    assert own.upstream is not None
    assert all(str(digest) in problem for problem in own.upstream.problems)


class Unreachable(MemoryBackend):
    """A place that stops to answer."""

    transient = True

    def find(self, names: object) -> dict[str, object]:  # type: ignore[override]
        raise StoreUnavailable(self.url, "no answer", "Wait.", transient=self.transient)


def opened(backend: MemoryBackend) -> Callable[[], Store]:
    return lambda: Store(backend)


def refuse() -> Store:
    raise StoreUnavailable("s3://team", "no answer", transient=True)


@pytest.mark.parametrize("opener", [refuse, opened(Unreachable())], ids=["at once", "later"])
def test_a_store_that_cannot_be_reached_for_now_is_passed_over_and_said_once(
    opener: Callable[[], Store], team: Store
) -> None:
    digest = team.blobs.put(b"theirs")
    upstream = Upstream([opener, lambda: team])

    assert upstream.sizes([digest]) == {digest: 6}
    assert upstream.sizes([digest]) == {digest: 6}
    assert [problem.partition("no answer")[2] for problem in upstream.problems] == [
        "; this run goes on without it"
    ]


def test_what_waiting_does_not_mend_is_an_error(tmp_path: Path) -> None:
    own = open_store(Place(str(tmp_path / "own"), upstream=(str(tmp_path / "nowhere"),)))

    with pytest.raises(StoreUnavailable, match="nowhere"):
        own.blobs.read(ABSENT)
    assert not (tmp_path / "nowhere").exists()


def test_a_place_pickles_and_opens_the_same_store_without_reading_its_header(
    tmp_path: Path, own: Store
) -> None:
    digest = own.blobs.put(b"data")
    place = pickle.loads(pickle.dumps(own.place))

    assert place == own.place
    assert place.known_id is not None
    assert open_store(place, create=False).blobs.read(digest) == b"data"
