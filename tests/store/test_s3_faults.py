"""The S3 backend when the network or the server fails: retried and right, or a typed error, and nothing half-visible.

Faults happen at a proxy in front of a real server; what came of it is looked at past both the proxy and the backend.
"""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count

import pytest
import s3_servers
from botocore.exceptions import BotoCoreError, ClientError
from faulty_proxy import (
    ALWAYS,
    Answer,
    Exchange,
    Fault,
    FaultyProxy,
    Flip,
    LoseReply,
    ResetRequest,
    Stall,
    Truncate,
)
from s3_servers import Server

from lineal_store import Digest, Store
from lineal_store.backends.s3 import S3Backend
from lineal_store.backends.s3_requests import Patience
from lineal_store.errors import RunExists, StoreUnavailable
from lineal_store.protocols import Upload

PREFIX = "team/churn/"
OLD = b"what was there " * 50
NEW = b"what is new " * 700
BIG = bytes(range(256)) * 4096 * 9  # 9 MiB: two parts
KEY = "0123456789abcdef0123456789abcdef"
RUN = "20261122-173120-4f9ac2"


async def no_time(seconds: float) -> None:
    """The waiting between tries, as a test can afford it."""


WITHOUT_WAITING = Patience(sleep=no_time)


class Bucket:
    """What lies in the bucket, past the backend under test and past the proxy."""

    def __init__(self, server: Server, name: str) -> None:
        self._client = server.client()
        self.name = name

    def put(self, name: str, data: bytes) -> None:
        self._client.put_object(Bucket=self.name, Key=PREFIX + name, Body=data)

    def empty(self) -> None:
        for one in self._client.list_objects_v2(Bucket=self.name).get("Contents", ()):
            self._client.delete_object(Bucket=self.name, Key=one["Key"])
        for one in self._client.list_multipart_uploads(Bucket=self.name).get("Uploads", ()):
            self._client.abort_multipart_upload(Bucket=self.name, Key=one["Key"], UploadId=one["UploadId"])

    def objects(self) -> dict[str, bytes]:
        """Everything, by name; ready for a bucket of fewer than a thousand."""
        listed = self._client.list_objects_v2(Bucket=self.name).get("Contents", ())
        keys = [one["Key"] for one in listed]
        return {
            key.removeprefix(PREFIX): self._client.get_object(Bucket=self.name, Key=key)["Body"].read()
            for key in keys
        }

    def unfinished_uploads(self) -> list[str]:
        listed = self._client.list_multipart_uploads(Bucket=self.name)
        return [one["Key"] for one in listed.get("Uploads", ())]


@pytest.fixture(scope="module")
def shared(s3_server: Server) -> Iterator[tuple[FaultyProxy, S3Backend, Bucket]]:
    """One client for all tests of this module, which also shows that it outlives every fault."""
    name = s3_server.make_bucket()
    with pytest.MonkeyPatch.context() as patch, FaultyProxy(s3_server.endpoint) as proxy:
        s3_servers.use(s3_server.environment | {"AWS_ENDPOINT_URL": proxy.endpoint}, patch)
        yield proxy, S3Backend(f"s3://{name}/{PREFIX}", patience=WITHOUT_WAITING), Bucket(s3_server, name)


@pytest.fixture
def proxy(shared: tuple[FaultyProxy, S3Backend, Bucket]) -> FaultyProxy:
    proxy, *_ = shared
    proxy.heal()
    proxy.forget()
    return proxy


@pytest.fixture
def backend(shared: tuple[FaultyProxy, S3Backend, Bucket]) -> S3Backend:
    return shared[1]


@pytest.fixture
def behind(shared: tuple[FaultyProxy, S3Backend, Bucket]) -> Bucket:
    """The bucket, with the same in it before each test."""
    *_, behind = shared
    behind.empty()
    behind.put("old/x", OLD)
    behind.put("old/y", b"y")
    return behind


@dataclass(frozen=True)
class Use:
    """A use of a backend: what it gives, and the request of it that faults befall."""

    name: str
    act: Callable[[S3Backend], object]
    expected: object
    operation: str | None = None
    writes: bool = False

    def __str__(self) -> str:
        return self.name


def created(backend: S3Backend) -> object:
    return backend.create([Upload("new/x", NEW), Upload("old/x", NEW), Upload("new/y", b"")])


