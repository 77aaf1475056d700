"""The doctor's checks of stores: the project's own, those upstream, the cache, and the disks they lie on."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Protocol

from lineal.api.checks import Checks, Found, failed, ok, sentence, warning
from lineal.errors import StoreUnavailable
from lineal_store import Place, open_store
from lineal_store.backends.local import LocalBackend, prepare_directory
from lineal_store.errors import ObjectMissing
from lineal_store.protocols import Backend, Upload
from lineal_store.store import HEADER

_PROBE = "claims/doctor"  # where whoever may write has to be allowed to delete as well

SKEW_WARNING_SECONDS = 60.0
SKEW_LIMIT_SECONDS = 900.0  # S3 refuses a request whose time is further from its own
SLOW_SECONDS = 0.5
LOW_DISK_SHARE = 0.05
LOW_DISK_BYTES = 2 * 10**9
FULL_DISK_BYTES = 10**8


class Server(Backend, Protocol):
    """What an S3 backend can be asked beyond its objects."""

    def check_bucket(self) -> None: ...

    def honours_conditions(self, name: str, data: bytes) -> bool: ...

    def clock_skew(self) -> timedelta | None: ...


def examine_store(checks: Checks, place: Place, *, by_default: bool) -> None:
    """Check the store itself: that it is there, what this user may do there, and what that place is good for.

    With ``by_default`` nobody chose the place, and nobody wonders that there is no store yet.
    """
    path = _local_path(place.url)
    if path is not None:
        _examine_directory(checks, place, path, by_default=by_default)
    elif _is_remote(place):
        _examine_server(checks, place)
    else:
        checks.make("store", partial(_check_store, place))


def examine_upstream(checks: Checks, place: Place) -> None:
    """Check that each store upstream can be read."""
    for url in dict.fromkeys(place.upstream):
        checks.make(f"upstream {url}", partial(_check_upstream, place, url))


def examine_disks(checks: Checks, place: Place, root: Path) -> None:
    """Check the cache, and the room on each file system that the store or the project in ``root`` writes to.

    A file system is told of once, under the name of the first thing that lies there.
    """
    if place.cache is not None and _is_remote(place):
        checks.make("cache", partial(_check_cache, Path(place.cache), place.cache_limit_bytes))
    try:
        places = _places_on_disk(place, root)
    except OSError as error:  # Python looks for a folder that it can write to, and a full disk has none
        no_spool = failed(
            f"{error.strerror or error}", "Make room, or set TMPDIR to a folder that this user may write to."
        )
        checks.make("spool disk", lambda: no_spool)
        places = [("project", root / ".lineal")]
    shared: dict[int, list[tuple[str, Path]]] = {}
    for use, path in places:
        folder = _nearest_folder(path)
        shared.setdefault(folder.stat().st_dev, []).append((use, folder))
    for uses in shared.values():
        checks.make(f"{uses[0][0]} disk", partial(_check_disk, uses[0][1], [use for use, _ in uses]))


# --- any store -------------------------------------------------------------------------------------


def _examine_directory(checks: Checks, place: Place, path: Path, *, by_default: bool) -> None:
    checks.make("store", partial(_check_directory, place, path, by_default))
    backend = LocalBackend(path)
    is_made = _is_there(path / HEADER)
    if is_made:
        checks.make("store reading", partial(_check_reading, backend))
        checks.make("store listing", partial(_check_listing, backend))
    above = _nearest_folder(path)
    checks.make("store writing", partial(_check_local_writing, path, above))
    checks.make("store hard links", partial(_check_links, above))
    checks.make("store clock", partial(_check_local_clock, above))
    if is_made:
        checks.make("store round trip", partial(_check_round_trip, backend))


def _check_directory(place: Place, path: Path, by_default: bool) -> Found:
    if _is_folder(path):
        prepare_directory(str(path), HEADER)  # one that is there is only looked at
        if not _is_there(path / HEADER):
            return _not_made_yet(str(path), None if by_default else "the path, and that its disk is mounted")
    elif os.path.lexists(path):
        return failed(
            f"{path} is no directory", "Check the store's path, or move what is there out of the way."
        )
    else:
        return _not_made_yet(str(path), None if by_default else "the path, and that its disk is mounted")
    return _check_store(place)


def _check_store(place: Place) -> Found:
    store = open_store(_alone(place), create=False)
    header = json.loads(store.backend.read(HEADER))
    return ok(f"{place.url}, format {header['format']}, id {header['id']}")


def _not_made_yet(url: str, hint: str | None) -> Found:
    detail = f"{url} holds no store yet; the first `lineal run` makes it"
    return warning(detail, f"If there should be one, check {hint}.") if hint else ok(detail)


def _check_reading(backend: Backend) -> Found:
    try:
        return ok(f"{HEADER} was read, {len(backend.read(HEADER))} bytes")
    except ObjectMissing:
        return ok("is allowed, and there is nothing to read yet")


def _check_listing(backend: Backend) -> Found:
    return ok(f"is allowed; there are {', '.join(backend.folders('')) or 'no objects yet'}")


def _check_round_trip(backend: Backend) -> Found:
    started = time.perf_counter()
    backend.read_many([HEADER])
    seconds = time.perf_counter() - started
    told = f"{seconds * 1000:,.0f} ms" if seconds >= 0.001 else "less than 1 ms"
    told += " for one small read"
    if seconds > SLOW_SECONDS:
        return warning(told, "Runs will wait for the store: use one that is nearer, or look at the network.")
    return ok(told)


def _check_skew(skew: timedelta, whose: str) -> Found:
    seconds = abs(skew.total_seconds())
    if seconds <= SKEW_WARNING_SECONDS:
        return ok(f"{whose} clock and this machine's agree within {max(1, round(seconds))} s")
    told = f"{whose} clock is {round(seconds):,} s {'ahead of' if skew > timedelta() else 'behind'} this machine's"
    hint = "Set the clock that is wrong; time synchronisation (chrony, systemd-timesyncd) keeps it right."
    if seconds > SKEW_LIMIT_SECONDS:
        return failed(f"{told}; from {SKEW_LIMIT_SECONDS:.0f} s on S3 refuses every request", hint)
    return warning(told, hint)


# --- a store on a local disk ----------------------------------------------------------------------


def _check_local_writing(path: Path, above: Path) -> Found:
    with _scratch(above) as folder:
        (folder / "probe").write_bytes(b"probe")
    denied = [str(inner) for inner in _two_levels(path) if not os.access(inner, os.W_OK | os.X_OK)]
    if denied:
        more = f" and {len(denied) - 1} more" if len(denied) > 1 else ""
        return failed(
            f"this user may not write to {denied[0]}{more}",
            "Give the people who share the store one group, and its directories to that group: "
            "chgrp -R GROUP STORE && chmod -R g+rwXs STORE",
        )
    return ok("a probe was written and removed" + ("" if above == path else f" in {above}"))


def _check_links(above: Path) -> Found:
    with _scratch(above) as folder:
        backend = LocalBackend(folder)  # it publishes by hard links, after a flush
        first, second = (backend.create([Upload("probe", b"probe")])[0] for _ in range(2))
    if not first or second:
        return failed(
            f"{above} does not keep two writers apart",
            "Keep the store on a file system that has hard links: ext4, XFS, APFS, NFS.",
        )
    return ok("work, and so does flushing to the disk: of two writers one wins")


def _check_local_clock(above: Path) -> Found:
    with _scratch(above) as folder:
        (folder / "probe").write_bytes(b"probe")
        skew = (folder / "probe").stat().st_mtime - time.time()
    return _check_skew(timedelta(seconds=skew), "the file system's")


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A hidden directory in ``folder``, which is gone afterwards; readers of a store pass over it."""
    try:
        with tempfile.TemporaryDirectory(prefix=".doctor-", dir=folder) as name:
            yield Path(name)
    except OSError as error:
        raise StoreUnavailable(
            str(folder),
            error.strerror or str(error),
            "Check that the disk is mounted writable and has room, and that this user may write there.",
        ) from error


