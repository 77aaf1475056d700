"""A zygote that is started while the engine still gets ready, where it is known that something will be executed.

It saves time, and nothing else: one that cannot be used is ended, and the executor starts its own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec.structs import replace

if TYPE_CHECKING:
    from lineal.executors.process import Zygote
    from lineal.executors.protocol import Setup


class Early:
    """At most one zygote, for the process executor of a run; `close` ends it where none has taken it."""

    def __init__(self) -> None:
        self._zygote: Zygote | None = None
        self._variables: Mapping[str, str] = {}
        self._setup: Setup | None = None

    def start(self, root: str) -> None:
        """Have an interpreter started that has Lineal's own modules, and waits to be told what to import."""
        self._start(root, {**os.environ, "PYTHONHASHSEED": "0"})

    def prepare(self, setup: Setup) -> None:
        """Have the project imported as well, as ``setup`` says."""
        if self._zygote is None:
            self._start(setup.root, setup.variables)
        if self._zygote is not None and self._setup is None:
            self._setup = setup
            try:
                self._zygote.line.send(setup)
            except OSError:  # it has died
                self.close()

    def take(self, setup: Setup) -> Zygote | None:
        """The zygote, which imports the project as ``setup`` says; None where there is none that was started as it has to be."""
        if self._zygote is None:
            return None
        if self._suits(setup):
            self.prepare(setup)
        else:
            self.close()
        taken, self._zygote = self._zygote, None
        return taken

    def close(self) -> None:
        """End the zygote, if it is still here."""
        if self._zygote is not None:
            from lineal.executors.process import end_zygote

            end_zygote(self._zygote)
            self._zygote = None

    def _start(self, root: str, variables: Mapping[str, str]) -> None:
        from lineal.executors.process import start_zygote

        with suppress(OSError):  # which the executor will tell, if it meets it too
            self._zygote, self._variables = start_zygote(root, variables), variables

    def _suits(self, setup: Setup) -> bool:
        """Whether it began as ``setup`` wants. Variables that importing the project has set in the engine's process since (scikit-learn sets
        some) are no hindrance: it is told of them before it imports that, or sets them itself as it does.
        """
        began_alike = _read_at_start(self._variables) == _read_at_start(setup.variables)
        return began_alike and (
            self._setup is None or replace(self._setup, variables=setup.variables) == setup
        )


def _read_at_start(variables: Mapping[str, str]) -> dict[str, str]:
    """Those that an interpreter, or the system on its behalf, looks at when it starts, and not again."""
    names = ("PYTHON", "LD_", "DYLD_", "MALLOC_", "LC_", "LANG", "TZ")
    return {name: value for name, value in variables.items() if name.startswith(names)}
