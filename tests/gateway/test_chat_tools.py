"""Chat completions with tools, and what else decides what is looked up and stored, by OpenAI's client."""

import json

import openai
import pytest
from chats import agent, chat, completion, frame, stream
from pydantic import BaseModel
from upstream import KEY, Answer, Model, gateway

TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
CITIES = [{"city": "Paris"}, {"city": "Oslo"}]


def client(running):
    return openai.OpenAI(base_url=running.url + "/v1", api_key=KEY, max_retries=0)


def user(text):
    return {"role": "user", "content": text}


def create(running, text="How warm is it in Paris and Oslo?", **options):
    options = {"model": "stub-1", "messages": [user(text)], **options}
    with client(running) as c:
        return c.chat.completions.create(**options)


def chunks_of(running, text, **options):
    with client(running) as c:
        messages = [user(text)]
        return list(c.chat.completions.create(model="stub-1", messages=messages, stream=True, **options))


def status_of(running, text="a question", **options):
    options = {"model": "stub-1", "messages": [user(text)], **options}
    with client(running) as c:
        return c.chat.completions.with_raw_response.create(**options).headers["cache-status"]


def final(running, text="How warm is it in Paris and Oslo?", **options):
    """What `.stream()` puts together, and its events."""
    with (
        client(running) as c,
        c.chat.completions.stream(model="stub-1", messages=[user(text)], **options) as told,
    ):
        events = list(told)
        return told.get_final_completion(), events


def arguments_of(completion):
    return [json.loads(call.function.arguments) for call in completion.choices[0].message.tool_calls]


@pytest.mark.parametrize("streams_first", [False, True])
def test_parallel_calls_are_the_same_in_both_forms(streams_first):
    model = Model(agent)
    with gateway(model) as running:
        if streams_first:
            (streamed, _), whole = final(running, tools=[TOOL]), create(running, tools=[TOOL])
        else:
            whole, (streamed, _) = create(running, tools=[TOOL]), final(running, tools=[TOOL])
        again, events = final(running, tools=[TOOL])
    assert model.calls == 1
    assert arguments_of(whole) == arguments_of(streamed) == arguments_of(again) == CITIES
    done = [event for event in events if event.type == "tool_calls.function.arguments.done"]
    assert [(event.index, event.name) for event in done] == [(0, "weather"), (1, "weather")]
    ids = [call.id for each in (whole, streamed, again) for call in each.choices[0].message.tool_calls]
    assert len(set(ids)) == 6
    assert {(len(id), id[:5]) for id in ids} == {(29, "call_")}
    assert again.choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize("streams", [False, True])
def test_a_tool_loop_hits_in_both_turns(streams):
    model = Model(agent)

    def loop(running):
        options = {"tools": [TOOL]}
        messages = [user("How warm is it in Paris and Oslo?")]
        first = final(running, **options)[0] if streams else create(running, **options)
        message = first.choices[0].message
        turn = {"role": "assistant", "content": None, "tool_calls": [c.to_dict() for c in message.tool_calls]}
        for call in turn["tool_calls"]:
            call["function"].pop("parsed_arguments", None)
        results = [
            {"role": "tool", "tool_call_id": call.id, "content": f"{call.function.arguments} is warm"}
            for call in message.tool_calls
        ]
        second = create(running, messages=[*messages, turn, *results], **options)
        return second.choices[0].message.content

    with gateway(model) as running:
        assert loop(running) == loop(running)
    assert model.calls == 2


def test_calls_never_answer_a_paraphrase():
    model = Model(agent)
    with gateway(model) as running:
        create(running, "What is my order status?", tools=[TOOL])
        create(running, "what's the status of my order?", tools=[TOOL])
        assert model.calls == 2
        model.answers = [chat]
        create(running, "Tell me the opening hours", tools=[TOOL])
        assert "semantic" in status_of(running, "tell me the opening hours please", tools=[TOOL])


BYPASSED = [
    {"store": True},
    {"web_search_options": {}},
    {"extra_body": {"plugins": [{"id": "web"}]}},
    {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "mp3"}},
    {"tools": [{"type": "web_search"}]},
]


