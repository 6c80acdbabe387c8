"""Chat completions by OpenAI's client: what a second request costs, and what it gets."""

import threading

import openai
import pytest
from chats import chat
from upstream import KEY, Model, gateway


@pytest.fixture
def model():
    return Model(chat)


@pytest.fixture
def running(model):
    with gateway(model) as running:
        yield running


def client(running, key=KEY):
    return openai.OpenAI(base_url=running.url + "/v1", api_key=key, max_retries=0)


def ask(running, text, key=KEY, **options):
    options = {"model": "stub-1", "messages": [{"role": "user", "content": text}], **options}
    with client(running, key) as c:
        return c.chat.completions.with_raw_response.create(**options)


def streamed(running, text, **options):
    with client(running) as c:
        messages = [{"role": "user", "content": text}]
        return list(c.chat.completions.create(model="stub-1", messages=messages, stream=True, **options))


def text_of(chunks):
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


def test_the_second_one_is_not_asked(running, model):
    first, second = ask(running, "Where is my order?"), ask(running, "Where is my order?")
    assert model.calls == 1
    assert first.headers["cache-status"] == "semcore; fwd=miss; fwd-status=200; stored"
    assert second.headers["cache-status"] == "semcore; hit; detail=exact"
    assert second.headers["age"] == "0"
    a, b = first.parse(), second.parse()
    assert a.choices == b.choices
    assert a.usage == b.usage
    assert a.id != b.id
    assert len(a.id) == len(b.id)


def test_a_paraphrase_is_answered_in_the_same_context_only(running, model):
    system = {"role": "system", "content": "Be brief."}
    question = {"role": "user", "content": "What is my order status?"}
    other = {"role": "user", "content": "what's the status of my order?"}
    ask(running, "", messages=[system, question])
    hit = ask(running, "", messages=[system, other])
    assert hit.headers["cache-status"] == "semcore; hit; detail=semantic"
    assert float(hit.headers["x-semcore-similarity"]) > 0.75
    assert model.calls == 1
    ask(running, "", messages=[{**system, "content": "Be long."}, other])
    ask(running, "", messages=[system, other], model="stub-2")
    ask(running, "", messages=[system, other], key="sk-other")
    ask(running, "", messages=[system, {"role": "assistant", "content": "Hi"}, other])
    assert model.calls == 5


def test_a_stream_answers_a_request_without_one_and_the_reverse(running, model):
    chunks = streamed(running, "Tell me a joke")
    assert text_of(chunks) == "you said: Tell me a joke"
    assert all(chunk.choices for chunk in chunks)  # the usage was ours to ask for
    whole = ask(running, "Tell me a joke").parse()
    assert whole.choices[0].message.content == "you said: Tell me a joke"
    assert whole.usage.total_tokens == 18
    ask(running, "Tell me another")
    again = streamed(running, "Tell me another", stream_options={"include_usage": True})
    assert text_of(again) == "you said: Tell me another"
    assert again[-1].usage.total_tokens == 18
    assert model.calls == 2


def test_64_at_once_are_one_call(running, model):
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(ask(running, "Do you ship to Canada?").parse()))
        for _ in range(64)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert model.calls == 1
    assert len(answers) == 64
    assert {a.choices[0].message.content for a in answers} == {"you said: Do you ship to Canada?"}
