"""What is left when the daemon ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lineal_cli.render.text import clean


def render_served(document: Mapping[str, Any]) -> str:
    going_on = document["going_on"]
    if not going_on:
        return "ended; nothing runs"
    names = ", ".join(f"{clean(job['origin'])} ({clean(job['logical_date'])})" for job in going_on)
    return f"ended; {len(going_on)} still at work: {names}"
