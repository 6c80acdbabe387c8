"""Block hashes by SHA-256, as engines make and publish them.

vLLM: of (parent, tokens, extra keys), pickled ("sha256") or as canonical CBOR ("sha256_cbor"); the parent
of the first block is itself the hash of a seed, a text. Events carry all 32 bytes, or as an int the last
8; the index keeps those 8. SGLang: of the parent's 32 bytes and the tokens, 32 bits each; the first page
has no parent. Events carry the first 8 bytes, as a signed int.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable

from semcore._engine import NO_SEED
from semcore.prefix import cbor

SEED = "vllm-none-hash"  # vLLM's, where PYTHONHASHSEED is not set
PICKLE = 5  # the protocol that vLLM pickles with
Encode = Callable[[object], bytes]


def low(hash: bytes | int) -> int:
    """The 64 bits of a published hash that the index keeps."""
    return int.from_bytes(hash[-8:], "big") if isinstance(hash, bytes) else hash & (1 << 64) - 1


def vllm(encode: Encode, raw: bytes, block: int, seed: int) -> list[int]:
    """Of all whole blocks of tokens, 32 bits each, of a prompt without extra keys."""
    parent = hashlib.sha256(encode(SEED if seed == NO_SEED else str(seed))).digest()
    tokens, out = memoryview(raw).cast("I").tolist(), []
    for at in range(0, len(tokens) - block + 1, block):
        parent = hashlib.sha256(encode((parent, tuple(tokens[at : at + block]), None))).digest()
        out.append(low(parent))
    return out


def sglang(raw: bytes, block: int) -> list[int]:
    """Of all whole pages of tokens, 32 bits each, of a prompt without a salt or an adapter."""
    parent, out = b"", []
    for at in range(0, len(raw) - 4 * block + 1, 4 * block):
        parent = hashlib.sha256(parent + raw[at : at + 4 * block]).digest()
        out.append(int.from_bytes(parent[:8], "big"))
    return out


SCHEMES: dict[str, Callable[[bytes, int, int], list[int]]] = {
    "sha256_cbor": lambda raw, block, seed: vllm(cbor.encode, raw, block, seed),
    "sha256": lambda raw, block, seed: vllm(lambda value: pickle.dumps(value, PICKLE), raw, block, seed),
    "sglang": lambda raw, block, seed: sglang(raw, block),
}
