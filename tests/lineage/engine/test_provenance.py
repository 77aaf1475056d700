"""Who ran what on which code: recorded without being asked."""

from __future__ import annotations

import subprocess
from pathlib import Path

from lineal.engine.provenance import Checkout, GitState, keep_code, parse_status
from lineal.fingerprint.sources import Sources
from lineal_store import open_store
from lineal_store.tree import Tree

STATUS = """\
# branch.oid 4b825dc642cb6eb9a060e54bf8d69288fbee4904
# branch.head main
# branch.upstream origin/main
# branch.ab +0 -0
"""


def test_a_clean_checkout_is_its_commit_and_branch() -> None:
    assert parse_status(STATUS) == Checkout("4b825dc642cb6eb9a060e54bf8d69288fbee4904", "main", dirty=False)


def test_a_changed_file_makes_it_dirty() -> None:
    found = parse_status(STATUS + "1 .M N... 100644 100644 100644 aaaa bbbb flights.py\n")

    assert found is not None
    assert found.dirty


def test_a_detached_head_has_no_branch() -> None:
    found = parse_status(STATUS.replace("head main", "head (detached)"))

    assert found is not None
    assert found.branch is None


def test_a_repository_without_a_commit_says_nothing() -> None:
    assert parse_status("# branch.oid (initial)\n# branch.head main\n") is None


def test_a_project_outside_of_git_has_no_commit(tmp_path: Path) -> None:
    assert GitState(tmp_path).wait() is None


def test_a_project_in_git_has_its_commit(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    git("init", "-q", "-b", "main")
    (tmp_path / "a.py").write_text("a = 1\n")
    git("add", "a.py")
    git("commit", "-q", "-m", "first")
    commit = git("rev-parse", "HEAD").strip()

    assert GitState(tmp_path).wait() == Checkout(commit, "main", dirty=False)
    (tmp_path / "a.py").write_text("a = 2\n")
    assert GitState(tmp_path).wait() == Checkout(commit, "main", dirty=True)
    changes = (GitState(tmp_path).read_diff() or b"").decode()
    assert "-a = 1\n+a = 2\n" in changes


def test_where_git_has_nothing_to_say_there_are_no_changes(tmp_path: Path) -> None:
    assert GitState(tmp_path).read_diff() is None


def test_the_code_is_kept_as_a_tree_of_the_very_bytes(tmp_path: Path) -> None:
    root = tmp_path / "project"
    (root / "pkg").mkdir(parents=True)
    (root / "flow.py").write_text("x = 1\n")
    (root / "pkg" / "__init__.py").write_text("")
    store = open_store(tmp_path / "store")

    digest = keep_code(store, Sources.capture(root))

    tree = Tree.decode(store.blobs.read(digest))
    assert {entry.path: store.blobs.read(entry.digest) for entry in tree.entries} == {
        "flow.py": b"x = 1\n",
        "pkg/__init__.py": b"",
    }


def test_code_that_is_kept_already_is_written_no_second_time(tmp_path: Path) -> None:
    root = tmp_path / "project"
    root.mkdir()
    (root / "flow.py").write_text("x = 1\n")
    store = open_store(tmp_path / "store")
    keep_code(store, Sources.capture(root))
    before = sorted((blob.digest, blob.size_bytes) for blob in store.blobs.list())

    keep_code(store, Sources.capture(root))

    assert sorted((blob.digest, blob.size_bytes) for blob in store.blobs.list()) == before