@pytest.mark.parametrize("options", BYPASSED)
def test_what_makes_the_provider_act_is_bypassed(options):
    model = Model(chat)
    with gateway(model) as running:
        seen = {status_of(running, **options) for _ in range(2)}
        assert running.cache.stats().entries == 0
    assert model.calls == 2
    assert len(seen) == 1
    assert "fwd=bypass" in seen.pop()


def test_a_bypassed_stream_is_not_touched():
    model = Model(chat)
    with gateway(model) as running, client(running) as c:
        options = {"model": "stub-1", "messages": [user("a b c")], "stream": True, "store": True}
        list(c.chat.completions.create(**options))
    assert "stream_options" not in model.asked[0].json


@pytest.mark.parametrize("options", [{"n": 2}, {"logprobs": True}, {"prediction": {"type": "content"}}])
def test_some_hit_exactly_only(options):
    model = Model(chat)
    with gateway(model) as running:
        status_of(running, "What is my order status?", **options)
        assert "hit; detail=exact" in status_of(running, "What is my order status?", **options)
        assert "fwd=miss" in status_of(running, "what's the status of my order?", **options)
    assert model.calls == 2


NOT_STORED = {
    "length": completion("half an", "length"),
    "filter": completion("half an", "content_filter"),
    "refusal": completion(None, refusal="I will not"),
    "empty": completion(" "),
    "no choices": {**completion(), "choices": []},
    "not ours": {"choices": [{"message": "text"}]},
    "a list": [],
}


@pytest.mark.parametrize("answer", NOT_STORED.values(), ids=NOT_STORED)
def test_what_is_not_an_answer_is_passed_on_and_not_stored(answer):
    body = json.dumps(answer).encode()
    model = Model(lambda asked: Answer(body))
    with gateway(model) as running, client(running) as c:
        for _ in range(2):
            raw = c.chat.completions.with_raw_response.create(model="stub-1", messages=[user("a question")])
            assert raw.content == body
            assert "stored" not in raw.headers["cache-status"]
    assert model.calls == 2


ERROR = frame({"error": {"message": "overloaded", "type": "server_error", "code": None, "param": None}})
CUT = {
    "before its end": list(stream("half an", finish=None)),
    "by an error": [*stream("half an", finish=None), ERROR],
    "by its length": list(stream("half an", "length")),
    "inside a frame": [*stream(finish=None), b'data: {"choices"'],
    "without its end": list(stream())[:-1],
    "calls that do not follow": [*stream(None, None, calls=[{"index": 3}]), *list(stream())[-2:]],
}


@pytest.mark.parametrize("pieces", CUT.values(), ids=CUT)
def test_a_cut_stream_is_not_stored(pieces):
    model = Model(lambda asked: Answer(pieces, kind="text/event-stream"))
    with gateway(model) as running, client(running) as c:
        for _ in range(2):
            ask = c.chat.completions.with_streaming_response.create
            with ask(model="stub-1", messages=[user("a question")], stream=True) as raw:
                assert raw.read() == b"".join(pieces)
        assert running.cache.stats().entries == 0
    assert model.calls == 2


@pytest.mark.parametrize("status", [400, 429, 500])
def test_errors_pass_unchanged_and_are_not_stored(status):
    headers = [(b"retry-after", b"7"), (b"x-should-retry", b"false")]
    body = b'{"error": {"message": "no", "type": "t", "param": null, "code": "c"}}'
    model = Model(lambda asked: Answer(body, status=status, headers=headers))
    with gateway(model) as running:
        for _ in range(2):
            with pytest.raises(openai.APIStatusError) as caught:
                create(running)
            assert caught.value.status_code == status
            assert caught.value.response.content == body
            assert caught.value.response.headers["retry-after"] == "7"
            assert caught.value.response.headers["x-should-retry"] == "false"
    assert model.calls == 2


