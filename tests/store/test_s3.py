"""The S3 backend conforms on several servers, and keeps what is particular to S3."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import s3_servers
from s3_servers import Server

from lineal_store import ObjectMissing, StoreUnavailable, testing
from lineal_store.backends import s3_objects
from lineal_store.backends.s3 import PART_BYTES, Patience, S3Backend
from lineal_store.protocols import Backend, Upload
from lineal_store.testing import BackendTests

HASTY = Patience(base_seconds=0.001)
ELSEWHERE = os.environ.get("LINEAL_TEST_S3_URL", "").rstrip("/")


class S3Tests(BackendTests):
    """The suite, with probes through boto3, and fewer rounds of what SeaweedFS makes wait a second each."""

    client: Any

    @pytest.fixture(autouse=True)
    def short_race(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(testing, "WRITERS", 4)
        monkeypatch.setattr(testing, "ROUNDS", 2)

    def plant(self, backend: Backend, name: str, data: bytes) -> None:
        bucket, key = located(backend, name)
        self.client.put_object(Bucket=bucket, Key=key, Body=data)

    def peek(self, backend: Backend, name: str) -> bytes | None:
        bucket, key = located(backend, name)
        try:
            return bytes(self.client.get_object(Bucket=bucket, Key=key)["Body"].read())
        except self.client.exceptions.NoSuchKey:
            return None


def located(backend: Backend, name: str) -> tuple[str, str]:
    """The bucket and the key of an object."""
    bucket, _, prefix = backend.url.removeprefix("s3://").partition("/")
    return bucket, f"{prefix}/{name}" if prefix else name


class TestInABucketOfSeaweedFS(S3Tests):
    @pytest.fixture
    def backend(self, bucket: str, s3_server: Server) -> Backend:
        self.client = s3_server.client()
        return S3Backend(f"s3://{bucket}")


class TestUnderAPrefixOnSeaweedFS(S3Tests):
    @pytest.fixture
    def backend(self, bucket: str, s3_server: Server) -> Backend:
        self.client = s3_server.client()
        for stray in ("outside", "team/churn-2/x", "team/churn", "team/x"):
            self.client.put_object(Bucket=bucket, Key=stray, Body=b"another's")
        return S3Backend(f"s3://{bucket}/team/churn")


class TestOnMoto(S3Tests):
    @pytest.fixture
    def backend(self, moto: Server, monkeypatch: pytest.MonkeyPatch) -> Backend:
        s3_servers.use(moto.environment, monkeypatch)
        self.client = moto.client()
        return S3Backend(f"s3://{moto.make_bucket()}/Team.1")


class TestByASingleWriterOnRclone(S3Tests):
    @pytest.fixture
    def backend(self, rclone: Server, monkeypatch: pytest.MonkeyPatch) -> Backend:
        s3_servers.use(rclone.environment, monkeypatch)
        self.client = rclone.client(response_checksum_validation="when_required")
        return S3Backend(f"s3://{rclone.make_bucket()}/team", single_writer=True)

    def test_deleting_removes_and_forgives_what_is_absent(self, backend: Backend) -> None:
        """Here a key is a path, and nothing can be looked for below a file."""
        for name in ("a/x", "a/y", "b"):
            self.plant(backend, name, b"data")

        backend.delete(["a/x", "b", "a/absent", "absent"])

        assert [info.name for info in backend.list("")] == ["a/y"]


if ELSEWHERE:

    class TestWhereTheEnvironmentSays(S3Tests):
        @pytest.fixture
        def backend(self) -> Iterator[Backend]:
            import boto3

            self.client = boto3.client("s3")
            backend = S3Backend(f"{ELSEWHERE}/{uuid.uuid4().hex[:12]}")
            yield backend
            backend.delete([info.name for info in backend.list("")])


@pytest.fixture(scope="module")
def place(s3_server: Server) -> str:
    """A bucket that the tests below share; each uses names of its own."""
    return s3_server.make_bucket()


@pytest.fixture
def backend(place: str, s3_server: Server, monkeypatch: pytest.MonkeyPatch) -> S3Backend:
    s3_servers.use(s3_server.environment, monkeypatch)
    return S3Backend(f"s3://{place}/{uuid.uuid4().hex[:12]}", patience=HASTY)


@pytest.fixture
def client(s3_server: Server) -> Any:
    return s3_server.client()


def stored(client: Any, backend: Backend, name: str) -> Any:
    """What the server has and says of an object."""
    bucket, key = located(backend, name)
    return client.get_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")


def spooled(backend: Backend, data: bytes) -> Path:
    path = backend.spool() / uuid.uuid4().hex
    path.write_bytes(data)
    return path


# -- writing ---------------------------------------------------------------------------------------------------------


def test_what_is_sent_is_compared_with_its_sum_by_the_server(backend: S3Backend, client: Any) -> None:
    backend.create([Upload("bytes", b"data"), Upload("file", spooled(backend, b"data"))])

    sums = {stored(client, backend, name)["ChecksumSHA256"] for name in ("bytes", "file")}
    assert sums == {base64.b64encode(hashlib.sha256(b"data").digest()).decode()}


def test_a_large_file_is_sent_in_parts_and_is_there_whole(backend: S3Backend, client: Any) -> None:
    data = os.urandom(PART_BYTES * 2 + 5)
    path = spooled(backend, data)

    assert backend.create([Upload("large", path)]) == [True]
    assert stored(client, backend, "large")["Body"].read() == data
    assert stored(client, backend, "large")["ChecksumSHA256"].endswith("-3")
    assert not path.exists()


def test_a_large_file_gives_way_to_what_exists_and_replaces_when_asked(
    backend: S3Backend, client: Any
) -> None:
    data = os.urandom(PART_BYTES + 1)
    backend.create([Upload("large", b"first")])

    assert backend.create([Upload("large", spooled(backend, data))]) == [False]
    assert backend.read("large") == b"first"
    assert backend.create([Upload("large", spooled(backend, data), replace=True)]) == [True]
    assert stored(client, backend, "large")["Body"].read() == data
    assert list(backend.spool().iterdir()) == []


def test_parts_grow_where_ten_thousand_would_not_do(
    backend: S3Backend, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_objects, "_MOST_PARTS", 2)
    data = os.urandom(PART_BYTES * 2 + 3)

    backend.create([Upload("large", spooled(backend, data))])

    assert stored(client, backend, "large")["ChecksumSHA256"].endswith("-2")
    assert stored(client, backend, "large")["Body"].read() == data


def test_sources_are_left_where_they_were_when_creating_fails(
    backend: S3Backend, s3_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = s3_server.read_only_environment
    assert reader is not None
    s3_servers.use(reader, monkeypatch)
    denied = S3Backend(backend.url)
    small, large = spooled(denied, b"small"), spooled(denied, bytes(PART_BYTES + 1))

    for path in (small, large):
        with pytest.raises(StoreUnavailable):
            denied.create([Upload("bytes", b"data"), Upload("file", path)])
    assert small.read_bytes() == b"small"
    assert large.stat().st_size == PART_BYTES + 1


def test_the_spool_goes_with_the_process_and_not_with_its_children(backend: S3Backend) -> None:
    script = """
