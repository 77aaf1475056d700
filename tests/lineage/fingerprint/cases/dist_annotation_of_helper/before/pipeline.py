from __future__ import annotations
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import fakelib
def h(x: fakelib.T) -> fakelib.T:
    return x
def stage(x=3):
    return h(x)
