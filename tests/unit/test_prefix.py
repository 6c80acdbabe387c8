"""The prefix index: reference traces, collisions, namespaces, inputs, chats, events, files."""

import array
import gzip
import hashlib
import json
import random
import subprocess
import sys
import threading

import numpy as np
import pytest
import xxhash
from conftest import DATA

import semcore
from semcore import _engine
from semcore.prefix import Difference, PrefixIndex, cbor

TRACES = DATA / "prefix"
needs_traces = pytest.mark.skipif(not TRACES.exists(), reason="needs the traces of $SEMCORE_DATA/prefix")


@pytest.fixture
def index(clock):
    with PrefixIndex(blocks=10_000, clock=clock) as x:
        yield x
        assert x.check() is None


def requests(name):
    """(ms, tokens, block ids) of each request of a trace in the compact form."""
    ids, fresh = [], 0
    with gzip.open(TRACES / name, "rt") as lines:
        next(lines)
        for line in lines:
            at, parent, shared, total, tokens, _ = map(int, line.split(","))
            new = list(range(fresh, fresh + total - shared))
            fresh += len(new)
            ids.append((ids[parent][:shared] if parent >= 0 else []) + new)
            yield at, tokens, ids[-1]


CASES = [
    ("mooncake_synthetic_b512.csv.gz", "reference_mooncake.json", "synthetic_trace"),
    ("agent_magagent_b64bytes.csv.gz", "reference_agent.json", "magagent"),
    ("agent_miniswe_b64bytes.csv.gz", "reference_agent.json", "miniswe"),
]


@needs_traces
@pytest.mark.parametrize(("trace", "reference", "name"), CASES, ids=lambda x: x.split(".")[0])
def test_hits_and_evictions_equal_the_reference(trace, reference, name):
    prompts = [np.repeat(np.array(ids, np.int32), 4) for _, _, ids in requests(trace)]
    expected = json.loads((TRACES / reference).read_text())[name]
    for capacity, want in [(None, expected["unbounded"]), *expected["lru"].items()]:
        want = want.get("leaf_first", want)
        index = PrefixIndex(block=4, blocks=int(capacity or 300_000))
        assert sum(index.insert(prompt).known for prompt in prompts) == want["hit_blocks"]
        stats = index.stats()
        assert stats["evicted"] == want.get("evicted", 0)
        assert stats["blocks"] == want.get("resident", stats["blocks"])
        assert stats["lost"] == 0
        assert index.check() is None
        index.close()


def test_no_more_than_28_bytes_a_block():
    with PrefixIndex(blocks=1_000_000) as index:
        assert index.stats()["bytes"] / 1_000_000 <= 28


# ---- hashes ----


def test_crafted_collisions_miss(index):
    """Pairs of blocks that collide under XXH3-128 with the library's secret, whatever stands in
    front of them."""
    words = np.frombuffer(bytes.fromhex(SECRET), dtype=np.uint64)
    rng = random.Random(7)
    for _ in range(200):
        x = rng.getrandbits(64)
        block = [rng.getrandbits(64) for _ in range(8)]
        other = list(block)
        # words 4 and 5 of the block are words 6 and 7 of (parent, block): where the secret's words meet them
        block[4], block[5] = int(words[0]), x
        other[4], other[5] = (int(words[0]) + x - int(words[1])) % (1 << 64), int(words[1])
        a, b = (np.array(w, np.uint64).tobytes() for w in (block, other))
        parent = rng.randbytes(16)
        assert xxhash.xxh3_128_digest(parent + a) == xxhash.xxh3_128_digest(parent + b)
        index.insert(a)
        assert index.match(b).units == 0


SECRET = "b8084674f743248ee03590e6813a264c"  # bytes 48 to 63 of XXH3's default secret


def test_crafted_groups_miss(index):
    """Pairs of groups of 512 bytes that collide under XXH3-128 with the library's secret: halves of two words
    that it multiplies by nothing, moved from one to the other."""
    rng = random.Random(7)
    for _ in range(200):
        a = bytearray(rng.randbytes(512))
        high, low, moved = (rng.getrandbits(32) for _ in range(3))
        a[208:216] = bytes.fromhex("825ad07d") + high.to_bytes(4, "little")
        a[336:344] = bytes.fromhex("e03590e6") + low.to_bytes(4, "little")
        b = bytearray(a)
        b[212:216] = ((high + moved) % (1 << 32)).to_bytes(4, "little")
        b[340:344] = ((low - moved) % (1 << 32)).to_bytes(4, "little")
        assert xxhash.xxh3_128_digest(a) == xxhash.xxh3_128_digest(b)
        index.insert(bytes(a))
        assert index.match(bytes(a)).units == 8
        assert index.match(bytes(b)).units == 3


