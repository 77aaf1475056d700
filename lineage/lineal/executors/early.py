"""A zygote that is started while the engine still gets ready, where it is known that something will be executed.

It saves time, and nothing else: one that cannot be used is ended, and the executor starts its own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from lineal.executors import threads

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
        """Whether it was started in the environment that ``setup`` wants. Numbers of threads are nothing that an interpreter looks at:
        it takes them over before it imports any library that does.
        """
        if self._setup is not None:
            return self._setup == setup
        now, then = dict(setup.variables), dict(self._variables)
        for name in threads.VARIABLES:
            now.pop(name, None)
            then.pop(name, None)
        return now == then
