"""Hashes and events as vLLM and SGLang make them: recorded, and of their own classes if those are there."""

import hashlib
import json

import numpy as np
import pytest
from engines import PROMPTS, RECORDED, SEEDS, WHOLE, sglang_hashes, sglang_story, vllm_hashes, vllm_story

from semcore.prefix import PrefixIndex, cbor

KNOWN = json.loads(RECORDED.read_text())


def index_of(case):
    name, seed, block = case.split()
    seed = None if seed == "None" else int(seed)
    return PrefixIndex(block=int(block), blocks=1000, hash=name, seed=seed)


def follow(case, steps):
    """After each step the index knows of every prompt what the engine itself holds of it."""
    with index_of(case) as index:
        for raw, held in steps:
            index.apply(bytes.fromhex(raw), replica=3)
            assert [index.match(prompt).replicas.get(3, 0) for prompt in PROMPTS] == held
            index.apply(bytes.fromhex(raw), replica=3)  # comes twice
        assert index.check() is None
        return [held for _, held in steps]


@pytest.mark.parametrize("case", KNOWN["hashes"])
def test_hashes_are_the_recorded_ones(case):
    with index_of(case) as index:
        assert [hex(hash) for hash in index.hashes(WHOLE)] == KNOWN["hashes"][case]


@pytest.mark.parametrize("case", KNOWN["stories"])
def test_recorded_events_are_followed(case):
    held = follow(case, KNOWN["stories"][case])
    assert max(map(max, held)) >= 128
    assert held[-1] == [0, 0, 0]


def test_canonical_cbor():
    # examples of RFC 8949, appendix A
    cases = {0: "00", 23: "17", 24: "1818", 100: "1864", 1000: "1903e8", 1000000: "1a000f4240", -1: "20"}
    cases |= {10**12: "1b000000e8d4a51000", -1000: "3903e7", None: "f6", b"\1\2\3\4": "4401020304"}
    cases |= {"IETF": "6449455446", (1, (2, 3)): "8201820203"}
    for value, want in cases.items():
        assert cbor.encode(value).hex() == want


def test_hashes_by_hand():
    with PrefixIndex(block=2, blocks=10, hash="sha256_cbor", seed=0) as index:
        parent = hashlib.sha256(b"\x61\x30").digest()
        digest = hashlib.sha256(b"\x83\x58\x20" + parent + b"\x82\x01\x19\x01\x00\xf6").digest()
        assert index.hashes([1, 256]) == [int.from_bytes(digest[-8:], "big")]
    with PrefixIndex(block=2, blocks=10, hash="sglang") as index:
        first = hashlib.sha256(np.array([1, 256], "<u4").tobytes()).digest()
        second = hashlib.sha256(first + np.array([7, 8], "<u4").tobytes()).digest()
        assert index.hashes([1, 256, 7, 8, 9]) == [int.from_bytes(d[:8], "big") for d in (first, second)]


@pytest.mark.parametrize(
    ("hash", "seed", "says"),
    [
        ("keyed", 1, "takes none"),
        ("sglang", 0, "takes none"),
        ("sha256_cbor", 1 << 32, "from 0 to 4294967295"),
        ("sha256", -1, "from 0 to 4294967295"),
        ("xxh3-64", 1 << 64, "from 0 to"),
        ("sha256", "0", "whole number"),
    ],
)
def test_seeds_that_a_hash_does_not_take(hash, seed, says):
    with pytest.raises(ValueError, match=f"seed: .*{says}"):
        PrefixIndex(hash=hash, seed=seed)


def test_a_file_keeps_hash_and_seed(tmp_path):
    for hash, seed, kept in [
        ("sglang", None, None),
        ("sha256", 7, 7),
        ("sha256", None, None),
        ("xxh3-64", None, 1337),
    ]:
        path = tmp_path / f"{hash} {seed}"
        with PrefixIndex(path, blocks=100, hash=hash, seed=seed) as index:
            hashes = index.hashes(WHOLE)
        with PrefixIndex(path) as index:
            assert (index.hash, index.seed, index.hashes(WHOLE)) == (hash, kept, hashes)


# ---- the engines' own classes ----


@pytest.mark.parametrize("name", ["sha256_cbor", "sha256"])
@pytest.mark.parametrize("seed", SEEDS)
def test_hashes_are_those_of_vllm(name, seed):
    pytest.importorskip("vllm.v1.core.block_pool", reason="needs vLLM", exc_type=ImportError)
    dice = np.random.default_rng(7)
    for block in (1, 16, 33, 256):
        tokens = dice.integers(0, 1 << dice.integers(1, 33), 600).tolist()
        with index_of(f"{name} {seed} {block}") as index:
            assert index.hashes(tokens) == vllm_hashes(tokens, name, seed, block)
    follow(f"{name} {seed} 16", vllm_story(name, seed))


@pytest.mark.parametrize("page", [1, 16, 64])
def test_hashes_are_those_of_sglang(page):
    pytest.importorskip("sglang.srt.mem_cache.radix_cache", reason="needs SGLang", exc_type=ImportError)
    tokens = np.random.default_rng(page).integers(0, 1 << 32, 600).tolist()
    with index_of(f"sglang None {page}") as index:
        assert index.hashes(tokens) == sglang_hashes(tokens, page)
    follow(f"sglang None {page}", sglang_story(page))
