"""Embedders with `aembed`: asyncio's callers await them, the event loop goes on."""

import asyncio

import numpy as np
import pytest

import semcore
from semcore.embed import Embedder


class Model:
    """An embedder for asyncio only, which lets nobody through until `together` have come."""

    dim = 8
    fingerprint = "async:1"

    def __init__(self, together=1):
        self.texts, self._together, self._all = [], together, asyncio.Event()

    def __call__(self, text):
        raise AssertionError("blocks the event loop")

    async def aembed(self, text):
        self.texts.append(text)
        if len(self.texts) >= self._together:
            self._all.set()
        await asyncio.wait_for(self._all.wait(), 20)
        return None if text == "no meaning" else np.eye(8)[ord(text[0]) % 8] * 3


@pytest.fixture
def cache_of():
    caches = []

    def build(embed):
        caches.append(semcore.Cache(embed=embed, max_entries=100, max_bytes="1 MiB"))
        return caches[-1]

    yield build
    for cache in caches:
        assert cache.validate() is None
        cache.close()


async def upper(text):
    return text.upper()


def test_texts_are_embedded_side_by_side(cache_of):
    model = Model(together=6)
    cache = cache_of(model)

    async def main():
        return await asyncio.gather(*(cache.aget_or_compute(text, upper) for text in "abcdef"))

    assert asyncio.run(main()) == list("ABCDEF")
    assert sorted(model.texts) == list("abcdef")


def test_paraphrases_share_a_flight_and_hits(cache_of):
    model = Model(together=2)
    cache = cache_of(model)
    calls = []

    async def compute(text):
        calls.append(text)
        await asyncio.sleep(0.01)
        return text.upper()

    async def main():
        answers = await asyncio.gather(*(cache.aget_or_compute(text, compute) for text in ("a1", "a2")))
        assert answers == [answers[0]] * 2
        assert await cache.aget_or_compute("a3", compute) == answers[0]
        assert await cache.aget_or_compute(calls[0], compute) == answers[0]  # exact: not embedded

    asyncio.run(main())
    assert len(calls) == 1
    assert model.texts == ["a1", "a2", "a3"]
    stats = cache.stats()
    assert (stats.hits, stats.misses) == (3, 1)


def test_none_bytes_and_given_vectors_are_not_embedded_twice(cache_of):
    model = Model()
    cache = cache_of(model)

    async def main():
        assert await cache.aget_or_compute("no meaning", upper) == "NO MEANING"
        assert await cache.aget_or_compute(b"raw", upper) == b"RAW"
        buffer = np.ones(8)
        assert await cache.aget_or_compute("own", upper, vector=buffer) == "OWN"
        buffer[:] = -1
        assert cache.get("other", vector=np.ones(8)).value == "OWN"

    asyncio.run(main())
    assert model.texts == ["no meaning"]
    assert cache.get("no meaning", vector=np.ones(8)).layer == "exact"


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (np.zeros(8), "zero or not finite"),
        (np.ones(9), r"returned shape \(9,\)"),
        (OSError("down"), "^embed: OSError: down$"),
        (semcore.EmbeddingError("embed: as it is"), "^embed: as it is$"),
    ],
)
def test_a_failing_one_is_an_embedding_error(cache_of, result, words):
    class Failing(Model):
        async def aembed(self, text):
            if isinstance(result, Exception):
                raise result
            return result

    cache = cache_of(Failing())
    with pytest.raises(semcore.EmbeddingError, match=words):
        asyncio.run(cache.aget_or_compute("a", upper))
    assert len(cache) == 0


def test_a_caller_cancelled_while_embedding_leaves_nothing(cache_of):
    model = Model(together=2)
    cache = cache_of(model)

    async def main():
        task = asyncio.create_task(cache.aget_or_compute("a", upper))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await cache.aget_or_compute("a", upper) == "A"

    asyncio.run(main())


def test_any_other_embedder_runs_as_before(cache_of):
    cache = cache_of(lambda text: np.ones(8))
    assert asyncio.run(cache.aget_or_compute("a", upper)) == "A"
    assert asyncio.run(cache.aget_or_compute("b", upper)) == "A"
    assert asyncio.run(Embedder(lambda text: np.ones(8)).aembed("x")).shape == (8,)


def test_the_default_embedder_in_asyncio():
    with semcore.Cache(threshold=0.8, max_entries=10, max_bytes="1 MiB") as cache:
        assert (
            asyncio.run(cache.aget_or_compute("What is my order status?", upper))
            == "WHAT IS MY ORDER STATUS?"
        )
        assert asyncio.run(cache.aget_or_compute("what is the status of my order?", upper))[-1] == "?"
        assert len(cache) == 1
