"""One bucket, many machines: what one has computed the others find, and nobody is in another's way."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from depth import one_of
from faulty_proxy import FaultyProxy
from s3_servers import Server
from support import Ended, Project

from lineal_store import Digest

FLOW = """
    from typing import NamedTuple

    from lineal import Directory, File, Metrics, output, pipeline, stage

    from journal import note
    from numeric.steps import scale

    KINDS = {"small", "medium", "large"}


    class Trained(NamedTuple):
        model: File
        metrics: Metrics


    @stage
    def load(source: File) -> list[int]:
        note("load")
        return [int(word) for word in source.open().read().split()]


    @stage
    def kinds(numbers: list[int]) -> set[str]:
        note("kinds")
        return {f"{kind} {number}" for kind in KINDS for number in numbers}


    @stage
    def features(numbers: list[int], factor: int) -> Directory:
        note("features")
        folder = output("features")
        folder.mkdir()
        for number in numbers:
            (folder / f"{number}.txt").write_text(f"{scale(number, factor)} " * 10_000)
        return Directory(folder)


    @stage
    def train(features: Directory, kinds: set[str]) -> Trained:
        note("train")
        path = output("model.bin")
        read = [path.read_text() for path in features.files()]
        path.write_bytes("".join(read).encode() + repr(sorted(kinds)).encode())
        return Trained(File(path), {"files": len(read)})


    @pipeline
    def flow(factor: int = 1) -> Trained:
        numbers = load(File("raw.txt"))
        return train(features(numbers, factor), kinds(numbers))
"""

Machine = Callable[[str], Project]


@pytest.fixture
def machine(tmp_path: Path, bucket: str) -> Machine:
    """Gives the machines of colleagues by their names: the same project, and nothing else that is the same."""

    def made(user: str) -> Project:
        home = tmp_path / user
        root = home / f"work of {user}"
        root.mkdir(parents=True)
        project = Project(root)
        project.write("lineal.toml", 'executor = "inline"\n')
        project.write("flow.py", FLOW)
        project.write("numeric/__init__.py", "")
        project.write("numeric/steps.py", "def scale(number, factor):\n    return number * factor\n")
        project.write("raw.txt", "1 2 3\n")
        project.keep_journal()
        project.variables |= {
            "HOME": str(home),
            "USER": user,
            "LOGNAME": user,
            "XDG_CACHE_HOME": str(home / "cache"),
            "LINEAL_NAMESPACE": user,
            "LINEAL_STORE": f"s3://{bucket}/team/churn",
        }
        return project

    return made


class Bucket:
    """What lies in the store's bucket, past the code under test."""

    def __init__(self, server: Server, name: str) -> None:
        self._client, self._name = server.client(), name

    def names(self, prefix: str = "") -> list[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._name, Prefix=f"team/churn/{prefix}"
        )
        found = (one["Key"] for page in pages for one in page.get("Contents", ()))
        return [key.removeprefix("team/churn/") for key in found]

    def blob(self, digest: str) -> str:
        hexadecimal = digest.removeprefix("sha256:")
        return f"blobs/{hexadecimal[:2]}/{hexadecimal[2:]}"

    def read(self, name: str) -> bytes:
        return bytes(self._client.get_object(Bucket=self._name, Key=f"team/churn/{name}")["Body"].read())

    def write(self, name: str, data: bytes) -> None:
        self._client.put_object(Bucket=self._name, Key=f"team/churn/{name}", Body=data)

    def delete(self, name: str) -> None:
        self._client.delete_object(Bucket=self._name, Key=f"team/churn/{name}")


@pytest.fixture
def behind(s3_server: Server, bucket: str) -> Bucket:
    return Bucket(s3_server, bucket)


def succeeded(ended: Ended) -> Ended:
    assert ended.code == 0, ended.out + ended.err
    return ended


def model_of(ran: Ended) -> str:
    return str(ran.stages["train"]["outputs"]["model"]["digest"])


