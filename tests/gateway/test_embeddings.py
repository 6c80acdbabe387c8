"""Embeddings by OpenAI's client: each item by itself."""

import asyncio
import base64
import json
import threading

import httpx2
import numpy as np
import openai
import pytest
from chats import named
from upstream import KEY, Answer, Model, gateway

from semcore.gateway.message import Request


def vector(item, dimensions=None):
    """Of float32, another one for each item."""
    random = np.random.default_rng(list(str(item).encode()))
    return random.standard_normal(dimensions or 8, np.float32)


def embed(asked):
    """The vectors of what was asked, last ones first: their index says which they are."""
    body = asked.json
    items = body["input"] if isinstance(body["input"], list) else [body["input"]]
    items = [items] if isinstance(items[0], int) else items
    data = []
    for index, item in enumerate(items):
        made = vector(item, body.get("dimensions"))
        plain = body.get("encoding_format") != "base64"
        embedding = made.tolist() if plain else base64.b64encode(made.tobytes()).decode()
        data.append({"object": "embedding", "index": index, "embedding": embedding})
    usage = {"prompt_tokens": 5 * len(items), "total_tokens": 5 * len(items)}
    answer = {"object": "list", "data": data[::-1], "model": "stub-embed-1", "usage": usage}
    return Answer(json.dumps(answer).encode())


@pytest.fixture
def model():
    return Model(embed)


@pytest.fixture
def running(model):
    with gateway(model) as running:
        yield running


def client(running, key=KEY):
    return openai.OpenAI(base_url=running.url + "/v1", api_key=key, max_retries=0)


def raw(running, items, key=KEY, **options):
    with client(running, key) as c:
        return c.embeddings.with_raw_response.create(model="stub-embed", input=items, **options)


def create(running, items, **options):
    return raw(running, items, **options).parse()


def vectors_of(response):
    assert [one.index for one in response.data] == list(range(len(response.data)))
    return [one.embedding for one in response.data]


def plain(*items):
    return [vector(item).tolist() for item in items]


@pytest.mark.parametrize("first", [{}, {"encoding_format": "float"}])
def test_one_stored_form_is_given_in_both(running, model, first):
    create(running, "one", **first)
    default, floats = create(running, "one"), create(running, "one", encoding_format="float")
    assert vectors_of(default) == vectors_of(floats) == plain("one")
    assert default.model == "stub-embed-1"
    text = create(running, "one", encoding_format="base64").data[0].embedding
    assert np.frombuffer(base64.b64decode(text), "<f4").tolist() == plain("one")[0]
    assert model.calls == 1


def test_only_what_is_missing_is_asked_for_and_the_order_is_kept(running, model):
    create(running, ["b", "d"])
    got = raw(running, ["a", "b", "c", "d", "a"])
    assert model.asked[-1].json["input"] == ["a", "c"]
    assert got.headers["cache-status"] == 'semcore; fwd=miss; fwd-status=200; detail="2 of 4 items hit"'
    assert vectors_of(got.parse()) == plain("a", "b", "c", "d", "a")
    assert got.parse().usage.prompt_tokens == 10  # what upstream said of the two
    again = raw(running, ["d", "c", "b", "a"])
    assert model.calls == 2
    assert again.headers["cache-status"] == "semcore; hit; detail=exact"
    assert again.headers["age"] == "0"
    assert vectors_of(again.parse()) == plain("d", "c", "b", "a")
    assert again.parse().usage.total_tokens == 0


def test_nothing_known_passes_through(running, model):
    body = {"model": "stub-embed", "input": ["a", "b"], "user": "u"}
    sent = json.dumps(body, indent=1).encode()
    got = httpx2.post(
        running.url + "/v1/embeddings", content=sent, headers={"authorization": f"Bearer {KEY}"}
    )
    assert model.asked[0].body == sent
    assert [one["index"] for one in got.json()["data"]] == [1, 0]  # as it came
    assert "stored" in got.headers["cache-status"]


def test_what_else_counts(running, model):
    create(running, "one")
    assert len(create(running, "one", dimensions=4).data[0].embedding) == 4
    create(running, "one", extra_body={"task": "query"})
    raw(running, "one", key="sk-other")
    assert model.calls == 4
    create(running, "one", user="somebody")
    assert len(create(running, "one", dimensions=4).data[0].embedding) == 4
    assert model.calls == 4