def test_namespaces_never_cross(index):
    spaces = [(), "ab", ("ab",), ("ab", "c"), ("a", "bc"), ("abc",), (b"ab", "c"), ("", "abc"), ("abc", "")]
    prompt = list(range(64))
    for i, namespace in enumerate(spaces):
        expected = 4 if namespace == ("ab",) else 0  # a name alone is a tuple of one
        assert index.match(prompt, namespace=namespace).units == expected
        index.insert(prompt, f"{i}", namespace=namespace)
    assert index.lookup(prompt, namespace=("a", "bc")) == "4"
    assert index.lookup(prompt, namespace=("ab", "c")) == "3"


def test_tokens_text_and_chats_never_cross(index):
    text = "x" * 64
    index.insert(text)
    assert index.match(np.frombuffer(text.encode(), np.uint32)).units == 0
    assert index.match(text.encode()).units == 1


@pytest.mark.parametrize("block", [1, 2, 3, 4, 16, 30, 32, 40, 60, 61, 100, 256])
def test_rolling_hashes_are_the_published_ones(block):
    tokens = np.random.default_rng(block).integers(0, 1 << 32, 5 * block, dtype=np.uint32)
    with PrefixIndex(block=block, blocks=100, hash="xxh3-64", seed=1337) as index:
        want, before = [], None
        for i in range(5):
            local = xxhash.xxh3_64_intdigest(tokens[i * block : (i + 1) * block].tobytes(), 1337)
            both = None if before is None else before.to_bytes(8, "little") + local.to_bytes(8, "little")
            before = local if both is None else xxhash.xxh3_64_intdigest(both, 1337)
            want.append(before)
        assert index.hashes(tokens) == want


def test_canonical_cbor():
    # examples of RFC 8949, appendix A
    cases = {0: "00", 23: "17", 24: "1818", 100: "1864", 1000: "1903e8", 1000000: "1a000f4240", -1: "20"}
    cases |= {10**12: "1b000000e8d4a51000", -1000: "3903e7", None: "f6", b"\1\2\3\4": "4401020304"}
    cases |= {"IETF": "6449455446", (1, (2, 3)): "8201820203"}
    for value, want in cases.items():
        assert cbor.encode(value).hex() == want
    parent = cbor.seed_hash(0)
    assert parent == hashlib.sha256(b"\x61\x30").digest()
    raw = b"\x83\x58\x20" + parent + b"\x82\x01\x19\x01\x00\xf6"
    assert cbor.block_hash(parent, [1, 256]) == hashlib.sha256(raw).digest()


# ---- inputs ----


def test_all_forms_of_tokens_are_the_same(index, rng):
    tokens = rng.integers(0, 150_000, 1000).tolist()
    index.insert(tokens)
    forms = [np.array(tokens, t) for t in (np.int32, np.uint32, np.int64, np.uint64)]
    forms += [
        array.array("i", tokens),
        array.array("q", tokens),
        tuple(tokens),
        memoryview(array.array("I", tokens)),
    ]
    assert [index.match(form).units for form in forms] == [62] * len(forms)
    assert [index.match(form).total for form in forms] == [1000] * len(forms)


@pytest.mark.parametrize(
    ("seq", "error", "says"),
    [
        ([1, -1], ValueError, "got -1 at 1"),
        ([1 << 32], ValueError, "2\\^32 - 1"),
        ([1, "a"], TypeError, "got 'a' at 1"),
        ([True], TypeError, "got True"),
        (np.array([-1] * 16, np.int32), ValueError, "negative"),
        (np.array([-1] * 16, np.int64), ValueError, "token ids"),
        (np.zeros(4, np.float32), TypeError, "int32"),
        (np.zeros((4, 4), np.int32), TypeError, "one-dimensional"),
        (np.zeros(64, np.int32)[::2], ValueError, "contiguous"),
        (bytearray(64), TypeError, "give `bytes`|int32"),
        (7, TypeError, "seq: expected"),
        (None, TypeError, "seq: expected"),
        ([{"content": "x"}], TypeError, "message 0: expected a role"),
        ([{"role": "user", "content": 7}], TypeError, "message 0: expected content"),
        ({"tools": []}, ValueError, "messages"),
        ({"messages": [], "tools": [7]}, TypeError, "tools 0"),
    ],
)
def test_bad_prompts_change_nothing(index, seq, error, says):
    for call in (index.match, index.insert, index.lookup, index.pin):
        with pytest.raises(error, match=says):
            call(seq)
    assert len(index) == 0


