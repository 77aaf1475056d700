"""How the death of a process is told: by which signal, and whether memory was short."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from lineal.events import Failure

MEMORY_HINT = (
    "Work on less at once, let fewer stages run at once (-j 1), or say how much the stage may use: "
    'resources={"memory": "8 GB"}.'
)

_HINTS = {
    signal.SIGKILL: "Somebody, or the system, killed it; see the system's log.",
    signal.SIGSEGV: "A native library crashed; the last lines of its output may say where.",
    signal.SIGBUS: "A native library crashed, or a file that it had mapped was cut short.",
    signal.SIGABRT: "A native library gave up; the last lines of its output may say why.",
    signal.SIGILL: "A native library was built for another processor.",
    signal.SIGFPE: "A native library divided by zero.",
}
_OOM_KILLS = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


def told(who: str, status: int, last_lines: str = "", *, short_of_memory: bool = False) -> Failure:
    """The failure that the exit ``status`` of ``who`` is (`os.waitstatus_to_exitcode`), with what it wrote last.

    ``short_of_memory`` says that the kernel killed a process for want of memory meanwhile.
    """
    if status >= 0:
        return Failure(
            "killed",
            "ProcessExit",
            f"{who} ended with status {status} before the stage returned",
            "Does something call os._exit, or a native library exit()?",
            last_lines,
        )
    try:
        number = signal.Signals(-status)
    except ValueError:
        return Failure(
            "killed", f"signal {-status}", f"{who} was killed by signal {-status}", None, last_lines
        )
    if number == signal.SIGKILL and short_of_memory:
        message = f"{who} was killed by the system, which was out of memory"
        return Failure("out_of_memory", "OutOfMemory", message, MEMORY_HINT, last_lines)
    return Failure(
        "killed", number.name, f"{who} was killed by {number.name}", _HINTS.get(number), last_lines
    )


def over_limit(used_bytes: float, limit_bytes: float, last_lines: str) -> Failure:
    """The failure of an attempt that was stopped since it used more memory than its stage declares."""
    return Failure(
        "out_of_memory",
        "OutOfMemory",
        f"the stage used {used_bytes / 1e9:.2f} GB of memory, and declares at most {limit_bytes / 1e9:.2f} GB",
        'Declare more, for instance resources={"memory": "8 GB"}, or work on less at once.',
        last_lines,
    )


def count_oom_kills(root: Path = Path("/")) -> int | None:
    """How many processes the kernel has killed so far for want of memory: in our control group, else on the machine.

    None where the system does not tell.
    """
    try:
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            number, _, path = line.split(":", 2)
            if number == "0":
                events = root / "sys/fs/cgroup" / path.lstrip("/") / "memory.events"
                if events.exists():
                    return _count(events)
        return _count(root / "proc/vmstat")
    except OSError:
        return None


def _count(path: Path) -> int | None:
    found = _OOM_KILLS.search(path.read_text())
    return int(found[1]) if found else None
