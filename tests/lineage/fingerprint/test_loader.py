"""Running the bytes that were fingerprinted. Each test runs its project in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
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


def test_relative_imports_packages_and_namespaces_in_two_roots(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "pkg/__init__.py": "",
            "pkg/inner/__init__.py": "from ..b import x\n",
            "pkg/b.py": "from . import c\nx = c.x + 1\n",
            "pkg/c.py": "x = 1\n",
            "ns/one.py": "x = 1\n",
            "src/ns/two.py": "from .one import x\n",
        },
    )

    found = answers(
        tmp_path,
        """
        sys.path.insert(1, str(root / "src"))
        install(sources)
        import pkg.inner, ns.two
        spec = pkg.inner.__spec__
        print(json.dumps([
            pkg.inner.x, pkg.inner.__package__, spec.parent, spec.submodule_search_locations == list(pkg.inner.__path__),
            pkg.inner.__file__, ns.two.x, len(ns.__path__), pkg.b.__spec__.has_location, pkg.b.__spec__.cached,
        ]))
        """,
    )

    assert found == [2, "pkg.inner", "pkg.inner", True, f"{tmp_path}/pkg/inner/__init__.py", 1, 2, True, None]


def test_data_of_packages_is_read_from_the_disk_and_code_as_it_was_recorded(tmp_path: Path) -> None:
    write(tmp_path, {"pkg/__init__.py": "", "pkg/m.py": "x = 1\n", "pkg/data.txt": "old"})

    found = answers(
        tmp_path,
        """
        install(sources)
        import importlib.resources, pkgutil, pkg
        (root / "pkg" / "m.py").write_text("x = 2")
        (root / "pkg" / "data.txt").write_text("new")
        with importlib.resources.as_file(importlib.resources.files(pkg) / "data.txt") as path:
            shown = path.read_text()
        print(json.dumps([
            pkgutil.get_data("pkg", "data.txt").decode(), shown, pkgutil.get_data("pkg", "m.py").decode(),
        ]))
        """,
    )

    assert found == ["new", "new", "x = 1\n"]


def test_whoever_runs_or_imports_a_module_again_runs_what_was_recorded(tmp_path: Path) -> None:
    write(tmp_path, {"m.py": "x = 1\n", "pkg/__init__.py": "", "pkg/__main__.py": "x = 3\n"})

    found = answers(
        tmp_path,
        """
        install(sources)
        import importlib, runpy, m
        (root / "m.py").write_text("x = 2")
        (root / "pkg" / "__main__.py").write_text("x = 4")
        importlib.reload(m)
        print(json.dumps([m.x, runpy.run_module("m")["x"], runpy.run_module("pkg")["x"]]))
        """,
    )

    assert found == [1, 1, 3]


def test_lines_stay_those_that_were_recorded_whoever_asks(tmp_path: Path) -> None:
    write(tmp_path, {"m.py": "class C:\n    def f(self):\n        return 1\n\n\ndef g():\n    yield 2\n"})

    found = answers(
        tmp_path,
        """
        install(sources)
        import inspect, linecache, m
        (root / "m.py").write_text("# one line\\n")
        linecache.checkcache()
        first = inspect.getsource(m.C.f)
        (root / "m.py").unlink()
        print(json.dumps([first, inspect.getsource(m.g), inspect.getsourcefile(m.g), m.__loader__.get_source("m")[:7]]))
        """,
    )

    assert found == [
        "    def f(self):\n        return 1\n",
        "def g():\n    yield 2\n",
        str(tmp_path / "m.py"),
        "class C",
    ]


def test_bytes_that_are_no_utf_8_are_read_as_they_declare(tmp_path: Path) -> None:
    (tmp_path / "latin.py").write_bytes("# coding: latin-1\r\nx = 'é'\r\n".encode("latin-1"))
    (tmp_path / "marked.py").write_bytes(b"\xef\xbb\xbfx = '\xc3\xa9'\n")

    found = answers(
        tmp_path,
        """
        install(sources)
        import inspect, latin, marked
        print(json.dumps([latin.x, marked.x, inspect.getsource(latin)]))
        """,
    )

    assert found == ["é", "é", "# coding: latin-1\nx = 'é'\n"]


def test_modules_in_a_folder_used_in_place_run_without_bytecode(tmp_path: Path) -> None:
    """Also those that nobody read before: their stale bytecode is not run, and none is written."""
    write(
        tmp_path,
        {
            "project/m.py": "",
            "elsewhere/ed/__init__.py": "",
            "elsewhere/ed/sub/late.py": "k = 1\n",
            "elsewhere/env/lib/site-packages/dep.py": "k = 5\n",
        },
    )

    found = answers(
        tmp_path / "project",
        """
        import pkgutil, py_compile
        other = root.parent / "elsewhere"
        late = other / "ed" / "sub" / "late.py"
        before = os.stat(late)
        py_compile.compile(str(late))
        late.write_text("k = 2\\n")
        os.utime(late, ns=(before.st_atime_ns, before.st_mtime_ns))
        loader = install(sources, None, [str(other)])
        sys.path.insert(1, str(other))
        sys.path.append(str(other / "env" / "lib" / "site-packages"))
        import ed.sub.late, dep, inspect
        late.write_text("k = 3\\n")
        print(json.dumps([
            ed.sub.late.k, inspect.getsource(ed.sub.late), ed.sub.late.__cached__, loader.imported,
            [each.name for each in pkgutil.iter_modules(ed.sub.__path__)],
            sorted(path.name for path in other.rglob("ed/**/*.pyc")), type(dep.__loader__).__name__,
        ]))
        """,
    )

    place = str(tmp_path / "elsewhere" / "ed")
    assert found[:3] == [2, "k = 2\n", None]
    assert found[3] == [f"{place}/__init__.py", f"{place}/sub/late.py"]
    assert found[4] == ["late"]
    assert [name.partition(".")[0] for name in found[5]] == ["late"]  # the stale one
    assert found[6] == "SourceFileLoader"  # what is installed is left to the ordinary machinery


def test_an_editable_install_with_a_finder_of_its_own_runs_without_bytecode(tmp_path: Path) -> None:
    """As setuptools makes them: a finder on ``sys.meta_path`` that knows the package's place."""
    write(
        tmp_path,
        {"project/m.py": "", "elsewhere/ed/__init__.py": "k = 1\n", "elsewhere/ed/x.py": "k = 1\n"},
    )

    found = answers(
        tmp_path / "project",
        """
        from importlib.util import spec_from_file_location
        other = root.parent / "elsewhere"
        class Finder:
            @classmethod
            def find_spec(cls, fullname, path=None, target=None):
                if fullname == "ed":
                    place = other / "ed"
                    return spec_from_file_location(
                        fullname, place / "__init__.py", submodule_search_locations=[str(place)])
        sys.meta_path.append(Finder)
        loader = install(sources, None, [str(other)])
        import ed.x
        with_loader = [ed.k, ed.x.k, len(loader.imported), list(other.rglob("*.pyc"))]
        loader.uninstall()
        print(json.dumps([*with_loader, loader in sys.meta_path]))
        """,
    )

    assert found == [1, 1, 2, [], False]