def test_what_one_machine_computed_is_found_on_another_under_the_same_names(
    machine: Machine, tmp_path: Path
) -> None:
    ann, bob, carl = machine("ann"), machine("bob"), machine("carl")
    carl.variables["LINEAL_STORE"] = str(tmp_path / "store")

    first = succeeded(ann.json("run", "--executor", "process"))
    second = succeeded(bob.json("run"))
    alone = succeeded(carl.json("run"))

    assert sorted(ann.journal()) == sorted(carl.journal()) == ["features", "kinds", "load", "train"]
    assert bob.journal() == []
    assert set(first.words("cache", "attempts").values()) == {("miss", 1)}
    assert set(second.words("cache", "reason", "attempts").values()) == {("hit", "unchanged", 0)}
    told = first.words("action_key", "fingerprint", "outputs")
    assert second.words("action_key", "fingerprint", "outputs") == told
    assert alone.words("action_key", "fingerprint", "outputs") == told
    assert first.document["outputs"] == second.document["outputs"] == alone.document["outputs"]
    assert succeeded(bob.json("status", "--exit-code")).words("cache") == dict.fromkeys(told, "hit")


def test_what_a_colleague_made_is_read_traced_and_built_upon(machine: Machine, tmp_path: Path) -> None:
    ann, bob = machine("ann"), machine("bob")
    ran = succeeded(ann.json("run"))
    succeeded(ann.json("get", "flow.train.model@latest", "-o", "model.bin"))
    found = tmp_path / "found somewhere.dat"
    shutil.copy(ann.root / "model.bin", found)

    traced = succeeded(bob.json("trace", str(found)))
    succeeded(bob.json("get", model_of(ran), "-o", "model.bin"))
    bob.edit("flow.py", "repr(sorted(kinds))", "repr(len(kinds))")
    again = succeeded(bob.json("run", "--executor", "process"))

    assert {node["name"] for node in traced.document["nodes"] if node["kind"] == "action"} == set(ran.stages)
    assert traced.document == succeeded(ann.json("trace", "model.bin")).document
    assert (bob.root / "model.bin").read_bytes() == found.read_bytes()
    assert Digest.of(found.read_bytes()) == Digest.parse(model_of(ran))
    assert again.words("cache") == {"load": "hit", "kinds": "hit", "features": "hit", "train": "miss"}
    assert bob.journal() == ["train"]


def test_colleagues_do_not_move_each_others_latest_nor_production(machine: Machine) -> None:
    ann, bob = machine("ann"), machine("bob")
    one = model_of(succeeded(ann.json("run", "factor=1")))
    two = model_of(succeeded(bob.json("run", "factor=2")))

    def latest(project: Project, **variables: str) -> str | None:
        got = project.json("get", "flow.train.model@latest", "-o", "latest.bin", **variables)
        return got.document["digest"] if got.code == 0 else None

    assert (latest(ann), latest(bob)) == (one, two)
    # Somebody's name is no request for it.
    named_so = {"LINEAL_NAMESPACE": "", "USER": "production", "LOGNAME": "production"}
    assert succeeded(bob.json("run", "factor=2", **named_so)).document["namespace"] == "dev"
    assert latest(ann, LINEAL_NAMESPACE="production") is None

    asked = succeeded(bob.json("run", "factor=2", LINEAL_NAMESPACE="production"))
    assert set(asked.words("cache").values()) == {"hit"}
    assert latest(ann, LINEAL_NAMESPACE="production") == two
    assert latest(ann) == one


# -- many writers at once ---------------------------------------------------------------------------------------------

RACE = """
    import os

    from lineal import pipeline, stage


    @stage
    def sure(number: int) -> bytes:
        return bytes([number]) * 50_000


    @stage
    def unsure(sure: bytes) -> bytes:
        return os.urandom(50_000)


    @pipeline
    def race() -> bytes:
        return unsure(sure(7))
"""

