"""The stateful test: every operation on the engine and on the model, compared after each step."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from conftest import Clock
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from model import Entry, Model, similarity, stored

import semcore

DIM = 8
THRESHOLD = 0.8
NAMESPACES = ["", "a", "b"]
CONTEXTS = [None, "x", {"model": "m", "t": 0}]
TEXTS = ["", "q", "q2", "\ud800", "längere Frage?", b"q", b"", "z" * 300]
TAGS = ["t1", "t2", "t3", "t4", "t5", "t6"]

namespaces = st.sampled_from(NAMESPACES)
contexts = st.sampled_from(range(len(CONTEXTS)))
texts = st.sampled_from(TEXTS)
values = st.one_of(st.text(max_size=200), st.binary(max_size=300), st.lists(st.integers(-5, 5), max_size=4))
ttls = st.sampled_from([None, None, 0.5, 3.0, 90.0, 5000.0])


@st.composite
def vectors(draw):
    """Few directions, so that neighbours and ties happen."""
    base = np.zeros(DIM, dtype=np.float32)
    base[draw(st.integers(0, 2))] = 1
    base[draw(st.integers(0, DIM - 1))] += draw(st.sampled_from([0.0, 0.3, 0.7]))
    return base


def size_of(value) -> int:
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogatepass"))
    return len(value) if isinstance(value, bytes) else len(value) + 1  # a short list of small ints


def text_bytes(text) -> int:
    return len(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))


class CacheMachine(RuleBasedStateMachine):
    policy = "lru"
    on_disk = False
    sliding = False
    storage = "f16"

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory() if self.on_disk else None
        self.clock = Clock()

    @initialize(entries=st.sampled_from([1, 2, 5, 20]), blocks=st.sampled_from([10, 40, 400]))
    def open_new(self, entries, blocks):
        bare = 40_000 if entries < 20 else 50_000
        self.options = {
            "embed": None, "dim": DIM, "max_entries": entries, "max_bytes": bare + blocks * 132,
            "policy": self.policy, "threshold": THRESHOLD, "sliding": self.sliding, "clock": self.clock,
            "storage": self.storage,
        }  # fmt: skip
        self.path = Path(self.folder.name) / "cache.semcore" if self.on_disk else None
        self.cache = semcore.Cache(self.path, **self.options)
        self.model = Model(entries, self.cache._stats()["blocks"], self.policy)

    def teardown(self):
        if hasattr(self, "cache"):
            self.cache.close()
        if self.folder:
            self.folder.cleanup()

    @rule(ns=namespaces, ctx=contexts, text=texts, value=values, vector=st.none() | vectors(), ttl=ttls,
          tags=st.sets(st.sampled_from(TAGS)))  # fmt: skip
    def put(self, ns, ctx, text, value, vector, ttl, tags):
        size = size_of(value) + text_bytes(text) + 8 * len(tags)
        row = None if vector is None else stored(vector, self.storage)
        expires = self.clock.now + ttl if ttl else np.inf
        slides = (ttl or 0) if self.sliding else 0
        new = Entry(value, row, size, frozenset(tags), self.clock.now, expires, slides, 0, 0, 0)
        args = {"namespace": ns, "context": CONTEXTS[ctx], "vector": vector, "ttl": ttl, "tags": tags}
        if new.blocks > self.model.blocks:
            with pytest.raises(semcore.CapacityError, match="never fit"):
                self.cache.put(text, value, **args)
            return
        new.id = self.cache.put(text, value, **args)
        self.model.put((ns, ctx, text), new, self.clock.now, set(self.cache))

    @rule(ns=namespaces, ctx=contexts, text=texts)
    def get_exact(self, ns, ctx, text):
        expected = self.model.exact((ns, ctx, text), self.clock.now)
        hit = self.cache.get(text, namespace=ns, context=CONTEXTS[ctx])
        if expected is None:
            assert hit is None
            return
        assert (hit.layer, hit.value, hit.id) == ("exact", expected.value, expected.id)
        assert hit.age == pytest.approx(self.clock.now - expected.created, abs=1e-3)

    @rule(ns=namespaces, ctx=contexts, vector=vectors(), threshold=st.sampled_from([None, 0.9, 1.0]))
    def get_semantic(self, ns, ctx, vector, threshold):
        floor = threshold or THRESHOLD
        expected = self.model.nearest(vector, ns, ctx, floor, self.clock.now)
        args = {"namespace": ns, "context": CONTEXTS[ctx], "vector": vector, "threshold": threshold}
        hit = self.cache.get("never stored", **args)
        if not expected:
            assert hit is None
            return
        similarity_of_best, best = expected[0]
        assert hit.layer == "semantic"
        assert hit.similarity == pytest.approx(similarity_of_best, abs=1e-6)
        assert (hit.id, hit.value) == (best.id, best.value)
        self.model.hit(best, self.clock.now)

    @rule(ns=namespaces, ctx=contexts, vector=vectors())
    def lookup(self, ns, ctx, vector):
        everything = self.model.nearest(vector, ns, ctx, -1.0, self.clock.now)
        got = self.cache.lookup("never stored", namespace=ns, context=CONTEXTS[ctx], vector=vector, nearest=3)
        assert [c.id for c in got.candidates] == [e.id for _, e in everything[:3]]
        if got.hit is not None:
            self.model.hit(everything[0][1], self.clock.now)
        assert (got.hit is not None) == bool(everything and everything[0][0] >= THRESHOLD)

    @rule(ns=namespaces, ctx=contexts, text=texts)
    def delete(self, ns, ctx, text):
        expected = self.model.delete((ns, ctx, text), self.clock.now)
        assert self.cache.delete(text, namespace=ns, context=CONTEXTS[ctx]) == expected

    @rule(which=st.integers(0, 50))
    def delete_by_id(self, which):
        live = self.model.live(self.clock.now)
        if live:
            key = list(live)[which % len(live)]
            assert live[key].id in self.cache
            assert self.cache.delete(id=live[key].id)
            assert not self.cache.delete(id=live[key].id)
            self.model.delete(key, self.clock.now)

    @rule(ns=namespaces, tag=st.sampled_from(TAGS))
    def invalidate(self, ns, tag):
        self.cache.expire()
        assert self.cache.invalidate(tag, namespace=ns) == self.model.invalidate(ns, tag, self.clock.now)

    @rule(ns=st.none() | namespaces)
    def clear(self, ns):
        self.cache.clear(ns)
        self.model.clear(ns)

    @rule(seconds=st.sampled_from([0.01, 0.6, 1.1, 5, 100, 4000, 300_000]))
    def time_passes(self, seconds):
        self.clock.step(seconds)

    @precondition(lambda self: self.on_disk)
    @rule(crash=st.booleans())
    def reopen(self, crash):
        if crash:  # as a killed process leaves it: never closed, so that opening must recover
            image = self.path.read_bytes()
            self.cache.close()
            self.path.write_bytes(image)
        else:
            self.cache.close()
        self.cache = semcore.Cache(self.path, **self.options)

    @invariant()
    def agrees(self):
        if not hasattr(self, "cache"):
            return
        assert self.cache.validate() is None
        live = self.model.live(self.clock.now)
        assert sorted(self.cache) == sorted(e.id for e in live.values())
        stats = self.cache.stats()
        assert stats.entries <= stats.max_entries
        assert stats.bytes <= self.options["max_bytes"]
        assert stats.damaged == 0


def machine(name: str, **options):
    """A test case of the machine with these class attributes."""
    return type(name, (CacheMachine,), options).TestCase


TestLru = machine("Lru", policy="lru")
TestLfu = machine("Lfu", policy="lfu")
TestSliding = machine("Sliding", policy="lru", sliding=True)
TestValue = machine("Value", policy="value", storage="f32")
TestFile = machine("File", policy="lru", on_disk=True)
TestSlidingFile = machine("SlidingFile", policy="value", on_disk=True, sliding=True)


def test_similarity_of_the_model_is_a_cosine():
    assert similarity(np.array([1.0, 1.0]), np.array([1.0, 0.0])) == pytest.approx(0.70710678)
