"""`lineal reproduce`: what a past run made is made again from the store alone, and compared."""

from __future__ import annotations

import os
import shutil
import signal
import zipfile
from pathlib import Path

import pytest
from s3_servers import Server
from support import Project
from wheels import write_wheel

from lineal_store import Digest


@pytest.fixture
def elsewhere(tmp_path: Path) -> Project:
    """An empty folder, with nothing but the way to the project's store."""
    other = Project(tmp_path / "elsewhere")
    other.root.mkdir()
    other.variables["LINEAL_STORE"] = str(Project(tmp_path / "project").store)
    return other


def move_on(project: Project) -> None:
    """What happens to a project in a year."""
    project.edit("helper.py", "number * factor", "number - factor")
    project.edit("flow.py", "def load(source: File) -> list[int]:", "def load(source: File) -> list[float]:")
    project.write("raw.txt", "9 9 9")


def test_a_file_is_rebuilt_bit_for_bit_after_the_project_moved_on_and_its_source_was_overwritten(
    flow: Project, elsewhere: Project
) -> None:
    model = elsewhere.root / "found.dat"
    flow.command("get", "flow.model@latest", "-o", str(model))
    move_on(flow)

    ended = elsewhere.json("reproduce", "found.dat", "--html", "report.html")

    document = ended.document
    assert ended.code == 0, ended.err
    assert (document["verdict"], document["first_difference"]) == ("identical", None)
    assert document["executed"] == ["load", "train"]
    assert document["environment"] == "same"
    assert {(one["stage"], one["output"]): one["verdict"] for one in document["artifacts"]} == {
        ("load", "result"): "identical",
        ("train", "model"): "identical",
        ("train", "metrics"): "identical",
    }
    assert all(one["expected"] == one["actual"] for one in document["artifacts"])
    page = (elsewhere.root / "report.html").read_text()
    assert "identical" in page
    assert "<script" not in page


def test_the_trace_of_what_was_rebuilt_tells_of_it_from_then_on(flow: Project) -> None:
    document = flow.json("reproduce", "flow.model@latest", LOGNAME="ann").document

    trace = flow.json("trace", "flow.model@latest").document
    [entry] = next(node for node in trace["nodes"] if node["digest"] == trace["digest"])["reproductions"]
    assert (entry["verdict"], entry["who"], entry["environment"]) == ("identical", "ann", "same")
    assert entry["report"] == document["report"]
    assert b'"identical"' in flow.value(document["report"])
    text = flow.command("trace", "flow.model@latest").out
    assert f"reproduced bit for bit on {entry['at'][:10]} by ann" in text


def test_the_plan_says_what_would_be_done_and_does_nothing(flow: Project) -> None:
    before = everything(flow.store)

    document = flow.json("reproduce", "flow.model@latest", "-n").document

    assert document["verdict"] is None
    assert [stage["id"] for stage in document["plan"]["stages"]] == ["load", "train"]
    assert [source["url"] for source in document["plan"]["sources"]] == ["raw.txt"]
    assert document["plan"]["missing"] == []
    assert everything(flow.store) == before


def test_a_hit_is_rebuilt_with_the_code_that_made_it(flow: Project) -> None:
    made_in = flow.json("runs").document["runs"][0]["run_id"]
    flow.write("unrelated.py", "VALUE = 1\n")
    flow.json("run", "source=raw.txt")

    document = flow.json("reproduce", "flow.model@latest").document

    assert document["made"]["run_id"] == made_in
    assert document["verdict"] == "identical"


def test_a_hit_on_the_content_of_another_file_is_rebuilt_from_the_content(flow: Project) -> None:
    flow.write("copy.txt", "1 2 3")
    flow.edit("flow.py", '{"total"', '{"count": 1.0, "total"')
    flow.json("run", "source=copy.txt")

    document = flow.json("reproduce", "flow.model@latest").document

    assert (document["verdict"], document["executed"]) == ("identical", ["load", "train"])


def test_a_run_is_rebuilt_as_a_whole(flow: Project) -> None:
    run_id = flow.json("runs").document["runs"][0]["run_id"]

    document = flow.json("reproduce", run_id).document

    assert (document["verdict"], document["executed"]) == ("identical", ["load", "train"])


def test_until_ends_early(flow: Project) -> None:
    document = flow.json("reproduce", "flow.model@latest", "--until", "load", "--keep").document

    assert (document["verdict"], document["executed"]) == ("identical", ["load"])
    folder = Path(document["folder"])
    assert (folder / "project" / "helper.py").read_text() == (flow.root / "helper.py").read_text()
    shutil.rmtree(folder)
    assert flow.json("reproduce", "flow.model@latest", "--until", "tarin").code == 2


