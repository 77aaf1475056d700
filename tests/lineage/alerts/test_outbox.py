"""Messages in files: none is lost or half there, whoever dies."""

from __future__ import annotations

import json
import stat
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from dying import die_at, until_done

from lineal.alerts import deliver
from lineal.alerts.outbox import Entry, Outbox, postponed
from lineal.alerts.rules import Alert

Make = Callable[..., Entry]


def test_what_is_put_can_be_found_again(outbox: Outbox, entry: Make) -> None:
    one = entry("m1", Alert("mailto:a@example.org", ("timeout",), secret="${S}"), attempts=3, problem="no")
    outbox.put(one)

    assert outbox.find("m1") == one
    assert outbox.due() == [(one.due, "m1")]


def test_what_is_due_first_comes_first(outbox: Outbox, entry: Make) -> None:
    outbox.put(entry("m1", due=300.5))
    outbox.put(entry("m2", due=200.25))

    assert outbox.due() == [(200.25, "m2"), (300.5, "m1")]


def test_an_outbox_that_nobody_has_used_is_empty_and_stays_unmade(outbox: Outbox) -> None:
    assert outbox.due() == outbox.failed() == []
    assert outbox.find("m1") is None
    assert not outbox.folder.exists()


def test_only_the_user_can_read_a_message(outbox: Outbox, entry: Make) -> None:
    outbox.put(entry())

    assert stat.S_IMODE((outbox.folder / "m1.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(outbox.folder.stat().st_mode) == 0o700


def test_what_is_given_up_is_kept_with_its_problem(outbox: Outbox, entry: Make) -> None:
    outbox.put(entry())
    outbox.give_up(entry(problem="refused"))

    assert outbox.due() == []
    assert outbox.failed() == ["m1"]
    found = outbox.find_failed("m1")
    assert found is not None and found.problem == "refused"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"format": 2}', "null", '{"format": 1, "alert": {"to": 1, "x": 2}}']
)
def test_a_file_that_is_no_message_is_put_aside(outbox: Outbox, entry: Make, text: str) -> None:
    outbox.put(entry("m2"))
    (outbox.folder / "m1.json").write_text(text)

    assert outbox.find("m1") is None
    assert outbox.failed() == ["m1"]
    assert outbox.find_failed("m1") is None
    assert [name for _, name in outbox.due()] == ["m2"]


def test_one_process_delivers_at_a_time(outbox: Outbox) -> None:
    with outbox.locked() as first, outbox.locked() as second:
        assert (first, second) == (True, False)
    with outbox.locked() as again:
        assert again


def test_what_a_dead_writer_left_is_cleared_after_an_hour(outbox: Outbox, entry: Make) -> None:
    outbox.put(entry())
    left = outbox.folder / "m2.json.77.new"
    left.write_text("{")
    made = left.stat().st_ctime

    outbox.clear_left_behind(made + 3599)
    assert left.exists()
    outbox.clear_left_behind(made + 3601)
    assert not left.exists()
    assert outbox.find("m1") is not None


def test_delays_double_up_to_an_hour_and_end_after_a_day(entry: Make) -> None:
    now, delays = 0.0, []
    one: Entry | None = entry(created=0.0, due=0.0)
    while one is not None:
        one = postponed(one, "no answer", now=now, jitter=1.0)
        if one is not None:
            delays.append(one.due - now)
            now = one.due

    assert delays[:10] == [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560]
    assert set(delays[10:]) == {3600.0}
    assert 82_000 < now <= 86_400


def test_jitter_takes_up_to_half_of_a_delay(entry: Make) -> None:
    early, late = (postponed(entry(), "", now=entry().created, jitter=jitter) for jitter in (0.0, 1.0))

    assert early is not None and late is not None
    assert (early.due - entry().due, late.due - entry().due) == (2.5, 5.0)
    assert (early.attempts, late.attempts) == (1, 1)


# --- kill -9 at every step -------------------------------------------------------------------------


def told(root: Path) -> list[str]:
    file = root / "told.txt"
    return file.read_text().split() if file.exists() else []


TELLS = Alert("command:sh -c 'echo $LINEAL_MESSAGE_ID >> told.txt'")


def test_a_writer_that_dies_leaves_a_whole_message_or_none(tmp_path: Path, entry: Make) -> None:
    def work(step: int) -> bool:
        outbox = Outbox(tmp_path / str(step))
        outbox.folder.parent.parent.mkdir()
        done = die_at(step, outbox.folder, lambda: outbox.put(entry(alert=TELLS)))
        whole = outbox.find("m1")
        assert whole in ((entry(alert=TELLS),) if done else (entry(alert=TELLS), None))
        assert outbox.failed() == []
        outbox.put(entry(alert=TELLS))  # the one who comes next can write it
        assert outbox.find("m1") == entry(alert=TELLS)
        return done

    assert until_done(work) >= 3


def test_a_deliverer_that_dies_loses_no_message(tmp_path: Path, entry: Make) -> None:
    def work(step: int) -> bool:
        root = tmp_path / str(step)
        root.mkdir()
        outbox = Outbox(root)
        for name in ("m1", "m2"):
            outbox.put(entry(name, TELLS))

        done = die_at(step, outbox.folder, lambda: deliver.main(root))
        if not done:
            deliver.main(root)

        assert set(told(root)) == {"m1", "m2"}
        assert len(told(root)) <= 3  # who dies between telling and noting it tells it again
        assert outbox.due() == []
        assert outbox.failed() == []
        return done

    assert until_done(work) >= 8


def test_a_deliverer_that_dies_while_it_postpones_loses_no_message(tmp_path: Path, entry: Make) -> None:
    fails_once = Alert("command:sh -c 'test -e up && echo $LINEAL_MESSAGE_ID >> told.txt'")

    def work(step: int) -> bool:
        root = tmp_path / str(step)
        root.mkdir()
        outbox = Outbox(root)
        outbox.put(entry("m1", fails_once, created=time.time()))  # else it is given up as too old
        done = die_at(step, outbox.folder, lambda: deliver_once(root))
        (root / "up").touch()
        waiting = outbox.find("m1")
        assert waiting is not None
        outbox.put(replace(waiting, due=0.0))
        deliver.main(root)

        assert told(root) == ["m1"]
        assert outbox.due() == []
        return done

    def deliver_once(root: Path) -> None:
        class Enough(Exception):
            pass

        def stop(_seconds: float) -> None:
            raise Enough

        time.sleep = stop
        try:
            deliver.main(root)
        except Enough:
            pass

    assert until_done(work) >= 8


def test_a_deliverer_that_dies_while_it_gives_up_loses_no_message(tmp_path: Path, entry: Make) -> None:
    def work(step: int) -> bool:
        root = tmp_path / str(step)
        root.mkdir()
        outbox = Outbox(root)
        outbox.put(entry("m1", Alert("command:'open")))
        done = die_at(step, outbox.folder, lambda: deliver.main(root))
        assert len(outbox.due()) + len(outbox.failed()) == 1
        deliver.main(root)

        assert (outbox.due(), outbox.failed()) == ([], ["m1"])
        return done

    assert until_done(work) >= 8


def test_the_file_says_what_is_sent_and_what_became_of_it(outbox: Outbox, entry: Make) -> None:
    outbox.put(entry("m1", Alert("https://hooks.example/${TOKEN}"), problem="no answer", attempts=2))
    fields = json.loads((outbox.folder / "m1.json").read_text())

    assert (fields["format"], fields["attempts"], fields["problem"]) == (1, 2, "no answer")
    assert fields["alert"]["to"] == "https://hooks.example/${TOKEN}"
