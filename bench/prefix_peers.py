"""The prefix index beside what engines and gateways use, in one run, turn by turn.

    python bench/prefix_peers.py [blocks that are there already]

The peers are the wheels' own classes: vLLM's block hashes, `BlockPool` and search (vllm 0.33.0), SGLang's
radix tree in Python and in Rust (sglang 0.5.23), LiteLLM's prompt cache for routing (litellm 1.109.1), and
plain Python. Set-up, without a GPU, in an environment of its own:

    pip install torch torchvision numpy xxhash msgpack transformers fastapi openai pyzmq msgspec cbor2
    pip install --no-deps vllm==0.33.0 sglang==0.5.23 litellm==1.109.1 compressed-tensors==0.18.0
    # and what their imports still ask for, by the names in the wheels' METADATA
    LITELLM_LOCAL_MODEL_COST_MAP=True PYTHONPATH=src python bench/prefix_peers.py

A peer that cannot be imported is left out with a reason; wrong answers end the run. Each takes tokens as it
does natively: an int32 buffer (semcore, plain Python), an int64 array (SGLang), a request with a list (vLLM,
which hashes a new request whole). Cyclic garbage is not collected meanwhile, as engines have it.
"""

from __future__ import annotations

import gc
import importlib
import statistics
import sys
import time
from array import array
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import numpy as np
from peers import resident
from prefix import VOCABULARY, Peer

from semcore.prefix import PrefixIndex

BLOCK, TURNS = 16, 15
LENGTHS = (8192, 32768, 131072)
LONG, MORE = 32768, 1024
Tokens = Any  # what a peer takes


class Prefixes(Protocol):
    name: str
    needs: ClassVar[tuple[str, ...]]  # modules

    def given(self, tokens: Any) -> Tokens:
        """Tokens as the peer takes them; not timed."""
        ...

    def match(self, tokens: Tokens) -> int:
        """How many tokens are known."""
        ...

    def insert(self, tokens: Tokens) -> None: ...


class Semcore:
    name = "semcore"
    needs: ClassVar = ()

    def __init__(self, blocks: int) -> None:
        self.index = PrefixIndex(blocks=blocks)

    def given(self, tokens: Any) -> Tokens:
        return tokens

    def match(self, tokens: Tokens) -> int:
        return self.index.match(tokens).matched

    def insert(self, tokens: Tokens) -> None:
        self.index.insert(tokens)


class Plain:
    name = "plain Python, xxh3_128 and a dict"
    needs: ClassVar = ()

    def __init__(self, blocks: int) -> None:
        self.peer = Peer()

    def given(self, tokens: Any) -> Tokens:
        return tokens

    def match(self, tokens: Tokens) -> int:
        return BLOCK * self.peer.match(tokens)

    def insert(self, tokens: Tokens) -> None:
        self.peer.insert(tokens)


class SGLangRust:
    name = "SGLang, its Rust tree"
    needs: ClassVar = ("sglang.srt.mem_cache.rust_tree_core.extension",)

    def __init__(self, blocks: int) -> None:
        from sglang.srt.mem_cache.rust_tree_core.extension import bindings
        from sglang.srt.mem_cache.unified_cache.component_type import ComponentType

        self.of = bindings
        made = bindings.TreeCoreInitParamsBinding(eviction_policy="lru", page_size=BLOCK, device="cpu")
        self.tree = bindings.RustUnifiedTreeCoreBinding(made, [int(ComponentType.FULL)])

    def given(self, tokens: Any) -> Tokens:
        import torch

        return array("q", tokens.tolist()), torch.arange(len(tokens))

    def match(self, tokens: Tokens) -> int:
        found: int = self.tree.match_prefix(self.of.MatchParamsBinding(key=tokens[0])).device_prefix_len
        return found

    def insert(self, tokens: Tokens) -> None:
        self.tree.insert(self.of.InsertParamsBinding(key=tokens[0], value=tokens[1]))


