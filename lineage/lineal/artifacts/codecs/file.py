"""`File`: the bytes of a file that a stage wrote."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import BinaryIO

from lineal.artifacts.codecs.bytes import preview_of_file
from lineal.artifacts.codecs.protocol import Description, StreamCodec, UnreadableValue, UnsupportedValue
from lineal.artifacts.files import File

_COPY_BYTES = 1 << 20


class FileCodec(StreamCodec):
    """A copy of the file's bytes: a link would let the stage change the artifact after it was hashed."""

    name = "file"
    suffix = ""
    executes_code = False

    def write(self, value: File, annotation: object, stream: BinaryIO) -> Description:
        source = value.path
        if not source.is_file():
            problem = "is a folder" if source.is_dir() else "does not exist"
            hint = (
                "Return it as Directory."
                if source.is_dir()
                else "Write to lineal.output(…) and return File of it."
            )
            raise UnsupportedValue(f"the file {str(source)!r} {problem}", hint)
        with source.open("rb") as content:
            shutil.copyfileobj(content, stream, _COPY_BYTES)
            return {"file_name": source.name, "length": content.tell()}

    def decode(self, path: Path, annotation: object) -> File:
        if not path.is_file():
            raise UnreadableValue(self.name, f"{path} is no file")
        return File.held(str(path), path)

    def preview(self, path: Path, limit: int = 20) -> Description:
        return preview_of_file(path, limit)


CODEC = FileCodec()
