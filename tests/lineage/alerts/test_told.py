"""What alerts were told is kept in files that may be lost, damaged or wanted by two at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineal.alerts import told as keeping
from lineal.alerts.restraint import Held, Pace, Told
from lineal.alerts.told import Ledger, State

NOW = 1_700_000_000.0
STATE = State({"a failed": Told(NOW, "load", 3)}, Pace((NOW - 5.5, NOW), Held(NOW + 60.0, 2, ("one", "two"))))


def test_what_was_told_is_known_to_the_next_process(tmp_path: Path) -> None:
    Ledger(tmp_path).write("https://a.example", STATE, NOW)

    assert Ledger(tmp_path).read("https://a.example") == STATE
    assert Ledger(tmp_path).read("https://b.example") == State()


def test_asking_makes_no_folder(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)

    assert ledger.read("https://a.example") == State()
    assert not ledger.is_used
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"format": 2}', '{"format": 1}', '{"format": 1, "told": {"a": 1}, "sent": []}'],
)
def test_a_file_that_cannot_be_read_is_begun_anew(tmp_path: Path, text: str) -> None:
    ledger = Ledger(tmp_path)
    ledger.write("a", STATE, NOW)
    (file,) = (tmp_path / ".lineal" / "outbox" / "told").iterdir()
    file.write_text(text)

    assert ledger.read("a") == State()
    ledger.write("a", STATE, NOW)
    assert ledger.read("a") == STATE


def test_no_address_is_written_down(tmp_path: Path) -> None:
    Ledger(tmp_path).write("https://hooks.example/T0/token", STATE, NOW)
    (file,) = (tmp_path / ".lineal" / "outbox" / "told").iterdir()

    assert "token" not in file.name + file.read_text()


def test_what_is_old_or_too_much_is_forgotten(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    many = {f"{number}": Told(NOW - number, "") for number in range(2000)}
    ledger.write("a", State({**many, "old": Told(NOW - 40 * 86_400.0, "")}), NOW)
    kept = ledger.read("a").told

    assert len(kept) == 1000
    assert "0" in kept and "1999" not in kept and "old" not in kept


def test_whoever_holds_it_for_too_long_does_not_keep_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "_PATIENCE_SECONDS", 0.05)
    entered = []
    with Ledger(tmp_path).locked(), Ledger(tmp_path).locked():
        entered.append(True)

    assert entered == [True]
