"""The stateful test of the prefix index: everything on it and on a model of nodes in a dict,
compared after each step.

The model stamps the whole path of a prompt and evicts the leaf with the oldest stamp; the index stamps
one block.
"""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from conftest import Clock
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import semcore

BLOCK = 2
Path_ = tuple[object, ...]  # namespace, then the blocks


class Model:
    """Blocks as nodes: path -> stamp; what hangs on them by path."""

    def __init__(self, capacity):
        self.capacity, self.tick = capacity, 0
        self.stamp, self.pins, self.holders, self.values = {}, {}, {}, {}

    def path(self, ns, tokens):
        whole = len(tokens) // BLOCK * BLOCK
        return [
            (ns, *(tuple(tokens[:i]) for i in range(BLOCK, end + 1, BLOCK)))
            for end in range(BLOCK, whole + 1, BLOCK)
        ]

    def known(self, ns, tokens):
        """Brute force: the longest prefix all of whose blocks are there."""
        n = 0
        for node in self.path(ns, tokens):
            if node not in self.stamp:
                break
            n += 1
        return n

    def touch(self, nodes):
        self.tick += 1
        for node in nodes:
            self.stamp[node] = self.tick

    def leaves(self):
        parents = {node[:-1] for node in self.stamp}
        return [node for node in self.stamp if node not in parents]

    def drop(self, node):
        del self.stamp[node]
        self.holders.pop(node, None)
        self.values.pop(node, None)

    def evict(self, path):
        able = [node for node in self.leaves() if node not in path and not self.pins.get(node)]
        if not able:
            return False
        self.drop(min(able, key=lambda node: self.stamp[node]))
        return True

    def insert(self, ns, tokens, replica=None, value=None, expires=float("inf")):
        path, known = self.path(ns, tokens), self.known(ns, tokens)
        self.touch(path[:known])
        done = known
        for node in path[known:]:
            if len(self.stamp) >= self.capacity and not self.evict(path):
                break
            self.stamp[node] = self.tick
            done += 1
        if done == len(path):
            for node in path:
                if replica is not None:
                    self.holders.setdefault(node, set()).add(replica)
            if value is not None:
                self.values[path[-1]] = (value, expires)
        return known, done

    def value(self, ns, tokens, now):
        nodes = self.path(ns, tokens)[: self.known(ns, tokens)]
        live = [
            (i, self.values[n][0])
            for i, n in enumerate(nodes, 1)
            if n in self.values and self.values[n][1] > now
        ]
        return live[-1] if live else (0, None)

    def scores(self, ns, tokens):
        out = {}
        for i, node in enumerate(self.path(ns, tokens)[: self.known(ns, tokens)], 1):
            for replica in self.holders.get(node, ()):
                out[replica] = i * BLOCK
        return out

    def removed(self, top, replica):
        """A replica lost a block, and so all behind it; what nobody holds goes."""
        lost = [n for n, who in self.holders.items() if replica in who and n[: len(top)] == top]
        for node in sorted(lost, key=len, reverse=True):
            self.holders[node].discard(replica)
        for node in sorted(lost, key=len, reverse=True):
            bound = self.holders.get(node) or self.pins.get(node) or node in self.values
            if not bound and node in self.leaves():
                self.drop(node)

    def forget(self, replica):
        for top in sorted({n[:2] for n, who in self.holders.items() if replica in who}):
            self.removed(top, replica)


# few tokens and short prompts: they share beginnings, part in mid-run, and fill the index
prompts = st.lists(st.integers(0, 2), min_size=0, max_size=24)
namespaces = st.sampled_from([("a",), ("b",)])
replicas = st.integers(0, 2)


