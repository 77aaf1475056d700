"""What has grown old, and what is deployed and can no longer be built, is told until it is so no more."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lineal.alerts import tell as telling
from lineal.alerts.outbox import Outbox
from lineal.api.addresses import Addresses
from lineal.api.alerts_standing import tell_reproduction, tell_stale
from lineal.api.config import Configuration
from lineal.graph.records import RunRecord, seal_record
from lineal_store import Digest, open_store
from lineal_store.sealed import seal

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
DIGEST, OTHER = str(Digest.of(b"model")), str(Digest.of(b"other"))


class Office:
    """A project with one alert, and a store that runs and tags are put into."""

    def __init__(self, root: Path, **alert: Any) -> None:
        self.store = open_store(root / "store")
        table = {"to": "command:all", **alert}
        self.configuration = Configuration(root, "", namespace="tests", alerts=(table,))

    @property
    def addresses(self) -> Addresses:
        return Addresses(self.store, "tests")

    def ran(self, at: datetime, state: str = "succeeded") -> None:
        run_id = f"{at:%Y%m%d-%H%M%S}-4f9ac2"
        run = RunRecord(
            run_id=run_id,
            pipeline="flights",
            target="flights.py:flights",
            state=state,
            namespace="tests",
            outputs={"result": DIGEST},
            code_tree=DIGEST,
            environment=DIGEST,
            who="ada",
            host="here",
            process=1,
            lineal="0",
            started_at=at.isoformat(),
            finished_at=at.isoformat(),
        )
        self.store.runs.finish(run_id, seal_record(run))

    def tag(self, name: str, digest: str, *, deployed: bool) -> None:
        self.store.refs.append(f"tags/{name}", seal({"digest": digest, "deployed": deployed}))

    def told(self) -> list[Mapping[str, Any]]:
        outbox, found = Outbox(self.configuration.root), []
        for _, name in outbox.due():
            entry = outbox.find(name)
            assert entry is not None
            found.append(entry.message)
            outbox.remove(entry)
        return found


@pytest.fixture(autouse=True)
def no_deliverer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "start_deliverer", lambda root: None)


@pytest.fixture
def fresh(tmp_path: Path) -> Office:
    return Office(tmp_path, on=["stale", "recovered"], max_age={"flights@latest": "1d"})


def stale(office: Office, now: datetime) -> list[Mapping[str, Any]]:
    tell_stale(office.configuration, office.addresses, now)
    return office.told()


def test_what_was_made_lately_is_not_stale(fresh: Office) -> None:
    fresh.ran(NOON)

    assert stale(fresh, NOON + timedelta(days=1)) == []


def test_what_is_too_old_is_told_once_and_then_that_it_is_fresh_again(fresh: Office) -> None:
    fresh.ran(NOON)
    (told,) = stale(fresh, NOON + timedelta(days=1, seconds=1))

    assert (told["event"], told["subject"]) == ("stale", "[lineal] flights@latest (tests) is stale")
    assert told["notes"] == [
        f"flights@latest was made at {NOON.isoformat()}; it may be no older than 1 day, 0:00:00"
    ]
    assert told["retry"] == "lineal run flights.py:flights"
    assert stale(fresh, NOON + timedelta(days=1, hours=1)) == []

    fresh.ran(NOON + timedelta(days=1, hours=2))
    (recovered,) = stale(fresh, NOON + timedelta(days=1, hours=3))
    assert (recovered["event"], recovered["key"]) == ("recovered", told["key"])
    assert stale(fresh, NOON + timedelta(days=1, hours=4)) == []


def test_a_run_that_failed_makes_nothing_fresh(fresh: Office) -> None:
    fresh.ran(NOON)
    fresh.ran(NOON + timedelta(days=1), state="failed")

    assert [told["event"] for told in stale(fresh, NOON + timedelta(days=1, hours=1))] == ["stale"]


def test_what_was_never_made_is_stale(fresh: Office) -> None:
    (told,) = stale(fresh, NOON)

    assert told["notes"][0].startswith("there is no flights@latest")


def reproduction(verdict: str, digest: str | None = DIGEST) -> dict[str, Any]:
    return {
        "digest": digest,
        "verdict": verdict,
        "made": {"target": "flights.py:flights"},
        "first_difference": "train" if verdict == "different" else None,
        "problem": None,
        "plan": {"missing": [{"name": "raw.parquet", "problem": "its bytes are lost", "is_fatal": True}]},
    }


@pytest.fixture
def deployed(tmp_path: Path) -> Office:
    office = Office(tmp_path, on=["irreproducible", "recovered"])
    office.tag("live", DIGEST, deployed=True)
    office.tag("tried", OTHER, deployed=False)
    return office


def rebuilt(office: Office, document: Mapping[str, Any], *, minutes: int = 0) -> list[Mapping[str, Any]]:
    tell_reproduction(office.configuration, office.addresses, document, NOON + timedelta(minutes=minutes))
    return office.told()


@pytest.mark.parametrize("verdict", ["different", "not_reproducible"])
def test_what_is_deployed_and_can_no_longer_be_built_is_told_until_it_can(
    deployed: Office, verdict: str
) -> None:
    (told,) = rebuilt(deployed, reproduction(verdict))

    assert (told["event"], told["pipeline"]) == ("irreproducible", "live")
    assert f"{DIGEST} was built again: {verdict.replace('_', ' ')}" in told["notes"]
    assert "raw.parquet: its bytes are lost" in told["notes"]
    assert rebuilt(deployed, reproduction(verdict), minutes=5) == []
    (recovered,) = rebuilt(deployed, reproduction("identical"), minutes=10)
    assert (recovered["event"], recovered["key"]) == ("recovered", told["key"])


@pytest.mark.parametrize("digest", [OTHER, None])
def test_what_is_not_deployed_is_nobodys_alarm(deployed: Office, digest: str | None) -> None:
    assert rebuilt(deployed, reproduction("different", digest)) == []


def test_what_can_be_built_is_no_news(deployed: Office) -> None:
    assert rebuilt(deployed, reproduction("within_tolerance")) == []
