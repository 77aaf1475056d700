"""Small files of this machine that save time, and that nobody misses: each is there whole or not at all.

Only what may be lost is written here, for nothing waits for the disk; what has to last is the store's.
"""

# ruff: noqa: PTH103, PTH105, PTH108, PTH120
# An unchanged run imports this, and pathlib costs more than all that it does.
from __future__ import annotations

import os


def write_note(path: str | os.PathLike[str], data: bytes, *, mode: int = 0o600) -> None:
    """Put ``data`` into the file ``path``, in place of what it held; its folder is made. OSError as the system gives it."""
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    part = f"{folder}/.{os.getpid()}-{os.urandom(4).hex()}"
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as stream:
            stream.write(data)
        os.replace(part, path)
    except BaseException:
        try:
            os.unlink(part)
        except OSError:
            pass  # the first error is the one to tell
        raise
