"""Callers of one event loop: one request for several, a refusal for whom it is due, nobody left waiting."""

import asyncio
import gc
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from server import data_of, run, same

import semcore

pytest.importorskip("httpx2", reason="needs the extra http")


def test_callers_of_one_loop_travel_together(stub, make):
    embed = make(batch=64)
    texts = [f"text {i % 100}" for i in range(200)]

    async def main():
        vectors = await asyncio.gather(*(embed.aembed(text) for text in texts))
        same(vectors, texts)

    run(embed, main)
    assert sorted(map(len, stub.asked)) == [36, 64]


def test_a_text_under_way_is_not_asked_again(stub, make):
    embed = make()
    arrived, go = threading.Event(), threading.Event()

    def held(texts):
        arrived.set()
        go.wait(20)
        return 200, {}, {"data": data_of(texts)}

    stub.script = [held]

    async def main():
        first = asyncio.create_task(embed.aembed("same"))
        await asyncio.to_thread(arrived.wait, 20)
        second = asyncio.create_task(embed.aembed("same"))
        await asyncio.sleep(0.05)
        go.set()
        same([await first, await second], ["same", "same"])

    run(embed, main)
    assert stub.asked == [["same"]]


def test_a_caller_who_leaves_takes_nobody_along(stub, make):
    embed = make()

    async def main():
        tasks = [asyncio.create_task(embed.aembed(text)) for text in ("a", "b", "a")]
        await asyncio.sleep(0)
        tasks[0].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        same(results[1:], ["b", "a"])

    run(embed, main)
    assert stub.asked == [["a", "b"]]


def test_if_all_leave_an_error_is_not_a_complaint(stub, make, caplog):
    embed = make()
    stub.script = [(404, {}, {})]

    async def main():
        task = asyncio.create_task(embed.aembed("a"))
        await asyncio.sleep(0)
        task.cancel()
        while embed._lanes[asyncio.get_running_loop()][0]._asked:
            await asyncio.sleep(0.01)

    run(embed, main)
    gc.collect()
    assert not [r for r in caplog.records if r.name == "asyncio" and r.levelno >= logging.WARNING]


def test_a_trip_that_is_cancelled_leaves_nobody_waiting(stub, make):
    embed = make()

    async def main():
        waiting = asyncio.create_task(embed.aembed("a"))
        await asyncio.sleep(0)
        lane = embed._lanes[asyncio.get_running_loop()][0]
        lane._depart()
        for trip in list(lane._trips):
            trip.cancel()  # before it began
        with pytest.raises(asyncio.CancelledError):
            await waiting
        same([await embed.aembed("a")], ["a"])

    run(embed, main)


def test_one_loop_after_another_and_threads(stub, make):
    embed = make(max_cached=0)
    for text in ("a", "b", "c"):
        same([run(embed, lambda text=text: embed.aembed(text))], [text])
    assert not embed._lanes
    texts = [f"text {i}" for i in range(40)]
    with ThreadPoolExecutor(8) as pool:
        same(list(pool.map(embed, texts)), texts)


def test_a_text_that_is_refused_fails_alone(stub, make):
    embed = make()
    stub.refuses = lambda texts: "bad" in texts
    texts = ["a", "b", "bad", "c", "d", "e", "f"]

    async def main():
        return await asyncio.gather(*(embed.aembed(text) for text in texts), return_exceptions=True)

    results = run(embed, main)
    refused = results.pop(2)
    same(results, [text for text in texts if text != "bad"])
    assert isinstance(refused, semcore.EmbeddingError)
    assert "for 3 characters: 400" in str(refused)
    with pytest.raises(semcore.EmbeddingError, match=r"for 3 characters: 400.*too long"):
        make().embed_many(texts)


def test_a_batch_that_is_refused_as_too_large_is_halved(stub, make, ask):
    stub.refuses = lambda texts: len(texts) > 3
    texts = [f"text {i}" for i in range(20)]
    same(ask(make(), texts), texts)


def test_in_a_cache_in_asyncio(stub, make):
    embed = make()
    with semcore.Cache(embed=embed, max_entries=100, max_bytes="1 MiB") as cache:

        async def compute(text):
            return text.upper()

        async def main():
            texts = [f"text {i % 20}" for i in range(60)]
            answers = await asyncio.gather(*(cache.aget_or_compute(text, compute) for text in texts))
            assert answers == [text.upper() for text in texts]

        run(embed, main)
        assert list(map(len, stub.asked)) == [20]