def replaced(backend: S3Backend) -> object:
    return backend.create([Upload("old/x", NEW, replace=True)])


def created_of_a_file(backend: S3Backend) -> object:
    path = backend.spool() / "file"
    path.write_bytes(NEW)
    try:
        return backend.create([Upload("new/x", path)])
    except StoreUnavailable:
        assert path.read_bytes() == NEW  # it is left where it was
        raise


def opened(backend: S3Backend) -> object:
    with backend.open("old/x") as stream:
        return stream.read()


READ = Use("read", lambda backend: backend.read("old/x"), OLD, "GetObject")
OPEN = Use("open", opened, OLD, "GetObject")
READ_MANY = Use(
    "read many", lambda backend: backend.read_many(["old/x", "absent"]), {"old/x": OLD}, "GetObject"
)
FIND = Use(
    "find",
    lambda backend: {name: info.size_bytes for name, info in backend.find(["old/x", "absent"]).items()},
    {"old/x": len(OLD)},
)
LIST = Use(
    "list",
    lambda backend: [(info.name, info.size_bytes) for info in backend.list("old/")],
    [("old/x", len(OLD)), ("old/y", 1)],
    "ListObjectsV2",
)
# A server may list a folder for a while after the last of it is gone.
FOLDERS = Use("folders", lambda backend: "old" in backend.folders(""), True, "ListObjectsV2")
CREATE = Use("create", created, [True, False, True], "PutObject", writes=True)
REPLACE = Use("replace", replaced, [True], "PutObject", writes=True)
CREATE_FILE = Use("create of a file", created_of_a_file, [True], "PutObject", writes=True)
DELETE = Use(
    "delete", lambda backend: backend.delete(["old/x", "absent"]), None, "DeleteObjects", writes=True
)
CHECK = Use("check", lambda backend: backend.check_bucket(), None)
READS = [READ, OPEN, READ_MANY, FIND, LIST, FOLDERS, CHECK]
WRITES = [CREATE, REPLACE, CREATE_FILE, DELETE]
STREAMS = [READ, OPEN, READ_MANY]

ANY_REQUEST: list[Fault] = [
    ResetRequest(),
    ResetRequest(after_bytes=0),
    LoseReply(),
    LoseReply(after_bytes=40),
    LoseReply(after_bytes=-1),
    Answer(503, "SlowDown"),
    Answer(500, "InternalError"),
    Answer(500, "InternalError", performed=True),
]
# A server that stumbles over an object when it has sent the head of its reply.
IN_GOOD_FAITH = Answer(200, "InternalError", header='ETag: "0123456789abcdef0123456789abcdef"')
# A network that one has to sign in to.
WELCOME = Answer(200, "Welcome", document=b"<html><title>Welcome to the hotel</title></html>")
LOSSES: list[tuple[Use, Fault]] = [
    *[(use, fault) for use in READS + WRITES for fault in ANY_REQUEST],
    *[(use, ResetRequest(after_bytes=100)) for use in (CREATE, REPLACE, CREATE_FILE)],
    *[(use, Answer(409, "ConditionalRequestConflict")) for use in (CREATE, CREATE_FILE)],
    *[(use, Answer(200, "InternalError")) for use in (*STREAMS, FIND, LIST, FOLDERS, *WRITES)],
    *[(use, IN_GOOD_FAITH) for use in STREAMS],
    *[(use, WELCOME) for use in (*STREAMS, FIND, LIST, FOLDERS, *WRITES)],
    *[(use, Truncate(to_bytes=7)) for use in (*STREAMS, LIST, FOLDERS)],
    *[(use, Truncate(to_bytes=7, admitted=True)) for use in (*STREAMS, LIST, FOLDERS)],
    *[(use, Flip(at=9)) for use in STREAMS],
]
LASTING = [
    (use, fault) for use, fault in LOSSES if fault not in (ResetRequest(0), LoseReply(40), LoseReply(-1))
]


def after(use: Use, before: dict[str, bytes]) -> dict[str, bytes]:
    """What lies in the bucket when ``use`` has been made of it."""
    left = dict(before)
    if use is DELETE:
        del left["old/x"]
    elif use is REPLACE:
        left["old/x"] = NEW
    elif use.writes:
        left["new/x"] = NEW
    if use is CREATE:
        left["new/y"] = b""
    return left