def _two_levels(path: Path) -> Iterator[Path]:
    """Directory ``path`` and those of its two topmost levels that are not hidden."""
    level = [path] if _is_folder(path) else []
    for _ in range(3):
        yield from level
        level = [inner for folder in level for inner in _folders_in(folder)]


def _folders_in(folder: Path) -> Sequence[Path]:
    with os.scandir(folder) as entries:
        return sorted(
            Path(entry.path)
            for entry in entries
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")
        )


# --- a store on a server --------------------------------------------------------------------------


def _examine_server(checks: Checks, place: Place) -> None:
    from lineal_store.backends.s3 import S3Backend

    checks.make("store server", _check_server_settings)
    try:
        server: Server = S3Backend(place.url, single_writer=place.single_writer)
    except StoreUnavailable:  # an address that nobody can be asked at
        checks.make("store", partial(_check_store, place))
        return
    header: list[bytes] = []
    error = checks.make("store", partial(_check_bucket, place, server, header))
    probe = _Probe(server, header[0] if header else None)
    further = {
        "store reading": partial(_check_reading, server),
        "store listing": partial(_check_listing, server),
        "store writing": partial(_check_server_writing, probe),
        "store conditional writes": partial(_check_conditions, probe, place.single_writer),
        "store deleting": partial(_check_deleting, server),
        "store clock": partial(_check_server_clock, server),
        "store round trip": partial(_check_round_trip, server),
    }
    for name, check in further.items():
        if error is not None and error.transient:  # each would wait for as long again
            checks.leave_out(name, "the server is out of reach")
        else:
            checks.make(name, check)


