"""What is answered where there is nothing good to say: the same document as the command line's."""

from __future__ import annotations

from starlette.responses import JSONResponse


def refusal(status: int, kind: str, message: str, hint: str | None = None, **headers: str) -> JSONResponse:
    """``{"error": {"kind", "type", "message", "hint"}}`` with that status; the words of headers are joined by ``_``."""
    error = {"kind": kind, "type": "Refused", "message": message, "hint": hint}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return JSONResponse({"error": error}, status, named)
