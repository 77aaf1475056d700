"""The name that was probably meant."""

from __future__ import annotations

from collections.abc import Iterable


def find_nearest(name: str, known: Iterable[str], *, alike: float = 0.6) -> str | None:
    """The known name most like ``name``, or None when none is ``alike`` (0 to 1) enough.

    >>> find_nearest("learning_rat", ["run_date", "learning_rate"])
    'learning_rate'
    >>> find_nearest("prod", ["dev", "production"])  # the beginning of just one
    'production'
    """
    from difflib import get_close_matches

    folded = {candidate.casefold(): candidate for candidate in known}
    found = get_close_matches(name.casefold(), folded, n=1, cutoff=alike)
    found = found or [key for key in folded if len(name) >= 3 and key.startswith(name.casefold())]
    return folded[found[0]] if len(found) == 1 else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``; did you mean X?``, or nothing: what ends a sentence about an unknown name."""
    nearest = find_nearest(name, known)
    return f"; did you mean {nearest}?" if nearest else ""