def _check_bucket(place: Place, server: Server, header: list[bytes]) -> Found:
    """Whether the store is there; what its header holds is added to ``header``."""
    server.check_bucket()
    try:
        header.append(server.read(HEADER))
    except ObjectMissing:
        return _not_made_yet(place.url, "the bucket, the prefix and AWS_ENDPOINT_URL")
    return _check_store(place)


class _Probe:
    """An object to try things on: the store's header, else one that is made for it when it is first needed.

    It has one name, so that where it cannot be deleted afterwards there is never more than one.
    """

    def __init__(self, server: Server, header: bytes | None) -> None:
        self._server = server
        self._is_header = header is not None
        self._data = header if header is not None else b"lineal doctor\n"
        self._answer: bool | None = None
        self.name = HEADER if header is not None else _PROBE

    def honours_conditions(self) -> bool:
        """Whether the server refuses to overwrite; that it answers at all says that this user may write."""
        if self._answer is None:
            if not self._is_header:
                self._server.create([Upload(self.name, self._data)])
            self._answer = self._server.honours_conditions(self.name, self._data)
            if not self._answer and not self._is_header:
                # Somebody else's doctor may have deleted it in between.
                self._answer = self._server.honours_conditions(self.name, self._data)
        return self._answer


def _check_server_writing(probe: _Probe) -> Found:
    probe.honours_conditions()
    return ok(f"is allowed, tried on {probe.name}")


def _check_conditions(probe: _Probe, single_writer: bool) -> Found:
    if probe.honours_conditions():
        needless = (
            "single_writer is not needed here, and costs a request for each object."
            if single_writer
            else None
        )
        return ok("are honoured: of two writers one wins", needless)
    told = "are ignored (If-None-Match): of two who write at once, the last one overwrites the other"
    if single_writer:
        return warning(
            f"{told}; single_writer is set, so that this is used nevertheless",
            "See that nobody else writes to it.",
        )
    return failed(
        told,
        "Use a server that honours them (AWS, MinIO, SeaweedFS, …), or, if you alone write to it, set "
        "single_writer = true (LINEAL_SINGLE_WRITER=1).",
    )


def _check_deleting(server: Server) -> Found:
    """Delete the probe, or nothing: a server says of what is not there too whether it may be deleted."""
    try:
        server.delete([_PROBE])
    except StoreUnavailable as error:
        if error.transient:
            raise
        return warning(
            "is denied below claims/: what a run has claimed others can have only half a minute after its end",
            "Who may write to a store needs s3:DeleteObject there. An object claims/doctor that stays does no harm.",
        )
    return ok("is allowed where runs say what they execute")


def _check_server_clock(server: Server) -> Found:
    skew = server.clock_skew()
    if skew is None:
        return warning("the server does not tell the time", "Compare its clock with this machine's yourself.")
    return _check_skew(skew, "the server's")