class SGLangPython:
    name = "SGLang, its Python tree"
    needs: ClassVar = ("sglang.srt.mem_cache.radix_cache",)

    def __init__(self, blocks: int) -> None:
        from sglang.srt.mem_cache import base_prefix_cache as base
        from sglang.srt.mem_cache.radix_cache import RadixCache, RadixKey

        self.tree = RadixCache.create_simulated(page_size=BLOCK)
        self.params, self.key = base, RadixKey

    def given(self, tokens: Any) -> Tokens:
        import torch

        return self.key(array("q", tokens.tolist())), torch.arange(len(tokens))

    def match(self, tokens: Tokens) -> int:
        found: int = self.tree.match_prefix(self.params.MatchPrefixParams(key=tokens[0])).device_prefix_len
        return found

    def insert(self, tokens: Tokens) -> None:
        self.tree.insert(self.params.InsertParams(key=tokens[0], value=tokens[1]))


class VLLM:
    needs: ClassVar = ("vllm.v1.core.block_pool", "vllm.v1.core.single_type_kv_cache_manager")

    def __init__(self, blocks: int, hash: str) -> None:
        import torch
        from vllm.sampling_params import SamplingParams
        from vllm.utils.hashing import get_hash_fn_by_name
        from vllm.v1.core.block_pool import BlockPool
        from vllm.v1.core.kv_cache_utils import get_request_block_hasher, init_none_hash
        from vllm.v1.core.single_type_kv_cache_manager import FullAttentionManager
        from vllm.v1.kv_cache_interface import FullAttentionSpec
        from vllm.v1.request import Request

        self.name = f"vLLM, {hash}"
        function = get_hash_fn_by_name(hash)
        init_none_hash(function)
        self.hasher = get_request_block_hasher(BLOCK, function)
        self.request = lambda tokens: Request("r", tokens, SamplingParams(max_tokens=1), None)
        self.find = FullAttentionManager.find_longest_cache_hit
        self.spec = FullAttentionSpec(block_size=BLOCK, num_kv_heads=1, head_size=1, dtype=torch.float16)
        self.pool = BlockPool(blocks, True, BLOCK)

    def given(self, tokens: Any) -> Tokens:
        return self.request(tokens.tolist())

    def found(self, request: Tokens) -> list[Any]:
        request.block_hashes = []
        request.block_hashes = self.hasher(request)
        length = len(request.block_hashes) * BLOCK
        (blocks,), _ = self.find(request.block_hashes, length, [0], self.pool, self.spec, False, BLOCK)
        return blocks

    def match(self, tokens: Tokens) -> int:
        return BLOCK * len(self.found(tokens))

    def insert(self, tokens: Tokens) -> None:
        known = self.found(tokens)
        self.pool.touch(known)
        n = len(tokens.block_hashes)
        blocks = [*known, *self.pool.get_new_blocks(n - len(known))]
        self.pool.cache_full_blocks(tokens, blocks, len(known), n, BLOCK, 0)


