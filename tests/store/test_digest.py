from __future__ import annotations

import io
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineal_store import Digest, InvalidName

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_the_digest_of_nothing_is_the_published_one() -> None:
    assert Digest.of(b"").hex == EMPTY
    assert str(Digest.of(b"")) == f"sha256:{EMPTY}"
    assert Digest.of(b"").short == "e3b0c44298fc"


@given(st.binary(max_size=200))
def test_bytes_a_stream_and_a_file_of_them_have_one_digest(data: bytes) -> None:
    assert Digest.of_stream(io.BytesIO(data)) == (Digest.of(data), len(data))


def test_a_file_larger_than_a_chunk_is_read_to_its_end(tmp_path: Path) -> None:
    data = bytes(3_000_001)
    (tmp_path / "file").write_bytes(data)

    assert Digest.of_file(tmp_path / "file") == (Digest.of(data), len(data))


def test_an_unreadable_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Digest.of_file(tmp_path / "absent")


def test_what_is_printed_is_parsed() -> None:
    assert Digest.parse(f"sha256:{EMPTY}") == Digest.of(b"")


@pytest.mark.parametrize(
    "text",
    [
        "",
        EMPTY,
        "sha256:",
        f"sha256:{EMPTY.upper()}",
        f"sha256:{EMPTY[1:]}",
        f"sha256:{EMPTY}\n",
        f"md5:{EMPTY}",
        f"sha256:{EMPTY[:-1]}é",
        f" sha256:{EMPTY}",
        "sha256:../../../etc/passwd",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidName):
        Digest.parse(text)


@given(st.text())
def test_parsing_is_total(text: str) -> None:
    try:
        assert str(Digest.parse(text)) == text
    except InvalidName:
        pass


def test_digests_sort_hash_and_pickle() -> None:
    one, two = Digest("0" * 64), Digest("f" * 64)

    assert sorted({two, one, Digest("0" * 64)}) == [one, two]
    assert pickle.loads(pickle.dumps(one)) == one
