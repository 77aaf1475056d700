"""Archives that come back as they were, and those that are made to harm: refused, with nothing written elsewhere."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineal.reproduce import archive
from lineal.reproduce.archive import CapsuleRefused, TooCompressible, extract_capsule, write_capsule
from lineal_store.errors import StoreUnavailable

ABOUT = ("capsule.json", b"{}")
BLOB = f"store/blobs/{hashlib.sha256(b'data').hexdigest()[:2]}/{hashlib.sha256(b'data').hexdigest()[2:]}"
RUN = "store/runs/2026/11/22/20261122-173120-4f9ac2"


def compressed(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as out:
        out.write(data)
    return bytes(sink.getvalue())


def member(name: str, data: bytes = b"", **fields: object) -> bytes:
    """One file of an archive, with some fields of its header set otherwise."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in fields.items():
        setattr(info, key, value)
    return info.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % 512)


def sealed(*members: bytes) -> bytes:
    return b"".join(members) + bytes(1024)


def refused(tmp_path: Path, data: bytes) -> str:
    """What is said of a file of these bytes, of which nothing comes to lie outside of the folder."""
    path = tmp_path / "hostile.tar.zst"
    path.write_bytes(data)
    folder = tmp_path / "inner" / "folder"
    folder.mkdir(parents=True)
    with pytest.raises(CapsuleRefused) as caught:
        extract_capsule(path, folder)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["hostile.tar.zst", "inner"]
    assert [each.name for each in (tmp_path / "inner").iterdir()] == ["folder"]
    assert not any(each.is_symlink() for each in folder.rglob("*"))
    assert str(path) in str(caught.value)
    return caught.value.problem


def content(folder: Path) -> dict[str, bytes]:
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def test_what_is_packed_comes_back_byte_for_byte(tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.write_bytes(os.urandom(3 << 20))
    digest = hashlib.sha256(big.read_bytes()).hexdigest()
    files: list[tuple[str, bytes | Path]] = sorted(
        [ABOUT, (BLOB, b"data"), (RUN, b""), (f"store/blobs/{digest[:2]}/{digest[2:]}", big)]
    )

    packed = write_capsule(tmp_path / "model.tar.zst", files)
    (tmp_path / "folder").mkdir()
    extract_capsule(tmp_path / "model.tar.zst", tmp_path / "folder")

    wanted = {name: each if isinstance(each, bytes) else each.read_bytes() for name, each in files}
    assert content(tmp_path / "folder") == wanted
    assert packed.files == 4
    assert packed.content_bytes == sum(map(len, wanted.values()))
    assert packed.size_bytes == (tmp_path / "model.tar.zst").stat().st_size


def test_the_same_content_makes_the_same_bytes_whoever_packs_it(tmp_path: Path) -> None:
    source = tmp_path / "data"
    source.write_bytes(b"data")
    write_capsule(tmp_path / "one", [ABOUT, (BLOB, source)])
    source.chmod(0o755)
    os.utime(source, (1, 1))
    write_capsule(tmp_path / "two", [ABOUT, (BLOB, source)])

    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_every_tar_reads_it(tmp_path: Path) -> None:
    write_capsule(tmp_path / "one", [ABOUT, (BLOB, b"data")])

    with pa.OSFile(str(tmp_path / "one")) as raw, pa.CompressedInputStream(raw, "zstd") as stream:
        plain = io.BytesIO(stream.read())
    with tarfile.open(fileobj=plain) as found:
        members = [(each.name, each.mode, each.uid, each.mtime, each.isreg()) for each in found]

    assert members == [("capsule.json", 0o644, 0, 0, True), (BLOB, 0o644, 0, 0, True)]


def test_a_capsule_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "model.tar.zst"
    path.write_bytes(b"old")

    def files() -> Iterable[tuple[str, bytes]]:
        yield ABOUT
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_capsule(path, files())

    assert content(tmp_path) == {"model.tar.zst": b"old"}


def test_what_would_be_refused_as_a_bomb_is_not_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "SMALL_BYTES", 1 << 20)

    with pytest.raises(TooCompressible):
        write_capsule(tmp_path / "model.tar.zst", [ABOUT, (RUN, bytes(16 << 20))])

    assert content(tmp_path) == {}


@pytest.mark.parametrize(
    "name",
    [
        *("../evil", "/etc/cron.d/evil", "store/../../evil", "store/blobs/../../../evil", "store/runs/..", "evil"),
        *("store/runs/.hidden", "store/runs//a", "store/runs/a\\b", "store/runs/a\nb", "./capsule.json"),
        *("store/blobs/ab/short", "store/packs/a", "capsule.json/a", "store/runs/" + 300 * "a", "store/runs/a "),
    ],
)  # fmt: skip
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    header = member(*ABOUT) + tarfile.TarInfo(name[:99]).tobuf(tarfile.GNU_FORMAT)
    if len(name) > 99:  # split as ustar does
        header = member(*ABOUT) + member(name)

    assert refused(tmp_path, compressed(header + bytes(1024)))


@pytest.mark.parametrize(
    "kind",
    [
        *(tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE),
        *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_SPARSE, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.CONTTYPE, b"Z"),
    ],
)  # fmt: skip
def test_what_is_no_regular_file_is_refused(tmp_path: Path, kind: bytes) -> None:
    data = sealed(member(*ABOUT), member(RUN, type=kind, linkname="/etc/passwd"))

    assert "is no regular file" in refused(tmp_path, compressed(data))


