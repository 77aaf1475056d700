"""Claims: of several runs that want to execute an action one does, and a dead one stands in nobody's way."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from waiting import wait_until

from lineal_store import Upload
from lineal_store.claims import Claims
from lineal_store.protocols import Backend
from lineal_store.signs import BEAT_SECONDS, EXPIRES_SECONDS, Process, Signs, StopRequest

KEY = "ab" * 16
OTHER_KEY = "cd" * 16
ELSEWHERE = Process("another machine", 1, 1)


@dataclass
class Runs:
    """Runs on machines of their own, which share a backend and a clock."""

    backend: Backend
    now: float = 1000.0
    made: list[Claims] = field(default_factory=list)

    def __call__(self, name: str, process: Process = ELSEWHERE) -> Claims:
        self.made.append(Claims(self.backend, name, process=process, clock=lambda: self.now))
        return self.made[-1]

    def names(self) -> list[str]:
        return [info.name for info in self.backend.list("")]


@pytest.fixture
def runs(backend: Backend) -> Iterator[Runs]:
    runs = Runs(backend)
    yield runs
    for claims in runs.made:  # a test that fails leaves no thread to the next one
        claims.close()


def test_the_first_run_that_claims_an_action_has_it(runs: Runs) -> None:
    ann, bob = runs("ann"), runs("bob")

    assert ann.claim(KEY) is None
    assert bob.claim(KEY) == "ann"
    assert bob.claim(OTHER_KEY) is None


def test_a_run_may_claim_what_it_has(runs: Runs) -> None:
    ann = runs("ann")

    assert ann.claim(KEY) is None
    assert ann.claim(KEY) is None


def test_what_is_released_can_be_claimed(runs: Runs) -> None:
    ann, bob = runs("ann"), runs("bob")
    ann.claim(KEY)
    ann.claim(OTHER_KEY)

    ann.release([KEY])

    assert bob.claim(KEY) is None
    assert bob.claim(OTHER_KEY) == "ann"
    ann.release([KEY])  # it is another's by now
    assert runs("eve").claim(KEY) == "bob"


def test_a_run_that_ends_leaves_nothing_behind(runs: Runs) -> None:
    ann = runs("ann")
    ann.claim(KEY)

    ann.close()

    assert runs.names() == []


def test_a_run_that_claimed_nothing_writes_nothing(runs: Runs) -> None:
    runs("ann").close()

    assert runs.names() == []


def test_a_run_that_shows_signs_of_life_keeps_what_it_has(runs: Runs) -> None:
    ann, bob = runs("ann"), runs("bob")
    ann.claim(KEY)
    for _ in range(20):
        ann.beat()
        assert bob.claim(KEY) == "ann"
        runs.now += BEAT_SECONDS


def test_the_claim_of_a_run_that_shows_none_for_long_is_taken_over_by_one(runs: Runs) -> None:
    ann, bob, eve = runs("ann"), runs("bob"), runs("eve")
    ann.claim(KEY)
    assert bob.claim(KEY) == "ann"
    runs.now += EXPIRES_SECONDS - 0.1
    assert bob.claim(KEY) == "ann"
    runs.now += 0.2

    assert bob.claim(KEY) is None
    assert eve.claim(KEY) in ("ann", "bob")  # it may have to look at ann for as long itself
    runs.now += EXPIRES_SECONDS
    bob.beat()
    assert eve.claim(KEY) == "bob"


def test_what_others_clocks_say_does_not_matter(runs: Runs, backend: Backend) -> None:
    ann = Claims(backend, "ann", process=ELSEWHERE, clock=lambda: 5e9)
    ann.claim(KEY)

    assert runs("bob").claim(KEY) == "ann"


def test_a_run_that_slept_for_long_is_told_what_it_has_lost(runs: Runs) -> None:
    ann, bob = runs("ann"), runs("bob")
    ann.claim(KEY)
    ann.claim(OTHER_KEY)
    bob.claim(KEY)
    runs.now += EXPIRES_SECONDS
    bob.claim(KEY)

    assert ann.lost([KEY, OTHER_KEY]) == {KEY}
    ann.close()
    assert runs("eve").claim(KEY) == "bob"  # ann has released none of what is bob's


def test_a_sign_that_comes_too_late_brings_nothing_back(runs: Runs) -> None:
    ann, bob = runs("ann"), runs("bob")
    ann.claim(KEY)
    bob.claim(KEY)
    runs.now += EXPIRES_SECONDS
    bob.claim(KEY)

    ann.beat()

    assert ann.lost([KEY]) == {KEY}
    assert ann.claim(KEY) == "bob"


def test_a_run_whose_claim_was_taken_over_and_given_up_has_lost_it_too(runs: Runs) -> None:
    ann, bob = runs("ann"), runs("bob")
    ann.claim(KEY)
    bob.claim(KEY)
    runs.now += EXPIRES_SECONDS
    bob.claim(KEY)
    bob.close()

    assert ann.lost([KEY]) == {KEY}


def test_a_run_that_was_never_late_asks_nobody(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    ann = runs("ann")
    ann.claim(KEY)
    monkeypatch.setattr(ann, "_backend", None)

    assert ann.lost([KEY]) == set()


def test_the_claim_of_a_process_of_this_machine_that_is_gone_is_taken_over_at_once(runs: Runs) -> None:
    here = Process.current()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = int(_stat(child.pid)[19])
    ann = runs("ann", Process(here.machine, child.pid, started))
    ann.claim(KEY)
    assert runs("bob").claim(KEY) == "ann"

    child.kill()
    child.wait()

    assert runs("bob").claim(KEY) is None


def test_a_process_that_only_has_the_same_id_is_another(runs: Runs) -> None:
    here = Process.current()
    runs("ann", here._replace(started=here.started - 1)).claim(KEY)

    assert runs("bob").claim(KEY) is None


@pytest.mark.parametrize("data", [b"", b"nonsense", b"\xc1LNL"])
def test_a_damaged_claim_and_a_damaged_sign_are_a_dead_runs(
    runs: Runs, backend: Backend, data: bytes
) -> None:
    ann = runs("ann")
    ann.claim(KEY)
    backend.create([Upload("claims/runs/ann", data, replace=True)])
    backend.create([Upload(f"claims/actions/{OTHER_KEY}.0", data)])

    assert runs("bob").claim(KEY) is None
    assert runs("bob").claim(OTHER_KEY) is None


def test_a_thread_shows_signs_of_life_until_the_run_ends(
    runs: Runs, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lineal_store.signs.BEAT_SECONDS", 0.001)
    ann = runs("ann")
    ann.claim(KEY)
    first = backend.read("claims/runs/ann")

    ann.keep_beating(lambda request: None)
    wait_until(lambda: backend.read("claims/runs/ann") != first)
    ann.close()

    assert runs.names() == []


def test_a_run_that_is_asked_to_stop_is_told_so_once(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lineal_store.signs.BEAT_SECONDS", 0.001)
    ann, told = runs("ann"), list[StopRequest]()
    ann.beat()
    ann.keep_beating(told.append)

    Signs(runs.backend).ask_to_stop("ann", StopRequest("bob", "server"))
    wait_until(lambda: bool(told))
    beat = runs.backend.read("claims/runs/ann")
    wait_until(lambda: runs.backend.read("claims/runs/ann") != beat)
    ann.close()

    assert told == [StopRequest("bob", "server")]
    assert runs.names() == []


# -- places in groups -------------------------------------------------------------------------


def test_no_more_places_are_claimed_than_there_are(runs: Runs) -> None:
    ann, bob = runs("ann"), runs("bob")

    claimed = [run.claim_place("warehouse", 3) for run in (ann, bob, ann, bob, ann)]

    assert [place is not None for place in claimed] == [True, True, True, False, False]


def test_a_place_that_is_released_can_be_claimed_again(runs: Runs) -> None:
    ann, bob = runs("ann"), runs("bob")
    place = ann.claim_place("warehouse", 1)
    assert place is not None

    ann.release([place])

    assert bob.claim_place("warehouse", 1) is not None
    ann.release([place])  # it is another's by now
    assert ann.claim_place("warehouse", 1) is None


def test_groups_have_places_of_their_own(runs: Runs) -> None:
    ann = runs("ann")

    assert all(ann.claim_place(group, 1) for group in ("warehouse", "Warehouse", "w", "*", "=2a="))


def test_each_run_keeps_to_its_own_size_of_a_group(runs: Runs) -> None:
    ann, bob = runs("ann"), runs("bob")
    ann.claim_place("warehouse", 2)
    ann.claim_place("warehouse", 2)

    assert bob.claim_place("warehouse", 2) is None
    assert bob.claim_place("warehouse", 3) is not None


def test_the_place_of_a_run_that_shows_no_sign_for_long_is_free_once(runs: Runs) -> None:
    ann, bob, eve = runs("ann"), runs("bob"), runs("eve")
    ann.claim_place("warehouse", 1)
    assert bob.claim_place("warehouse", 1) is None
    assert eve.claim_place("warehouse", 1) is None
    runs.now += EXPIRES_SECONDS - 0.1
    assert bob.claim_place("warehouse", 1) is None
    runs.now += 0.2

    bob.beat()
    assert bob.claim_place("warehouse", 1) is not None
    assert eve.claim_place("warehouse", 1) is None


def test_a_run_that_may_not_delete_uses_the_place_that_it_could_not_give_up(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = runs("ann"), runs("bob")
    monkeypatch.setattr(ann, "_delete", lambda names: None)
    place = ann.claim_place("warehouse", 1)
    assert place is not None

    ann.release([place])

    assert bob.claim_place("warehouse", 1) is None
    assert ann.claim_place("warehouse", 1) == place


def test_a_run_whose_places_were_all_given_up_leaves_nothing_behind(runs: Runs) -> None:
    ann, bob = runs("ann"), runs("bob")
    ann.claim_place("warehouse", 1)
    bob.claim_place("warehouse", 1)
    runs.now += EXPIRES_SECONDS
    bob.claim_place("warehouse", 1)

    bob.close()

    assert runs.names() == ["claims/runs/ann"]


def test_what_was_taken_over_and_given_up_is_not_taken_over_once_more(
    runs: Runs, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else two would have it: eve, who saw ann dead, and dan, who came when bob had taken over and released it."""
    ann, bob, eve, dan = (runs(name) for name in ("ann", "bob", "eve", "dan"))
    ann.claim(KEY)
    bob.claim(KEY)
    eve.claim(KEY)
    runs.now += EXPIRES_SECONDS
    for run in (bob, eve, dan):
        run.beat()
    create = eve._create

    def meanwhile(name: str, data: bytes) -> bool:
        if name.endswith(".1"):
            monkeypatch.setattr(eve, "_create", create)
            assert bob.claim(KEY) is None
            bob.release([KEY])
            assert dan.claim(KEY) is None
        return create(name, data)

    monkeypatch.setattr(eve, "_create", meanwhile)

    assert eve.claim(KEY) == "dan"
    assert runs.names() == [
        f"claims/actions/{KEY}.0",
        *(f"claims/runs/{name}" for name in ("ann", "bob", "dan", "eve")),
    ]


def test_a_run_is_alone_where_no_other_shows_signs_of_life(runs: Runs) -> None:
    ann, bob = runs("ann"), runs("bob")
    ann.beat()
    assert ann.is_alone()

    bob.beat()
    assert not ann.is_alone()
    runs.now += EXPIRES_SECONDS
    assert ann.is_alone()


def _stat(pid: int) -> list[str]:
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()
