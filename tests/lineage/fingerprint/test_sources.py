"""Reading a project's code once."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from lineal.fingerprint import FingerprintError, Sources, find_project_root


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_python_files_and_project_files_are_read_and_other_folders_are_left_alone(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "pipeline.py": "x = 1",
            "pkg/m.py": "y = 1",
            "pyproject.toml": "",
            "data.csv": "1",
            ".hidden/a.py": "",
            "venv/pyvenv.cfg": "",
            "venv/lib/b.py": "",
            "node_modules/c.py": "",
            "pkg/__pycache__/d.py": "",
            "build/lib/e.py": "",
            "thing.egg-info/f.py": "",
            "dist/__init__.py": "",
        },
    )

    sources = Sources.capture(tmp_path)

    assert sorted(sources.files) == ["dist/__init__.py", "pipeline.py", "pkg/m.py", "pyproject.toml"]


def test_what_is_read_stays_as_it_was(tmp_path: Path) -> None:
    write(tmp_path, {"a.py": "x = 1"})
    sources = Sources.capture(tmp_path)
    write(tmp_path, {"a.py": "x = 2"})

    assert sources.read("a.py") == b"x = 1"


def test_loops_of_links_and_unreadable_or_strangely_named_files_stop_nothing(tmp_path: Path) -> None:
    write(tmp_path, {"pkg/a.py": "x = 1"})
    (tmp_path / "pkg" / "loop").symlink_to(tmp_path / "pkg")
    (tmp_path / "dangling.py").symlink_to(tmp_path / "nowhere.py")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xff.py")).write_text("")

    sources = Sources.capture(tmp_path)

    assert {"pkg/a.py", "b\udcff.py"} <= set(sources.files)
    assert "dangling.py" not in sources.files


def test_a_file_that_cannot_be_read_is_an_error_of_what_reaches_it(tmp_path: Path) -> None:
    (tmp_path / "dangling.py").symlink_to(tmp_path / "nowhere.py")
    sources = Sources.capture(tmp_path)

    with pytest.raises(FingerprintError, match=r"dangling\.py: cannot be read") as error:
        sources.read("dangling.py")

    assert error.value.hint
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)


def test_modules_are_found_as_the_import_system_would() -> None:
    root = Path("/p")
    files = dict.fromkeys(
        ["src/a.py", "a.py", "b/__init__.py", "b.py", "b/c.py", "ns/d.py", "src/ns/e.py"], b""
    )
    sources = Sources(root, [root / "src", root], files)

    assert sources.module_file("a") == "src/a.py"  # an earlier root
    assert sources.module_file("b") == "b/__init__.py"  # a package before a module
    assert sources.module_file("b.c") == "b/c.py"
    assert sources.module_file("ns.d") == "ns/d.py"  # a namespace package of two portions
    assert sources.module_file("ns.e") == "src/ns/e.py"
    assert sources.find("nothing") is None
    assert sources.module_of("src/ns/e.py") == "ns.e"
    assert sources.module_of("a.py") is None  # nothing imports it: another file has its name
    assert sources.submodules("b") == ["b.c"]


def test_digests_name_the_bytes() -> None:
    sources = Sources(Path("/p"), [Path("/p")], {"a.py": b"x"})

    assert str(sources.digest("a.py")).startswith("sha256:2d711642b726")


def test_the_project_root_is_the_nearest_folder_with_a_project_file(tmp_path: Path) -> None:
    write(tmp_path, {"pyproject.toml": "", "deep/er/m.py": "", "other/lineal.toml": "", "other/n.py": ""})

    assert find_project_root(tmp_path / "deep/er/m.py") == tmp_path
    assert find_project_root(tmp_path / "other/n.py") == tmp_path / "other"


def test_the_state_differs_with_any_file_and_folder(tmp_path: Path) -> None:
    write(tmp_path, {"a.py": "x = 1"})
    states = [list(Sources.capture(tmp_path).state())]
    write(tmp_path, {"a.py": "x = 2"})
    states.append(list(Sources.capture(tmp_path).state()))
    (tmp_path / "b").mkdir()
    states.append(list(Sources.capture(tmp_path).state()))
    write(tmp_path, {"c.abi3.so": ""})
    states.append(list(Sources.capture(tmp_path).state()))

    assert all(one != other for i, one in enumerate(states) for other in states[:i])


def test_what_was_looked_at_is_named_also_where_it_was_left_out(tmp_path: Path) -> None:
    for name in ("a.py", "notes.md", "pack/b.py", "env/pyvenv.cfg", "env/c.py", "build/d.py", ".git/e.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    places = {str(Path(place).relative_to(tmp_path)) for place in Sources.capture(tmp_path).places()}

    assert places == {".", "a.py", "pack", "pack/b.py", "env", "build"}


def test_hidden_folders_are_no_part_of_the_state(tmp_path: Path) -> None:
    (tmp_path / "a.py").touch()
    before = list(Sources.capture(tmp_path).state())
    (tmp_path / ".cache").mkdir()

    assert list(Sources.capture(tmp_path).state()) == before
