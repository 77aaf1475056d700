"""Whether a call was made by who has the key."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass

TOLERANCE_SECONDS = 300
_OURS = re.compile(r"t=([0-9]{1,12}),v1=([0-9a-f]{64})", re.ASCII)
_GITHUBS = re.compile(r"sha256=([0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Signature:
    """What a call says that it is signed with (HMAC-SHA256, in hex), and the ``content`` that this is about."""

    hex: str
    content: bytes

    @classmethod
    def find(cls, ours: Sequence[str], githubs: Sequence[str], body: bytes, now: float) -> Signature | None:
        """The signature of ``body`` in a request's headers ``Lineal-Signature`` and ``X-Hub-Signature-256``.

        None where there is none, more than one, or one that is older or newer than `TOLERANCE_SECONDS`; of GitHub's no age is known.
        """
        match [*ours], [*githubs]:
            case [one], _:
                found = _OURS.fullmatch(one)
                if found is not None and abs(now - int(found[1])) <= TOLERANCE_SECONDS:
                    return cls(found[2], found[1].encode() + b"." + body)
            case [], [one]:
                found = _GITHUBS.fullmatch(one)
                if found is not None:
                    return cls(found[1], body)
        return None

    def is_by(self, key: bytes) -> bool:
        """Whether who has made it has ``key``; takes as long for a wrong one."""
        made = hmac.new(key, self.content, hashlib.sha256).hexdigest()
        return hmac.compare_digest(made, self.hex)