def test_another_parameter_shows_what_it_would_have_changed(flow: Project) -> None:
    ended = flow.json("reproduce", "flow.model@latest", "--with", "factor=3")

    document = ended.document
    assert ended.code == 4
    assert (document["verdict"], document["first_difference"]) == ("different", "train")
    assert document["diagnosis"] == "parameters"
    verdicts = {(one["stage"], one["output"]): one["verdict"] for one in document["artifacts"]}
    assert verdicts["train", "model"] == "different"
    assert verdicts["load", "result"] == verdicts["train", "metrics"] == "identical"
    assert document["report"] is None
    assert flow.json("reproduce", "flow.model@latest", "--with", "facter=3").document["problem"] is not None


def test_mapped_stages_are_rebuilt_item_by_item(project: Project) -> None:
    project.write(
        "flow.py",
        """
        import time

        from lineal import File, pipeline, stage


        @stage
        def read(source: File) -> int:
            return int(source.path.read_text())


        @stage
        def numbers(first: int) -> list[int]:
            return [first, 2, 3]


        @stage
        def square(number: int) -> float:
            return float(number * number) if number != 2 else time.time()


        @stage
        def total(squares: list[float]) -> float:
            return sum(squares)


        @pipeline
        def flow() -> float:
            firsts = read.map([File("a.txt"), File("b.txt")])
            return total(square.map(numbers(firsts[1])))
        """,
    )
    project.write("a.txt", "7")
    project.write("b.txt", "1")
    assert project.command("run").code == 0
    project.write("b.txt", "5")

    document = project.json("reproduce", "flow@latest").document

    verdicts = {one["stage"]: one["verdict"] for one in document["artifacts"]}
    assert verdicts["read[0]"] == verdicts["read[1]"] == verdicts["numbers"] == "identical"
    assert [verdicts[f"square[{place}]"] for place in range(3)] == ["identical", "different", "identical"]
    assert verdicts["square"] == verdicts["total"] == "different"
    assert document["first_difference"] == "square[1]"
    assert document["diagnosis"] == "nondeterministic"


def test_effects_are_never_executed_and_what_they_were_given_is_rebuilt(project: Project) -> None:
    project.keep_journal()
    project.write(
        "flow.py",
        """
        from lineal import pipeline, stage

        from journal import note


        @stage
        def train() -> list[int]:
            return [1, 2, 3]


        @stage(effect=True)
        def deploy(model: list[int]) -> str:
            note("deployed")
            with open("deployed.txt", "w") as stream:
                stream.write(f"model: {model}")
            return "done"


        @stage
        def announce(answer: str) -> str:
            return answer.upper()


        @pipeline
        def flow() -> str:
            return announce(deploy(train()))
        """,
    )
    assert project.command("run").code == 0
    assert project.journal() == ["deployed"]
    (project.root / "deployed.txt").rename(project.root / "found.txt")

    document = project.json("reproduce", "found.txt").document
    after = project.json("reproduce", "flow@latest")

    assert (document["verdict"], document["executed"]) == ("identical", ["train"])
    assert document["not_executed"] == {"deploy": "effects are never executed"}
    assert any("deploy" in note for note in document["notes"])
    assert document["name"] == "deploy's deployed.txt"
    assert (after.code, after.document["verdict"]) == (4, "not_reproducible")
    assert after.document["first_difference"] == "announce"
    assert project.journal() == []
    assert not (project.root / "deployed.txt").exists()


def test_a_file_that_an_ordinary_stage_left_outside_the_store_is_compared(project: Project) -> None:
    project.write(
        "flow.py",
        """
        from lineal import pipeline, stage


        @stage
        def write(text: str) -> int:
            with open("left.txt", "w") as stream:
                stream.write(text)
            return len(text)


        @pipeline
        def flow(text: str = "some text") -> int:
            return write(text)
        """,
    )
    project.command("run")
    left = project.root / "left.txt"
    left.rename(project.root / "found.txt")

    document = project.json("reproduce", "found.txt").document

    assert [(one["output"], one["verdict"]) for one in document["artifacts"]] == [
        ("result", "identical"),
        ("left.txt", "identical"),
    ]
    assert not left.exists()