def turns(works: list[Callable[[], Any]], warm: bool) -> list[float]:
    """Medians in microseconds; in each turn everyone once (warm: after a call that is not timed)."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(TURNS):
        for work, taken in zip(works, times, strict=True):
            if warm:
                work()
            start = time.perf_counter()
            work()
            taken.append(time.perf_counter() - start)
    return [statistics.median(taken) * 1e6 for taken in times]


def filled(room: int, blocks: int) -> tuple[list[Prefixes], list[float]]:
    """The peers with so many blocks in them; the bytes a block of each: of its room and of what is in it."""
    made, sizes = [], []
    for kind, args in [
        (Semcore, ()),
        (SGLangRust, ()),
        (SGLangPython, ()),
        (VLLM, ("xxhash",)),
        (VLLM, ("sha256",)),
        (Plain, ()),
    ]:
        try:
            for module in kind.needs:
                importlib.import_module(module)
        except ImportError as why:
            print(f"- {kind.__name__} left out: {why}")
            continue
        before = resident()
        peer: Prefixes = kind(room, *args)
        empty = resident()
        dice = np.random.default_rng(1)
        for _ in range(blocks // (LONG // BLOCK)):
            peer.insert(peer.given(dice.integers(0, VOCABULARY, LONG, dtype=np.int32)))
        made.append(peer)
        sizes.append((empty - before) / room + (resident() - empty) / blocks)
    return made, sizes


def tokens_table(blocks: int) -> None:
    dice = np.random.default_rng(2)

    def prompt(n: int) -> Any:
        return dice.integers(0, VOCABULARY, n, dtype=np.int32)

    everyone, sizes = filled(max(1_000_000, 2 * blocks), blocks)
    stats = everyone[0].index.stats()  # type: ignore[attr-defined]
    sizes[0] = stats["bytes"] / stats["max_blocks"]  # all of it, where pages may not be touched yet
    gc.freeze()
    gc.disable()
    columns = []
    for n in LENGTHS:
        tokens = prompt(n)
        given = [peer.given(tokens) for peer in everyone]
        for peer, own in zip(everyone, given, strict=True):
            assert peer.match(own) == 0, peer.name
            peer.insert(own)
            assert peer.match(own) == n, peer.name
        columns.append(
            turns([lambda p=p, t=t: p.match(t) for p, t in zip(everyone, given, strict=True)], True)
        )
    other = [peer.given(prompt(LONG)) for peer in everyone]
    assert all(peer.match(own) == 0 for peer, own in zip(everyone, other, strict=True))
    columns.append(turns([lambda p=p, t=t: p.match(t) for p, t in zip(everyone, other, strict=True)], True))
    columns.append(inserts(everyone, [prompt(LONG) for _ in range(TURNS)], 0))
    base = prompt(LONG)
    for peer in everyone:
        peer.insert(peer.given(base))
    columns.append(inserts(everyone, [np.concatenate([base, prompt(MORE)]) for _ in range(TURNS)], LONG))
    gc.enable()
    gc.unfreeze()
    print("| us | match 8k | 32k | 128k | miss of 32k | insert 32k | insert 1k on 32k | bytes a block |")
    print("|---" * 8 + "|")
    for i, peer in enumerate(everyone):
        cells = [cell(column[i], column[0]) for column in columns]
        print(f"| {peer.name} |", " | ".join([*cells, cell(sizes[i], sizes[0])]), "|", flush=True)


def inserts(everyone: list[Prefixes], prompts: list[Any], known: int) -> list[float]:
    """Medians of inserting each prompt, of which so many tokens are known already."""
    works, done = [], []
    for peer in everyone:
        given = [peer.given(prompt) for prompt in prompts]
        assert all(peer.match(own) == known for own in given), peer.name
        left = iter(given)
        works.append(lambda p=peer, left=left: p.insert(next(left)))
        done.append(given)
    taken = turns(works, False)
    for peer, given in zip(everyone, done, strict=True):
        assert all(peer.match(own) == len(prompts[0]) for own in given), peer.name
    return taken


def cell(value: float, ours: float) -> str:
    text = f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
    return text if value == ours else f"{text} ({value / ours:,.1f} x)"


def chat_table() -> None:
    """Which deployment had the longest beginning of a chat; LiteLLM reads up to the last mark."""
    cache = importlib.import_module("litellm.caching.caching").DualCache()
    pins = importlib.import_module("litellm.router_utils.prompt_caching_cache").PromptCachingCache(cache)
    dice, index = np.random.default_rng(3), PrefixIndex(blocks=10_000)
    texts = ["".join(map(chr, dice.integers(97, 123, 2184))) for _ in range(60)]
    chat = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]
    marked = [*chat[:-1], chat[-1] | {"cache_control": {"type": "ephemeral"}}]
    pins.add_model_id("deployment-1", marked, None)
    index.insert(chat, "deployment-1")
    assert pins.get_model_id(marked, None)["model_id"] == index.lookup(chat) == "deployment-1"
    other = [chat[0] | {"content": "x"}, *marked[1:]]
    assert pins.get_model_id(other, None) is None is index.lookup(other)
    ours, theirs = turns([lambda: index.lookup(chat), lambda: pins.get_model_id(marked, None)], True)
    print("\n| us | 60 messages of 32k tokens: who had it |\n|---|---|")
    print(f"| semcore, `lookup` | {cell(ours, ours)} |\n| LiteLLM, `get_model_id` | {cell(theirs, ours)} |")


def main(blocks: int = 600_000) -> None:
    tokens_table(blocks)
    try:
        chat_table()
    except ImportError as why:
        print(f"- LiteLLM left out: {why}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
