"""
Compressed files are told by how they begin, so that who reads one hears more than that it is no capture.
"""

from __future__ import annotations

_BEGINNINGS = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


def compressorOf(start: bytes) -> str | None:
    """The program that has made, and unpacks, what begins like this; None: it is not compressed."""
    return next((name for beginning, name in _BEGINNINGS.items() if start.startswith(beginning)), None)
