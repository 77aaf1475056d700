"""Real S3 servers on the loopback interface, each in a process that does not outlive this one.

``seaweed`` signs, checks sums and honours conditional writes, as the services that teams use do; ``moto_server`` is
a second implementation, which takes any key; ``rclone_server`` ignores conditional writes. Each keeps its
data in the folder that it is given, and can be killed and started again on the same port and the same data.

They are reached with boto3, which is not what the backend under test is built on.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

_BIN = Path(sys.executable).parent
_REGION = "us-east-1"
_START_SECONDS = 60
# Below the range that the system takes the ports of outgoing connections from: one of those could otherwise sit on
# the port of a server that was killed, when it is to start again.
_PORTS = range(10_000, 32_000)

# The server goes with the process that started it, however that ends; by exec, since a process with threads
# should run nothing of its own between fork and exec.
_TIED = """
import ctypes, os, signal, sys
parent = int(sys.argv[1])
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
if os.getppid() != parent:
    sys.exit("the parent has died")
os.execv(sys.argv[2], sys.argv[2:])
"""


class Server:
    """A server that is running; ``environment`` is what a process needs to use it as its owner.

    ``read_only_environment`` is that of another user, who may list and read every bucket and write to none; None
    where the server knows no such user.
    """

    def __init__(
        self,
        command: Callable[[int], Sequence[str]],
        folder: Path,
        keys: tuple[str, str],
        read_only_keys: tuple[str, str] | None = None,
    ) -> None:
        self._command = command
        self._folder = folder
        self._log = folder.with_name(folder.name + ".log")
        self._keys = keys
        self._read_only_keys = read_only_keys
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        for _ in range(3):
            self.port = free_port()
            if self._start():
                return
        raise RuntimeError(f"the server does not start: {self._log.read_text(errors='replace')[-4000:]}")

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process that serves; only while it runs."""
        assert self._process is not None
        return self._process.pid

    @property
    def environment(self) -> dict[str, str]:
        return environment(self.endpoint, self._keys)

    @property
    def read_only_environment(self) -> dict[str, str] | None:
        return environment(self.endpoint, self._read_only_keys) if self._read_only_keys else None

    def client(self, **options: Any) -> Any:
        """A boto3 client of the owner, made anew."""
        return client(self.environment, **options)

    def make_bucket(self, name: str | None = None) -> str:
        """Make an empty bucket, and give its name."""
        name = name or f"bucket-{uuid.uuid4().hex[:12]}"
        self.client().create_bucket(Bucket=name)
        return name

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Start it again, on its port and its data; it is ready on return."""
        self.kill()
        if not self._start():
            raise RuntimeError(f"the server is not back: {self._log.read_text(errors='replace')[-4000:]}")

    def _start(self) -> bool:
        """Whether it has come up; when not, nothing runs."""
        command = [sys.executable, "-I", "-S", "-c", _TIED, str(os.getpid()), *self._command(self.port)]
        variables = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                env=variables
                | {"GOMEMLIMIT": "400MiB", "GOGC": "50"},  # they take gigabytes under load otherwise
                start_new_session=True,
            )
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end and self._process.poll() is None:
            if self._answers():
                return True
            time.sleep(0.05)
        self.kill()
        return False

    def _answers(self) -> bool:
        """Whether it takes an object: servers of several parts answer before all of these are up."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                pass
            probing = self.client()
            if not any(bucket["Name"] == "ready" for bucket in probing.list_buckets().get("Buckets", ())):
                probing.create_bucket(Bucket="ready")
            probing.put_object(Bucket="ready", Key="probe", Body=b"probe")
        except (OSError, BotoCoreError, ClientError):
            return False
        return True


def free_port() -> int:
    """A port that nothing listens on, outside the range of outgoing connections."""
    while True:
        port = random.SystemRandom().choice(_PORTS)
        with socket.socket() as trial, contextlib.suppress(OSError):
            trial.bind(("127.0.0.1", port))
            return port


