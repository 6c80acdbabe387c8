"""Completions of texts by OpenAI's client."""

import json

import openai
import pytest
from chats import named
from upstream import KEY, Answer, Model, gateway

USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
HEAD = {"id": "cmpl-0123456789abcdef", "object": "text_completion", "created": 1764000000, "model": "stub-1"}


def choice(text, index=0, finish="stop"):
    return {"text": text, "index": index, "logprobs": None, "finish_reason": finish}


def complete(asked):
    """Answers each prompt with itself, in the form that was asked for."""
    body = asked.json
    prompts = [body["prompt"]] if isinstance(body["prompt"], str) else body["prompt"]
    texts = [f"you said: {prompt}" for prompt in prompts]
    if not body.get("stream"):
        choices = [choice(text, index) for index, text in enumerate(texts)]
        return Answer(json.dumps({**HEAD, "choices": choices, "usage": USAGE}).encode())
    frames = [choice(word + " ", i, None) for i, text in enumerate(texts) for word in text.split()]
    frames += [choice("", i) for i in range(len(texts))]
    told = [{**HEAD, "choices": [one]} for one in frames]
    if (body.get("stream_options") or {}).get("include_usage"):
        told.append({**HEAD, "choices": [], "usage": USAGE})
    return Answer(
        [*(b"data: " + json.dumps(one).encode() + b"\n\n" for one in told), b"data: [DONE]\n\n"],
        kind="text/event-stream",
    )


@pytest.fixture
def model():
    return Model(complete)


@pytest.fixture
def running(model):
    with gateway(model) as running:
        yield running


def client(running):
    return openai.OpenAI(base_url=running.url + "/v1", api_key=KEY, max_retries=0)


def create(running, prompt, **options):
    with client(running) as c:
        return c.completions.create(model="stub-1", prompt=prompt, **options)


def status_of(running, prompt, **options):
    with client(running) as c:
        raw = c.completions.with_raw_response.create(model="stub-1", prompt=prompt, **options)
        return raw.headers["cache-status"]


def streamed(running, prompt, **options):
    with client(running) as c:
        return list(c.completions.create(model="stub-1", prompt=prompt, stream=True, **options))


def text_of(chunks):
    return "".join(c.choices[0].text for c in chunks if c.choices)


def test_both_forms_are_filled_by_either(running, model):
    chunks = streamed(running, "one two")
    assert all(chunk.choices for chunk in chunks)  # the usage was ours to ask for
    whole = create(running, "one two")
    assert whole.choices[0].text == text_of(chunks) == "you said: one two "
    assert whole.usage.total_tokens == 18
    assert whole.id != chunks[0].id
    create(running, "three")
    again = streamed(running, "three", stream_options={"include_usage": True})
    assert text_of(again) == "you said: three"
    assert again[-1].usage.total_tokens == 18
    assert [c.choices[0].finish_reason for c in again[:-1]] == [None, "stop"]
    assert model.calls == 2


def test_several_prompts_are_one_question(running, model):
    chunks = streamed(running, ["one", "two"])
    texts = [choice.text for choice in create(running, ["one", "two"]).choices]
    assert texts == ["you said: one ", "you said: two "]
    assert {c.choices[0].index for c in chunks} == {0, 1}
    assert model.calls == 1


def test_paraphrases(running, model):
    status_of(running, "What is my order status?")
    assert "semantic" in status_of(running, "what's the status of my order?")
    assert model.calls == 1


@pytest.mark.parametrize("options", [{"echo": True}, {"suffix": "."}, {"n": 2}, {"logprobs": 0}], ids=named)
def test_some_hit_exactly_only(running, model, options):
    status_of(running, "What is my order status?", **options)
    assert "hit; detail=exact" in status_of(running, "What is my order status?", **options)
    assert "miss" in status_of(running, "what's the status of my order?", **options)
    assert model.calls == 2


@pytest.mark.parametrize("given", [choice("half an", finish="length"), choice(" "), {"index": 0}], ids=named)
def test_what_is_not_an_answer_is_not_stored(given):
    body = json.dumps({**HEAD, "choices": [given], "usage": USAGE}).encode()
    model = Model(lambda asked: Answer(body))
    with gateway(model) as running, client(running) as c:
        for _ in range(2):
            raw = c.completions.with_raw_response.create(model="stub-1", prompt="a question")
            assert raw.content == body
    assert model.calls == 2


def test_azure(running, model):
    with openai.AzureOpenAI(azure_endpoint=running.url, api_key="azure-key", api_version="2024-10-21") as c:
        for _ in range(2):
            c.completions.create(model="mine", prompt="a question")
    assert model.calls == 1
