"""Production and agent traces through the prefix index: hits and evictions beside the reference's,
and routing.

python bench/prefix_traces.py [folder of the traces]
"""

from __future__ import annotations

import gzip
import json
import math
import os
import sys
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from semcore.prefix import PrefixIndex

FOLDER = Path(os.environ.get("SEMCORE_DATA", Path(__file__).parents[2] / "shared" / "data")) / "prefix"
CASES = [
    ("mooncake_conversation_b512.csv.gz", "reference_mooncake.json", "conversation_trace"),
    ("mooncake_synthetic_b512.csv.gz", "reference_mooncake.json", "synthetic_trace"),
    ("agent_magagent_b64bytes.csv.gz", "reference_agent.json", "magagent"),
    ("agent_miniswe_b64bytes.csv.gz", "reference_agent.json", "miniswe"),
]
TOKENS = 512  # of a block of the traces of chats


def read(path: Path) -> list[tuple[int, int, list[int]]]:
    """(ms, tokens, block ids) of each request."""
    out: list[tuple[int, int, list[int]]] = []
    fresh = 0
    with gzip.open(path, "rt") as lines:
        next(lines)
        for line in lines:
            at, parent, shared, total, tokens, _ = map(int, line.split(","))
            new = list(range(fresh, fresh + total - shared))
            fresh += len(new)
            out.append((at, tokens, (out[parent][2][:shared] if parent >= 0 else []) + new))
    return out


class Replica:
    """An engine's cache: blocks in the order in which they go, the last of a prompt first."""

    def __init__(self, capacity: int) -> None:
        self.capacity, self.blocks = capacity, OrderedDict[int, int]()

    def serve(self, ids: list[int], hashes: list[int]) -> tuple[int, int, list[int]]:
        """How many blocks it had, and has now, and the hashes of those that went."""
        known = next((i for i, one in enumerate(ids) if one not in self.blocks), len(ids))
        for one in ids[:known]:
            del self.blocks[one]
        kept, gone = known, []
        for i in range(known, len(ids)):
            if i + len(self.blocks) >= self.capacity:
                if not self.blocks:
                    break
                gone.append(self.blocks.popitem(last=False)[1])
            kept = i + 1
        for one, hash in reversed(list(zip(ids[:kept], hashes[:kept], strict=True))):
            self.blocks[one] = hash
        return known, kept, gone


def route_trace(path: Path, replicas: int, capacity: int, requests: int | None = None) -> tuple[float, float]:
    """Share of the tokens that hit, and the busiest replica's work by the mean, of
    `PrefixIndex.route` fed by events."""
    index = PrefixIndex(block=4, blocks=4 * replicas * capacity, hash="xxh3-64", replicas=replicas)
    engines = [Replica(capacity) for _ in range(replicas)]
    loads, work, hit, total, last = [0.0] * replicas, [0] * replicas, 0, 0, 0
    for now, tokens, ids in read(path)[:requests]:
        if now > last:  # work drains with a time constant of 10 s
            fade = math.exp(-(now - last) / 10_000)
            loads, last = [load * fade for load in loads], now
        prompt = np.repeat(np.array(ids, np.int32), 4)
        scale = len(prompt) / max(tokens, 1)
        k = index.route(prompt, [load * scale for load in loads]).replica
        hashes = index.hashes(prompt)
        known, kept, gone = engines[k].serve(ids, hashes)
        if gone:
            index.apply(["BlockRemoved", gone], replica=k)
        if kept:
            index.apply(["BlockStored", hashes[:kept], None], replica=k)
        cached = min(known * TOKENS, tokens)
        hit, total = hit + cached, total + tokens
        loads[k] += tokens - cached
        work[k] += tokens - cached
    assert index.check() is None
    index.close()
    return hit / total, max(work) / (sum(work) / replicas)


def follow(name: str, capacity: str | None, want: dict[str, int], prompts: list[Any]) -> None:
    """A row: one trace at one capacity."""
    index = PrefixIndex(block=4, blocks=int(capacity or 300_000))
    start = time.perf_counter()
    hits = sum(index.insert(prompt).known for prompt in prompts)
    each = (time.perf_counter() - start) / len(prompts) * 1e6
    evicted = index.stats()["evicted"]
    cells = [name, capacity or "unbounded", f"{hits:,}", f"{want['hit_blocks']:,}", f"{evicted:,}"]
    cells += [f"{want.get('evicted', 0):,}", f"{each:.1f}"]
    print("|", *(f"{cell} |" for cell in cells), flush=True)
    index.close()


def main(folder: Path = FOLDER) -> None:
    print("| trace | capacity | hit blocks | reference | evicted | reference | us a request |")
    print("|---|---|---|---|---|---|---|")
    for trace, reference, name in CASES:
        prompts = [np.repeat(np.array(ids, np.int32), 4) for _, _, ids in read(folder / trace)]
        expected = json.loads((folder / reference).read_text())[name]
        for capacity, want in [(None, expected["unbounded"]), *expected["lru"].items()]:
            follow(name, capacity, want.get("leaf_first", want), prompts)
    for trace, n, capacity in [(CASES[0][0], 8, 5000), (CASES[1][0], 8, 5000), (CASES[0][0], 4, 10_000)]:
        share, balance = route_trace(folder / trace, n, capacity)
        what = f"route: {trace}, {n} replicas of {capacity:,}"
        print(f"{what}: hit share {share:.4f}, busiest by mean {balance:.3f}", flush=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