RACERS = """
    import json
    import os
    import socket
    import sys
    from pathlib import Path

    import lineal.engine.session
    import lineal.executors.inline
    from lineal.api import open_project
    from lineal_store.backends import s3

    s3.preload()  # all that is imported is imported here, so that no racer need do it


    def meet() -> None:
        with socket.create_connection(("127.0.0.1", int(os.environ["MEETING"]))) as connection:
            connection.recv(1)


    for racer in sys.argv[1:]:
        if os.fork() == 0:
            os.chdir(racer)
            sys.path.insert(0, racer)
            os.environ["XDG_CACHE_HOME"] = racer + "/cache"
            project = open_project(Path(racer))
            meet()
            document = project.run("race.py", executor="inline")
            Path("document.json").write_text(json.dumps(document))
            os._exit(0)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            break
"""


@pytest.fixture
def meeting() -> Iterator[Callable[[int], int]]:
    """Opens a port where those who come are kept until so many are there, and again."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:

        def hold(number: int) -> None:
            while True:
                there = []
                try:
                    there = [listener.accept()[0] for _ in range(number)]
                except OSError:
                    return  # closed
                for connection in there:
                    connection.close()

        def opened(number: int) -> int:
            threading.Thread(target=hold, args=(number,), daemon=True).start()
            return int(listener.getsockname()[1])

        yield opened
        listener.shutdown(socket.SHUT_RDWR)


def test_of_many_that_race_for_an_action_one_executes_it_and_all_end_with_its_result(
    machine: Machine, behind: Bucket, tmp_path: Path, meeting: Callable[[int], int]
) -> None:
    ann, racers = machine("ann"), one_of(6, 16)
    roots = []
    for number in range(racers):
        racer = Project(tmp_path / f"racer-{number}")
        racer.write("lineal.toml", "")
        racer.write("race.py", RACE)
        roots.append(racer.root)
    script = ann.write("racers.py", RACERS)

    subprocess.run(
        [sys.executable, str(script), *map(str, roots)],
        env=ann.environment({"MEETING": str(meeting(racers))}),
        check=True,
        timeout=120,
    )

    documents: list[dict[str, Any]] = [json.loads((root / "document.json").read_text()) for root in roots]
    assert [document["state"] for document in documents] == ["succeeded"] * racers
    stages = [{stage["id"]: stage for stage in document["stages"]} for document in documents]
    for name in ("sure", "unsure"):
        assert len({json.dumps(one[name]["outputs"]) for one in stages}) == 1
        assert len({one[name]["action_key"] for one in stages}) == 1
        assert sorted(one[name]["attempts"] for one in stages) == [0] * (racers - 1) + [1]
    actions = behind.names("actions/")
    assert len(actions) == 2
    assert all(name.endswith(".0") for name in actions)
    assert not behind.names("claims/")
    assert [document["warnings"] for document in documents] == [[]] * racers
    (digest,) = {document["outputs"]["result"] for document in documents}
    succeeded(ann.json("get", digest, "-o", "canonical.bin"))
    assert Digest.of((ann.root / "canonical.bin").read_bytes()) == Digest.parse(digest)


# -- what a warm run costs --------------------------------------------------------------------------------------------

CHAIN = """
    from lineal import pipeline, stage


    @stage
    def step(number: int) -> int:
        return number + 1


    @pipeline
    def chain(length: int = 100) -> int:
        number = 0
        for _ in range(length):
            number = step(number)
        return number