@pytest.mark.parametrize(
    ("fault", "status", "is_done"),
    [
        (ResetRequest(), None, False),
        (ResetRequest(after_bytes=100), None, False),
        (LoseReply(), None, True),
        (LoseReply(after_bytes=-1), None, True),
        (Answer(503, "SlowDown"), 503, False),
        (Answer(500, "InternalError", performed=True), 500, True),
        (Answer(200, "InternalError"), 200, False),
    ],
    ids=str,
)
def test_the_proxy_does_at_the_server_what_its_faults_say(
    proxy: FaultyProxy, behind: Bucket, fault: Fault, status: int | None, is_done: bool
) -> None:
    client = s3_servers.client(s3_servers.environment(proxy.endpoint, ("owner", "owner-secret")))
    rule = proxy.fail(fault, operation="PutObject")

    with pytest.raises((BotoCoreError, ClientError)):
        client.put_object(Bucket=behind.name, Key=PREFIX + "new/x", Body=NEW)

    assert rule.befell == 1
    assert [exchange.status for exchange in proxy.exchanges] == [status]
    assert ("new/x" in behind.objects()) == is_done


@pytest.mark.parametrize(("use", "fault"), LOSSES, ids=str)
def test_what_fails_once_is_tried_again(
    proxy: FaultyProxy, backend: S3Backend, behind: Bucket, use: Use, fault: Fault
) -> None:
    before = behind.objects()
    rule = proxy.fail(fault, operation=use.operation)

    assert use.act(backend) == use.expected
    assert rule.befell == 1
    assert behind.objects() == after(use, before)


@pytest.mark.parametrize(("use", "fault"), LASTING, ids=str)
def test_what_fails_for_ever_is_told_and_can_be_done_again_later(
    proxy: FaultyProxy, backend: S3Backend, behind: Bucket, use: Use, fault: Fault
) -> None:
    before = behind.objects()
    proxy.fail(fault, operation=use.operation, times=ALWAYS)

    with pytest.raises(StoreUnavailable) as failing:
        use.act(backend)

    assert failing.value.transient
    assert failing.value.hint
    assert failing.value.url == backend.url
    assert proxy.count() <= WITHOUT_WAITING.tries * 3
    done = after(use, before)
    for name, data in behind.objects().items():  # whole, if it is there
        assert data in (before.get(name), done.get(name))

    proxy.heal()
    again = use.act(backend)
    if not use.writes or behind.objects() == before:
        assert again == use.expected
    assert behind.objects() == done


@pytest.mark.parametrize("use", [READ, FIND, CREATE, DELETE], ids=str)
def test_a_server_that_stalls_is_asked_again(
    proxy: FaultyProxy, backend: S3Backend, behind: Bucket, use: Use
) -> None:
    impatient = S3Backend(backend.url, patience=replace(WITHOUT_WAITING, read_seconds=0.3))
    before = behind.objects()
    stalls: list[Fault] = [Stall(), Stall(performed=True, after_bytes=-1)]
    rules = [proxy.fail(fault, operation=use.operation) for fault in stalls]

    assert use.act(impatient) == use.expected
    assert [rule.befell for rule in rules] == [1, 1]
    assert behind.objects() == after(use, before)


def test_a_server_that_stalls_for_ever_is_given_up_on(
    proxy: FaultyProxy, backend: S3Backend, behind: Bucket
) -> None:
    impatient = S3Backend(backend.url, patience=replace(WITHOUT_WAITING, read_seconds=0.1))
    proxy.fail(Stall(), times=ALWAYS)

    with pytest.raises(StoreUnavailable) as failing:
        impatient.read("old/x")

    assert failing.value.transient
    assert "does not answer" in failing.value.problem
    assert proxy.endpoint in failing.value.problem


# -- what is refused is told at once ----------------------------------------------------------------------------------

REFUSALS = [
    (403, "AccessDenied"),
    (403, "InvalidAccessKeyId"),
    (403, "SignatureDoesNotMatch"),
    (403, "RequestTimeTooSkewed"),
    (400, "ExpiredToken"),
    (404, "NoSuchBucket"),
    (405, "MethodNotAllowed"),
    (501, "NotImplemented"),
    (507, "InsufficientStorage"),
]


