"""The codecs for bytes, files and directories."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from lineal.artifacts import Directory, File, UnsupportedValue, codec_named, decode, encode


def write(path: Path, data: bytes = b"x", mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)
    return path


def test_bytes_are_kept_as_they_are(tmp_path: Path) -> None:
    encoded = encode(b"\x00raw", bytes, tmp_path / "value")

    assert encoded.path.read_bytes() == b"\x00raw"
    assert decode("bytes", encoded.path, bytes) == b"\x00raw"
    assert encoded.description == {"length": 4}


def test_a_file_is_the_bytes_that_the_stage_wrote_and_its_name_a_fact_beside_them(tmp_path: Path) -> None:
    written = write(tmp_path / "output" / "model.bin", b"weights")

    encoded = encode(File(written), File, tmp_path / "value")

    assert encoded.codec == "file"
    assert encoded.path.read_bytes() == b"weights"
    assert encoded.description == {"file_name": "model.bin", "length": 7}
    assert decode("file", encoded.path, File).path.read_bytes() == b"weights"


def test_a_file_is_copied_so_that_later_writes_do_not_reach_the_artifact(tmp_path: Path) -> None:
    written = write(tmp_path / "model.bin", b"before")
    encoded = encode(File(written), File, tmp_path / "value")

    written.write_bytes(b"after!")

    assert encoded.path.read_bytes() == b"before"


@pytest.mark.parametrize(
    ("value", "annotation", "message"),
    [
        (File("absent"), File, "the file 'absent' does not exist"),
        (File("."), File, "is a folder"),
        (Directory("absent"), Directory, "the folder 'absent' does not exist"),
    ],
    ids=str,
)
def test_what_was_not_written_cannot_be_kept(
    value: object, annotation: object, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedValue, match=message):
        encode(value, annotation, tmp_path / "value")


def test_of_a_directory_names_bytes_and_the_executable_bit_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "output"
    write(folder / "b.txt", b"b", 0o600)
    write(folder / "a" / "run.sh", b"#!", 0o777)
    (folder / "a.txt").symlink_to("b.txt")
    (folder / "empty").mkdir()

    encoded = encode(Directory(folder), Directory, tmp_path / "value")

    kept = [
        (path.relative_to(encoded.path).as_posix(), stat.S_IMODE(path.lstat().st_mode), path.is_symlink())
        for path in Directory(encoded.path).files()
    ]
    assert kept == [("a.txt", 0o644, False), ("a/run.sh", 0o755, False), ("b.txt", 0o644, False)]
    assert (encoded.path / "a.txt").read_bytes() == b"b"
    assert not (encoded.path / "empty").exists()
    assert encoded.description == {"files": 3, "length": 4}


def test_a_link_that_leaves_the_directory_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "secret.txt")
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "link").symlink_to(tmp_path / "secret.txt")

    with pytest.raises(UnsupportedValue, match=r"link: links to .*secret\.txt', outside of the folder"):
        encode(Directory(tmp_path / "output"), Directory, tmp_path / "value")


def test_a_directory_that_lineal_laid_out_may_link_into_the_store(tmp_path: Path) -> None:
    blob = write(tmp_path / "blobs" / "ab12", b"blob")
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "data.csv").symlink_to(blob)

    encoded = encode(Directory.held("raw/data", tmp_path / "input"), Directory, tmp_path / "value")

    assert (encoded.path / "data.csv").read_bytes() == b"blob"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: (folder / "loop").symlink_to(folder), "loop: is a link to a folder"),
        (
            lambda folder: (folder / "lost").symlink_to("nowhere"),
            "lost: links to 'nowhere', which does not exist",
        ),
        (lambda folder: os.mkfifo(folder / "pipe"), "pipe: is no ordinary file"),
    ],
)
def test_what_is_no_ordinary_file_is_refused(make: object, message: str, tmp_path: Path) -> None:
    folder = tmp_path / "output"
    folder.mkdir()
    make(folder)  # type: ignore[operator]

    with pytest.raises(UnsupportedValue, match=message):
        encode(Directory(folder), Directory, tmp_path / "value")


def test_a_name_that_is_no_unicode_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "output"
    folder.mkdir()
    try:
        write(folder / os.fsdecode(b"\xff"))
    except OSError:
        pytest.skip("the file system has only Unicode names")

    with pytest.raises(UnsupportedValue, match="has a name that is no Unicode"):
        encode(Directory(folder), Directory, tmp_path / "value")


def test_previews_show_text_as_lines_and_anything_else_in_hex(tmp_path: Path) -> None:
    codec = codec_named("file")

    assert codec.preview(write(tmp_path / "a", b"one\ntwo\nthree"), 2) == {
        "length": 13,
        "lines": ["one", "two"],
    }
    assert codec.preview(write(tmp_path / "b", b"\x00\xff")) == {"length": 2, "hex": "00 ff"}
    assert codec_named("directory").preview(tmp_path, 1) == {"files": 2, "names": ["a"]}
