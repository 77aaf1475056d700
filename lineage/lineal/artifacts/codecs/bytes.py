"""`bytes`, as they are."""

from __future__ import annotations

from pathlib import Path

from lineal.artifacts.codecs.protocol import Description, InMemoryCodec, UnsupportedValue, class_name


class BytesCodec(InMemoryCodec):
    """The bytes themselves."""

    name = "bytes"
    suffix = ".bin"
    executes_code = False

    def dump(self, value: bytes, annotation: object) -> tuple[bytes, Description]:
        if type(value) is not bytes:
            raise UnsupportedValue(
                f"{class_name(type(value))} would come back as plain bytes", "Return bytes(value)."
            )
        return value, {"length": len(value)}

    def load(self, data: bytes, annotation: object) -> bytes:
        return data

    def preview(self, path: Path, limit: int = 20) -> Description:
        return preview_of_file(path, limit)


def preview_of_file(path: Path, limit: int) -> Description:
    """Size and first lines where the bytes are text, else the first of them in hex."""
    with path.open("rb") as stream:
        head = stream.read(16 * 1024)
    facts: Description = {"length": path.stat().st_size}
    try:
        text = head.decode("utf-8") if len(head) < 16 * 1024 else head.rpartition(b"\n")[0].decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if all(character.isprintable() or character in "\t\r\n" for character in text):
        return facts | {"lines": text.splitlines()[:limit]}
    return facts | {"hex": head[: 16 * limit].hex(" ")}


CODEC = BytesCodec()
