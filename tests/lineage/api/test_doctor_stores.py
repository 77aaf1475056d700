"""What the doctor finds of stores: a directory, a server, stores upstream, and the disks they lie on."""

from __future__ import annotations

import errno
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import s3_servers
from s3_servers import Server

from lineal.api import open_project
from lineal.api.doctor import exit_code
from lineal_store import open_store
from lineal_store.backends.memory import MemoryBackend
from lineal_store.errors import StoreUnavailable
from lineal_store.protocols import Upload
from lineal_store.store import HEADER

Findings = dict[str, dict[str, Any]]
SERVER_CHECKS = (
    "store server", "store", "store reading", "store listing", "store writing", "store conditional writes",
    "store deleting", "store clock", "store round trip",
)  # fmt: skip


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith(("LINEAL_", "AWS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = tmp_path / "project"
    root.mkdir()
    (root / "lineal.toml").write_text("")
    return root


def examine(root: Path, **overrides: object) -> Findings:
    return {check["name"]: check for check in open_project(root, overrides=overrides).doctor()["checks"]}


def examine_with_code(root: Path, **overrides: object) -> tuple[Findings, int]:
    document = open_project(root, overrides=overrides).doctor()
    return {check["name"]: check for check in document["checks"]}, exit_code(document)


def of_stores(found: Findings, state: str) -> list[str]:
    return [
        name
        for name, check in found.items()
        if name.startswith(("store", "upstream")) and check["state"] == state
    ]


# --- a directory -----------------------------------------------------------------------------------


def test_of_a_directory_rights_links_clock_and_speed_are_tried_and_nothing_is_left(project: Path) -> None:
    store = project / "store"
    identity = open_store(store).place.known_id
    before = sorted(store.rglob("*"))

    found, code = examine_with_code(project, store=str(store))

    assert code == 0
    assert of_stores(found, "ok") == [
        "store", "store reading", "store listing", "store writing", "store hard links", "store clock",
        "store round trip", "store disk",
    ]  # fmt: skip
    assert found["store"]["detail"] == f"{store}, format 1, id {identity}"
    assert sorted(store.rglob("*")) == before


def test_a_file_url_is_a_directory(project: Path) -> None:
    open_store(project / "a b")

    assert examine(project, store=f"file://{project}/a%20b")["store hard links"]["state"] == "ok"


def test_a_chosen_place_without_a_store_is_a_warning_for_it_may_be_misspelt(project: Path) -> None:
    found, code = examine_with_code(project, store=str(project / "not" / "yet"))

    assert (code, of_stores(found, "warning"), of_stores(found, "failed")) == (0, ["store"], [])
    assert "mounted" in found["store"]["hint"]
    assert found["store writing"]["detail"].endswith(f"in {project}")
    assert not (project / "not").exists()


def test_an_empty_directory_can_become_a_store(project: Path) -> None:
    (project / "empty").mkdir()

    assert examine(project, store=str(project / "empty"))["store"]["state"] == "warning"


def _full_of_something_else(place: Path) -> None:
    place.mkdir()
    (place / "thesis.tex").touch()


def _newer(place: Path) -> None:
    place.mkdir()
    (place / HEADER).write_text('{"format": 99, "id": "x"}')


def _damaged(place: Path) -> None:
    place.mkdir()
    (place / HEADER).write_text("{")


@pytest.mark.parametrize(
    ("make", "detail"),
    [
        (_full_of_something_else, "holds thesis.tex"),
        (Path.touch, "is no directory"),
        (_newer, "it has format 99"),
        (_damaged, "is damaged"),
    ],
)
def test_a_place_that_cannot_be_a_store_has_failed_with_a_hint(
    project: Path, make: Callable[[Path], None], detail: str
) -> None:
    place = project / "store"
    make(place)

    found, code = examine_with_code(project, store=str(place))

    assert (code, found["store"]["state"], detail in found["store"]["detail"]) == (5, "failed", True)
    assert found["store"]["hint"]
    assert found["store disk"]["state"] == "ok"


def test_a_directory_that_cannot_be_written_to_has_failed_once_with_the_reason(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store(project / "store")

    def denied(*_: object, **__: object) -> str:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(tempfile, "mkdtemp", denied)

    found, code = examine_with_code(project, store=str(project / "store"))

    assert code == 5
    assert of_stores(found, "failed") == ["store writing", "store hard links", "store clock"]
    assert found["store writing"]["detail"].endswith("store: Permission denied")
    assert found["store hard links"]["detail"] == "for the same reason as store writing"
    assert found["store reading"]["state"] == "ok"


def test_a_part_of_a_shared_directory_that_belongs_to_someone_else_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(project / "store")
    store.blobs.put_many([b"a"])
    [theirs] = (project / "store" / "blobs").iterdir()
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != theirs)

    check = examine(project, store=str(project / "store"))["store writing"]

    assert (check["state"], str(theirs) in check["detail"], "chgrp" in check["hint"]) == (
        "failed",
        True,
        True,
    )


def test_a_file_system_without_hard_links_has_failed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_store(project / "store")

    def no_links(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)

    found = examine(project, store=str(project / "store"))

    assert of_stores(found, "failed") == ["store hard links"]
    assert "hard links" in found["store hard links"]["hint"]


@pytest.mark.parametrize(
    ("ahead", "state"), [(30, "ok"), (100, "warning"), (-100, "warning"), (2000, "failed")]
)
def test_a_file_server_whose_clock_differs_is_told(
    project: Path, monkeypatch: pytest.MonkeyPatch, ahead: int, state: str
) -> None:
    open_store(project / "store")
    clock = SimpleNamespace(time=lambda: time.time() - ahead, perf_counter=time.perf_counter)
    monkeypatch.setattr("lineal.api.doctor_stores.time", clock)

    check = examine(project, store=str(project / "store"))["store clock"]

    assert check["state"] == state
    assert state == "ok" or (f"{abs(ahead):,} s" in check["detail"] and "clock" in check["hint"])


def test_a_store_that_is_no_kind_of_store_has_failed(project: Path) -> None:
    found, code = examine_with_code(project, store="ftp://old/place")

    assert (code, of_stores(found, "failed")) == (5, ["store"])
    assert "ftp:// is no kind of store" in found["store"]["detail"]


# --- a server that does as it is told --------------------------------------------------------------


class Told(MemoryBackend):
    """A server in memory that denies what it is told to deny."""

    remote = True

    def __init__(self, name: str = "told") -> None:
        super().__init__(name)
        self.error: dict[str, StoreUnavailable] = {}
        self.honours = True
        self.skew: timedelta | None = timedelta(seconds=1)
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return "s3://ml/churn"

    def deny(self, *operations: str, problem: str = "access denied", transient: bool = False) -> None:
        for operation in operations:
            self.error[operation] = StoreUnavailable(self.url, problem, "Ask for the right.", transient)

    def _ask(self, operation: str) -> None:
        self.asked.append(operation)
        if operation in self.error:
            raise self.error[operation]

    def check_bucket(self) -> None:
        self._ask("check_bucket")

    def honours_conditions(self, name: str, data: bytes) -> bool:
        self._ask("put")
        assert MemoryBackend.read(self, name) == data
        return self.honours

    def clock_skew(self) -> timedelta | None:
        self._ask("clock")
        return self.skew

    def create(self, uploads: Sequence[Upload]) -> Sequence[bool]:
        self._ask("put")
        return super().create(uploads)

    def read(self, name: str) -> bytes:
        self._ask("get")
        return super().read(name)

    def read_many(self, names: Iterable[str]) -> dict[str, bytes]:
        self._ask("get")
        return super().read_many(names)

    def folders(self, prefix: str) -> Sequence[str]:
        self._ask("list")
        return super().folders(prefix)

    def delete(self, names: Iterable[str]) -> None:
        self._ask("delete")
        super().delete(names)

    def everything(self) -> list[str]:
        return [info.name for info in MemoryBackend.list(self, "")]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Told:
    """The server behind every s3:// address, with a store on it."""
    told = Told()
    monkeypatch.setattr("lineal_store.backends.s3.S3Backend", lambda url, **_: told)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "an-access-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-key")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    told.create([Upload(HEADER, b'{"format": 1, "id": "the-id"}\n')])
    return told


def test_of_a_server_everything_is_asked_and_nothing_is_written(project: Path, server: Told) -> None:
    found, code = examine_with_code(project, store="s3://ml/churn")

    assert (code, tuple(of_stores(found, "ok"))) == (0, SERVER_CHECKS)
    assert "id the-id" in found["store"]["detail"]
    assert server.everything() == [HEADER]


def test_endpoint_region_and_origin_of_the_credentials_are_told_but_no_credentials(
    project: Path, server: Told
) -> None:
    found = examine(project, store="s3://ml/churn")

    assert found["store server"]["detail"] == (
        "http://127.0.0.1:9, without TLS; region eu-central-1; credentials from variables"
    )
    assert "a-secret-key" not in str(found) and "an-access-key" not in str(found)


@pytest.mark.parametrize(
    ("variables", "detail"),
    [
        ({"AWS_SECRET_ACCESS_KEY": None}, "AWS_SECRET_ACCESS_KEY"),
        ({"AWS_PROFILE": "team"}, "profile (team) could not be found"),
        ({"AWS_CA_BUNDLE": "/no/such/file.pem"}, "/no/such/file.pem, which is not there"),
        ({"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, "no credentials were found"),
    ],
)
def test_settings_that_lead_nowhere_have_failed(
    project: Path,
    server: Told,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str | None],
    detail: str,
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name, value in variables.items():
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)

    found, code = examine_with_code(project, store="s3://ml/churn")

    assert (code, found["store server"]["state"]) == (5, "failed")
    assert detail in found["store server"]["detail"]
    assert found["store server"]["hint"]


@pytest.mark.parametrize(
    ("denied", "failing"),
    [
        (["put"], ["store writing", "store conditional writes"]),
        (["list"], ["store listing"]),
        (["clock"], ["store clock"]),
        (["get"], ["store", "store reading", "store round trip"]),
    ],
)
def test_each_right_is_told_by_itself(
    project: Path, server: Told, denied: list[str], failing: list[str]
) -> None:
    server.deny(*denied)

    found, code = examine_with_code(project, store="s3://ml/churn")

    assert (code, of_stores(found, "failed")) == (5, failing)
    first, *others = failing
    assert found[first]["detail"] == "s3://ml/churn: access denied"
    assert found[first]["hint"] == "Ask for the right."
    assert {found[name]["detail"] for name in others} <= {f"for the same reason as {first}"}


def test_a_server_out_of_reach_is_waited_for_once(project: Path, server: Told) -> None:
    server.deny("check_bucket", problem="connection refused", transient=True)

    found = examine(project, store="s3://ml/churn")

    assert of_stores(found, "ok") == ["store server"]
    assert found["store"]["detail"] == "s3://ml/churn: connection refused"
    assert found["store writing"]["detail"] == "not tried: the server is out of reach"
    assert server.asked[1:] == ["check_bucket"]


def test_a_bucket_that_is_not_there_has_failed_and_the_clock_is_looked_at(
    project: Path, server: Told
) -> None:
    """A wrong clock looks like a denial, so that a denial is no reason not to look at it."""
    server.deny("check_bucket", "get", "put", "list", problem="access denied")
    server.skew = timedelta(minutes=-20)

    found = examine(project, store="s3://ml/churn")

    assert found["store clock"]["state"] == "failed"
    assert found["store clock"]["detail"].startswith("the server's clock is 1,200 s behind this machine's")


def test_a_server_that_ignores_conditional_writes_has_failed(project: Path, server: Told) -> None:
    server.honours = False

    found, code = examine_with_code(project, store="s3://ml/churn")

    assert (code, of_stores(found, "failed")) == (5, ["store conditional writes"])
    assert "single_writer" in found["store conditional writes"]["hint"]


def test_with_a_single_writer_that_is_a_warning(project: Path, server: Told) -> None:
    server.honours = False

    found, code = examine_with_code(project, store="s3://ml/churn", single_writer=True)

    assert (code, of_stores(found, "warning")) == (0, ["store conditional writes"])


def test_a_single_writer_that_is_not_needed_is_hinted_at(project: Path, server: Told) -> None:
    check = examine(project, store="s3://ml/churn", single_writer=True)["store conditional writes"]

    assert (check["state"], "not needed" in check["hint"]) == ("ok", True)


@pytest.mark.parametrize(
    ("seconds", "state"), [(60, "ok"), (-60, "ok"), (61, "warning"), (-900, "warning"), (901, "failed")]
)
def test_the_clocks_may_differ_by_a_minute_and_by_fifteen_at_most(
    project: Path, server: Told, seconds: int, state: str
) -> None:
    server.skew = timedelta(seconds=seconds)

    assert examine(project, store="s3://ml/churn")["store clock"]["state"] == state


def test_a_server_that_does_not_tell_the_time_is_a_warning(project: Path, server: Told) -> None:
    server.skew = None

    assert examine(project, store="s3://ml/churn")["store clock"]["state"] == "warning"


def test_where_there_is_no_store_yet_a_probe_is_written_and_deleted(project: Path, server: Told) -> None:
    server.delete([HEADER])

    found, code = examine_with_code(project, store="s3://ml/churn")

    assert (code, of_stores(found, "warning"), of_stores(found, "failed")) == (0, ["store"], [])
    assert "holds no store yet" in found["store"]["detail"]
    assert server.everything() == []


def test_who_may_not_delete_is_warned_and_told_what_it_is_needed_for(project: Path, server: Told) -> None:
    server.deny("delete")

    found, code = examine_with_code(project, store="s3://ml/churn")

    assert (code, of_stores(found, "warning")) == (0, ["store deleting"])
    assert "claims/" in found["store deleting"]["detail"]
    assert "s3:DeleteObject" in found["store deleting"]["hint"]


def test_a_probe_that_may_not_be_deleted_stays(project: Path, server: Told) -> None:
    server.delete([HEADER])
    server.deny("delete")

    found = examine(project, store="s3://ml/churn")

    assert of_stores(found, "warning") == ["store", "store deleting"]
    assert server.everything() == ["claims/doctor"]


def test_a_probe_that_was_left_is_used_again(project: Path, server: Told) -> None:
    server.delete([HEADER])
    server.create([Upload("claims/doctor", b"lineal doctor\n")])

    found = examine(project, store="s3://ml/churn")

    assert found["store conditional writes"]["state"] == "ok"
    assert server.everything() == []


def test_a_probe_that_another_doctor_deletes_in_between_misleads_nobody(
    project: Path, server: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.delete([HEADER])
    answers = iter([False, True])
    monkeypatch.setattr(server, "honours_conditions", lambda name, data: next(answers))

    assert examine(project, store="s3://ml/churn")["store conditional writes"]["state"] == "ok"


# --- upstream --------------------------------------------------------------------------------------


def test_each_store_upstream_is_read(project: Path) -> None:
    open_store(project / "team")

    found, code = examine_with_code(project, upstream=["team"])

    assert (code, of_stores(found, "failed")) == (0, [])
    assert found[f"upstream {project / 'team'}"]["detail"].startswith("can be read, id ")


def test_a_store_upstream_that_is_not_there_has_failed_for_no_run_would_begin(project: Path) -> None:
    found, code = examine_with_code(project, upstream=["team"])

    assert (code, of_stores(found, "failed")) == (5, [f"upstream {project / 'team'}"])
    assert not (project / "team").exists()


def test_a_store_upstream_that_is_out_of_reach_is_a_warning_for_runs_go_on(
    project: Path, server: Told
) -> None:
    server.deny("check_bucket", "get", problem="connection refused", transient=True)

    found, code = examine_with_code(project, upstream=["s3://ml/churn"])

    assert (code, of_stores(found, "warning")) == (0, ["upstream s3://ml/churn"])
    assert found["upstream s3://ml/churn"]["detail"].endswith("connection refused; runs go on without it")


def test_a_store_that_is_its_own_upstream_is_a_warning(project: Path) -> None:
    open_store(project / "team")

    found = examine(project, store=str(project / "team"), upstream=["team"])

    assert of_stores(found, "warning") == [f"upstream {project / 'team'}"]


# --- disks -----------------------------------------------------------------------------------------


def disk(total: int, free: float, files: int = 1000) -> Callable[[Path], SimpleNamespace]:
    """A disk as ``os.statvfs`` tells of it, in blocks of 1,000 bytes; with room for so many ``files``."""
    blocks = {"f_frsize": 1000, "f_blocks": total // 1000, "f_bavail": int(free) // 1000}
    return lambda path: SimpleNamespace(**blocks, f_files=1000, f_favail=files)


@pytest.mark.parametrize(
    ("total", "free", "state"),
    [
        (100 * 10**9, 50 * 10**9, "ok"),
        (100 * 10**9, 4 * 10**9, "warning"),
        (10 * 10**9, 1.9 * 10**9, "warning"),
        (100 * 10**9, 99 * 10**6, "failed"),
    ],
)
def test_a_disk_that_fills_up_is_told_before_it_is_full(
    project: Path, monkeypatch: pytest.MonkeyPatch, total: int, free: float, state: str
) -> None:
    monkeypatch.setattr(os, "statvfs", disk(total, free))

    found, code = examine_with_code(project)

    assert (found["store disk"]["state"], code) == (state, 5 if state == "failed" else 0)
    told = f"{free / 10**9:.1f} GB" if free >= 10**9 else f"{free / 10**6:.0f} MB"
    assert f"{told} of {total / 10**9:.1f} GB free" in found["store disk"]["detail"]


def test_a_disk_that_can_take_no_more_files_has_failed(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "statvfs", disk(10**12, 10**12, files=0))

    assert "inodes" in examine(project)["store disk"]["detail"]


def test_with_a_store_on_a_server_spool_and_cache_are_what_takes_room_here(
    project: Path, server: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = examine(project, store="s3://ml/churn", cache_limit="3 GB")

    assert "store disk" not in found
    assert "for spool, cache, project" in found["spool disk"]["detail"]
    assert found["cache"]["detail"].endswith("at most 3.0 GB")


def test_where_nothing_can_be_spooled_that_is_told(
    project: Path, server: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "gettempdir", full)

    found, code = examine_with_code(project, store="s3://ml/churn")

    assert (code, found["spool disk"]["state"]) == (1, "failed")
    assert "TMPDIR" in found["spool disk"]["hint"]
    assert found["project disk"]["state"] == "ok"


def test_a_cache_that_cannot_be_written_to_is_a_warning(
    project: Path, server: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)

    found, code = examine_with_code(project, store="s3://ml/churn", cache=str(project / "cache"))

    assert (code, found["cache"]["state"]) == (0, "warning")


# --- real servers ----------------------------------------------------------------------------------


def test_a_new_bucket_is_found_usable_and_stays_empty(project: Path, s3_server: Server, bucket: str) -> None:
    found, code = examine_with_code(project, store=f"s3://{bucket}/churn")

    assert (code, of_stores(found, "warning"), of_stores(found, "failed")) == (0, ["store"], [])
    assert "honoured" in found["store conditional writes"]["detail"]
    assert "Contents" not in s3_server.client().list_objects_v2(Bucket=bucket)


def test_a_store_on_a_server_is_found_in_order_and_is_not_changed(
    project: Path, s3_server: Server, bucket: str
) -> None:
    identity = open_store(f"s3://{bucket}/churn").place.known_id
    before = s3_server.client().list_objects_v2(Bucket=bucket)["Contents"]

    found, code = examine_with_code(project, store=f"s3://{bucket}/churn")

    assert (code, tuple(of_stores(found, "ok"))) == (0, SERVER_CHECKS)
    assert f"id {identity}" in found["store"]["detail"]
    assert s3_server.client().list_objects_v2(Bucket=bucket)["Contents"] == before


def test_who_may_only_read_is_told_so(
    project: Path, s3_server: Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store(f"s3://{bucket}/churn")
    assert s3_server.read_only_environment is not None
    s3_servers.use(s3_server.read_only_environment, monkeypatch)

    found, code = examine_with_code(project, store=f"s3://{bucket}/churn")

    assert (code, of_stores(found, "failed")) == (5, ["store writing", "store conditional writes"])
    assert "s3:PutObject" in found["store writing"]["hint"]


def test_a_wrong_secret_and_a_bucket_that_is_not_there_are_told(
    project: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = examine(project, store="s3://no-such-bucket-here/churn")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret-at-all")
    refused = examine(project, store=f"s3://{bucket}/churn")

    assert "there is no bucket no-such-bucket-here" in absent["store"]["detail"]
    assert "secret key" in refused["store"]["detail"]
    assert refused["store clock"]["state"] == "ok"
    assert "not-the-secret-at-all" not in str(refused)


def test_an_address_that_is_no_bucket_has_failed(project: Path, bucket: str) -> None:
    found, code = examine_with_code(project, store=f"s3://{bucket}//churn")

    assert (code, of_stores(found, "failed")) == (5, ["store"])


def test_rclones_server_is_told_to_ignore_conditional_writes(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_servers.rclone_server(tmp_path / "data") as careless:
        s3_servers.use(careless.environment, monkeypatch)
        name = careless.make_bucket()
        found, code = examine_with_code(project, store=f"s3://{name}/churn")

        assert "Contents" not in careless.client().list_objects_v2(Bucket=name)

    assert (code, of_stores(found, "failed")) == (5, ["store conditional writes"])