"""

WARM_REQUESTS = 8


def test_a_warm_run_of_a_hundred_stages_takes_a_handful_of_requests(
    machine: Machine, s3_server: Server
) -> None:
    ann, bob = machine("ann"), machine("bob")
    for project in (ann, bob):
        project.write("chain.py", CHAIN)
    with FaultyProxy(s3_server.endpoint) as proxy:

        def counted(project: Project) -> tuple[Ended, int]:
            proxy.forget()
            run = project.json("run", "chain.py", "--executor", "inline", AWS_ENDPOINT_URL=proxy.endpoint)
            return succeeded(run), proxy.count()

        cold, cold_requests = counted(ann)
        warm, warm_requests = counted(ann)
        elsewhere, elsewhere_requests = counted(bob)
        warm_elsewhere, warm_elsewhere_requests = counted(bob)

    assert set(cold.words("cache").values()) == {"miss"}
    for run in (warm, elsewhere, warm_elsewhere):
        assert set(run.words("cache", "attempts").values()) == {("hit", 0)}
        assert run.document["outputs"] == cold.document["outputs"]
    assert warm_requests <= WARM_REQUESTS
    assert warm_elsewhere_requests <= WARM_REQUESTS
    assert elsewhere_requests <= 100 + 2 * WARM_REQUESTS  # a machine fetches each result once in its life
    assert cold_requests <= 100 * 7  # two looks, a claim and its end, the bytes, the record


# -- losses in the bucket ---------------------------------------------------------------------------------------------


def flip(data: bytes) -> bytes:
    return b"?" + data[1:]


def cut(data: bytes) -> bytes:
    return data[:-1]


@pytest.mark.parametrize("damage", [None, cut], ids=["delete", "cut"])
def test_an_object_that_is_gone_from_the_bucket_is_made_again(
    machine: Machine, behind: Bucket, damage: Callable[[bytes], bytes] | None
) -> None:
    ann, bob = machine("ann"), machine("bob")
    before = succeeded(ann.json("run"))
    name = behind.blob(model_of(before))
    whole = behind.read(name)
    if damage is None:
        behind.delete(name)
    else:
        behind.write(name, damage(whole))

    healed = succeeded(ann.json("run"))
    succeeded(bob.json("get", model_of(before), "-o", "model.bin"))

    assert model_of(healed) == model_of(before)
    assert healed.words("cache", "reason")["train"] == ("miss", "lost")
    assert behind.read(name) == whole == (bob.root / "model.bin").read_bytes()


def test_an_object_that_is_damaged_in_the_bucket_is_not_handed_out_and_healed(
    machine: Machine, behind: Bucket
) -> None:
    """Whatever copies of it machines have: those are not what colleagues get."""
    ann, bob = machine("ann"), machine("bob")
    ran = succeeded(ann.json("run"))
    name = behind.blob(model_of(ran))
    whole = behind.read(name)
    behind.write(name, flip(whole))

    refused = bob.json("get", model_of(ran), "-o", "model.bin")
    verified = ann.json("store", "verify", "--read-data")
    succeeded(ann.json("run", "--force", "train"))
    healed = bob.json("get", model_of(ran), "-o", "healed.bin")

    assert refused.code == 4
    assert refused.error["kind"] == "corrupt"
    assert refused.error["hint"]
    assert not (bob.root / "model.bin").exists()
    assert [bad["digest"] for bad in verified.document["bad"]] == [model_of(ran)]
    assert behind.read(name) == whole
    assert healed.code == 0
    assert (bob.root / "healed.bin").read_bytes() == whole


def test_a_damaged_input_is_made_again_by_whoever_reads_it(machine: Machine, behind: Bucket) -> None:
    ann, bob = machine("ann"), machine("bob")
    ran = succeeded(ann.json("run"))
    part = Digest.of(b"1 " * 10_000)
    behind.write(behind.blob(str(part)), b"2 " * 10_000)

    bob.edit("flow.py", "repr(sorted(kinds))", "repr(sorted(kinds)[::-1])")
    healed = succeeded(bob.json("run", "--executor", "process"))
    back = succeeded(bob.json("run"))

    assert Digest.of(behind.read(behind.blob(str(part)))) == part
    assert healed.stages["features"]["outputs"] == ran.stages["features"]["outputs"]
    assert set(back.words("cache").values()) == {"hit"}
