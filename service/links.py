"""Addresses that the service gives out, all below /api/v1."""

from __future__ import annotations

API = "/api/v1"


def sweep_url(sweep_id: str, part: str = "") -> str:
    """Address of a sweep, or of a part of it such as `trials`."""
    return f"{API}/sweeps/{sweep_id}/{part}".rstrip("/")


def picture_url(sweep_id: str, number: int, name: str) -> str:
    """Address of a trial's picture."""
    return f"{API}/sweeps/{sweep_id}/trials/{number}/pictures/{name}.png"
