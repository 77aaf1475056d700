"""The lock of what a run ran on: complete, without secrets, and cheap the second time."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from lineal.engine import memo
from lineal.engine.environment import VARIABLES, describe_environment, keep_environment
from lineal.fingerprint import Distributions
from lineal.fingerprint.distributions import Distribution
from lineal.graph.records import Environment, from_bytes, to_bytes
from lineal_store import open_store


def installed(site: Path, name: str, record: str) -> Path:
    info = site / f"{name}.dist-info"
    info.mkdir(parents=True)
    (info / "RECORD").write_text(record)
    return info


def test_the_environment_holds_declared_variables_and_no_others(tmp_path: Path) -> None:
    variables = {"DECLARED": "yes", "AWS_SECRET_ACCESS_KEY": "hunter2"}
    store = open_store(tmp_path / "store")

    digest = keep_environment(
        store, describe_environment(Distributions([]), ["DECLARED", "NOT_SET"], variables)
    )

    found = from_bytes(store.blobs.read(digest), Environment)
    assert found.variables == {"DECLARED": "yes"}
    assert "hunter2" not in repr(found)


def test_the_number_of_threads_that_stages_get_is_recorded_without_being_declared() -> None:
    variables = {"OMP_NUM_THREADS": "2", "PYTHONHASHSEED": "0", "HOME": "/home/me"}

    found = describe_environment(Distributions([]), variables=variables)

    assert found.variables == {"OMP_NUM_THREADS": "2", "PYTHONHASHSEED": "0"}
    assert found.cores >= 1


def test_the_platform_is_called_what_python_calls_it() -> None:
    assert describe_environment(Distributions([])).platform == platform.platform()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere Python has to ask another program")
def test_no_process_is_started_to_learn_of_the_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "_platform_cache", {})
    monkeypatch.setattr(platform, "_uname_cache", None)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a process"))

    assert describe_environment(Distributions([])).platform.startswith("Linux-")


def test_everything_installed_is_locked_with_what_it_holds_and_where_it_comes_from(tmp_path: Path) -> None:
    installed(tmp_path, "numpy-2.0", "numpy.py,sha256=n,1\n")
    direct = installed(tmp_path, "ours-1.0", "ours.py,sha256=o,1\n")
    (direct / "direct_url.json").write_text('{"url": "file:///ours", "dir_info": {}}')
    edited = installed(tmp_path, "mine-0.1", "")
    (edited / "direct_url.json").write_text('{"url": "file:///mine", "dir_info": {"editable": true}}')

    found = describe_environment(Distributions([str(tmp_path)]))

    assert found.distributions == {"numpy": "2.0", "ours": "1.0", "mine": "0.1"}
    assert found.sources == {"ours": "file:///ours"}
    assert found.editable == ["mine"]
    assert found.contents.keys() == {"numpy", "ours"}
    assert from_bytes(to_bytes(found), Environment) == found


def test_an_environment_of_an_earlier_version_is_read() -> None:
    then = Environment(
        python="3.11.7",
        implementation="CPython",
        build="main",
        platform="Linux-6",
        machine="x86_64",
        distributions={"numpy": "2.0"},
    )

    assert from_bytes(to_bytes(then), Environment) == then


def test_lists_of_files_are_not_read_again_until_they_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = installed(tmp_path / "site", "numpy-2.0", "numpy.py,sha256=n,1\n")
    read: list[str] = []
    contents = Distribution.contents
    monkeypatch.setattr(Distribution, "contents", lambda self: read.append(self.name) or contents(self))

    def described() -> Environment:
        return describe_environment(Distributions([str(tmp_path / "site")]), remember=tmp_path / "contents")

    first, second = described(), described()
    assert (read, first == second) == (["numpy"], True)

    (info / "RECORD").write_text("numpy.py,sha256=other,1\n")
    assert described().contents != first.contents
    assert read == ["numpy", "numpy"]


@pytest.mark.parametrize("damage", [b"", b"[1]", b'{"a": 1}', b"\xff"])
def test_a_damaged_note_costs_time_only(tmp_path: Path, damage: bytes) -> None:
    installed(tmp_path / "site", "numpy-2.0", "numpy.py,sha256=n,1\n")
    note = tmp_path / "contents"
    note.write_bytes(damage)

    found = describe_environment(Distributions([str(tmp_path / "site")]), remember=note)

    assert found.contents.keys() == {"numpy"}


def test_a_memo_rests_on_every_variable_that_is_recorded() -> None:
    assert set(VARIABLES) - {"PYTHONHASHSEED"} <= set(memo._VARIABLES)  # that one is the workers' own
