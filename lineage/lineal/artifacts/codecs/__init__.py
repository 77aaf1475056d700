"""One module for each way in which values become bytes, named after the library it needs.

A codec writes *canonical* bytes: equal values give equal bytes in every process, so that a result that did not
change is recognised by its digest. Each is imported only when a value or an annotation asks for it, and each
refuses (`UnsupportedValue`) what it could not bring back equal and of the same type.
"""

from __future__ import annotations

from lineal.artifacts.codecs.protocol import Codec, InMemoryCodec, UnreadableValue, UnsupportedValue

__all__ = ["Codec", "InMemoryCodec", "UnreadableValue", "UnsupportedValue"]
