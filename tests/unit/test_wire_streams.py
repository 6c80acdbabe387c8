"""Answers of Anthropic's and Gemini's APIs as streams and back, whole and damaged."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcore.wire.encode import dumps
from semcore.wire.gemini import Gemini
from semcore.wire.messages import Messages
from semcore.wire.question import Terms, Tier, Unreadable
from semcore.wire.sse import Frames

TARGET = "/v1beta/models/m:generateContent?"
texts = st.text(st.characters(codec="utf-8"), max_size=12)
some = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
leaves = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | texts
names = (
    st.sampled_from(["type", "text", "index", "content", "parts", "usage", "id", "delta", "input"]) | texts
)
anything = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=10,
)
objects = st.dictionaries(texts, anything, max_size=3)
counts = st.integers(0, 10**6)


def made(needed, **optional):
    return st.fixed_dictionaries(needed, optional=optional)


# ---- Anthropic ----

citations = st.none() | st.lists(made({"type": st.just("char_location"), "cited_text": texts}), max_size=2)
said = made({"type": st.just("text"), "text": some}, citations=citations)
blocks = (
    said
    | made({"type": st.just("thinking"), "thinking": texts, "signature": texts})
    | made({"type": st.just("redacted_thinking"), "data": texts})
    | made({"type": st.just("tool_use"), "id": some, "name": texts, "input": objects})
)
messages = made(
    {
        "id": some,
        "type": st.just("message"),
        "role": st.just("assistant"),
        "model": texts,
        "content": st.tuples(said, st.lists(blocks, max_size=3)).map(lambda two: [*two[1], two[0]]),
        "stop_reason": st.sampled_from(["end_turn", "stop_sequence", "tool_use"]),
        "stop_sequence": st.none() | texts,
        "usage": made(
            {"input_tokens": counts, "output_tokens": counts},
            cache_read_input_tokens=st.none() | counts,
            output_tokens_details=made({"thinking_tokens": counts}),
        ),
    },
    stop_details=st.none(),
    container=st.none(),
    context_management=st.none() | objects,
)

# ---- Gemini ----

parts = (
    made({"text": some}, thought=st.booleans())
    | made({"text": texts, "thoughtSignature": texts})
    | made({"functionCall": made({"name": texts, "args": objects}, id=some)}, thoughtSignature=texts)
)


def joined(parts):
    """As a stream leaves no trace of where one plain text ends and the next one begins."""
    kept = []
    for part in parts:
        plain = "text" in part and "thoughtSignature" not in part
        if kept and plain and kept[-1][0] and kept[-1][1].get("thought") == part.get("thought"):
            kept[-1][1]["text"] += part["text"]
        else:
            kept.append((plain, dict(part)))
    return [part for _, part in kept]


candidate = made(
    {
        "content": made(
            {"parts": st.lists(parts, max_size=4).map(lambda some: joined([*some, {"text": "."}]))},
            role=st.just("model"),
        ),
        "finishReason": st.just("STOP"),
    },
    safetyRatings=st.lists(objects, max_size=2),
    avgLogprobs=st.floats(-9, 0),
    citationMetadata=objects,
)


def indexed(candidates):
    return [one | {"index": index} for index, one in enumerate(candidates)]


responses = made(
    {
        "candidates": candidate.map(lambda one: [one])
        | st.lists(candidate, min_size=2, max_size=3).map(indexed)
    },
    usageMetadata=made({"promptTokenCount": counts, "candidatesTokenCount": counts}),
    modelVersion=texts,
    responseId=some,
)

APIS = {"anthropic": (Messages(), messages), "gemini": (Gemini(), responses)}
each_api = pytest.mark.parametrize("name", APIS)


def assembled(api, raw, step=1 << 20):
    """What a stream's bytes come to, in pieces of so many; and the cuts."""
    frames, assembler = Frames(), api.assembler()
    for at in range(0, len(raw), step):
        for frame in frames.feed(raw[at : at + step]):
            assembler.feed(frame.event, frame.data)
    return assembler.answer(), assembler.cuts


def whole(text):
    return [text] if text else []


