"""Running the bytes that were fingerprinted. Each test runs its project in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

START = """
import importlib, json, os, sys
from pathlib import Path
from lineal.fingerprint import Sources, install
root = Path({root!r})
sys.path.insert(0, str(root))
sources = Sources.capture(root)
"""


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))


def answers(root: Path, script: str) -> Any:
    """What ``script``, run after the project was captured, prints as JSON on its last line."""
    text = START.format(root=str(root)) + textwrap.dedent(script)
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_save_after_the_capture_is_not_seen(tmp_path: Path) -> None:
    write(tmp_path, {"m.py": "x = 1\n"})

    found = answers(
        tmp_path,
        """
        install(sources)
        (root / "m.py").write_text("x = 2\\n")
        import m
        print(json.dumps([m.x, m.__file__, m.__cached__, m.__spec__.origin]))
        """,
    )

    assert found == [1, str(tmp_path / "m.py"), None, str(tmp_path / "m.py")]


def test_stale_bytecode_of_a_same_size_edit_is_not_run(tmp_path: Path) -> None:
    write(tmp_path, {"m.py": "x = 1\n"})

    found = answers(
        tmp_path,
        """
        import py_compile
        before = os.stat(root / "m.py")
        py_compile.compile(str(root / "m.py"))
        (root / "m.py").write_text("x = 2\\n")
        os.utime(root / "m.py", ns=(before.st_atime_ns, before.st_mtime_ns))
        install(Sources.capture(root))
        import m
        print(json.dumps([m.x, sorted(p.name for p in (root / "__pycache__").iterdir())]))
        """,
    )

    assert found[0] == 2
    assert len(found[1]) == 1  # the stale one: none was written


def test_packages_namespaces_and_resources_work(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "pkg/__init__.py": "from . import a\n",
            "pkg/a.py": "def f(): return __name__\n",
            "pkg/data.txt": "hello",
            "ns/part.py": "x = 5\n",
            "plain/only_data.txt": "",
        },
    )

    found = answers(
        tmp_path,
        """
        install(sources)
        import pkg, ns.part, pkgutil, importlib.resources
        print(json.dumps([
            pkg.a.f(), ns.part.x, importlib.resources.files("pkg").joinpath("data.txt").read_text(),
            [m.name for m in pkgutil.iter_modules(pkg.__path__)], importlib.util.find_spec("plain").origin,
        ]))
        """,
    )

    assert found == ["pkg.a", 5, "hello", ["a"], None]


def test_tracebacks_and_inspect_show_the_recorded_source_under_the_projects_path(tmp_path: Path) -> None:
    write(tmp_path, {"m.py": "def f():\n    raise ValueError('recorded')\n"})

    found = answers(
        tmp_path,
        """
        install(sources)
        (root / "m.py").write_text("# another line\\n" * 5)
        import inspect, traceback, m
        try: m.f()
        except ValueError: text = traceback.format_exc()
        print(json.dumps([text, inspect.getsource(m.f)]))
        """,
    )

    assert f"File \"{tmp_path}/m.py\", line 2, in f\n    raise ValueError('recorded')" in found[0]
    assert found[1].startswith("def f():\n    raise")


def test_a_module_saved_later_is_not_found_and_one_deleted_later_is(tmp_path: Path) -> None:
    write(tmp_path, {"m.py": "x = 1\n"})

    found = answers(
        tmp_path,
        """
        install(sources)
        (root / "m.py").unlink()
        (root / "late.py").write_text("x = 1")
        import m
        try: import late
        except ModuleNotFoundError: late = None
        print(json.dumps([m.x, late is None]))
        """,
    )

    assert found == [1, True]


def test_files_come_lazily_from_any_mapping_and_the_project_need_not_exist(tmp_path: Path) -> None:
    found = answers(
        tmp_path,
        """
        from collections.abc import Mapping
        class Store(Mapping):
            files, asked = {"m.py": b"import n\\n", "n.py": b"x = 3\\n", "unused.py": b"oops("}, []
            def __getitem__(self, name): self.asked.append(name); return self.files[name]
            def __iter__(self): return iter(self.files)
            def __len__(self): return len(self.files)
        store = Store()
        loader = install(store, "/nowhere/at/all")
        sys.path.insert(0, "/nowhere/at/all")
        import m
        print(json.dumps([m.n.x, m.__file__, sorted(set(store.asked)), loader.imported]))
        """,
    )

    assert found[:3] == [3, "/nowhere/at/all/m.py", ["m.py", "n.py"]]
    assert found[3] == ["/nowhere/at/all/m.py", "/nowhere/at/all/n.py"]


def test_virtual_environments_and_other_folders_are_left_to_the_ordinary_machinery(tmp_path: Path) -> None:
    write(tmp_path, {"m.py": "", "env/pyvenv.cfg": "", "env/lib/site-packages/dep.py": "x = 7\n"})

    found = answers(
        tmp_path,
        """
        install(sources)
        sys.path.append(str(root / "env/lib/site-packages"))
        import dep, json as standard
        print(json.dumps([dep.x, type(dep.__loader__).__module__ != "lineal.fingerprint.loader"]))
        """,
    )

    assert found == [7, True]


def test_after_uninstalling_modules_come_from_the_disk_again(tmp_path: Path) -> None:
    write(tmp_path, {"m.py": "x = 1\n", "n.py": "x = 1\n"})

    found = answers(
        tmp_path,
        """
        with install(sources):
            (root / "m.py").write_text("x = 22\\n")
            (root / "n.py").write_text("x = 22\\n")
            import m
        import n
        print(json.dumps([m.x, n.x]))
        """,
    )

    assert found == [1, 22]


def test_an_editable_package_read_before_runs_from_what_was_read(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"project/m.py": "import ed.x\n", "elsewhere/ed/__init__.py": "", "elsewhere/ed/x.py": "k = 1\n"},
    )

    found = answers(
        tmp_path / "project",
        """
        other = root.parent / "elsewhere"
        for name in ("__init__", "x"):
            sources.read(str(other / "ed" / f"{name}.py"))
        install(sources)
        sys.path.insert(1, str(other))
        (other / "ed" / "x.py").write_text("k = 2\\n")
        (other / "ed" / "later.py").write_text("k = 3\\n")
        import m, ed.later
        print(json.dumps([m.ed.x.k, ed.later.k]))
        """,
    )

    assert found == [1, 3]
