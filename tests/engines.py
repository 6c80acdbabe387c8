"""What vLLM's and SGLang's own caches publish while they serve a few prompts, and what they then hold.

`python tests/engines.py` in an environment that has both (see bench/prefix_peers.py) writes the recorded
stories that tests/unit/test_prefix_engines.py applies anywhere: tests/unit/prefix_engines.json.
"""

import json
import os
from array import array
from pathlib import Path

RECORDED = Path(__file__).parent / "unit" / "prefix_engines.json"
WHOLE = [i * i * 7919 % 151_000 for i in range(16 * 8 + 5)]  # ids of one to five bytes as CBOR
PROMPTS = [WHOLE, WHOLE[:80] + [5] * 64, [9, *WHOLE[1:90]]]  # the second shares five blocks with the first
SEEDS = (None, 0, 4_294_967_295)


def vllm_hash(name, seed):
    """vLLM's hash function, the front of its chains set as by PYTHONHASHSEED."""
    from vllm.utils.hashing import get_hash_fn_by_name
    from vllm.v1.core import kv_cache_utils

    function, before = get_hash_fn_by_name(name), os.environ.pop("PYTHONHASHSEED", None)
    if seed is not None:
        os.environ["PYTHONHASHSEED"] = str(seed)
    try:
        kv_cache_utils.init_none_hash(function)
    finally:
        os.environ.pop("PYTHONHASHSEED", None)
        if before is not None:
            os.environ["PYTHONHASHSEED"] = before
    return function


def vllm_request(tokens, function, block=16):
    from vllm.sampling_params import SamplingParams
    from vllm.v1.core.kv_cache_utils import get_request_block_hasher
    from vllm.v1.request import Request

    hasher = get_request_block_hasher(block, function)
    return Request("r", list(tokens), SamplingParams(max_tokens=1), None, block_hasher=hasher)


def vllm_hashes(tokens, name, seed, block=16):
    """The 64 bits that an index keeps of each block's hash."""
    hashes = vllm_request(tokens, vllm_hash(name, seed), block).block_hashes
    return [int.from_bytes(hash[-8:], "big") for hash in hashes]


def vllm_story(name, seed):
    """Steps of (events as they come over the wire, tokens that the pool then holds of each prompt)."""
    import msgspec
    from vllm.distributed.kv_events import KVEventBatch
    from vllm.v1.core.block_pool import BlockPool

    requests = [vllm_request(tokens, vllm_hash(name, seed)) for tokens in PROMPTS]
    pool = BlockPool(13, True, 16, enable_kv_cache_events=True)

    def held(request):
        found = [pool.get_cached_block(hash, [0]) is not None for hash in request.block_hashes]
        return 16 * [*found, False].index(False)

    def step():
        raw = msgspec.msgpack.encode(KVEventBatch(ts=1.0, events=pool.take_events()))
        return raw.hex(), [held(request) for request in requests]

    first = pool.get_new_blocks(8)
    pool.cache_full_blocks(requests[0], first, 0, 8, 16, 0)
    steps = [step()]
    pool.free_blocks(reversed(first))
    pool.touch(first[:5])
    second = [*first[:5], *pool.get_new_blocks(4)]
    pool.cache_full_blocks(requests[1], second, 5, 9, 16, 0)
    steps.append(step())
    pool.free_blocks(reversed(second))
    third = pool.get_new_blocks(5)  # takes what is needed least: the ends of the others
    pool.cache_full_blocks(requests[2], third, 0, 5, 16, 0)
    steps.append(step())
    pool.free_blocks(reversed(third))
    assert pool.reset_prefix_cache()
    steps.append(step())
    return steps


def sglang_hashes(tokens, page):
    from sglang.srt.mem_cache.utils import get_hash_str, hash_str_to_int64

    whole = array("q", tokens[: len(tokens) // page * page])
    return [hash_str_to_int64(hash) % (1 << 64) for hash in get_hash_str(whole, None, page)]


class _Pages:
    """Where SGLang's tree gives back what it evicts."""

    device = "cpu"

    def free_segment(self, value, start_pos):
        pass


def sglang_story(page):
    import msgspec
    from sglang.srt.disaggregation.kv_events import KVEventBatch
    from sglang.srt.mem_cache.base_prefix_cache import EvictParams, InsertParams, MatchPrefixParams
    from sglang.srt.mem_cache.radix_cache import RadixCache, RadixKey

    tree = RadixCache.create_simulated(mock_allocator=_Pages(), page_size=page, enable_kv_cache_events=True)
    keys = [RadixKey(array("q", tokens)) for tokens in PROMPTS]

    def step():
        raw = msgspec.msgpack.encode(KVEventBatch(ts=1.0, events=tree.kv_events.take()))
        return raw.hex(), [tree.match_prefix(MatchPrefixParams(key=key)).device_prefix_len for key in keys]

    steps = [step()]
    for key in keys:
        tree.insert(InsertParams(key=key))
        steps.append(step())
    tree.match_prefix(MatchPrefixParams(key=keys[0]))
    tree.evict(EvictParams(num_tokens=100))
    steps.append(step())
    tree.reset()
    steps.append(step())
    return steps


def main():
    hashes = {
        f"{name} {seed} {block}": [hex(hash) for hash in vllm_hashes(WHOLE, name, seed, block)]
        for name in ("sha256_cbor", "sha256") for seed in SEEDS for block in (16, 40)
    }  # fmt: skip
    hashes |= {f"sglang None {page}": [hex(h) for h in sglang_hashes(WHOLE, page)] for page in (1, 16, 40)}
    stories = {
        f"{name} {seed} 16": vllm_story(name, seed)
        for name in ("sha256_cbor", "sha256")
        for seed in SEEDS[:2]
    }
    stories |= {f"sglang None {page}": sglang_story(page) for page in (1, 16)}
    RECORDED.write_text(json.dumps({"hashes": hashes, "stories": stories}, indent=1) + "\n")


if __name__ == "__main__":
    main()
