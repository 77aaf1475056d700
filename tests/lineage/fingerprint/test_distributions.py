"""Which distribution a module comes from, and in which version. (Whole projects: cases/dist_*,
cases/editable_*.)
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineal.fingerprint import Distributions, Fingerprinter, Sources
from lineal.fingerprint.distributions import Distribution


def install(
    site: Path, name: str, version: str, files: list[str], requires: list[str] | None = None, **more: str
) -> None:
    info = site / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    lines = "".join(f"Requires-Dist: {each}\n" for each in requires or [])
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{lines}\nRequires-Dist: text\n"
    )
    (info / "RECORD").write_text("".join(f"{file},sha256=x,1\n" for file in files))
    for file in files:
        (site / file).parent.mkdir(parents=True, exist_ok=True)
        (site / file).write_text("")
    for key, text in more.items():
        (info / f"{key}.json").write_text(text)


def test_modules_are_traced_to_the_distribution_whose_record_has_them(tmp_path: Path) -> None:
    install(tmp_path, "PyYAML", "6.0", ["yaml/__init__.py", "_yaml/__init__.py"])
    install(tmp_path, "six", "1.16", ["six.py"])
    install(tmp_path, "unused", "9", ["unused/__init__.py"])
    found = Distributions([str(tmp_path)])

    assert found.versions(["yaml.loader", "six.moves", "os.path"]) == {"pyyaml": "6.0", "six": "1.16"}


def test_requirements_are_followed_where_they_are_installed(tmp_path: Path) -> None:
    install(
        tmp_path,
        "a",
        "1",
        ["a/__init__.py"],
        ["b[fast] >=1 ; python_version > '3'", "gone", "e; extra == 'x'"],
    )
    install(tmp_path, "b", "2", ["b/__init__.py"], ["c.c (>=1)", 'd; extra == "fast"', "a"])
    install(tmp_path, "c_c", "3", ["c/__init__.py"])
    install(tmp_path, "d", "4", ["d/__init__.py"])
    install(tmp_path, "e", "5", ["e/__init__.py"])

    assert Distributions([str(tmp_path)]).versions(["a"]) == {"a": "1", "b": "2", "c-c": "3", "d": "4"}


def test_a_requirement_for_another_python_or_system_is_none(tmp_path: Path) -> None:
    install(
        tmp_path, "a", "1", ["a.py"], ["b; python_version < '3'", "c; sys_platform == 'of another world'"]
    )
    install(tmp_path, "b", "2", ["b.py"])
    install(tmp_path, "c", "3", ["c.py"])

    assert Distributions([str(tmp_path)]).versions(["a"]) == {"a": "1"}


def test_portions_of_a_namespace_package_belong_to_their_own_distributions(tmp_path: Path) -> None:
    install(tmp_path, "g-x", "1", ["g/x/__init__.py"])
    install(tmp_path, "g-y", "2", ["g/y.py"])
    found = Distributions([str(tmp_path)])

    assert found.versions(["g.x.thing"]) == {"g-x": "1"}
    assert found.versions(["g.y"]) == {"g-y": "2"}


def test_the_first_folder_on_the_search_path_counts(tmp_path: Path) -> None:
    install(tmp_path / "one", "a", "1", ["a/__init__.py"])
    install(tmp_path / "two", "a", "2", ["a/__init__.py"])

    assert Distributions([str(tmp_path / "one"), str(tmp_path / "two")]).versions(["a"]) == {"a": "1"}
    assert Distributions([str(tmp_path / "two"), str(tmp_path / "one")]).versions(["a"]) == {"a": "2"}


def test_the_commit_of_an_install_from_version_control_counts(tmp_path: Path) -> None:
    install(
        tmp_path,
        "a",
        "1",
        ["a.py"],
        direct_url='{"url": "u", "vcs_info": {"vcs": "git", "commit_id": "c0ffee"}}',
    )

    assert Distributions([str(tmp_path)]).versions(["a"]) == {"a": "1 (c0ffee)"}


@pytest.mark.parametrize("layout", ["pth", "finder", "src"])
def test_an_editable_install_is_project_code_however_it_is_made(tmp_path: Path, layout: str) -> None:
    site, home, project = tmp_path / "site-packages", tmp_path / "home", tmp_path / "project"
    code = {"pth": home / "lib", "finder": home / "odd", "src": home / "src"}[layout]
    (code / "ed").mkdir(parents=True)
    (code / "ed/__init__.py").write_text("K = 1\n")
    project.mkdir()
    (project / "pipeline.py").write_text("import ed\ndef stage(): return ed.K\n")
    files = {"pth": ["ed.pth"], "finder": ["__editable___ed_finder.py"], "src": []}[layout]
    install(
        site, "ed", "1", files, direct_url=json.dumps({"url": home.as_uri(), "dir_info": {"editable": True}})
    )
    if layout == "pth":
        (site / "ed.pth").write_text(f"import site\n{code}\n")
    elif layout == "finder":
        (site / files[0]).write_text(f"MAPPING: dict[str, str] = {{'ed': {str(code / 'ed')!r}}}\n")

    def compute() -> str:
        return (
            Fingerprinter(Sources.capture(project), distributions=Distributions([str(site)]))
            .stage("pipeline", "stage")
            .hex
        )

    before = compute()
    (code / "ed/__init__.py").write_text("K = 2\n")

    assert compute() != before


def test_a_folder_on_the_search_path_that_nothing_is_installed_in_is_project_code(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "project").mkdir()
    (tmp_path / "project/pipeline.py").write_text("import team\ndef stage(): return team.K\n")
    prints = set()
    for k in range(2):
        (tmp_path / "shared/team.py").write_text(f"K = {k}\n")
        found = Distributions([str(tmp_path / "shared")])
        prints.add(
            Fingerprinter(Sources.capture(tmp_path / "project"), distributions=found)
            .stage("pipeline", "stage")
            .hex
        )

    assert len(prints) == 2


def test_a_data_folder_of_the_project_does_not_hide_an_installed_package(tmp_path: Path) -> None:
    install(tmp_path / "site-packages", "a", "1", ["a/__init__.py"])
    (tmp_path / "project/a").mkdir(parents=True)
    (tmp_path / "project/a/rows.csv").write_text("")
    (tmp_path / "project/pipeline.py").write_text("import a\ndef stage(): return a.f()\n")
    found = Distributions([str(tmp_path / "site-packages")])

    assert Fingerprinter(Sources.capture(tmp_path / "project"), distributions=found).stage(
        "pipeline", "stage"
    ).distributions == {"a": "1"}


def test_entry_points_are_those_of_the_groups_asked_for(tmp_path: Path) -> None:
    install(tmp_path, "a", "1", ["a.py"])
    (tmp_path / "a-1.dist-info/entry_points.txt").write_text(
        "[console_scripts]\na = a:main\n\n# more\n[my.plugins]\nx = a:f [fast]\ny=a.b\n"
    )
    found = Distributions([str(tmp_path)])

    assert found.entry_points(["my.plugins", "none"]) == [
        ("my.plugins", "x", "a:f"),
        ("my.plugins", "y", "a.b"),
    ]
    assert found.entry_points([]) == []


@pytest.mark.parametrize("archive", [{"hash": "sha256=aa"}, {"hashes": {"sha256": "aa"}}])
def test_the_hash_of_an_installed_archive_is_part_of_the_version_however_it_is_written(
    archive: dict[str, object], tmp_path: Path
) -> None:
    install(tmp_path, "a", "1", ["a.py"])
    (tmp_path / "a-1.dist-info/direct_url.json").write_text(json.dumps({"url": "u", "archive_info": archive}))

    assert Distributions([str(tmp_path)]).installed() == {"a": "1 (sha256=aa)"}


def test_what_the_state_tells_of_is_named(tmp_path: Path) -> None:
    install(tmp_path, "six", "1.16", ["six.py"])
    found = Distributions([str(tmp_path), str(tmp_path / "none")])

    info = f"{tmp_path}/six-1.16.dist-info"
    assert set(found.places()) == {str(tmp_path), str(tmp_path / "none"), info, f"{info}/direct_url.json"}


def test_what_is_hidden_is_no_part_of_the_state(tmp_path: Path) -> None:
    install(tmp_path, "six", "1.16", ["six.py"])
    before = list(Distributions([str(tmp_path)]).state())
    (tmp_path / ".cache").mkdir()

    assert list(Distributions([str(tmp_path)]).state()) == before


def test_what_a_distribution_holds_does_not_depend_on_how_it_was_installed(tmp_path: Path) -> None:
    files = "a/b.py,sha256=b,1\na/__init__.py,sha256=a,1\n"
    by_pip = f"{files}a/__pycache__/b.cpython-311.pyc,,\n../../../bin/a,sha256=s,1\na-1.dist-info/INSTALLER,sha256=p,4\n"
    by_uv = "a/__init__.py,sha256=a,1\r\na/b.py,sha256=b,1\r\na-1.dist-info/uv_cache.json,sha256=u,9\r\n"
    other = files.replace("sha256=b", "sha256=c")
    found = []
    for place, record in (("pip", by_pip), ("uv", by_uv), ("other", other)):
        install(tmp_path / place, "a", "1", [])
        (tmp_path / place / "a-1.dist-info" / "RECORD").write_bytes(record.encode())
        found.append(Distributions([str(tmp_path / place)]).everything()[0].contents())

    assert found[0] == found[1]
    assert found[0] != found[2]


def plainly(record: bytes) -> str:
    """What `Distribution.contents` is, line by line: the recorded format."""
    kept = []
    for line in record.replace(b"\r\n", b"\n").split(b"\n"):
        match = re.match(rb"(.+,sha256=[^,]+),", line)
        if match is not None and b".dist-info/" not in match[1] and not match[1].startswith(b"../"):
            kept.append(match[1] + b"\n")
    return hashlib.sha256(b"".join(sorted(kept))).hexdigest()


def contents(record: bytes, folder: Path) -> str:
    (folder / "RECORD").write_bytes(record)
    return Distribution("a", "1", str(folder), str(folder)).contents()


RECORDS = {
    "nothing": b"",
    "no final newline": b"a.py,sha256=a,1\nb.py,sha256=b,2",
    "lines end as on Windows": b"b.py,sha256=b,2\r\na.py,sha256=a,1\r\n",
    "lines end in both ways": b"b.py,sha256=b,2\r\na.py,sha256=a,1\n",
    "no hash, no size": b"a.pyc,,\na.py,sha256=a,\nb.py,,3\n",
    "other hashes": b"a.py,md5=a,1\nb.py,sha512=b,2\nc.py,sha256=c,3\n",
    "a comma in a path": b'"a,1.py",sha256=a,1\n"b,sha256=2.py",,\n"c,sha256=3,.py",sha256=c,3\n',
    "a quotation mark in a path": b'"a""1.py",sha256=a,1\n',
    "not UTF-8": b"\xff\xe9.py,sha256=a,1\n",
    "too few fields": b"a.py,sha256=a\nb.py,sha256=b,2\nc.py\n\nd.py,sha256=d,4\n",
    "too many fields": b"a.py,sha256=a,1,2\nb.py,b,sha256=b,2\nc.py,sha256=c,sha256=d,3\n",
    "fields without anything": b",sha256=a,1\nb.py,sha256=,2\n,,\n",
    "what the installer adds": b"a-1.dist-info/INSTALLER,sha256=i,4\n../../bin/a,sha256=s,5\nz/../a.py,sha256=a,1\n",
}


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_what_a_distribution_holds_is_told_of_any_record(record: bytes, tmp_path: Path) -> None:
    assert contents(record, tmp_path) == plainly(record)


@given(
    st.lists(
        st.sampled_from(["a", "é", ",", ",", "\n", "\n", "\r", ",sha256=", '"', "../", ".dist-info/"]),
        max_size=25,
    )
)
def test_what_a_distribution_holds_is_told_whatever_the_record_is_like(pieces: list[str]) -> None:
    record = "".join(pieces).encode()
    with TemporaryDirectory() as folder:
        assert contents(record, Path(folder)) == plainly(record)


def test_what_is_installed_here_holds_what_its_records_say() -> None:
    records = [(each, Path(each.info, "RECORD")) for each in Distributions().everything()]

    told = {each.name: each.contents() for each, path in records if path.exists()}

    assert len(told) > 10
    assert told == {each.name: plainly(path.read_bytes()) for each, path in records if path.exists()}


@pytest.mark.parametrize(
    ("origin", "source"),
    [
        (
            {"url": "https://me:secret@host/r.git", "vcs_info": {"vcs": "git", "commit_id": "c0ffee"}, "subdirectory": "x"},
            "git+https://host/r.git@c0ffee#subdirectory=x",
        ),
        (
            {"url": "https://host/a-1.whl", "archive_info": {"hashes": {"sha256": "ab"}}},
            "https://host/a-1.whl#sha256=ab",
        ),
        ({"url": "file:///home/me/a", "dir_info": {}}, "file:///home/me/a"),
        ({"url": "file:///home/me/a", "dir_info": {"editable": True}}, None),
    ],
)  # fmt: skip
def test_where_it_comes_from_is_a_direct_reference_without_a_password(
    tmp_path: Path, origin: dict[str, object], source: str | None
) -> None:
    install(tmp_path, "a", "1", ["a.py"], direct_url=json.dumps(origin))

    assert Distributions([str(tmp_path)]).everything()[0].source == source


def test_what_conda_installed_does_not_come_from_the_folder_it_was_built_in(tmp_path: Path) -> None:
    install(tmp_path, "a", "1", ["a.py"], direct_url='{"url": "file:///croot/a", "dir_info": {}}')
    (tmp_path / "a-1.dist-info" / "INSTALLER").write_text("conda\n")

    assert Distributions([str(tmp_path)]).everything()[0].source is None


def test_all_that_a_distribution_requires_is_found_with_and_without_extras(tmp_path: Path) -> None:
    install(tmp_path, "a", "1", ["a.py"], ["b", "c; extra == 'more'"])
    install(tmp_path, "b", "2", ["b.py"], ["a"])
    install(tmp_path, "c", "3", ["c.py"])
    found = Distributions([str(tmp_path)])

    assert found.required_by("b") == {"a": "1", "b": "2"}
    assert found.required_by("a", extras=True) == {"a": "1", "b": "2", "c": "3"}
    assert found.required_by("gone") == {}