def test_tokens_are_no_texts(running, model):
    create(running, [1, 2])
    create(running, "1,2")
    create(running, [[3], [1, 2]])
    assert [asked.json["input"] for asked in model.asked] == [[1, 2], "1,2", [[3]]]


def test_no_paraphrases(running, model):
    create(running, "What is my order status?")
    create(running, "what's the status of my order?")
    assert model.calls == 2


def test_what_requests_say(running, model):
    with pytest.raises(openai.APIStatusError) as caught:
        raw(running, ["a", "b"], extra_headers={"cache-control": "only-if-cached"})
    assert caught.value.status_code == 504
    assert model.calls == 0
    raw(running, ["a"], extra_headers={"cache-control": "no-store"})
    assert "fwd=miss" in raw(running, ["a"]).headers["cache-status"]
    forced = raw(running, ["a"], extra_headers={"cache-control": "no-cache"})
    assert "fwd=request" in forced.headers["cache-status"]
    assert model.calls == 3
    assert (
        "hit"
        in raw(running, ["a"], extra_headers={"cache-control": "only-if-cached"}).headers["cache-status"]
    )
    raw(running, ["t"], extra_headers={"x-semcore-tags": "mine"})
    bearer = [(b"authorization", f"Bearer {KEY}".encode())]
    scope = {"method": "POST", "path": "/v1/embeddings", "query_string": b"", "headers": bearer}
    mine = running.gateway._tenant(Request.of(scope))
    assert running.cache.invalidate(tag="mine", namespace=mine) == 1
    assert "fwd=miss" in raw(running, ["t"]).headers["cache-status"]
    with pytest.raises(openai.BadRequestError):
        raw(running, ["a"], extra_headers={"x-semcore-ttl": "soon"})


def test_a_dead_upstream(model):
    with gateway(model, retries=0) as running:
        create(running, ["a", "b"])
        running.gateway.settings.upstreams["stub"] = running.gateway.settings.upstreams["stub"]._replace(
            url="http://127.0.0.1:9"
        )
        assert vectors_of(create(running, ["b", "a"])) == plain("b", "a")
        with pytest.raises(openai.APIStatusError) as caught:
            create(running, ["a", "c"])
    assert caught.value.status_code == 502


@pytest.mark.parametrize("known", [[], ["a"]])
def test_errors_pass_unchanged(running, model, known):
    if known:
        create(running, known)
    body = b'{"error": {"message": "too long", "type": "t", "param": null, "code": null}}'
    model.answers = [lambda asked: Answer(body, status=400, headers=[(b"x-request-id", b"r1")])]
    for _ in range(2):
        with pytest.raises(openai.BadRequestError) as caught:
            raw(running, ["a", "b"])
        assert caught.value.response.content == body
        assert caught.value.response.headers["x-request-id"] == "r1"


STRANGE = {
    "one too few": {"data": [{"index": 0, "embedding": [0.5]}]},
    "an index twice": {"data": [{"index": 0, "embedding": [0.5]}] * 2},
    "an empty one": {"data": [{"index": i, "embedding": []} for i in range(2)]},
    "no numbers": {"data": [{"index": i, "embedding": ["a"]} for i in range(2)]},
    "no base64": {"data": [{"index": i, "embedding": "?"} for i in range(2)]},
    "no floats": {"data": [{"index": i, "embedding": "AAA="} for i in range(2)]},
    "beyond float32": {"data": [{"index": i, "embedding": [1e300]} for i in range(2)]},
    "no list": {"data": {}},
    "no object": [],
}


@pytest.mark.parametrize("answer", STRANGE.values(), ids=STRANGE)
def test_what_is_not_understood_is_passed_on_and_not_stored(running, model, answer):
    body = json.dumps(answer).encode()
    model.answers = [lambda asked: Answer(body)]
    with client(running) as c:
        for _ in range(2):
            ask = c.embeddings.with_streaming_response.create
            with ask(model="stub-embed", input=["a", "b"], encoding_format="float") as got:
                assert got.read() == body
    assert model.calls == 2
    assert running.cache.stats().entries == 0


