"""Single flight: one computation for all who ask the same, also in other words."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import semcore

WORDS = {"reset password": 0, "how to reset my password": 0, "refund": 1}


def embed(text):
    vector = np.zeros(8)
    vector[WORDS.get(text, 7)] = 1
    vector[6] = 0.1 * len(text) / 24
    return vector


@pytest.fixture
def cache():
    with semcore.Cache(embed=embed, max_entries=100, max_bytes="1 MiB") as c:
        yield c


def together(cache, texts, compute, **options):
    """get_or_compute of every text in a thread each; what came back or was raised, in order."""
    results = [None] * len(texts)

    def ask(i, text):
        try:
            results[i] = cache.get_or_compute(text, compute, **options)
        except Exception as error:
            results[i] = error

    threads = [threading.Thread(target=ask, args=pair) for pair in enumerate(texts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def slow(calls, gate):
    def compute(text):
        calls.append(text)
        gate.wait(5)
        return {"answer": text}

    return compute


def opened_soon(gate):
    timer = threading.Timer(0.2, gate.set)
    timer.start()
    return gate


def test_identical_questions_compute_once(cache):
    calls = []
    results = together(cache, ["refund"] * 64, slow(calls, opened_soon(threading.Event())))
    assert calls == ["refund"]
    assert results == [{"answer": "refund"}] * 64
    assert len({id(r) for r in results}) == 64


def test_paraphrases_wait_for_one_and_others_do_not(cache):
    calls = []
    texts = ["reset password", "how to reset my password"] * 8 + ["refund"] * 4
    together(cache, texts, slow(calls, opened_soon(threading.Event())))
    assert len(calls) == 2
    assert len({WORDS[c] for c in calls}) == 2


def test_partitions_do_not_wait_for_each_other(cache):
    calls = []
    gate = opened_soon(threading.Event())
    compute = slow(calls, gate)
    threads = [
        threading.Thread(
            target=cache.get_or_compute, args=("refund", compute), kwargs={"namespace": ns, "context": ctx}
        )
        for ns in "ab"
        for ctx in (None, "x")
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(calls) == 4


def test_an_error_reaches_all_and_is_never_cached(cache):
    def fail(text):
        time.sleep(0.1)
        raise RuntimeError("model is down")

    results = together(cache, ["refund"] * 5, fail)
    assert all(isinstance(r, RuntimeError) for r in results)
    assert len(cache) == 0
    assert cache.get_or_compute("refund", str.upper) == "REFUND"


def test_stored_once_then_served(cache):
    assert cache.get_or_compute("refund", str.upper, tags=["t"], tokens=7) == "REFUND"
    assert cache.get_or_compute("refund", pytest.fail) == "REFUND"
    hit = cache.get("refund")
    assert hit.saving.tokens == 7
    assert hit.saving.latency_ms > 0
    assert cache.invalidate("t") == 1


def test_async_and_threads_share_a_flight(cache):
    calls = []

    async def compute(text):
        calls.append(text)
        await asyncio.sleep(0.1)
        return text.upper()

    async def main():
        asked = [cache.aget_or_compute(t, compute) for t in ["refund"] * 10 + ["reset password"]]
        blocking = asyncio.to_thread(cache.get_or_compute, "refund", str.upper)
        return await asyncio.gather(*asked, blocking)

    results = asyncio.run(main())
    assert results == ["REFUND"] * 10 + ["RESET PASSWORD", "REFUND"]
    assert sorted(calls) == ["refund", "reset password"]


def test_a_cancelled_leader_hands_over(cache):
    calls = []

    async def compute(text):
        calls.append(text)
        await asyncio.sleep(0.05 if len(calls) > 1 else 30)
        return "answer"

    async def main():
        leader = asyncio.create_task(cache.aget_or_compute("refund", compute))
        await asyncio.sleep(0.01)
        followers = [asyncio.create_task(cache.aget_or_compute("refund", compute)) for _ in range(3)]
        await asyncio.sleep(0.01)
        leader.cancel()
        answers = await asyncio.gather(*followers)
        with pytest.raises(asyncio.CancelledError):
            await leader
        return answers

    assert asyncio.run(main()) == ["answer"] * 3
    assert len(calls) == 2


def test_a_cancelled_follower_leaves_the_leader_alone(cache):
    async def compute(text):
        await asyncio.sleep(0.1)
        return "answer"

    async def main():
        leader = asyncio.create_task(cache.aget_or_compute("refund", compute))
        await asyncio.sleep(0.01)
        follower = asyncio.create_task(cache.aget_or_compute("refund", compute))
        await asyncio.sleep(0.01)
        follower.cancel()
        return await leader

    assert asyncio.run(main()) == "answer"
    assert cache.get("refund").value == "answer"


def test_async_errors(cache):
    async def fail(text):
        raise RuntimeError("model is down")

    with pytest.raises(RuntimeError, match="model is down"):
        asyncio.run(cache.aget_or_compute("refund", fail))
    assert len(cache) == 0


def test_coalesced_callers_count_as_hits(cache):
    together(cache, ["refund"] * 10, slow([], opened_soon(threading.Event())), tokens=5)
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.tokens) == (9, 1, 45)


def test_equal_contexts_share_a_flight(cache):
    calls = []
    gate = opened_soon(threading.Event())
    contexts = [{"a": 1, "b": [1, 2]}, {"b": (1, 2), "a": 1}]
    compute = slow(calls, gate)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda context: cache.get_or_compute("refund", compute, context=context), contexts))
    assert calls == ["refund"]


def test_a_computation_that_asks_itself_does_not_wait_for_itself(cache):
    def compute(text):
        if text == "how to reset my password":
            return "inner"
        return cache.get_or_compute("how to reset my password", compute)

    assert cache.get_or_compute("reset password", compute) == "inner"

    async def acompute(text):
        return await cache.aget_or_compute("refund", inner)

    async def inner(text):
        return "inner"

    assert asyncio.run(cache.aget_or_compute("refund", acompute)) == "inner"


def test_a_blocking_call_on_the_loop_of_a_leader_does_not_hang(cache):
    async def compute(text):
        await asyncio.sleep(0.05)
        return "async"

    async def main():
        leader = asyncio.create_task(cache.aget_or_compute("refund", compute))
        await asyncio.sleep(0.01)
        blocking = cache.get_or_compute("refund", lambda t: "blocking")
        return blocking, await leader

    assert asyncio.run(main()) == ("blocking", "async")


def test_stop_iteration_reaches_a_follower(cache):
    started = threading.Event()

    def stop(text):
        started.set()
        time.sleep(0.5)
        raise StopIteration

    async def main():
        leader = asyncio.create_task(asyncio.to_thread(lambda: together(cache, ["refund"], stop)))
        await asyncio.to_thread(started.wait, 5)
        with pytest.raises(RuntimeError, match="StopIteration"):
            await cache.aget_or_compute("refund", None)
        return await leader

    assert isinstance(asyncio.run(main())[0], StopIteration)


def test_an_answer_that_cannot_be_stored_is_not_lost(cache):
    answer = object()
    with pytest.warns(RuntimeWarning, match="an answer was not stored: value:"):
        assert cache.get_or_compute("refund", lambda t: answer) is answer
    assert cache.stats().refused == 1


def test_a_thousand_different_questions_at_once():
    """Joining compares with all flights in one product; distinct texts each compute."""
    rng = np.random.default_rng(0)
    vectors = {f"{i}": rng.standard_normal(64) for i in range(1000)}
    embed = lambda text: vectors.get(text, np.ones(64))  # noqa: E731
    with semcore.Cache(embed=embed, max_entries=2000, max_bytes="8 MiB") as cache:
        gate = asyncio.Event()
        calls = []

        async def compute(text):
            calls.append(text)
            await gate.wait()
            return text

        async def main():
            tasks = [asyncio.create_task(cache.aget_or_compute(t, compute)) for t in [*vectors, *vectors]]
            await asyncio.sleep(0.05)
            gate.set()
            return await asyncio.gather(*tasks)

        assert asyncio.run(main()) == [*vectors, *vectors]
        assert sorted(calls) == sorted(vectors)