def test_a_stage_that_is_not_deterministic_is_told_as_that_with_what_it_calls(project: Project) -> None:
    project.write(
        "flow.py",
        """
        import uuid

        from lineal import pipeline, stage


        @stage
        def draw() -> str:
            return str(uuid.uuid4())


        @stage
        def use(drawn: str) -> str:
            return drawn.upper()


        @pipeline
        def flow() -> str:
            return use(draw())
        """,
    )
    project.command("run")

    ended = project.json("reproduce", "flow@latest")

    document = ended.document
    assert (ended.code, document["verdict"], document["first_difference"]) == (4, "different", "draw")
    assert document["diagnosis"] == "nondeterministic"
    assert "uuid.uuid4" in document["causes"][0]


def test_what_a_stage_reads_without_declaring_it_is_named_where_it_has_changed(
    project: Project, tmp_path: Path
) -> None:
    setting = tmp_path / "setting.txt"
    setting.write_text("then")
    project.write(
        "flow.py",
        f"""
        from lineal import pipeline, stage


        @stage
        def read() -> str:
            return open({str(setting)!r}).read()


        @pipeline
        def flow() -> str:
            return read()
        """,
    )
    project.command("run")
    setting.write_text("now")

    document = project.json("reproduce", "flow@latest").document

    assert (document["verdict"], document["diagnosis"]) == ("different", "drift")
    [artifact] = document["artifacts"]
    assert "then" in artifact["detail"]
    assert "now" in artifact["detail"]
    assert any(str(setting) in cause for cause in document["causes"])


def test_a_file_of_the_project_that_no_stage_declares_is_missed_with_its_name(project: Project) -> None:
    project.write(
        "flow.py",
        """
        from pathlib import Path

        from lineal import pipeline, stage


        @stage
        def read() -> str:
            return (Path(__file__).parent / "words.txt").read_text()


        @pipeline
        def flow() -> str:
            return read()
        """,
    )
    project.write("words.txt", "words")
    project.command("run")

    ended = project.json("reproduce", "flow@latest")

    document = ended.document
    assert (ended.code, document["verdict"], document["diagnosis"]) == (4, "not_reproducible", "failed")
    assert "words.txt" in document["artifacts"][0]["detail"]
    assert any("words.txt" in cause for cause in document["causes"])


def test_declared_files_and_code_from_outside_the_project_are_part_of_what_is_restored(
    project: Project, elsewhere: Project, tmp_path: Path
) -> None:
    library = tmp_path / "library"
    library.mkdir()
    (library / "shared.py").write_text("def double(number):\n    return 2 * number\n")
    project.variables["PYTHONPATH"] = str(library)
    project.write(
        "flow.py",
        """
        from pathlib import Path

        from lineal import pipeline, stage

        from shared import double


        @stage(reads=["numbers/*.txt"])
        def read() -> int:
            return sum(double(int(path.read_text())) for path in (Path(__file__).parent / "numbers").glob("*.txt"))


        @pipeline
        def flow() -> int:
            return read()
        """,
    )
    project.write("numbers/a.txt", "1")
    project.write("numbers/b.txt", "2")
    digest = project.json("run").document["outputs"]["result"]
    (library / "shared.py").write_text("def double(number):\n    return 3 * number\n")
    shutil.rmtree(project.root / "numbers")

    document = elsewhere.json("reproduce", digest).document

    assert document["verdict"] == "identical", document


def test_a_file_that_is_declared_by_its_absolute_path_must_be_what_it_was(
    project: Project, tmp_path: Path
) -> None:
    words = tmp_path / "words.txt"
    words.write_text("then")
    project.write(
        "flow.py",
        f"""
        from lineal import pipeline, stage


        @stage(reads=[{str(words)!r}])
        def read() -> str:
            return open({str(words)!r}).read()


        @pipeline
        def flow() -> str:
            return read()
        """,
    )
    project.command("run")
    same = project.json("reproduce", "flow@latest").document
    words.write_text("now")
    changed = project.json("reproduce", "flow@latest").document

    assert same["verdict"] == "identical"
    assert (changed["verdict"], changed["executed"]) == ("not_reproducible", [])
    assert [(one["kind"], one["name"]) for one in changed["plan"]["missing"]] == [("file", str(words))]


def test_a_run_in_one_process_is_rebuilt_in_one_process(project: Project) -> None:
    project.write("lineal.toml", 'executor = "inline"')
    project.write(
        "flow.py",
        """
        import os

        from lineal import pipeline, stage


        @stage
        def threads() -> str:
            return os.environ.get("OMP_NUM_THREADS", "not told")


        @pipeline
        def flow() -> str:
            return threads()
        """,
    )
    project.command("run")

    assert project.json("reproduce", "flow@latest").document["verdict"] == "identical"