@each_api
@given(data=st.data())
def test_a_stream_is_the_answer(name, data):
    api, answers = APIS[name]
    answer = data.draw(answers)
    before = copy.deepcopy(answer)
    raw = b"".join(api.events(answer, True, whole))
    assert answer == before
    again, _ = assembled(api, raw, data.draw(st.integers(1, 99)))
    assert again == answer
    assert api.outcome(again) == api.outcome(answer)
    assert api.outcome(answer).store


@each_api
@given(data=st.data())
def test_in_pieces_it_says_the_same(name, data):
    api, answers = APIS[name]
    answer, length = data.draw(answers), data.draw(st.integers(1, 5))

    def cut(text):
        return [text[at : at + length] for at in range(0, len(text), length)]

    again, cuts = assembled(api, b"".join(api.events(answer, True, cut)))
    if name == "gemini":  # a signature closes its part: what came before it is another one
        assert told(again) == told(answer)
        assert (api.usage(again), api.ids(again)) == (api.usage(answer), api.ids(answer))
    else:
        assert again == answer
    assert all(0 < n <= length for n in cuts)


def told(response):
    """What a response says and thinks, its calls and its signatures."""
    contents = [one["content"]["parts"] for one in response["candidates"]]
    return [
        (
            ["".join(part.get("text", "") for part in parts if part.get("thought", False) is thought)]
            + [part for part in parts if "functionCall" in part]
            + [part.get("thoughtSignature") for part in parts if "thoughtSignature" in part]
        )
        for parts in contents
        for thought in (False, True)
    ]


@each_api
@given(data=st.data())
def test_a_stream_that_is_cut_is_no_answer(name, data):
    api, answers = APIS[name]
    answer = data.draw(answers)
    if name == "gemini":  # of several candidates, no frame says how many are to come
        answer["candidates"] = answer["candidates"][:1]
    frames = list(api.events(answer, True, lambda text: [text[:1], text[1:]] if text else []))
    kept = frames[: data.draw(st.integers(0, len(frames) - 1))]
    again, _ = assembled(api, b"".join(kept))
    assert again is None


def places(value, before=()):
    yield before
    if isinstance(value, (dict, list)):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*before, key))


def damaged(data, value):
    """A value with something else in one place."""
    *way, last = data.draw(st.sampled_from([place for place in places(value) if place]))
    value = copy.deepcopy(value)
    inner = value
    for key in way:
        inner = inner[key]
    inner[last] = data.draw(anything)
    return value


@each_api
@given(data=st.data())
def test_a_damaged_answer_is_replayed_or_not_understood(name, data):
    api, answers = APIS[name]
    answer = damaged(data, data.draw(answers))
    try:
        if not api.outcome(answer).store:
            return
        api.ids(answer)
        api.usage(answer)
    except Unreadable:
        return
    again, _ = assembled(api, b"".join(api.events(answer, True, whole)))
    assert again is not None


@each_api
@given(data=st.data())
def test_a_damaged_stream_is_no_surprise(name, data):
    api, answers = APIS[name]
    assembler = api.assembler()
    frames = Frames().feed(b"".join(api.events(data.draw(answers), True, whole)))
    events = [json.loads(frame.data) for frame in frames]
    try:
        for event in damaged(data, events):
            assembler.feed("", dumps(event))
    except Unreadable:
        return
    answer = assembler.answer()
    assert answer is None or isinstance(answer, dict)


requests = made(
    {
        "messages": st.just([{"role": "user", "content": "hi"}]),
        "contents": st.just([{"parts": [{"text": "hi"}]}]),
    },
    model=texts,
    stream=st.booleans(),
    temperature=st.floats(0, 2),
    tools=st.just([{"name": "f", "input_schema": {}}]) | st.just([{"functionDeclarations": []}]),
    generationConfig=made({}, temperature=st.floats(0, 2), candidateCount=st.integers(1, 2)),
)


@each_api
@given(data=st.data())
def test_a_damaged_request_is_no_surprise(name, data):
    api, _ = APIS[name]
    body = damaged(data, data.draw(requests))
    try:
        question = api.question(body, Terms(temperature_max=data.draw(st.none() | st.floats(0, 2))), TARGET)
    except Unreadable:
        return
    assert question.text or question.tier is not Tier.SEMANTIC
