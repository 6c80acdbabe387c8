"""Events and answers of Anthropic's and Gemini's that are understood, and those that are not."""

import json

import pytest

from semcore.wire.gemini import Gemini
from semcore.wire.messages import Messages
from semcore.wire.question import Terms, Tier, Unreadable, Usage

START = {"type": "message_start", "message": {"type": "message", "content": [], "usage": {"input_tokens": 3}}}
TEXT = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
STOP = {"type": "content_block_stop", "index": 0}
END = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}}
OVER = {"type": "message_stop"}
SAID = {"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}


def piece(index=0, **delta):
    return {"type": "content_block_delta", "index": index, "delta": delta}


def assembled(api, events):
    assembler = api.assembler()
    for event in events:
        assembler.feed("", json.dumps(event).encode())
    return assembler.answer()


def test_usage_comes_in_two_parts():
    middle = {**END, "usage": {"output_tokens": 2, "input_tokens": None}}
    answer = assembled(Messages(), [START, TEXT, piece(type="text_delta", text="a"), STOP, middle, END, OVER])
    assert answer["content"] == [{"type": "text", "text": "a"}]
    assert answer["usage"] == {"input_tokens": 3, "output_tokens": 5}


@pytest.mark.parametrize(
    "events",
    [
        [TEXT],
        [START, START],
        [START, OVER, OVER],
        [START, TEXT, TEXT],
        [START, {**TEXT, "index": 1}],
        [START, STOP],
        [START, TEXT, STOP, piece(type="text_delta", text="a")],
        [START, TEXT, piece(1, type="text_delta", text="a")],
        [START, TEXT, piece(type="text_delta", text=7)],
        [START, TEXT, piece(type="unheard_of_delta", text="a")],
        [START, {"type": "unheard_of"}],
        [START, {**END, "usage": None}],
        [START, {"type": "error", "error": {"type": "overloaded_error"}}],
        [7],
    ],
)
def test_events_of_a_message_that_are_not_understood(events):
    with pytest.raises(Unreadable, match="stream: expected"):
        assembled(Messages(), events)


def test_arguments_that_are_no_json():
    call = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
    begin = {**TEXT, "content_block": call}
    with pytest.raises(Unreadable):
        assembled(Messages(), [START, begin, piece(type="input_json_delta", partial_json='{"a'), STOP])


@pytest.mark.parametrize(
    "responses",
    [
        [[]],
        [{"error": {"code": 503}}],
        [{"candidates": [7]}],
        [{"candidates": [{"index": "0"}]}],
        [{"candidates": [{"content": {"parts": [7]}}]}],
        [{"candidates": [{"content": {"parts": [{"functionCall": {"name": "f", "willContinue": True}}]}}]}],
        [{"candidates": [{**SAID, "groundingMetadata": {"a": n}}]} for n in range(2)],
    ],
)
def test_responses_of_a_stream_that_are_not_understood(responses):
    with pytest.raises(Unreadable):
        assembled(Gemini(), responses)


@pytest.mark.parametrize(
    ("api", "answer", "usage"),
    [
        (Messages(), {"usage": {"input_tokens": 3, "output_tokens": 5}}, (3, 5)),
        (Messages(), {"usage": {"cache_read_input_tokens": 9, "output_tokens": None}}, (9, None)),
        (Messages(), {}, (None, None)),
        (Gemini(), {"usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 5}}, (3, 5)),
        (Gemini(), {"usageMetadata": {"candidatesTokenCount": 5, "thoughtsTokenCount": 2}}, (None, 7)),
        (Gemini(), {"usageMetadata": []}, (None, None)),
    ],
)
def test_usage(api, answer, usage):
    assert api.usage(answer) == Usage(*usage)


@pytest.mark.parametrize(
    ("config", "tier", "why"),
    [
        ({}, Tier.SEMANTIC, ""),
        ({"temperature": 0.2}, Tier.SEMANTIC, ""),
        ({"temperature": 0.9}, Tier.BYPASS, "temperature"),
        ({"candidateCount": 2}, Tier.EXACT, "candidateCount"),
        ({"candidate_count": 2}, Tier.EXACT, "candidateCount"),
        ({"responseLogprobs": True}, Tier.EXACT, "responseLogprobs"),
        ({"responseModalities": ["TEXT"]}, Tier.SEMANTIC, ""),
        ({"responseModalities": ["TEXT", "IMAGE"]}, Tier.BYPASS, "responseModalities"),
    ],
)
def test_what_geminis_settings_allow(config, tier, why):
    body = {"contents": [{"parts": [{"text": "hi"}]}], "generationConfig": {"temperature": 0} | config}
    question = Gemini().question(body, Terms(temperature_max=0.5), "/v1beta/models/m:generateContent?")
    assert (question.model, question.text, question.tier, question.why) == ("m", "hi", tier, why)


@pytest.mark.parametrize(
    ("temperature", "tier"), [(None, Tier.BYPASS), (0.9, Tier.BYPASS), ("0", Tier.BYPASS), (0, Tier.SEMANTIC)]
)
def test_what_a_temperature_allows_anthropic(temperature, tier):
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "temperature": temperature}
    assert Messages().question(body, Terms(temperature_max=0.5), "/v1/messages?").tier is tier


@pytest.mark.parametrize("kind", ["custom", "bash_20250124", "text_editor_20250728", "memory_20250818", None])
def test_tools_that_the_client_runs(kind):
    tools = [{"type": kind, "name": "x"}]
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "tools": tools}
    assert Messages().question(body, Terms(), "/v1/messages?").tier is Tier.SEMANTIC
