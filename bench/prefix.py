"""The prefix index in microseconds, beside plain Python and the machine's limits.

    python bench/prefix.py [blocks that are there already]

The peer is what fits on a page: xxh3_128 chained over blocks of 16 tokens, a dict, bisection. Limits: one
pass of XXH3-128 over the tokens (the `xxhash` package), and a numpy sum of them.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import xxhash

from semcore.prefix import PrefixIndex

VOCABULARY, ROUNDS = 150_000, 200


def median(work: Callable[[], Any], rounds: int = ROUNDS) -> float:
    """Microseconds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2] * 1e6


class Peer:
    """The lean pure-Python index."""

    def __init__(self) -> None:
        self.blocks: dict[bytes, int] = {}

    def hashes(self, tokens: Any) -> list[bytes]:
        raw, parent, out = tokens.tobytes(), b"", []
        for at in range(0, len(raw) - 63, 64):
            parent = xxhash.xxh3_128_digest(parent + raw[at : at + 64])
            out.append(parent)
        return out

    def insert(self, tokens: Any) -> None:
        self.blocks.update(dict.fromkeys(self.hashes(tokens), 1))

    def match(self, tokens: Any) -> int:
        hashes, low = self.hashes(tokens), 0
        high = len(hashes)
        while low < high:
            middle = (low + high + 1) // 2
            if hashes[middle - 1] in self.blocks:
                low = middle
            else:
                high = middle - 1
        return low


def limits(tokens: Any) -> tuple[float, float]:
    raw = tokens.tobytes()
    return median(lambda: int(tokens.sum())), median(lambda: xxhash.xxh3_128_intdigest(raw))


def main(blocks: int = 600_000) -> None:
    rng = np.random.default_rng(1)

    def prompt(n: int) -> Any:
        return rng.integers(0, VOCABULARY, n, dtype=np.int32)

    index, peer = PrefixIndex(blocks=max(1_000_000, 2 * blocks)), Peer()
    for _ in range(blocks // 2048):
        index.insert(prompt(32768))
    print("| tokens | match | int64 | list | miss | plain Python | a sum | XXH3-128 once |")
    print("|---" * 8 + "|")
    for n in (8192, 32768, 131072):
        tokens, other = prompt(n), prompt(n)
        index.insert(tokens)
        peer.insert(tokens)
        assert index.match(tokens).units == peer.match(tokens) == n // 16
        wide, boxed = tokens.astype(np.int64), tokens.tolist()
        row = [median(lambda p=p: index.match(p)) for p in (tokens, wide, boxed, other)]
        row += [median(lambda p=tokens: peer.match(p), 15), *limits(tokens)]
        print(f"| {n:,} |", *(f"{cell:.1f} |" for cell in row), flush=True)
    base = prompt(32768)
    index.insert(base)
    fresh = iter([prompt(32768) for _ in range(40)])
    print(f"insert 32k new: {median(lambda: index.insert(next(fresh)), 40):.1f}")
    longer = iter([np.concatenate([base, prompt(1024)]) for _ in range(40)])
    print(f"insert 1k more: {median(lambda: index.insert(next(longer)), 40):.1f}")
    matches = iter([index.match(np.concatenate([base, prompt(1024)])) for _ in range(40)])
    print(f"insert 1k more by its match: {median(lambda: index.insert(next(matches)), 40):.1f}")
    words = ["".join(map(chr, rng.integers(97, 123, 2184))) for _ in range(60)]
    chat = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(words)]
    index.insert(chat)
    print(f"60 messages of 32k tokens: {median(lambda: index.match(chat)):.1f}")
    before = median(lambda: index.match(base), 1000)
    for replica in range(64):
        index.insert(base, replica=replica)
    print(f"scores of 64 replicas: {median(lambda: index.match(base), 1000) - before:+.2f}")
    print(f"route over 64: {median(lambda: index.route(base, [0.0] * 64), 1000) - before:+.2f}")
    stats = index.stats()
    print(f"bytes a block: {stats['bytes'] / stats['max_blocks']:.2f}")
    assert index.check() is None


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