import os, sys
from lineal_store.backends.s3 import S3Backend

backend = S3Backend("s3://bucket")
mine = backend.spool()
(mine / "file").write_bytes(b"data")
if os.fork() == 0:
    theirs = backend.spool()
    assert theirs != mine
    print(theirs, flush=True)
    sys.exit()
os.wait()
assert (mine / "file").exists()
print(mine)
"""
    folders = ran(script).split()

    assert len(folders) == 2
    assert not any(Path(folder).exists() for folder in folders)


# -- reading ---------------------------------------------------------------------------------------------------------


def test_the_servers_word_for_the_bytes_is_that_of_whole_objects(
    backend: S3Backend, moto: Server, rclone: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(backend: Backend) -> dict[str, str | None]:
        path = spooled(backend, bytes(PART_BYTES + 1))
        backend.create([Upload("small", b"data"), Upload("large", path)])
        return {name: info.sha256 for name, info in backend.find(["small", "large"]).items()}

    on_seaweed = told(backend)
    s3_servers.use(moto.environment, monkeypatch)
    on_moto = told(S3Backend(f"s3://{moto.make_bucket()}"))
    s3_servers.use(rclone.environment, monkeypatch)
    on_rclone = told(S3Backend(f"s3://{rclone.make_bucket()}", single_writer=True))

    assert on_seaweed == {"small": hashlib.sha256(b"data").hexdigest(), "large": None}
    assert on_moto == {"small": None, "large": None}  # it sums the sums of parts, and does not say so
    assert on_rclone == {"small": None, "large": None}  # it repeats whatever it was told


def test_streams_read_on_seek_and_end(backend: S3Backend) -> None:
    data = os.urandom(PART_BYTES * 3 + 7)
    backend.create([Upload("large", spooled(backend, data)), Upload("small", b"data"), Upload("none", b"")])

    with backend.open("large") as stream:
        assert stream.read(5) == data[:5]
        assert stream.read() == data[5:]
        assert stream.read() == stream.read(1) == b""
        assert stream.seek(-9, os.SEEK_END) == len(data) - 9
        assert stream.read(100) == data[-9:]
        assert stream.seek(PART_BYTES - 2) == stream.tell() == PART_BYTES - 2
        assert stream.read(4) == data[PART_BYTES - 2 : PART_BYTES + 2]
    with backend.open("large") as stream:
        assert hashlib.file_digest(stream, "sha256").digest() == hashlib.sha256(data).digest()  # type: ignore[arg-type]
    with backend.open("small") as stream:
        assert stream.read() == b"data"
    with backend.open("none") as stream:
        assert stream.read() == b""


def test_an_object_that_is_replaced_while_it_is_read_is_not_mixed(backend: S3Backend, client: Any) -> None:
    backend.create([Upload("large", spooled(backend, bytes(PART_BYTES * 6)))])
    bucket, key = located(backend, "large")

    with backend.open("large") as stream:
        assert stream.read(10) == bytes(10)
        client.put_object(Bucket=bucket, Key=key, Body=b"x" * PART_BYTES * 6)
        with pytest.raises(StoreUnavailable, match="replaced while it was read") as failing:
            stream.read()
    assert failing.value.transient


def test_an_object_that_is_deleted_while_it_is_read_is_missing(backend: S3Backend) -> None:
    backend.create([Upload("large", spooled(backend, bytes(PART_BYTES * 2)))])

    with backend.open("large") as stream:
        backend.delete(["large"])
        with pytest.raises(ObjectMissing):
            stream.read()


def test_an_object_may_look_like_an_error(
    backend: S3Backend, moto: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>InternalError</Code></Error>'
    backend.create([Upload("page", error)])
    s3_servers.use(moto.environment, monkeypatch)
    elsewhere = S3Backend(f"s3://{moto.make_bucket()}", patience=HASTY)  # which sends no sums
    elsewhere.create([Upload("page", error)])

    assert backend.read("page") == elsewhere.read("page") == error


def test_long_lists_are_sorted_by_name_and_can_be_deleted_at_once(backend: S3Backend) -> None:
    names = [f"a{end}{number:03}" for number in range(280) for end in ("", "-", "/", ".b/")]
    backend.create([Upload(name, b"") for name in names])

    assert [info.name for info in backend.list("")] == sorted(names)
    assert [info.name for info in backend.list("a/")] == sorted(
        name for name in names if name.startswith("a/")
    )
    backend.delete(names[1:])
    assert [info.name for info in backend.list("")] == names[:1]


def test_keys_that_no_store_would_use_are_not_listed(backend: S3Backend, client: Any) -> None:
    bucket, root = located(backend, "")
    for key in ("a/x", "Upper", ".hidden", "a/with space", "a/.part", "é/x", "B/x"):
        client.put_object(Bucket=bucket, Key=root + key, Body=b"data")

    assert [info.name for info in backend.list("")] == ["a/x"]
    assert backend.folders("") == ["a"]


# -- the server ------------------------------------------------------------------------------------------------------


def test_servers_that_honour_conditions_are_told_from_those_that_do_not(
    backend: S3Backend, moto: Server, rclone: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def probed(backend: S3Backend) -> bool:
        backend.create([Upload("header", b"data")])
        answer = backend.honours_conditions("header", b"data")
        assert [info.name for info in backend.list("")] == ["header"]
        assert backend.read("header") == b"data"
        return answer

    answers = [probed(backend)]
    for server in (moto, rclone):
        s3_servers.use(server.environment, monkeypatch)
        answers.append(probed(S3Backend(f"s3://{server.make_bucket()}")))

    assert answers == [True, True, False]


def test_the_clock_of_the_server_is_read(backend: S3Backend) -> None:
    skew = backend.clock_skew()

    assert skew is not None
    assert abs(skew) < timedelta(seconds=2)


USES: Mapping[str, Callable[[S3Backend], object]] = {
    "check": lambda backend: backend.check_bucket(),
    "read": lambda backend: backend.read("x"),
    "read many": lambda backend: backend.read_many(["x"]),
    "open": lambda backend: backend.open("x"),
    "find": lambda backend: backend.find(["x"]),
    "list": lambda backend: list(backend.list("")),
    "folders": lambda backend: backend.folders(""),
    "create": lambda backend: backend.create([Upload("x", b"data")]),
    "delete": lambda backend: backend.delete(["x"]),
    "conditions": lambda backend: backend.honours_conditions("x", b"data"),
    "clock": lambda backend: backend.clock_skew(),
}
WRITING = {"create", "delete", "conditions"}
each_use = pytest.mark.parametrize("use", USES)
each_use_but_the_clocks = pytest.mark.parametrize("use", [use for use in USES if use != "clock"])


def problem(backend: S3Backend, use: str) -> str:
    with pytest.raises(StoreUnavailable) as failing:
        USES[use](backend)
    assert failing.value.hint
    assert failing.value.exit_code == 5
    return failing.value.problem


@each_use_but_the_clocks
def test_wrong_credentials_are_told(use: str, backend: S3Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    assert "access key" in problem(S3Backend(backend.url), use)

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "owner")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    assert "secret key" in problem(S3Backend(backend.url), use)


@each_use_but_the_clocks
def test_a_bucket_that_is_not_there_is_told_and_not_made(use: str, backend: S3Backend, client: Any) -> None:
    assert problem(S3Backend("s3://nowhere/team"), use) == "there is no bucket nowhere"
    assert "nowhere" not in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]


@each_use
def test_who_may_read_only_reads_and_is_told_so(
    use: str, backend: S3Backend, s3_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.create([Upload("x", b"data")])
    assert s3_server.read_only_environment is not None
    s3_servers.use(s3_server.read_only_environment, monkeypatch)

    if use in WRITING:
        assert "is denied" in problem(S3Backend(backend.url), use)
    else:
        USES[use](S3Backend(backend.url))
    assert S3Backend(backend.url).read("x") == b"data"


@pytest.mark.parametrize("use", ["check", "read", "find", "list", "create", "delete"])
def test_settings_that_lead_nowhere_are_told(
    use: str, backend: S3Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = f"http://127.0.0.1:{s3_servers.free_port()}"

    def told(**variables: str | None) -> str:
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value) if value is not None else patch.delenv(name)
            return problem(S3Backend(backend.url, patience=HASTY), use)

    assert told(AWS_ENDPOINT_URL=closed) == f"nothing listens at {closed}"
    assert told(AWS_ENDPOINT_URL="minio:9000") == "invalid endpoint: minio:9000"
    assert told(AWS_ENDPOINT_URL=closed.replace("http", "https")) == f"nothing listens at {closed}".replace(
        "http", "https"
    )
    assert told(AWS_PROFILE="ml") == "there is no profile ml"
    assert told(AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None) == "no credentials were found"
    assert told(AWS_SECRET_ACCESS_KEY=None) == "no credentials were found"


def test_a_server_that_speaks_no_tls_is_told(
    backend: S3Backend, s3_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.endpoint.replace("http", "https"))

    assert "no secure connection" in problem(S3Backend(backend.url), "check")


def test_what_is_wrong_is_told_soon_at_first_contact(
    backend: S3Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    delays: list[float] = []

    async def noted(seconds: float) -> None:
        delays.append(seconds)

    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{s3_servers.free_port()}")
    backend = S3Backend(backend.url, patience=Patience(sleep=noted))

    problem(backend, "check")
    at_first = len(delays)
    problem(backend, "list")

    assert (at_first, len(delays)) == (2, 2 + 5)


def test_the_region_is_that_of_the_environment(backend: S3Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-3")
    backend.create([Upload("x", b"data")])  # SeaweedFS takes any

    assert backend._objects.requests._filesystems[0]._s3.meta.region_name == "eu-west-3"


def test_a_server_that_comes_back_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_servers.seaweed(tmp_path / "data") as server:
        s3_servers.use(server.environment, monkeypatch)
        delays: list[float] = []

        async def come_back(seconds: float) -> None:
            delays.append(seconds)
            if len(delays) == 3:
                await asyncio.to_thread(server.restart)

        backend = S3Backend(f"s3://{server.make_bucket()}", patience=Patience(sleep=come_back))
        backend.create([Upload("x", b"before")])
        server.kill()

        assert backend.read("x") == b"before"
        assert backend.create([Upload("x", b"after"), Upload("y", b"after")]) == [False, True]
        assert len(delays) >= 3


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("s3://ml", "s3://ml"),
        ("s3://ml/", "s3://ml"),
        ("s3://ml/Team.1/churn/", "s3://ml/Team.1/churn"),
        ("s3://ml.example.org/a=b", "s3://ml.example.org/a=b"),
    ],
)
def test_a_url_has_one_spelling(url: str, normal: str) -> None:
    assert S3Backend(url).url == normal
    assert S3Backend(url).remote


@pytest.mark.parametrize(
    "url",
    [
        "s3://",
        "s3:///x",
        "s3://a b/x",
        "s3://ml?x",
        "s3://user@ml/x",
        "gs://ml",
        "s3://ml/a//b",
        "s3://ml/../x",
        "s3://ml/é",
        "s3://ml/a?b",
        "s3://ml/" + "x" * 124,
    ],
    ids=lambda url: url[:20],
)
def test_what_is_no_place_in_s3_is_refused(url: str) -> None:
    with pytest.raises(StoreUnavailable) as refused:
        S3Backend(url)
    assert refused.value.hint


# -- processes -------------------------------------------------------------------------------------------------------


def ran(script: str, *arguments: str) -> str:
    """What a script prints, which says nothing on the side."""
    done = subprocess.run(
        [sys.executable, "-W", "always::ResourceWarning", "-c", script, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout


def test_a_child_connects_for_itself_and_leaves_its_parents_connection_alone(backend: S3Backend) -> None:
    script = """