def environment(endpoint: str, keys: tuple[str, str]) -> dict[str, str]:
    """The variables that lead to a server, and away from this user's own accounts."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": keys[0],
        "AWS_SECRET_ACCESS_KEY": keys[1],
        "AWS_REGION": _REGION,
        "AWS_DEFAULT_REGION": _REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def client(variables: Mapping[str, str], **options: Any) -> Any:
    """A boto3 client for an ``environment``: it tries once, waits briefly, and looks at no variable or file."""
    from botocore.config import Config

    return _session().client(
        "s3",
        endpoint_url=variables["AWS_ENDPOINT_URL"],
        region_name=variables["AWS_REGION"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=variables.get("AWS_SESSION_TOKEN"),
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=30, **options),
    )


@functools.cache
def _session() -> Any:
    """What boto3 has read of its service descriptions, which takes longer than most tests."""
    import boto3

    return boto3.Session()


def use(variables: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Make ``variables`` the only AWS settings of this process, for the time of a test."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@contextlib.contextmanager
def seaweed(folder: Path) -> Iterator[Server]:
    """SeaweedFS: signatures, sums and conditions are checked; ready in about two seconds.

    Its data lies in ``folder``, and its settings beside that.
    """
    owner, reader = ("owner", "owner-secret"), ("reader", "reader-secret")
    folder.mkdir(parents=True, exist_ok=True)
    config = folder.with_name(folder.name + ".json")
    config.write_text(
        json.dumps(
            {
                "identities": [
                    _identity("owner", owner, ["Admin", "Read", "Write", "List", "Tagging"]),
                    _identity("reader", reader, ["Read", "List"]),
                ]
            }
        )
    )
    # Every part has a port, and would otherwise take a fixed one, on all interfaces.
    parts = ["master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port"]
    parts += ["filer.port.grpc", "s3.port.grpc", "admin.port", "admin.port.grpc"]
    others = _distinct_ports(len(parts))

    def command(port: int) -> Sequence[str]:
        return [
            str(_BIN / "weed"),
            "mini",
            f"-dir={folder}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-s3.port={port}",
            *[f"-{part}={other}" for part, other in zip(parts, others, strict=True)],
            f"-s3.config={config}",
            "-s3.autoCreateBucket=false",
            # A bucket takes a volume; by itself it allows for as many as the disk could hold full ones.
            "-volume.max=10000",
            "-master.volumeSizeLimitMB=128",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-webdav=false",
            "-admin.ui=false",
            "-master.telemetry=false",
        ]

    server = Server(command, folder, owner, reader)
    try:
        yield from _running(server)
    finally:
        for port in (server.port, *others):  # it leaves its local sockets behind, wherever its data lies
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                left.unlink(missing_ok=True)


@contextlib.contextmanager
def moto_server(folder: Path) -> Iterator[Server]:
    """moto's server: any key will do; it forgets its data when it ends."""

    def command(port: int) -> Sequence[str]:
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]

    yield from _running(Server(command, folder, ("any", "any-secret")))


@contextlib.contextmanager
def rclone_server(folder: Path) -> Iterator[Server]:
    """rclone serving a folder: it ignores ``If-None-Match``, so that the last of two writers wins."""
    keys = ("owner", "owner-secret")

    def command(port: int) -> Sequence[str]:
        return [
            str(_BIN / "rclone"),
            "serve",
            "s3",
            str(folder),
            f"--addr=127.0.0.1:{port}",
            f"--auth-key={keys[0]},{keys[1]}",
            f"--config={os.devnull}",
            "--vfs-cache-mode=full",
            f"--cache-dir={folder.with_name(folder.name + '.cache')}",
        ]

    yield from _running(Server(command, folder, keys))


def _running(server: Server) -> Iterator[Server]:
    try:
        yield server
    finally:
        server.kill()


def _identity(name: str, keys: tuple[str, str], actions: Sequence[str]) -> Mapping[str, object]:
    credentials = [{"accessKey": keys[0], "secretKey": keys[1]}]
    return {"name": name, "credentials": credentials, "actions": list(actions)}


def _distinct_ports(count: int) -> Sequence[int]:
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(free_port())
    return sorted(ports)