def test_a_lost_input_is_named_and_nothing_is_executed(flow: Project) -> None:
    remove(flow, Digest.of(b"1 2 3"))

    ended = flow.json("reproduce", "flow.model@latest")

    document = ended.document
    assert (ended.code, document["verdict"], document["executed"]) == (4, "not_reproducible", [])
    [missing] = document["plan"]["missing"]
    assert (missing["kind"], missing["name"]) == ("input", "raw.txt")
    assert flow.command("reproduce", "flow.model@latest", "-n").code == 4


def test_an_edited_blob_is_not_taken_for_what_it_is_called(flow: Project) -> None:
    edit(flow, Digest.of(b"1 2 3"), b"1 2 4")

    document = flow.json("reproduce", "flow.model@latest").document

    assert (document["verdict"], document["executed"]) == ("not_reproducible", [])
    assert Digest.of(b"1 2 3").short in document["plan"]["missing"][0]["problem"]


def test_an_edited_copy_of_the_model_is_rebuilt_and_said_to_be_damaged(flow: Project) -> None:
    digest = flow.json("run").document["outputs"]["model"]
    edit(flow, Digest.parse(digest), b"[0, 0, 0]")

    document = flow.json("reproduce", digest).document

    assert document["verdict"] == "identical"
    assert any("damaged" in note for note in document["notes"])


def test_bytes_that_no_stage_made_are_refused(flow: Project) -> None:
    flow.write("other.bin", "never seen")

    assert flow.json("reproduce", "other.bin").code == 1
    ended = flow.json("reproduce", "raw.txt")
    assert (ended.code, ended.error["kind"]) == (1, "not_found")


def test_a_secret_has_to_be_given_again_where_a_stage_needs_it(project: Project) -> None:
    project.write(
        "flow.py",
        """
        from typing import NamedTuple

        from lineal import Secret, pipeline, stage


        class Both(NamedTuple):
            length: int
            plain: str


        @stage
        def measure(password: Secret) -> int:
            return len(password.reveal())


        @stage
        def plain() -> str:
            return "plain"


        @pipeline
        def flow(password: Secret) -> Both:
            return Both(measure(password), plain())
        """,
    )
    project.command("run", "password=hunter2")

    lacks = project.json("reproduce", "flow.length@latest").document
    plain = project.json("reproduce", "flow.plain@latest").document
    given = project.json("reproduce", "flow.length@latest", "--with", "password=hunter2")

    assert (lacks["verdict"], lacks["executed"]) == ("not_reproducible", [])
    assert "secret password" in lacks["artifacts"][0]["detail"]
    assert (plain["verdict"], plain["executed"]) == ("identical", ["plain"])
    assert (given.document["verdict"], given.document["executed"]) == ("identical", ["measure"])
    assert "hunter2" not in given.out + given.err


def test_numbers_may_differ_within_a_tolerance(project: Project, tmp_path: Path) -> None:
    noise = tmp_path / "noise.txt"
    noise.write_text("0.0")
    project.write(
        "models.py", "class Model:\n    def __init__(self, fitted):\n        self.fitted = fitted\n"
    )
    project.write(
        "flow.py",
        f"""
        from typing import NamedTuple

        import numpy as np
        import pyarrow as pa

        from lineal import Metrics, pipeline, stage
        from models import Model


        class Made(NamedTuple):
            table: pa.Table
            array: np.ndarray
            metrics: Metrics
            model: Model


        @stage
        def make() -> Made:
            noise = float(open({str(noise)!r}).read())
            table = pa.table({{"name": ["a", "b"], "number": [1.0, 2.0 + noise]}})
            model = Model({{"weights": [1.0, 2.0 + noise]}})
            return Made(table, np.array([3.0, 4.0 + noise]), {{"auc": 0.9 + noise}}, model)


        @pipeline
        def flow() -> Made:
            return make()
        """,
    )
    run_id = project.json("run").document["run_id"]
    noise.write_text("1e-9")

    near = project.json("reproduce", run_id, "--rtol", "1e-6", "--trust")
    far = project.json("reproduce", run_id, "--atol", "1e-12")

    assert (near.code, near.document["verdict"]) == (0, "within_tolerance")
    assert {one["verdict"] for one in near.document["artifacts"]} == {"within_tolerance"}
    assert (far.code, far.document["verdict"]) == (4, "different")
    details = {one["output"]: one["detail"] for one in far.document["artifacts"]}
    assert "`number`, row 1" in details["table"]
    assert "norm of the difference 1e-09" in details["array"]
    assert '"auc"' in details["metrics"]
    assert details["model"].startswith("other bytes of a pickle")