def _check_server_settings() -> Found:
    """Where requests go and where the credentials come from, as botocore works it out; none of them is shown."""
    import botocore.exceptions
    import botocore.session

    bundle = os.environ.get("AWS_CA_BUNDLE")
    if bundle and not _is_there(Path(bundle)):
        return failed(
            f"AWS_CA_BUNDLE names {bundle}, which is not there",
            "Set it to the file of your own authority, or unset it.",
        )
    try:
        session = botocore.session.Session()
        credentials = session.get_credentials()
        # As the backend has it: other kits of AWS go by AWS_REGION, and botocore alone does not look at it.
        meta = session.create_client("s3", region_name=os.environ.get("AWS_REGION")).meta
    except (
        botocore.exceptions.BotoCoreError,
        ValueError,
    ) as problem:  # ValueError: of an endpoint that is no URL
        return failed(str(problem), "Check the AWS_* variables, ~/.aws/config and ~/.aws/credentials.")
    if credentials is None:
        return failed(
            "no credentials were found",
            "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE to a profile of ~/.aws/credentials.",
        )
    profile = f", profile {session.profile}" if session.profile else ""
    plain = ", without TLS" if meta.endpoint_url.startswith("http:") else ""
    return ok(
        f"{meta.endpoint_url}{plain}; region {meta.region_name}; "
        f"credentials from {_CREDENTIALS.get(credentials.method, credentials.method)}{profile}"
    )


_CREDENTIALS = {
    "env": "variables",
    "shared-credentials-file": "the credentials file",
    "config-file": "the config file",
}


# --- upstream, cache, disks ------------------------------------------------------------------------


def _check_upstream(place: Place, url: str) -> Found:
    if url == place.url:
        return warning("is the store itself", "Take it out of `upstream`.")
    alone = _alone(place)._replace(url=url)
    try:
        if _is_remote(alone):
            from lineal_store.backends.s3 import S3Backend

            S3Backend(url).check_bucket()  # which gives up sooner than whatever needs an answer
        store = open_store(alone, create=False)
        store.backend.folders("")
    except StoreUnavailable as problem:
        if not problem.transient:
            raise
        return warning(f"{sentence(problem)}; runs go on without it", problem.hint)
    return ok(f"can be read, id {store.place.known_id}")


def _check_cache(folder: Path, limit_bytes: int) -> Found:
    above = _nearest_folder(folder)
    told = f"{folder}, at most {_size(limit_bytes)}"
    if not os.access(above, os.W_OK | os.X_OK):
        return warning(
            f"{told}; this user may not write to {above}",
            "Set `cache` (LINEAL_CACHE) to a folder of your own.",
        )
    return ok(told)


def _places_on_disk(place: Place, root: Path) -> Sequence[tuple[str, Path]]:
    """(what for, path) of what grows on this machine's disks."""
    project, path = ("project", root / ".lineal"), _local_path(place.url)
    if path is not None:
        return [("store", path), project]
    if not _is_remote(place):
        return [project]
    cache = [("cache", Path(place.cache))] if place.cache is not None else []
    return [("spool", Path(tempfile.gettempdir())), *cache, project]


def _check_disk(folder: Path, uses: Sequence[str]) -> Found:
    disk = os.statvfs(folder)
    free, total = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
    share = free / total if total else 0.0
    told = f"{_size(free)} of {_size(total)} free ({share:.0%}) for {', '.join(uses)}, at {folder}"
    hint = "Make room on that disk; `lineal store stats` tells how much of it the store takes."
    if disk.f_files and not disk.f_favail:
        return failed(f"{told}; but no further file can be made there (inodes)", hint)
    if free < FULL_DISK_BYTES:
        return failed(told, hint)
    if free < LOW_DISK_BYTES or share < LOW_DISK_SHARE:
        return warning(told, hint)
    return ok(told)


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 10**9:.1f} GB" if size_bytes >= 10**9 else f"{size_bytes / 10**6:.0f} MB"


def _alone(place: Place) -> Place:
    """The store itself, past the cache and what is upstream of it."""
    return place._replace(upstream=(), cache=None, known_id=None)


def _is_remote(place: Place) -> bool:
    return place.url.startswith("s3://")


def _local_path(url: str) -> Path | None:
    """The directory that a store's URL names; None where it names none."""
    if "://" not in url:
        return Path(url)
    if url.startswith(("file:///", "file://localhost/")):
        from urllib.parse import unquote, urlsplit

        return Path(unquote(urlsplit(url).path))
    return None


def _nearest_folder(path: Path) -> Path:
    """``path``, or the nearest directory above it that exists."""
    return next(folder for folder in (path, *path.parents) if _is_folder(folder))


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # what this user may not look at is not there for them
        return False


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False
