"""What a result depends on beyond the stage's own names: found by reviewers, each with a story."""

from __future__ import annotations

import gzip
import json

from support import Project


def test_an_edit_of_the_class_of_a_constant_argument_is_a_miss(project: Project) -> None:
    project.write(
        "ops.py",
        """
        from dataclasses import dataclass


        class Base:
            pass


        @dataclass(frozen=True)
        class Scale(Base):
            k: int

            def apply(self, x):
                return x * self.k


        @dataclass(frozen=True)
        class Shift(Base):
            k: int

            def apply(self, x):
                return x + self.k
        """,
    )
    project.write(
        "flow.py",
        """
        from lineal import pipeline, stage
        from ops import Base, Scale, Shift


        @stage
        def two() -> int:
            return 2


        @stage
        def apply(op: Base) -> int:
            return op.apply(10)


        @pipeline
        def flow() -> dict:
            return {"constant": apply(Scale(2)), "scale": apply(Scale(two())), "shift": apply(Shift(two()))}
        """,
    )
    first = project.json("run")
    assert set(project.json("run").words("cache").values()) == {"hit"}

    project.edit("ops.py", "x * self.k", "x * self.k + 1")
    second = project.json("run")

    assert len(set(first.document["outputs"].values())) == 2  # 20 twice, and 12
    misses = {name for name, cache in second.words("cache").items() if cache == "miss"}
    assert misses == {"apply", "apply#2"}
    assert second.document["outputs"]["constant"] != first.document["outputs"]["constant"]


def test_a_stage_that_is_not_what_its_module_calls_by_its_name_is_refused(project: Project) -> None:
    project.write(
        "flow.py",
        """
        import functools

        from lineal import pipeline, stage


        def times(n):
            def decorate(function):
                @functools.wraps(function)
                def wrapped(x: int) -> int:
                    return n * function(x)
                return wrapped
            return decorate


        def compute(x: int) -> int:
            return x


        triple = stage(times(3)(compute), name="triple")


        @pipeline
        def flow() -> int:
            return triple(5)
        """,
    )

    for executor in ("process", "inline"):
        ended = project.json("run", "--executor", executor)
        assert ended.code == 2
        assert "triple" in ended.error["message"]
        assert "under @stage" in ended.error["hint"]


def test_a_secret_is_in_nothing_that_a_run_leaves_behind(project: Project) -> None:
    project.write(
        "flow.py",
        """
        from lineal import Secret, pipeline, stage


        @stage
        def connect(token: Secret) -> int:
            print("connecting with", token.reveal())
            tell(token)
            raise ConnectionError(f"refused: {token.reveal()}")


        @stage
        def tell(token: Secret) -> bool:
            try:
                return open(f"for-{token.reveal()}.txt").read() == "x"
            except FileNotFoundError:
                return False


        @pipeline
        def flow(token: Secret) -> tuple:
            return connect(token), tell(token)
        """,
    )

    run = project.json("run", "token=hunter2-and-more")

    assert run.code == 1
    assert "reads for-***.txt" in run.document["warnings"][0]
    assert run.stages["connect"]["error"]["message"] == "refused: ***"
    assert "hunter2" not in run.out + run.err
    left = [path for path in (project.root / ".lineal").rglob("*") if path.is_file()]
    assert left
    assert not [path for path in left if b"hunter2" in path.read_bytes()]


def test_runs_at_the_same_moment_take_effect_once(project: Project) -> None:
    project.write(
        "flow.py",
        """
        import time

        from lineal import pipeline, stage


        @stage(effect=True)
        def deploy(log: str) -> str:
            with open(log, "a") as file:
                file.write("x")
            return log


        @pipeline
        def flow() -> str:
            return deploy("log.txt")
        """,
    )
    project.command("status")

    running = [project.start("run", "--json") for _ in range(4)]
    ended = [process.wait(60) for process in running]

    assert (project.root / "log.txt").read_text() == "x"
    assert ended.count(0) >= 1
    assert set(ended) <= {0, 1}
    assert project.json("run").words("cache") == {"deploy": "hit"}


def test_a_file_where_its_content_cannot_be_taken_in_is_refused(project: Project) -> None:
    project.write("x.txt", "1")
    project.write(
        "flow.py",
        """
        from lineal import File, pipeline, stage


        @stage
        def read(files: set[File]) -> int:
            return len(files)


        @pipeline
        def flow() -> int:
            return read({File("x.txt")})
        """,
    )

    run = project.json("run")

    assert run.code == 1
    assert "where its content cannot be taken in" in run.stages["read"]["error"]["message"]


