"""Block hashes as vLLM's `sha256_cbor` makes them: SHA-256 of the canonical CBOR of (parent,
tokens, extra keys).

The parent of the first block is itself the hash of the seed, a str (PYTHONHASHSEED). Events carry all 32
bytes, or as an int the last 8; the index keeps those 8.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence


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


def block_hash(parent: bytes, tokens: Sequence[int], extra: object = None) -> bytes:
    """The 32 bytes of one block."""
    return hashlib.sha256(encode((parent, tuple(tokens), extra))).digest()


def seed_hash(seed: int | str) -> bytes:
    """What stands in front of the first block."""
    return hashlib.sha256(encode(str(seed))).digest()


def low(hash: bytes | int) -> int:
    """The 64 bits of a published hash that the index keeps."""
    return int.from_bytes(hash[-8:], "big") if isinstance(hash, bytes) else hash & (1 << 64) - 1


def sha256_hashes(tokens: Sequence[int], block: int, seed: int, extra: Iterable[object] = ()) -> list[int]:
    """Of all whole blocks. extra: what vLLM adds to the first one."""
    first = tuple(extra) or None
    out, parent = [], seed_hash(seed)
    for at in range(0, len(tokens) - block + 1, block):
        parent = block_hash(parent, tokens[at : at + block], None if at else first)
        out.append(low(parent))
    return out
