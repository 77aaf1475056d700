"""The texts of secrets that stages of a run were given, and what is left of a text without them."""

from __future__ import annotations

from typing import TypeVar

from lineal.engine.plan import Bound
from lineal.executors.protocol import Hidden

Text = TypeVar("Text", str, bytes)


class Secrets:
    """Gathered as stages are asked for and begun; whatever is told or kept goes through `masked`."""

    def __init__(self) -> None:
        self._texts: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._texts)

    def note(self, bound: Bound) -> None:
        """From now on leave the secrets among these arguments out of texts."""
        for argument in bound.arguments.values():
            if isinstance(argument, Hidden) and (text := argument.value.reveal()):
                self._texts.add(text)

    def masked(self, text: Text) -> Text:
        """``text`` with three asterisks for each secret in it."""
        for secret in self._texts:
            if isinstance(text, bytes):
                text = text.replace(secret.encode(), b"***")
            else:
                text = text.replace(secret, "***")
        return text
