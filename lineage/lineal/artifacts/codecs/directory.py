"""`Directory`: every file below a folder that a stage wrote."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from lineal.artifacts.codecs.protocol import Description, UnreadableValue, UnsupportedValue
from lineal.artifacts.files import Directory


class DirectoryCodec:
    """A copy of the folder in which only names, bytes and the executable bit are left of each file.

    Modes are 644 or 755; empty folders are dropped, as in git; a link to a file inside becomes that file.
    What the caller files is the tree of these, in the order of their relative paths.
    """

    name = "directory"
    suffix = ""
    executes_code = False

    def encode(self, value: Directory, annotation: object, path: Path) -> Description:
        root = value.path
        if not root.is_dir():
            problem = "is a file" if root.is_file() else "does not exist"
            hint = (
                "Return it as File."
                if root.is_file()
                else "Write to lineal.output(…) and return Directory of it."
            )
            raise UnsupportedValue(f"the folder {str(root)!r} {problem}", hint)
        # what Lineal laid out itself is links into the store
        boundary = None if value.is_held else root.resolve()
        path.mkdir()
        sizes = [_copy(source, path / name, boundary, name) for name, source in _files_below(root)]
        return {"files": len(sizes), "length": sum(sizes)}

    def decode(self, path: Path, annotation: object) -> Directory:
        if not path.is_dir():
            raise UnreadableValue(self.name, f"{path} is no folder")
        return Directory.held(str(path), path)

    def preview(self, path: Path, limit: int = 20) -> Description:
        if not path.is_dir():
            raise UnreadableValue(self.name, f"{path} is no folder")
        names = [name for name, _ in _files_below(path)]
        return {"files": len(names), "names": names[:limit]}


def _files_below(root: Path) -> list[tuple[str, Path]]:
    """Everything below that is no folder, by its path with ``/``, in the order of those paths."""
    found = []
    for folder, names_of_folders, names in os.walk(root):
        links = [name for name in names_of_folders if Path(folder, name).is_symlink()]
        found += [Path(folder, name) for name in names + links]
    return sorted((path.relative_to(root).as_posix(), path) for path in found)


def _copy(source: Path, target: Path, boundary: Path | None, name: str) -> int:
    if source.is_symlink() and boundary is not None and not source.resolve().is_relative_to(boundary):
        raise UnsupportedValue(
            f"links to {str(source.readlink())!r}, outside of the folder",
            "Copy into the folder what belongs to the result.",
            name,
        )
    try:
        mode = source.stat().st_mode
    except OSError:
        raise UnsupportedValue(
            f"links to {str(source.readlink())!r}, which does not exist", None, name
        ) from None
    if not stat.S_ISREG(mode):
        kind = "a link to a folder" if stat.S_ISDIR(mode) else "no ordinary file"
        raise UnsupportedValue(f"is {kind}", "A directory's content is ordinary files.", name)
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise UnsupportedValue("has a name that is no Unicode", "Rename the file.", ascii(name)) from None
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o755 if mode & stat.S_IXUSR else 0o644)
    return target.stat().st_size


CODEC = DirectoryCodec()