def test_other_bad_arguments(index):
    prompt = list(range(32))
    for call, error in [
        (lambda: index.insert(prompt, ttl=0), ValueError),
        (lambda: index.insert(prompt, replica=64), ValueError),
        (lambda: index.insert([1], b"v"), ValueError),
        (lambda: index.insert(prompt, object()), TypeError),
        (lambda: index.match(prompt, namespace=7), TypeError),
        (lambda: index.route(prompt, []), ValueError),
        (lambda: index.route(prompt, [float("nan")]), ValueError),
        (lambda: index.route(prompt, [0], -1), ValueError),
        (lambda: index.apply([], replica=0), semcore.ConfigError),
        (lambda: index.hashes(prompt), semcore.ConfigError),
        (lambda: PrefixIndex(block=0), ValueError),
        (lambda: PrefixIndex(blocks=0), ValueError),
        (lambda: PrefixIndex(hash="md5"), semcore.ConfigError),
        (lambda: PrefixIndex(policy="fifo"), semcore.ConfigError),
    ]:
        with pytest.raises(error):
            call()
    assert len(index) == 0


def test_values_and_their_time(index, clock):
    prompt = list(range(160))
    index.insert(prompt[:32], "short")
    index.insert(prompt[:96], {"long": 1}, ttl=5)
    match = index.match(prompt)
    assert (match.matched, match.value_at, match.value) == (96, 96, {"long": 1})
    clock.step(4.999)
    assert index.lookup(prompt) == {"long": 1}
    clock.step(0.001)
    assert index.lookup(prompt) == "short"
    index.insert(prompt[:96], b"x" * 100_000)
    assert index.lookup(prompt) == b"x" * 100_000
    with pytest.raises(semcore.CapacityError, match="can never fit"):
        index.insert(prompt, b"x" * (1 << 25))


def test_a_match_is_used_again(index, rng):
    tokens = rng.integers(0, 1000, 4000, dtype=np.int32)
    index.insert(tokens[:2000])
    match = index.match(tokens)
    assert (match.units, match.divergence) == (125, "block 125")
    assert index.insert(match, b"v") == (125, 250, 250, True)
    assert index.match(tokens).divergence is None


# ---- chats ----

CHAT = [
    {"role": "system", "content": "You help."},
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": "there"}]},
]


def test_chats(index):
    index.insert(CHAT, {"state": 1})
    longer = [*CHAT, {"role": "user", "content": "é"}]
    match = index.match(longer)
    assert (match.units, match.total, match.counted, match.divergence) == (4, 5, "units", "message 3")
    assert match.value == {"state": 1}
    marked = [
        CHAT[0] | {"content": [{"type": "text", "text": "You help.", "cache_control": {"type": "ephemeral"}}]}
    ]
    assert index.match([*marked, *CHAT[1:]]).units == 4
    assert index.match([{"role": "user", "content": "You help."}]).units == 0
    assert index.match({"messages": CHAT, "system": "x"}).divergence == "system"
    assert index.match({"messages": CHAT, "tools": [{"name": "f"}]}).divergence == "tools 0"
    joined = [*CHAT[:2], {"role": "assistant", "content": "Hi"}, {"role": "assistant", "content": "there"}]
    assert index.match(joined).units == 3  # two messages are not one of two blocks


def test_explain(index):
    a = {"messages": CHAT, "tools": [{"name": "f"}], "system": "s"}
    assert index.explain(a, a) is None
    assert index.explain(a, a | {"tools": [{"name": "g"}]}) == Difference(0, "tools 0", 0)
    assert index.explain(a, a | {"system": "t"}) == Difference(1, "system", 1)
    assert index.explain(CHAT, [*CHAT[:1], {"role": "user", "content": "Bye"}]).where == "message 1"
    assert index.explain(list(range(50)), [*range(40), 0]) == Difference(2, "block 2", 40)
    assert index.explain("x" * 70, "x" * 65 + "y") == Difference(1, "block 1", 65)


# ---- replicas ----


def test_route(index):
    prompt = list(range(160))
    index.insert(prompt, replica=2)
    index.insert(prompt[:80], replica=1)
    assert index.match(prompt).replicas == {2: 160, 1: 80}
    assert index.route(prompt, [0, 0, 0]) == (2, 160, 0.0)
    assert index.route(prompt, [0, 0, 1000]) == (1, 80, 80.0)
    assert index.route(list(range(1, 99)), [3, 2, 2]) == (1, 0, 98 + 0.5)


@needs_traces
def test_routing_of_a_trace():
    """Eight replicas of 5,000 blocks, each evicting as vLLM does and telling the index."""
    from prefix_traces import route_trace

    share, balance = route_trace(TRACES / "mooncake_conversation_b512.csv.gz", 8, 5000, requests=6000)
    assert share >= 0.22
    assert balance <= 1.05


