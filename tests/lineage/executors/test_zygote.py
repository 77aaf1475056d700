"""What the zygote does before it forks."""

from __future__ import annotations

from lineal.executors import zygote
from lineal.executors.attempt import perform
from lineal.executors.observe import Observer
from lineal.executors.observe_places import Places
from lineal_store import Place, open_store


def test_a_rehearsal_goes_all_the_way_of_an_attempt(tmp_path, monkeypatch) -> None:
    outcomes = []
    monkeypatch.setattr(zygote, "perform", lambda *given: outcomes.append(perform(*given)))
    observer = Observer(Places(str(tmp_path)))
    store = open_store(Place(f"file://{tmp_path}/store"))

    zygote._rehearse(zygote._rehearsed_order(), store, observer, zygote._REHEARSALS)
    observer.close()

    assert len(outcomes) > 8  # fewer do not make the interpreter adapt any code
    assert {outcome.outputs["result"].inline for outcome in outcomes} == {b"0"}
    assert not list(store.blobs.list())