class PrefixMachine(RuleBasedStateMachine):
    hash = "keyed"
    on_disk = False
    policy = "lru"

    @initialize(blocks=st.sampled_from([1, 3, 8, 20, 60]), group=st.sampled_from([1, 2, 4]))
    def make(self, blocks, group):
        self.clock, self.model, self.seen = Clock(), Model(blocks), [(("a",), [])]
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "index" if self.on_disk else None
        self.options = {"block": BLOCK, "group": group, "blocks": blocks, "hash": self.hash, "policy":
        self.policy,
                        "replicas": 3, "values": "64 KiB", "clock": self.clock}  # fmt: skip
        self.index = semcore.PrefixIndex(self.path, **self.options)

    def teardown(self):
        if hasattr(self, "index"):
            self.index.close()
            self.folder.cleanup()

    def prompt(self, ns, tokens):
        self.seen = [*self.seen[-30:], (ns, tokens)]
        return tokens

    @rule(ns=namespaces, tokens=prompts, replica=st.none() | replicas, value=st.none() |
    st.binary(max_size=300),
          ttl=st.sampled_from([None, 1.0, 5.0]))  # fmt: skip
    def insert(self, ns, tokens, replica, value, ttl):
        self.prompt(ns, tokens)
        value = value if len(tokens) >= BLOCK else None
        ttl = None if value is None else ttl
        expires = self.clock.now + ttl if ttl else float("inf")
        done = self.index.insert(tokens, value, ttl=ttl, replica=replica, namespace=ns)
        assert done[:2] == self.model.insert(ns, tokens, replica, value, expires)

    @rule(which=st.integers(0, 30), more=prompts)
    def go_on(self, which, more):
        """As a conversation does: a match, then the same prompt with more behind it, by its hashes."""
        ns, tokens = self.seen[which % len(self.seen)]
        tokens = self.prompt(ns, (tokens + more)[:40])
        match = self.index.match(np.array(tokens, np.int32), namespace=ns)
        self.model.touch(self.model.path(ns, tokens)[: match.units])
        done = self.index.insert(match)
        assert done[:2] == self.model.insert(ns, tokens)

    @rule(ns=namespaces, tokens=prompts)
    def match(self, ns, tokens):
        match = self.index.match(self.prompt(ns, tokens), namespace=ns)
        assert match.units == self.model.known(ns, tokens)
        self.model.touch(self.model.path(ns, tokens)[: match.units])

    @rule(which=st.integers(0, 30), pin=st.booleans())
    def pin(self, which, pin):
        ns, tokens = self.seen[which % len(self.seen)]
        nodes = self.model.path(ns, tokens)[: self.model.known(ns, tokens)]
        if pin:
            assert self.index.pin(tokens, namespace=ns) == len(nodes) * BLOCK
            if nodes:
                self.model.pins[nodes[-1]] = self.model.pins.get(nodes[-1], 0) + 1
        else:
            pinned = [i for i, node in enumerate(nodes, 1) if self.model.pins.get(node)]
            assert self.index.unpin(tokens, namespace=ns) == (pinned[-1] if pinned else 0) * BLOCK
            if pinned:
                self.model.pins[nodes[pinned[-1] - 1]] -= 1

    @rule(replica=replicas)
    def forget(self, replica):
        self.index.forget(replica)
        self.model.forget(replica)

    @rule(seconds=st.sampled_from([0.5, 1.0, 4.0]))
    def time_passes(self, seconds):
        self.clock.step(seconds)

    @precondition(lambda self: self.hash != "keyed")
    @rule(which=st.integers(0, 30), replica=replicas, at=st.integers(0, 12), twice=st.booleans())
    def engine_removes(self, which, replica, at, twice):
        ns, tokens = self.seen[which % len(self.seen)]
        hashes, nodes = self.index.hashes(tokens), self.model.path(ns, tokens)
        if not hashes:
            return
        at %= len(hashes)
        for _ in range(1 + twice):
            self.index.apply(["BlockRemoved", [hashes[at]]], replica=replica, namespace=ns)
        self.model.removed(nodes[at], replica)

    @precondition(lambda self: self.hash != "keyed")
    @rule(ns=namespaces, tokens=prompts, replica=replicas, twice=st.booleans())
    def engine_stores(self, ns, tokens, replica, twice):
        hashes = self.index.hashes(self.prompt(ns, tokens))
        if not hashes:
            return
        for _ in range(1 + twice):
            self.index.apply({"type": "BlockStored", "block_hashes": hashes, "parent_block_hash": None},
                             replica=replica, namespace=ns)  # fmt: skip
            _, done = self.model.insert(ns, tokens)
            for node in self.model.path(ns, tokens)[:done]:  # what there was room for
                self.model.holders.setdefault(node, set()).add(replica)

    @precondition(lambda self: self.on_disk)
    @rule()
    def reopen(self):
        self.index.close()
        self.index = semcore.PrefixIndex(self.path, **self.options)

    @invariant()
    def agrees(self):
        if not hasattr(self, "index"):
            return
        assert self.index.check() is None
        assert len(self.index) == len(self.model.stamp) <= self.model.capacity
        for ns, tokens in self.seen[-6:]:
            match = self.index.match(tokens, namespace=ns, touch=False)
            assert match.units == self.model.known(ns, tokens)
            assert (match.value_at // BLOCK, match.value) == self.model.value(ns, tokens, self.clock.now)
            assert match.replicas == self.model.scores(ns, tokens)


class LfuMachine(PrefixMachine):
    """Of lfu only what must hold: the rest of the model does not follow who is evicted."""

    policy = "lfu"

    @rule(ns=namespaces, tokens=prompts)
    def insert(self, ns, tokens):
        done = self.index.insert(tokens, namespace=ns)
        assert self.index.match(tokens, namespace=ns, touch=False).units == done.units

    @rule(ns=namespaces, tokens=prompts)
    def match(self, ns, tokens):
        self.index.match(tokens, namespace=ns)

    go_on = pin = forget = None

    @invariant()
    def agrees(self):
        if hasattr(self, "index"):
            assert self.index.check() is None
            assert len(self.index) <= self.model.capacity


def machine(name: str, base=PrefixMachine, **options):
    return type(name, (base,), options).TestCase


TestKeyed = machine("Keyed")
TestFile = machine("File", on_disk=True)
TestRolling = machine("Rolling", hash="xxh3-64")
TestSha = machine("Sha", hash="sha256_cbor")
TestLfu = machine("Lfu", LfuMachine)


@pytest.mark.parametrize("group", [1, 8])
def test_gallop_equals_a_walk(group, rng):
    """Prompts long enough that the search gallops, cut at every block."""
    index = semcore.PrefixIndex(block=4, group=group, blocks=5000)
    base = rng.integers(0, 1000, 4 * 700, dtype=np.int32)
    index.insert(base)
    for cut in [*range(40), *range(100, 700, 7), 699]:
        other = base.copy()
        other[4 * cut : 4 * cut + 4] += 1
        assert index.match(other).units == cut
        assert index.match(base[: 4 * cut + 3]).units == cut
    assert index.check() is None


@pytest.mark.parametrize(("block", "group"), [(16, 8), (3, 5), (1, 1)])
def test_a_negative_token_in_any_block_is_refused(block, group, rng):
    tokens = rng.integers(0, 1000, block * group * 2 + block * (group - 1) + block // 2, dtype=np.int32)
    for at in range(len(tokens)):
        index = semcore.PrefixIndex(block=block, group=group, blocks=500)
        bad = tokens.copy()
        bad[at] = -1
        with pytest.raises(ValueError, match=f"got -1 at {at}"):
            index.insert(bad)
        assert len(index) == 0