def test_events_in_any_order():
    prompt = list(range(16 * 8))
    with PrefixIndex(blocks=1000, hash="xxh3-64") as index:
        hashes = index.hashes(prompt)
        first = ["BlockStored", hashes[:3], None, prompt[:48], 16, None]
        later = {"type": "BlockStored", "block_hashes": hashes[3:], "parent_block_hash": hashes[2]}
        assert index.apply([1.0, [later]], replica=1) == 0  # waits
        assert index.match(prompt).units == 0
        assert index.apply([1.0, [first, first]], replica=1) == 2
        assert index.match(prompt).replicas == {1: 128}
        index.apply(later, replica=1)
        assert index.match(prompt).replicas == {1: 128}
        index.apply([2.0, [["BlockRemoved", [hashes[4]]]]], replica=1)  # in mid-chain
        assert index.match(prompt).replicas == {1: 64}
        index.apply(first, replica=5)
        index.apply(["AllBlocksCleared"], replica=1)
        assert index.match(prompt).replicas == {5: 48}
        with pytest.raises(ValueError, match="BlockStored"):
            index.apply([["Other"]], replica=1)
        assert index.check() is None


# ---- where it lies ----


def test_a_file_is_kept_and_shared(tmp_path):
    path, prompt = tmp_path / "prefixes", list(range(1000))
    with PrefixIndex(path, blocks=5000) as index:
        index.insert(prompt, b"kept", replica=3)
        code = f"import semcore; print(semcore.PrefixIndex({str(path)!r}).match(list(range(1000))).value)"
        assert (
            subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "b'kept'\n"
        )
    with PrefixIndex(path) as index:
        match = index.match(prompt)
        assert (match.units, match.value, match.replicas) == (62, b"kept", {3: 992})
        assert index.capacity == 5000
    with pytest.raises(semcore.RegionError, match="prefix_blocks=5000"):
        PrefixIndex(path, blocks=6000)
    with pytest.raises(semcore.RegionError, match="prefix block"):
        PrefixIndex(path, blocks=5000, block=8)


def test_recovery_keeps_what_is_whole(tmp_path, rng):
    path = tmp_path / "prefixes"
    prompts = [rng.integers(0, 3, 200, dtype=np.int32) for _ in range(50)]
    with PrefixIndex(path, block=2, blocks=2000) as index:
        for i, prompt in enumerate(prompts):
            index.insert(prompt, f"{i}")
        before = [(m.units, m.value) for m in map(index.match, prompts)]
        index._engine.repair()
        assert index.check() is None
        assert [(m.units, m.value) for m in map(index.match, prompts)] == before
    image = path.read_bytes()
    path.unlink()
    path.write_bytes(image)  # a copy of a file that was closed
    with PrefixIndex(path) as index:
        assert [(m.units, m.value) for m in map(index.match, prompts)] == before


def test_a_cache_has_one(clock):
    with semcore.Cache(
        embed=None, max_bytes="2 MiB", max_entries=500, prefix_blocks=2000, clock=clock
    ) as cache:
        for i in range(400):
            cache.put(f"{i}", "x" * 3000)
            cache.prefix.insert([i] * 64, b"y" * 3000)
        assert cache.validate() is None
        assert 0 < cache.prefix.stats()["values"] < 400
        assert 0 < len(cache) < 400
        assert cache.prefix is cache.prefix
    with (
        semcore.Cache(embed=None, max_bytes="1 MiB", prefix_blocks=0) as cache,
        pytest.raises(semcore.ConfigError, match="prefix"),
    ):
        _ = cache.prefix


def test_readers_beside_a_writer_see_a_prefix_of_the_truth(rng):
    index = PrefixIndex(blocks=600)
    prompts = [rng.integers(0, 2, 16 * 100, dtype=np.int32) for _ in range(12)]
    wrong, stop = [], threading.Event()

    def read(seed):
        dice = random.Random(seed)
        while not stop.is_set():
            prompt = dice.choice(prompts)
            match = index.match(prompt)
            if match.value is not None and match.value != prompt[: match.value_at].tobytes():
                wrong.append(match)

    readers = [threading.Thread(target=read, args=(i,)) for i in range(3)]
    for reader in readers:
        reader.start()
    dice = random.Random(9)
    for _ in range(3000):
        prompt = dice.choice(prompts)[: 16 * dice.randrange(1, 101)]
        index.insert(prompt, prompt.tobytes())
    stop.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert index.check() is None


def test_scalar_and_fast_kernels_agree(isa, tmp_path):
    secret = _engine.isa()
    path = tmp_path / "prefixes"
    with PrefixIndex(path, blocks=100) as index:
        index.insert(list(range(512)))
        _engine.set_isa("scalar")
        assert index.match(list(range(512))).units == 32, secret
