"""The prefix index: reference traces, collisions, namespaces, inputs, chats, events, files."""

import array
import gzip
import json
import random

import numpy as np
import pytest
import xxhash
from conftest import DATA

import semcore
from semcore.prefix import Difference, PrefixIndex

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
        (np.array([0] * 5 + [-1] * 11, np.int32), ValueError, "got -1 at 5"),
        (np.array([0] * 20 + [-7], np.int32), ValueError, "got -7 at 20"),  # in no block
        (np.array([0] * 20 + [-7], np.int64), ValueError, "got -7 at 20"),
        (np.array([0] * 20 + [1 << 63], np.uint64), ValueError, "got 9223372036854775808 at 20"),
        (np.zeros(4, np.float32), TypeError, "int32"),
        (np.zeros((4, 4), np.int32), TypeError, "one-dimensional"),
        (np.zeros(64, np.int32)[::2], ValueError, "contiguous"),
        (bytearray(64), TypeError, "give `bytes`|int32"),
        (7, TypeError, "seq: expected"),
        (None, TypeError, "seq: expected"),
        ([{"content": "x"}], TypeError, "message 0: expected a role"),
        ([{"role": "user", "content": 7}], TypeError, "message 0: expected a string or a list"),
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


@pytest.mark.parametrize("block", [1, 16, 256])
def test_a_match_of_another_index_is_refused(index, block):
    """Its hashes are of another secret, and fewer when its blocks are larger."""
    index.insert(list(range(256)))
    with PrefixIndex(blocks=10_000, block=block) as other:
        match = other.match(list(range(256)))
        for use in (index.insert, index.pin, index.unpin):
            with pytest.raises(ValueError, match=r"seq: expected a Match of this index"):
                use(match)
        assert other.insert(match).units == 256 // block
    assert index.stats()["blocks"] == 16
    assert index.stats()["pins"] == 0


def test_a_match_is_good_for_every_face_of_its_cache():
    with semcore.Cache(embed=None, max_bytes="1 MiB", prefix_blocks=100) as cache:
        chat = [{"role": "user", "content": "Hello"}]
        assert cache.prefix.insert(PrefixIndex.of(cache).match(chat)).units == 1


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


def test_what_counts_in_a_chat_is_what_counts_in_a_request(index):
    tool = {"name": "f", "input_schema": {"properties": {"b": {}, "cache_control": {}}}}
    chat = {"messages": [{"role": "user", "content": "Hello"}], "tools": [tool], "system": "s"}
    index.insert(chat)

    def known(**changed):
        return index.match(chat | changed).units

    message = {
        "content": [{"text": "Hello", "type": "text"}],
        "name": None,
        "role": "user",
        "cache_control": {},
    }
    assert known() == known(messages=[message], tools=[tool | {"cache_control": {}}]) == 3
    assert known(messages=[message | {"name": "Ada"}]) == 2
    assert known(system=[{"type": "text", "text": "s", "citations": {}}]) == 1
    for properties in ({"b": {}}, {"cache_control": {}, "b": {}}):
        assert known(tools=[{"name": "f", "input_schema": {"properties": properties}}]) == 0
    with pytest.raises(TypeError, match=r"seq: message 0: .*serialize"):
        known(messages=[{"role": "user", "content": "Hello", "at": object()}])


def test_explain(index):
    a = {"messages": CHAT, "tools": [{"name": "f"}], "system": "s"}
    assert index.explain(a, a) is None
    assert index.explain(a, a | {"tools": [{"name": "g"}]}) == Difference(0, "tools 0", 0)
    assert index.explain(a, a | {"system": "t"}) == Difference(1, "system", 1)
    assert index.explain(CHAT, [*CHAT[:1], {"role": "user", "content": "Bye"}]).where == "message 1"
    assert index.explain(list(range(50)), [*range(40), 0]) == Difference(2, "block 2", 40)
    assert index.explain("x" * 70, "x" * 65 + "y") == Difference(1, "block 1", 65)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (
            lambda x: x.route([1], (load for load in [1])),
            TypeError,
            "loads: expected a list of numbers, got gen",
        ),
        (lambda x: x.route([1], 5), TypeError, "loads: expected a list of numbers, got int"),
        (lambda x: x.route([1], {0: 1}), TypeError, "loads: expected a list of numbers, got dict"),
        (lambda x: x.route([1], ["a"]), ValueError, "loads: expected finite numbers, got 'a' at 0"),
        (lambda x: x.route([1], [0, 10**400]), ValueError, "loads: expected finite numbers, got 1.* at 1"),
        (
            lambda x: x.route([1], [0], alpha="x"),
            ValueError,
            "alpha: expected a number from 0 to 1e9, got 'x'",
        ),
        (lambda x: x.explain((1, 2), 5), TypeError, "b: expected token ids, text or a chat, got int"),
        (lambda x: x.explain(None, [1]), TypeError, "a: expected token ids, text or a chat, got NoneType"),
        (lambda x: x.explain([{"role": 1}], [{"role": 1}]), TypeError, "a: message 0: expected a role"),
        (lambda x: PrefixIndex(values="x"), ValueError, "^values: expected a number of bytes"),
        (lambda x: PrefixIndex(values=0), ValueError, "^values: expected 1 to"),
        (
            lambda x: PrefixIndex(hash="xxh3-64", seed=(1 << 64) - 1),
            ValueError,
            "seed: .*to 18446744073709551614",
        ),
        (lambda x: x.insert(list(range(16)), ttl=5), ValueError, "^ttl: expected a value with it"),
    ],
)
def test_errors_name_the_argument(index, call, error, says):
    with pytest.raises(error, match=says):
        call(index)
    assert len(index) == 0


def test_the_largest_seed_is_kept():
    with PrefixIndex(blocks=10, hash="xxh3-64", seed=(1 << 64) - 2) as index:
        assert index.seed == (1 << 64) - 2


def test_tuples_are_lists(index):
    index.insert(tuple(CHAT))
    assert index.match(CHAT).units == index.match(tuple(CHAT)).units == 4
    assert index.match((*CHAT, CHAT[1])).divergence == "message 3"
    assert index.explain(tuple(CHAT), CHAT) is None
    index.insert(tuple(range(32)))
    assert index.match(list(range(32))).matched == 32


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