def alone(error: BaseException) -> BaseException:
    """It without what led to it: where Dask is imported that is pickled too, trace by trace, deeper than Python may go."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


@pytest.mark.parametrize(("status", "code"), REFUSALS)
def test_a_refusal_is_told_at_once_with_what_to_do(
    proxy: FaultyProxy, backend: S3Backend, behind: Bucket, status: int, code: str
) -> None:
    before = behind.objects()
    for use in READS + WRITES:
        proxy.heal()
        proxy.forget()
        proxy.fail(Answer(status, code), operation=use.operation, times=ALWAYS)

        with pytest.raises(StoreUnavailable) as refused:
            use.act(
                S3Backend(backend.url, patience=backend._patience)
            )  # one that has not seen the bucket yet

        assert not refused.value.transient, use
        assert refused.value.hint, use
        assert refused.value.exit_code == 5
        assert str(pickle.loads(pickle.dumps(alone(refused.value)))) == str(refused.value)
        assert proxy.count() <= 8, (
            use,
            proxy.counts(),
        )  # of a batch each is asked once, and what the trouble is
    assert behind.objects() == before


def test_a_refusal_does_not_spell_out_the_secret(
    proxy: FaultyProxy, backend: S3Backend, behind: Bucket
) -> None:
    proxy.fail(Answer(403, "SignatureDoesNotMatch"), times=ALWAYS)

    with pytest.raises(StoreUnavailable) as refused:
        backend.read("old/x")

    assert "owner-secret" not in f"{refused.value} {refused.value.hint}"


def test_what_cannot_be_deleted_within_a_batch_is_told(
    proxy: FaultyProxy, backend: S3Backend, behind: Bucket
) -> None:
    """The reply is a success, and says in its body of one of them that it was denied."""
    document = (
        b'<?xml version="1.0" encoding="UTF-8"?><DeleteResult><Deleted><Key>team/churn/old/y</Key></Deleted>'
        b"<Error><Key>team/churn/old/x</Key><Code>AccessDenied</Code><Message>No.</Message></Error></DeleteResult>"
    )
    proxy.fail(Answer(200, "AccessDenied", document=document), operation="DeleteObjects")

    with pytest.raises(StoreUnavailable) as refused:
        backend.delete(["old/x", "old/y"])

    assert not refused.value.transient
    assert refused.value.hint


# -- batches ----------------------------------------------------------------------------------------------------------


def test_a_batch_that_breaks_off_can_be_given_again(
    proxy: FaultyProxy, backend: S3Backend, behind: Bucket
) -> None:
    def batch() -> list[Upload]:
        uploads: list[Upload] = [Upload(f"batch/{number:02}", b"%d" % number) for number in range(20)]
        path = backend.spool() / "spooled"
        path.write_bytes(NEW)
        return [*uploads, Upload("batch/file", path)]

    whole = {upload.name: NEW if upload.name == "batch/file" else upload.source for upload in batch()}
    proxy.fail(Answer(503, "SlowDown"), operation="PutObject", key="batch/07", times=ALWAYS)

    with pytest.raises(StoreUnavailable):
        backend.create(batch())
    there = {name: data for name, data in behind.objects().items() if name.startswith("batch/")}
    proxy.heal()
    made = backend.create(batch())

    assert "batch/07" not in there
    assert there.items() <= whole.items()
    assert made == [name not in there for name in whole]
    assert {name: data for name, data in behind.objects().items() if name.startswith("batch/")} == whole
    assert not (backend.spool() / "spooled").exists()


def test_a_bad_hour_is_only_slow(proxy: FaultyProxy, backend: S3Backend, behind: Bucket) -> None:
    """Every third request fails, many side by side, each in another way, but none more than three times."""
    befallen: Counter[tuple[str, str]] = Counter()
    every = 3 * len(ANY_REQUEST)

    def in_turn(first: int) -> Callable[[Exchange], bool]:
        turns = count(first)

        def matches(exchange: Exchange) -> bool:
            request = exchange.operation, exchange.key
            is_due = next(turns) % every == 0 and befallen[request] < 3
            befallen[request] += is_due
            return is_due

        return matches

    for at, fault in enumerate(ANY_REQUEST):
        proxy.fail(fault, matches=in_turn(3 * at), times=ALWAYS)
    objects = {f"many/{number}": b"%d " % number * 100 for number in range(60)}

    made = backend.create([Upload(name, data) for name, data in objects.items()])
    read = backend.read_many(objects)
    found = backend.find(objects)
    listed = [info.name for info in backend.list("many/")]
    backend.delete([name for name in objects if name != "many/7"])

    assert befallen.total() >= 60
    assert made == [True] * 60
    assert read == objects
    assert {name: info.size_bytes for name, info in found.items()} == {
        name: len(data) for name, data in objects.items()
    }
    assert listed == sorted(objects)
    assert set(behind.objects()) == {"old/x", "old/y", "many/7"}


# -- a reply that is lost ---------------------------------------------------------------------------------------------

LOST: list[Fault] = [LoseReply(), LoseReply(after_bytes=-1), Answer(500, "InternalError", performed=True)]
lost = pytest.mark.parametrize("fault", LOST, ids=str)


@lost
def test_what_was_made_is_told_as_made_though_the_reply_was_lost(
    proxy: FaultyProxy, backend: S3Backend, behind: Bucket, fault: Fault
) -> None:
    proxy.fail(fault, operation="PutObject", key="new/x")

    assert backend.create([Upload("new/x", NEW)]) == [True]
    assert behind.objects()["new/x"] == NEW
    assert backend.create([Upload("new/x", NEW)]) == [False]


def test_what_somebody_else_made_meanwhile_is_theirs(
    proxy: FaultyProxy, backend: S3Backend, behind: Bucket
) -> None:
    proxy.fail(ResetRequest(), operation="PutObject", first=lambda: behind.put("new/x", b"theirs"))

    assert backend.create([Upload("new/x", NEW)]) == [False]
    assert behind.objects()["new/x"] == b"theirs"


@lost
def test_an_entry_is_in_the_log_once(
    proxy: FaultyProxy, backend: S3Backend, behind: Bucket, fault: Fault
) -> None:
    refs = Store(backend).refs
    proxy.fail(fault, operation="PutObject")
    assert refs.append("model@production", b"first") == 1
    proxy.fail(fault, operation="PutObject")
    assert refs.append("model@production", b"first") == 2  # the same again is another entry
    proxy.fail(fault, operation="PutObject")
    assert refs.compare_and_append("model@production", 2, b"third")

    assert refs.log("model@production") == [b"first", b"first", b"third"]


def test_an_entry_that_somebody_else_made_is_not_taken_for_ours(
    proxy: FaultyProxy, backend: S3Backend, behind: Bucket
) -> None:
    store = Store(backend)
    store.refs.append("tag", b"first")
    (entry,) = [name for name in behind.objects() if name.startswith("refs/")]
    second, third = (f"{entry[:-8]}{number:08}" for number in (2, 3))

    proxy.fail(ResetRequest(), operation="PutObject", first=lambda: behind.put(second, b"theirs"))
    assert store.refs.append("tag", b"ours") == 3
    proxy.fail(
        ResetRequest(), operation="PutObject", first=lambda: behind.put(f"{third[:-1]}4", b"theirs too")
    )
    assert not store.refs.compare_and_append("tag", 3, b"ours")

    assert store.refs.log("tag") == [b"first", b"theirs", b"ours", b"theirs too"]


@lost
def test_a_run_that_begins_does_not_find_itself_there(
    proxy: FaultyProxy, backend: S3Backend, behind: Bucket, fault: Fault
) -> None:
    runs = Store(backend).runs
    proxy.fail(fault, operation="PutObject", times=2)
    runs.begin(RUN, b"ours")
    runs.finish(RUN, b"done")

    with pytest.raises(RunExists):
        runs.begin(RUN, b"another's")
    found = runs.find(RUN)
    assert found is not None
    assert (found.begun, found.finished) == (b"ours", b"done")


@lost
def test_a_result_is_filed_as_ours_or_as_theirs(
    proxy: FaultyProxy, backend: S3Backend, behind: Bucket, fault: Fault
) -> None:
    actions = Store(backend).actions
    proxy.fail(fault, operation="PutObject")
    (ours,) = actions.publish([(KEY, b"ours")])
    (again,) = actions.publish([(KEY, b"another's")])
    proxy.fail(fault, operation="PutObject")
    actions.retire(KEY, 0, "forced", by="me", at=datetime(2026, 11, 22, tzinfo=UTC))
    other = KEY[::-1]
    theirs = f"actions/{other[:2]}/{other[2:]}.0"
    proxy.fail(ResetRequest(), operation="PutObject", first=lambda: behind.put(theirs, b"theirs"))
    (first,) = actions.publish([(other, b"ours")])

    assert (ours.data, ours.generation) == (again.data, again.generation) == (b"ours", 0)
    assert actions.generation(KEY) == 1
    assert first.data == b"theirs"


# -- large objects: several requests, and nothing until the last ------------------------------------------------------

PARTS = ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"]


def create_big(backend: S3Backend) -> object:
    path = backend.spool() / "big"
    if not path.exists():
        path.write_bytes(BIG)
    return backend.create([Upload("new/big", path)])


@pytest.mark.parametrize("operation", PARTS)
@pytest.mark.parametrize(
    "fault",
    [
        ResetRequest(),
        LoseReply(),
        Answer(503, "SlowDown"),
        Answer(500, "InternalError", performed=True),
        Answer(200, "InternalError"),
    ],
    ids=str,
)
def test_a_large_object_is_there_whole_whatever_fails_once(
    proxy: FaultyProxy, backend: S3Backend, behind: Bucket, operation: str, fault: Fault
) -> None:
    rule = proxy.fail(fault, operation=operation)

    assert create_big(backend) == [True]
    assert rule.befell == 1
    assert Digest.of(behind.objects()["new/big"]) == Digest.of(BIG)
    assert not (backend.spool() / "big").exists()
    if operation != "CreateMultipartUpload":  # whose name was in the reply that is lost
        assert behind.unfinished_uploads() == []


@pytest.mark.parametrize("operation", PARTS)
def test_nothing_of_a_large_object_is_there_when_it_fails_for_ever(
    proxy: FaultyProxy, backend: S3Backend, behind: Bucket, operation: str
) -> None:
    rule = proxy.fail(Answer(503, "SlowDown"), operation=operation, times=ALWAYS)

    with pytest.raises(StoreUnavailable) as failing:
        create_big(backend)

    assert failing.value.transient
    assert rule.befell <= WITHOUT_WAITING.tries * 2  # each part
    assert "new/big" not in behind.objects()
    assert behind.unfinished_uploads() == []
    proxy.heal()
    assert create_big(backend) == [True]
    assert Digest.of(behind.objects()["new/big"]) == Digest.of(BIG)


def test_of_two_who_upload_a_large_object_one_made_it(
    proxy: FaultyProxy, backend: S3Backend, behind: Bucket
) -> None:
    proxy.fail(
        ResetRequest(), operation="CompleteMultipartUpload", first=lambda: behind.put("new/big", b"theirs")
    )

    assert create_big(backend) == [False]
    assert behind.objects()["new/big"] == b"theirs"
    assert behind.unfinished_uploads() == []


def test_a_large_object_is_read_whole_though_the_connection_breaks(
    proxy: FaultyProxy, backend: S3Backend, behind: Bucket
) -> None:
    behind.put("old/big", BIG)
    proxy.fail(Truncate(to_bytes=len(BIG) // 3), operation="GetObject", key="big")

    with backend.open("old/big") as stream:
        assert Digest.of_stream(stream) == (Digest.of(BIG), len(BIG))


# -- the clock and the conditions -------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ANY_REQUEST, ids=str)
def test_the_probe_for_conditions_is_not_misled_by_faults(
    proxy: FaultyProxy, backend: S3Backend, behind: Bucket, fault: Fault
) -> None:
    rule = proxy.fail(fault, operation="PutObject")

    assert backend.honours_conditions("old/x", OLD)
    assert rule.befell == 1
    assert behind.objects() == {"old/x": OLD, "old/y": b"y"}


def test_the_clock_is_compared_with_the_servers(
    proxy: FaultyProxy, backend: S3Backend, behind: Bucket
) -> None:
    skew = backend.clock_skew()

    assert skew is not None
    assert abs(skew.total_seconds()) < 5
