"""Canonical CBOR (RFC 8949, 4.2) of what vLLM hashes."""

from __future__ import annotations


def _head(major: int, n: int) -> bytes:
    """A CBOR item's first bytes: the shortest form, as the canonical one asks."""
    for code, width in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if n < 24:
            return bytes([major << 5 | n])
        if n < 1 << 8 * width:
            return bytes([major << 5 | code]) + n.to_bytes(width, "big")
    raise ValueError(f"cbor: {n} has more than 64 bits")


def encode(value: object) -> bytes:
    """None, ints of 64 bits, str, bytes, and tuples or lists of them, as canonical CBOR (RFC 8949, 4.2)."""
    if value is None:
        return b"\xf6"
    if isinstance(value, bool):
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    if isinstance(value, bytes):
        return _head(2, len(value)) + value
    if isinstance(value, str):
        raw = value.encode()
        return _head(3, len(raw)) + raw
    if isinstance(value, (tuple, list)):
        return _head(4, len(value)) + b"".join(map(encode, value))
    raise TypeError(f"cbor: cannot encode {type(value).__name__}")
