"""Servers that several rooms are tested against; each is started when a test asks for it, once a test process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import s3_servers
from depth import one_of
from hypothesis import settings
from s3_servers import Server

# No deadlines: on a machine that has other things to do, an example that is slow once is no mistake.
settings.register_profile("of this suite", max_examples=one_of(40, 500), deadline=None)
settings.load_profile("of this suite")


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A SeaweedFS that all tests of this process share: nobody kills it, or minds other buckets."""
    with s3_servers.seaweed(tmp_path_factory.mktemp("seaweed") / "data") as server:
        yield server


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A moto that all tests of this process share."""
    with s3_servers.moto_server(tmp_path_factory.mktemp("moto") / "data") as server:
        yield server


@pytest.fixture(scope="session")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An rclone that all tests of this process share."""
    with s3_servers.rclone_server(tmp_path_factory.mktemp("rclone") / "data") as server:
        yield server


@pytest.fixture
def bucket(s3_server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a new bucket, with the environment set so that ``s3://<name>`` leads to it."""
    s3_servers.use(s3_server.environment, monkeypatch)
    return s3_server.make_bucket()