def test_a_run_that_was_killed_can_be_rebuilt_as_far_as_it_came(project: Project) -> None:
    gate = project.gate("held")
    project.write(
        "flow.py",
        """
        from lineal import pipeline, stage

        from gates import wait_at


        @stage
        def first() -> list[int]:
            return [1, 2, 3]


        @stage
        def second(numbers: list[int]) -> int:
            wait_at("held")
            return sum(numbers)


        @pipeline
        def flow() -> int:
            return second(first())
        """,
    )
    process = project.start("run")
    gate.meet()
    process.kill()
    project.ended(process)
    gate.open()

    document = project.json("reproduce", str(Digest.of(b"[1,2,3]"))).document

    assert (document["verdict"], document["executed"]) == ("identical", ["first"])


@pytest.mark.parametrize("end", ["Ctrl-C", "kill -9"])
def test_broken_off_it_leaves_project_and_store_as_they_were_and_nothing_behind(
    project: Project, tmp_path: Path, end: str
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    project.variables["TMPDIR"] = str(temporary)
    project.write(
        "flow.py",
        """
        from lineal import pipeline, stage

        from gates import wait_at


        @stage
        def wait() -> int:
            wait_at("held")
            return 1


        @pipeline
        def flow() -> int:
            return wait()
        """,
    )
    project.gate("another")
    project.command("run")
    gate = project.gate("held")
    before = everything(project.root)

    process = project.start("reproduce", "flow@latest")
    gate.meet()
    process.send_signal(signal.SIGINT if end == "Ctrl-C" else signal.SIGKILL)
    ended = project.ended(process)

    assert gate.is_left()
    assert ended.code == (130 if end == "Ctrl-C" else -signal.SIGKILL)
    assert everything(project.root) == before
    if end == "Ctrl-C":
        assert list(temporary.glob("lineal-reproduce-*")) == []


def test_a_colleague_rebuilds_a_model_from_the_file_and_a_bucket_that_he_may_only_read(
    flow: Project, tmp_path: Path, bucket: str, s3_server: Server
) -> None:
    ann, bob = flow.copied(tmp_path / "ann"), Project(tmp_path / "bob")
    bob.root.mkdir()
    ann.variables |= {**s3_server.environment, "LINEAL_STORE": f"s3://{bucket}/store"}
    assert s3_server.read_only_environment is not None
    bob.variables |= {
        **s3_server.read_only_environment,
        "LINEAL_STORE": f"s3://{bucket}/store",
        "LOGNAME": "bob",
    }
    ann.json("run")
    ann.command("get", "flow.model@latest", "-o", str(bob.root / "model.bin"))
    move_on(ann)

    ended = bob.json("reproduce", "model.bin")

    assert (ended.code, ended.document["verdict"], ended.document["report"]) == (0, "identical", None)


def test_models_of_scikit_learn_with_default_constructors_are_rebuilt_bit_for_bit(
    project: Project, elsewhere: Project
) -> None:
    project.write(
        "flow.py",
        """
        from typing import NamedTuple

        import numpy as np
        import pandas as pd
        from lineal import File, pipeline, stage
        from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
        from sklearn.linear_model import LogisticRegression


        class Trained(NamedTuple):
            boosted: HistGradientBoostingClassifier
            forest: RandomForestClassifier
            logistic: LogisticRegression
            noise: np.ndarray


        @stage
        def load(source: File) -> pd.DataFrame:
            table = pd.read_csv(source)
            return table.assign(c=np.random.default_rng(7).normal(size=len(table)))


        @stage
        def train(table: pd.DataFrame) -> Trained:
            columns = table[["a", "b", "c"]]
            fitted = [
                kind.fit(columns, table["y"])
                for kind in (
                    HistGradientBoostingClassifier(max_iter=10),
                    RandomForestClassifier(n_estimators=10),
                    LogisticRegression(),
                )
            ]
            return Trained(*fitted, np.random.normal(size=10))


        @pipeline
        def flow() -> Trained:
            return train(load(File("raw.csv")))
        """,
    )
    rows = "".join(f"{n % 17},{n * n % 23},{n * 7 % 3 % 2}\n" for n in range(300))
    project.write("raw.csv", "a,b,y\n" + rows)
    project.command("run")
    forest = elsewhere.root / "forest.joblib"
    project.command("get", "flow.forest@latest", "-o", str(forest))
    project.write("raw.csv", "a,b,y\n1,2,0\n")

    document = elsewhere.json("reproduce", "forest.joblib").document

    assert {one["output"]: one["verdict"] for one in document["artifacts"]} == {
        "result": "identical",
        "boosted": "identical",
        "forest": "identical",
        "logistic": "identical",
        "noise": "identical",
    }


def test_frames_of_polars_are_a_hit_and_are_rebuilt_bit_for_bit(project: Project, elsewhere: Project) -> None:
    project.write(
        "flow.py",
        """
        from typing import Annotated

        import polars as pl
        from lineal import File, Schema, field, pipeline, stage


        class Flights(Schema):
            carrier: Annotated[str, field(dtype="category", isin=("AA", "UA"))]
            delay: Annotated[int, field(ge=0)]


        @stage
        def load(source: File) -> Annotated[pl.DataFrame, Flights]:
            return pl.read_csv(source.path).with_columns(pl.col("carrier").cast(pl.Enum(["UA", "AA"])))


        @stage
        def total(flights: Annotated[pl.DataFrame, Flights]) -> pl.DataFrame:
            return flights.group_by("carrier").agg(pl.col("delay").sum()).sort("carrier")


        @pipeline
        def flow() -> pl.DataFrame:
            return total(load(File("raw.csv")))
        """,
    )
    project.write("raw.csv", "carrier,delay\nAA,1\nUA,2\nAA,3\n")
    first = project.json("run")
    assert first.code == 0, first.err
    assert project.json("run").words("cache") == {"load": "hit", "total": "hit"}
    project.command("get", "flow@latest", "-o", str(elsewhere.root / "total.parquet"))
    project.write("raw.csv", "carrier,delay\nUA,9\n")

    document = elsewhere.json("reproduce", "total.parquet").document

    assert document["executed"] == ["load", "total"]
    assert [one["verdict"] for one in document["artifacts"]] == ["identical", "identical"]


def test_a_package_that_has_changed_is_named_and_the_one_of_then_is_installed(
    project: Project, tmp_path: Path
) -> None:
    site, wheels = tmp_path / "site", tmp_path / "wheels"
    project.variables |= {
        "PYTHONPATH": str(site),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "UV_CACHE_DIR": str(tmp_path / "uv"),
        "UV_NO_CONFIG": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheels),
    }
    project.write(
        "flow.py",
        """
        import colours
        from lineal import pipeline, stage


        @stage
        def paint() -> str:
            return f"painted with {colours.VERSION}"


        @pipeline
        def flow() -> str:
            return paint()
        """,
    )
    then = write_wheel(wheels, "colours", "1.0")
    zipfile.ZipFile(then).extractall(site)
    digest = project.json("run").document["outputs"]["result"]
    shutil.rmtree(site)
    zipfile.ZipFile(write_wheel(wheels, "colours", "2.0")).extractall(site)

    today = project.json("reproduce", digest, "--current-env").document
    then.rename(tmp_path / then.name)
    unavailable = project.json("reproduce", digest).document
    (tmp_path / then.name).rename(then)
    rebuilt = project.json("reproduce", digest).document

    assert (unavailable["verdict"], unavailable["executed"]) == ("not_reproducible", [])
    assert [one["kind"] for one in unavailable["plan"]["missing"]] == ["packages"]
    assert "colours" in unavailable["artifacts"][0]["detail"]
    assert (today["verdict"], today["environment"], today["diagnosis"]) == ("different", "current", "drift")
    assert "colours 1.0 is 2.0 here" in today["causes"][0]
    assert (rebuilt["verdict"], rebuilt["environment"]) == ("identical", "rebuilt"), rebuilt


# -- helpers ----------------------------------------------------------------------------------


def everything(folder: Path) -> dict[str, bytes]:
    """The files below a folder, with their bytes."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_fifo())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def blob(project: Project, digest: Digest) -> Path:
    return project.store / "blobs" / digest.hex[:2] / digest.hex[2:]


def remove(project: Project, digest: Digest) -> None:
    path = blob(project, digest)
    path.parent.chmod(0o755)
    path.unlink()


def edit(project: Project, digest: Digest, data: bytes) -> None:
    path = blob(project, digest)
    path.chmod(0o644)
    path.write_bytes(data)