def test_a_part_that_is_not_understood_is_asked_for_with_the_whole(running, model):
    create(running, "a")
    model.answers = [lambda asked: Answer(b"{}"), embed]
    got = create(running, ["a", "b"])
    assert [asked.json["input"] for asked in model.asked] == ["a", ["b"], ["a", "b"]]
    assert sorted(one.index for one in got.data) == [0, 1]


@pytest.mark.parametrize(
    "body", [{"input": []}, {"input": [1, "a"]}, {"input": {}}, {"input": [True]}, []], ids=named
)
def test_requests_that_are_not_understood_pass_through(running, model, body):
    model.answers = [lambda asked: Answer(b"{}", status=400)]
    for _ in range(2):
        got = httpx2.post(running.url + "/v1/embeddings", json=body)
        assert "fwd=bypass" in got.headers["cache-status"]
    assert model.calls == 2


def code_of(running, item):
    body = {"model": "stub-embed", "input": item}
    headers = {"authorization": f"Bearer {KEY}"}
    return httpx2.post(running.url + "/v1/embeddings", json=body, headers=headers).status_code


def together(*asks):
    threads = [threading.Thread(target=ask) for ask in asks]
    for thread in threads:
        thread.start()
    return threads


def test_items_under_way_are_not_asked_for_again(running, model):
    """Two batches with an item in common: the second waits for it and asks for its other one."""
    first_came, second_came = threading.Event(), threading.Event()

    def slow(asked):
        return Answer([first_came.set, lambda: second_came.wait(10), *embed(asked).pieces])

    def second(asked):
        second_came.set()
        return embed(asked)

    model.answers = [slow, second]
    got = {}
    threads = together(lambda: got.update(first=create(running, ["a", "b"])))
    assert first_came.wait(10)
    threads += together(lambda: got.update(second=create(running, ["b", "c"])))
    for thread in threads:
        thread.join()
    assert [asked.json["input"] for asked in model.asked] == [["a", "b"], ["c"]]
    assert [one.embedding for one in sorted(got["first"].data, key=lambda one: one.index)] == plain("a", "b")
    assert vectors_of(got["second"]) == plain("b", "c")


def test_who_waits_for_one_who_fails_asks_too(running, model):
    first_came, second_came = threading.Event(), threading.Event()

    def failing(asked):
        return Answer([first_came.set, lambda: second_came.wait(10), b"{}"], status=400)

    def second(asked):
        second_came.set()
        return embed(asked)

    model.answers = [failing, second, embed]
    got = {}
    threads = together(lambda: got.update(first=code_of(running, "a")))
    assert first_came.wait(10)
    threads += together(lambda: got.update(second=create(running, ["a", "b"])))
    for thread in threads:
        thread.join()
    assert got["first"] == 400
    assert vectors_of(got["second"]) == plain("a", "b")
    assert [asked.json["input"] for asked in model.asked] == ["a", ["b"], ["a"]]


def test_azure(running, model):
    with openai.AzureOpenAI(azure_endpoint=running.url, api_key="azure-key", api_version="2024-10-21") as c:
        for _ in range(2):
            c.embeddings.create(model="mine", input="one")
    assert model.calls == 1


def test_an_asynchronous_client(running, model):
    async def ask():
        async with openai.AsyncOpenAI(base_url=running.url + "/v1", api_key=KEY) as c:
            await c.embeddings.create(model="stub-embed", input=["a", "b"])
            return await asyncio.gather(
                *(c.embeddings.create(model="stub-embed", input=[item]) for item in "abab")
            )

    got = asyncio.run(ask())
    assert [one.data[0].embedding for one in got] == plain(*"abab")
    assert model.calls == 1


def test_what_is_seen_of_a_request():
    seen = []
    with gateway(Model(embed)) as running:
        running.gateway.observers.add(seen.append)
        for items in (["a"], ["b", "c"], ["a", "b", "d"], ["d", "a"]):
            raw(running, items)
    assert {one.api for one in seen} == {"embeddings"}
    assert [one.outcome for one in seen] == ["miss", "miss", "miss", "hit_exact"]
    assert [one.input for one in seen] == [5, 10, 5, 10]
    assert [one.saved_input for one in seen] == [0, 0, 0, 10]
    assert [one.upstream_seconds is not None for one in seen] == [True, True, True, False]