import os, sys
from lineal_store.backends.s3 import S3Backend
from lineal_store.protocols import Upload

backend = S3Backend(sys.argv[1])
backend.create([Upload("of/parent", b"data")])
for number in range(3):
    if os.fork() == 0:
        assert backend.create([Upload("of/child", b"data")]) == [number == 0]
        assert backend.read("of/parent") == b"data"
        sys.exit()
    assert os.wait()[1] == 0
    assert backend.read("of/child") == b"data"
for number in range(3):
    if os.fork() == 0:
        sys.exit()  # without having used it
    assert os.wait()[1] == 0
    assert [info.name for info in backend.list("of/")] == ["of/child", "of/parent"]
print("done")
"""
    assert ran(script, backend.url) == "done\n"


def test_nothing_starts_before_it_is_used(backend: S3Backend) -> None:
    script = """
import os, sys, threading
from lineal_store.backends.s3 import S3Backend, preload

def sockets():
    folder = "/proc/self/fd"
    found = [os.path.join(folder, name) for name in os.listdir(folder)] if os.path.isdir(folder) else []
    return [path for path in found if os.path.islink(path) and "socket" in os.readlink(path)]

before = len(sockets())
backend = S3Backend(sys.argv[1])
assert not {"s3fs", "fsspec", "aiobotocore", "botocore", "aiohttp"} & sys.modules.keys()
preload()
assert "s3fs" in sys.modules
assert threading.active_count() == 1
assert len(sockets()) == before
backend.check_bucket()
assert threading.active_count() > 1
"""
    assert ran(script, backend.url) == ""


def test_memory_is_bounded_whatever_the_size(backend: S3Backend) -> None:
    script = """
import os, resource, sys
from pathlib import Path
from lineal_store.backends.s3 import S3Backend
from lineal_store.protocols import Upload

def most():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> (10 if sys.platform == "linux" else 20)

backend = S3Backend(sys.argv[1])
backend.create([Upload("first", b"")])
before = most()
backend.create([Upload(f"many/{number}", os.urandom(4096)) for number in range(1000)])
backend.read_many(f"many/{number}" for number in range(1000))
many = most() - before
path = backend.spool() / "large"
with path.open("wb") as file:
    for _ in range(160):
        file.write(os.urandom(1 << 20))
backend.create([Upload("large", path)])
sent = most() - before
with backend.open("large") as stream:
    assert sum(len(piece) for piece in iter(lambda: stream.read(1 << 20), b"")) == 160 << 20
backend.delete(["large"])
print(many, sent, most() - before)
"""
    assert max(int(figure) for figure in ran(script, backend.url).split()) < 100