def test_streams_in_loose_forms_are_understood():
    """Line ends of two characters, comments, no space behind the colon, calls without an index."""
    given = [
        {"id": f"c{i}", "type": "function", "function": {"name": "f", "arguments": "{}"}} for i in (1, 2)
    ]
    frames = [frame({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}) for call in given]
    frames += list(stream(None, "tool_calls"))
    loose = [b": ping\r\n\r\n", *(f.replace(b": ", b":", 1).replace(b"\n", b"\r\n") for f in frames)]
    model = Model(lambda asked: Answer(loose, kind="text/event-stream"))
    with gateway(model) as running:
        chunks_of(running, "a question")
        calls = create(running, "a question").choices[0].message.tool_calls
    assert model.calls == 1
    assert [call.function.name for call in calls] == ["f", "f"]


class Weather(BaseModel):
    city: str
    warm: bool


def test_parsed_answers_hit():
    model = Model(lambda asked: Answer(json.dumps(completion('{"city": "Oslo", "warm": false}')).encode()))
    with gateway(model) as running, client(running) as c:
        for _ in range(2):
            got = c.chat.completions.parse(model="m", messages=[user("Oslo?")], response_format=Weather)
            assert got.choices[0].message.parsed == Weather(city="Oslo", warm=False)
    assert model.calls == 1


def test_reasoning_and_logprobs_survive_a_stream():
    probs = {"content": [{"token": "yes", "logprob": -0.1, "bytes": [1], "top_logprobs": []}]}
    answer = completion("yes", reasoning_content="hm, yes")
    answer["choices"][0]["logprobs"] = probs
    model = Model(lambda asked: Answer(json.dumps(answer).encode()))
    with gateway(model) as running:
        create(running, "a question", logprobs=True)
        got, events = final(running, "a question", logprobs=True)
    assert got.choices[0].message.content == "yes"
    assert got.choices[0].message.reasoning_content == "hm, yes"
    assert [token.token for token in got.choices[0].logprobs.content] == ["yes"]
    assert [event.type for event in events].count("logprobs.content.delta") == 1


def test_the_client_takes_replays_strictly():
    model = Model(chat)
    with gateway(model) as running:
        chunks_of(running, "a question")
        with openai.OpenAI(
            base_url=running.url + "/v1", api_key=KEY, _strict_response_validation=True
        ) as strict:
            options = {"model": "stub-1", "messages": [user("a question")]}
            assert strict.chat.completions.create(**options).choices[0].message.content
            assert len(list(strict.chat.completions.create(**options, stream=True))) == 3
    assert model.calls == 1


@pytest.mark.parametrize("mode", ["coalesced", "faithful", "paced"])
def test_modes_of_replay_say_the_same(mode):
    model = Model(chat)
    with gateway(model, mode=mode, pace=1e6) as running:
        chunks_of(running, "one two three")
        chunks = chunks_of(running, "one two three")
    pieces = [c.choices[0].delta.content for c in chunks if c.choices[0].delta.content]
    assert "".join(pieces) == "you said: one two three"
    assert len(pieces) == (1 if mode == "coalesced" else 5)


def test_azure():
    """Its paths, its credential, its version."""
    model = Model(chat)
    with gateway(model, base="") as running:

        def ask(version="2024-10-21", key="azure-key", deployment="mine"):
            with openai.AzureOpenAI(azure_endpoint=running.url, api_key=key, api_version=version) as c:
                raw = c.chat.completions.with_raw_response.create(
                    model=deployment, messages=[user("a question")]
                )
                return raw.headers["cache-status"]

        ask()
        assert "hit" in ask()
        assert model.asked[0].path == "/openai/deployments/mine/chat/completions"
        assert model.asked[0].query == b"api-version=2024-10-21"
        assert model.asked[0].headers["api-key"] == "azure-key"
        for other in ({"version": "2025-01-01"}, {"key": "other"}, {"deployment": "other"}):
            assert "fwd=miss" in ask(**other)
        with openai.OpenAI(base_url=running.url + "/openai/v1/", api_key=KEY) as c:
            for _ in range(2):
                c.chat.completions.create(model="mine", messages=[user("a question")])
        assert model.asked[-1].path == "/openai/v1/chat/completions"
    assert model.calls == 5