def test_a_link_that_claims_to_be_a_file_is_refused(tmp_path: Path) -> None:
    data = sealed(member(*ABOUT), member(RUN, linkname="/etc/passwd"))

    assert "is no regular file" in refused(tmp_path, compressed(data))


def test_a_name_that_comes_twice_is_refused(tmp_path: Path) -> None:
    data = sealed(member(*ABOUT), member(RUN, b"a"), member(RUN, b"b"))

    assert "twice" in refused(tmp_path, compressed(data))


def test_names_out_of_order_are_refused(tmp_path: Path) -> None:
    assert "out of order" in refused(
        tmp_path, compressed(sealed(member(*ABOUT), member(RUN), member(BLOB, b"data")))
    )


def test_a_file_in_the_way_of_a_folder_is_refused(tmp_path: Path) -> None:
    data = sealed(member(*ABOUT), member("store/runs/a"), member("store/runs/a/b"))

    assert "in the way" in refused(tmp_path, compressed(data))


def test_what_does_not_say_what_it_is_first_is_refused(tmp_path: Path) -> None:
    assert "does not begin with" in refused(tmp_path, compressed(sealed(member(RUN))))


def test_a_blob_that_is_not_what_it_is_called_is_refused(tmp_path: Path) -> None:
    data = sealed(member(*ABOUT), member(BLOB, b"edited"))

    assert "holds something else" in refused(tmp_path, compressed(data))


@pytest.mark.parametrize("size", [-1, 8 << 40, 1 << 70])
def test_a_size_that_no_file_has_is_refused(tmp_path: Path, size: int) -> None:
    data = sealed(member(*ABOUT), member(RUN, size=size))

    assert "too large" in refused(tmp_path, compressed(data))


def test_a_bomb_is_refused_before_it_fills_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "SMALL_BYTES", 1 << 20)
    data = compressed(sealed(member(*ABOUT), member(RUN, bytes(16 << 20))))

    assert "times its size" in refused(tmp_path, data)
    assert sum(map(len, content(tmp_path / "inner").values())) < 4 << 20


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_FILES", 10)
    names = [f"store/runs/{number:02}" for number in range(20)]

    assert "more than 10 files" in refused(
        tmp_path, compressed(sealed(member(*ABOUT), *(member(name) for name in names)))
    )


WHOLE = sealed(member(*ABOUT), member(BLOB, b"data"), member(RUN, b"run"))


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"no archive at all", compressed(b""), compressed(b"no archive at all" * 100)),
        *(compressed(bytes(1024)), compressed(WHOLE[:-1]), compressed(WHOLE[:-1024]), compressed(WHOLE[:700])),
        *(compressed(WHOLE + b"x"), compressed(WHOLE) + b"x", compressed(WHOLE) + compressed(b"more")),
        *(compressed(WHOLE)[:-1], compressed(WHOLE)[:-20], WHOLE),
    ],
    ids=range(14),
)  # fmt: skip
def test_what_is_not_whole_or_no_archive_is_refused(tmp_path: Path, data: bytes) -> None:
    assert refused(tmp_path, data)


def test_what_follows_the_end_of_a_file_is_refused(tmp_path: Path) -> None:
    data = bytearray(WHOLE)
    data[512 + 10] = 1  # in the padding after `{}`

    assert "something follows the end of capsule.json" in refused(tmp_path, compressed(bytes(data)))


def test_a_full_disk_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, folder = tmp_path / "model.tar.zst", tmp_path / "folder"
    path.write_bytes(compressed(WHOLE))
    folder.mkdir()

    def full(self: Path, mode: str = "r") -> object:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "open", full)

    with pytest.raises(StoreUnavailable, match="No space left"):
        extract_capsule(path, folder)


def _attempt(data: bytes, make: Callable[[str], Path]) -> None:
    """Whatever the bytes are, it ends with the one error, or with the files that were packed."""
    folder = make("fuzz")
    path, inner = folder / "archive", folder / "a" / "b"
    path.write_bytes(data)
    inner.mkdir(parents=True)
    try:
        extract_capsule(path, inner)
    except CapsuleRefused:
        pass
    else:
        assert (inner / "capsule.json").is_file()
    assert {each.name for each in folder.iterdir()} == {"archive", "a"}
    assert {each.name for each in (folder / "a").iterdir()} == {"b"}
    for each in inner.rglob("*"):
        assert not each.is_symlink()
        assert each.is_dir() or archive._NAME.fullmatch(str(each.relative_to(inner)))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_change_of_an_archive_ends_well(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    changed = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(changed) - 1))
        changed[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))

    _attempt(compressed(bytes(changed)), tmp_path_factory.mktemp)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_any_flipped_byte_of_the_file_ends_well(
    tmp_path_factory: pytest.TempPathFactory, at: int, flip: int
) -> None:
    changed = bytearray(compressed(WHOLE))
    changed[at % len(changed)] ^= flip

    _attempt(bytes(changed), tmp_path_factory.mktemp)


_names = st.one_of(
    st.sampled_from(["capsule.json", BLOB, RUN, "../x", "/x", "store", "store/runs/a", "store/runs/a/b"]),
    st.text(st.sampled_from("ab/.\\\0 -"), max_size=12),
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(_names, st.binary(max_size=20), st.sampled_from([b"0", b"1", b"2", b"5", b"L", b"\0"])),
        max_size=5,
    )
)
def test_any_archive_ends_well(
    tmp_path_factory: pytest.TempPathFactory, members: list[tuple[str, bytes, bytes]]
) -> None:
    data = sealed(*(member(name, content, type=kind) for name, content, kind in members))

    _attempt(compressed(data), tmp_path_factory.mktemp)
