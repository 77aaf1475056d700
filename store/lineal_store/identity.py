"""By what a file shows that it has been changed, or replaced."""

from __future__ import annotations

import os
from typing import NamedTuple

LARGE_BYTES = 1 << 20
"""From this size on, about, a file costs more to digest (a millisecond) than to remember."""


# File systems note the time of a change in steps of up to two seconds (FAT); a file changed less than a step ago
# may change again without its identity showing it.
_COARSEST_STEP_NS = 2_000_000_000


class Identity(NamedTuple):
    """What a file system says of a file that is another after every change, but for two within one step of its clock."""

    device: int
    inode: int
    size_bytes: int
    modified_ns: int
    changed_ns: int
    """Nobody can set this one: it is also that of the last change to the name, the permissions and the other times."""

    def is_settled(self, at_ns: int) -> bool:
        """Whether what has this identity at ``at_ns`` (of the wall clock) gets another by any change from then on."""
        return max(self.modified_ns, self.changed_ns) < at_ns - _COARSEST_STEP_NS


def identity_of(file: int | str | os.PathLike[str]) -> Identity:
    """The identity of a file by its descriptor or path; OSError when there is none."""
    status = os.stat(file)  # noqa: PTH116  not only of paths
    return Identity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