def test_extension_modules_are_found_and_listed_beside_the_recorded_ones(tmp_path: Path) -> None:
    write(tmp_path, {"pkg/__init__.py": "", "pkg/m.py": ""})
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    (tmp_path / "pkg" / f"fast{suffix}").write_bytes(b"")

    found = answers(
        tmp_path,
        """
        install(sources)
        import importlib.util, pkgutil, pkg
        print(json.dumps([
            [each.name for each in pkgutil.iter_modules(pkg.__path__)],
            type(importlib.util.find_spec("pkg.fast").loader).__name__,
        ]))
        """,
    )

    assert found == [["fast", "m"], "ExtensionFileLoader"]


def test_whoever_watches_is_told_of_the_code_before_it_runs(tmp_path: Path) -> None:
    write(tmp_path, {"m.py": "import n\ndef f(): return 1\n", "n.py": ""})

    found = answers(
        tmp_path,
        """
        from contextlib import contextmanager
        loader, told = install(sources), []
        @contextmanager
        def around(code):
            told.append(f"begins {os.path.basename(code.co_filename)}")
            yield
            told.append(f"ends {os.path.basename(code.co_filename)}")
        loader.around = around
        import m
        print(json.dumps(told))
        """,
    )

    assert found == ["begins m.py", "begins n.py", "ends n.py", "ends m.py"]