def test_linked_folders_are_part_of_a_directory_and_lineals_own_is_not(project: Project) -> None:
    project.write("elsewhere/part/x.txt", "1")
    project.write("data/y.txt", "2")
    (project.root / "data" / "part").symlink_to("../elsewhere/part")
    project.write(
        "flow.py",
        """
        from lineal import Directory, pipeline, stage


        @stage
        def names(folder: Directory) -> list[str]:
            return sorted(path.name for path in folder.files())


        @pipeline
        def flow() -> dict:
            return {"data": names(Directory("data")), "all": names(Directory("."))}
        """,
    )

    assert project.command("run").code == 0
    assert project.json("show", "flow.data@latest").document["preview"]["value"] == ["x.txt", "y.txt"]
    again = project.json("run")
    assert set(again.words("cache").values()) == {"hit"}
    project.write("elsewhere/part/x.txt", "3")
    assert project.json("run").words("cache")["names"] == "miss"


def test_a_file_goes_by_its_parameter_and_its_own_name_changes_nothing(project: Project) -> None:
    """Content is what counts: a stage that could see the name would have another result under the same key."""
    for name in ("2013.csv", "other/2014.csv", "2015.tsv"):
        project.write(name, "a,b\n")
    project.write(
        "flow.py",
        """
        import os
        from lineal import Directory, File, pipeline, stage


        @stage
        def seen(source: File, folder: Directory, several: list[File]) -> list[str]:
            paths = [source, folder, *several]
            return [*map(repr, paths), *(os.path.basename(os.fspath(path)) for path in paths)]


        @pipeline
        def flow(source: str, folder: str = "other") -> list:
            return seen(File(source), Directory(folder), [File(source), File("2015.tsv")])
        """,
    )

    first = project.json("run", "source=2013.csv")

    names = ["source.csv", "folder", "several-0.csv", "several-1.tsv"]
    files = [
        f"{kind}('{name}')" for kind, name in zip(("File", "Directory", "File", "File"), names, strict=True)
    ]
    assert json.loads(project.value(first.document["outputs"]["result"])) == files + names
    assert first.document["warnings"] == []
    assert project.json("run", "source=other/2014.csv").words("cache") == {"seen": "hit"}
    project.copied(project.root.parent / "copy")
    (project.root / "other").rename(project.root / "moved")
    assert project.json("run", "source=moved/2014.csv", "folder=moved").words("cache") == {"seen": "hit"}


def test_how_a_name_ends_counts_for_readers_go_by_it(project: Project) -> None:
    data = gzip.compress(b"a,b\n1,2\n")
    for name in ("one.csv.gz", "two.csv.gz", "three.csv"):
        (project.root / name).write_bytes(data)
    project.write(
        "flow.py",
        """
        import os
        from lineal import File, output, pipeline, stage


        @stage
        def ends(source: File) -> str:
            return os.fspath(source).partition("source")[2].partition("source")[2]


        @stage
        def copy(source: File, name: str) -> File:
            path = output(name)
            path.write_bytes(source.path.read_bytes())
            return File(path)


        @pipeline
        def flow(source: str, name: str) -> tuple[str, str]:
            return ends(File(source)), ends(copy(File(source), name))
        """,
    )

    first = project.json("run", "source=one.csv.gz", "name=x.txt")

    assert [project.value(digest) for digest in first.document["outputs"].values()] == [
        b'".csv.gz"',
        b'".txt"',
    ]
    assert set(project.json("run", "source=two.csv.gz", "name=x.txt").words("cache").values()) == {"hit"}
    assert project.json("run", "source=three.csv", "name=x.txt").words("cache")["ends"] == "miss"
    renamed = project.json("run", "source=one.csv.gz", "name=x.bin")
    assert renamed.words("cache") == {"ends": "hit", "copy": "miss", "ends#2": "miss"}


def test_a_look_at_the_url_of_a_file_is_told_and_not_cached_where_strict_is_set(project: Project) -> None:
    project.write("2013.csv", "a,b\n")
    project.write(
        "flow.py",
        """
        from lineal import File, pipeline, stage


        @stage
        def year(source: File) -> str:
            return source.url


        @pipeline
        def flow() -> str:
            return year(File("2013.csv"))
        """,
    )

    (warning,) = project.json("run").document["warnings"]

    assert warning.startswith("`year` looks at the URL of source (flow.py:7), which is no part of")
    project.write("lineal.toml", "strict = true\n")
    project.command("run")
    assert project.json("run").words("cache", "reason") == {"year": ("miss", "uncached")}


def test_a_misspelt_field_of_a_parameter_is_told(project: Project) -> None:
    project.write(
        "flow.py",
        """
        from dataclasses import dataclass

        from lineal import pipeline, stage


        @dataclass
        class Config:
            depth: int = 3


        @stage
        def train(config: Config) -> int:
            return config.depth


        @pipeline
        def flow(config: Config = Config()) -> int:
            return train(config)
        """,
    )

    ended = project.json("run", 'config={"dpth": 4}')

    assert ended.code == 2
    assert "depth" in ended.error["message"]
