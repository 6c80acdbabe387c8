"""Responses by OpenAI's client and by LangGraph."""

import importlib.util
import json

import openai
import pytest
from chats import named
from pydantic import BaseModel
from replies import agent, call, message, reasoning, reply, response, stream, text_of
from upstream import KEY, Answer, Model, gateway

from semcore.wire.question import Terms

TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}
QUESTION = "How warm is it in Paris and Oslo?"


@pytest.fixture
def model():
    return Model(reply)


@pytest.fixture
def running(model):
    with gateway(model) as running:
        yield running


def client(running):
    return openai.OpenAI(base_url=running.url + "/v1", api_key=KEY, max_retries=0)


def create(running, text="a question", **options):
    with client(running) as c:
        return c.responses.create(**{"model": "stub-1", "input": text, "store": False, **options})


def status_of(running, text="a question", **options):
    options = {"model": "stub-1", "input": text, "store": False, **options}
    with client(running) as c:
        return c.responses.with_raw_response.create(**options).headers["cache-status"]


def streamed(running, text="a question", **options):
    """What `.stream()` puts together, and its events."""
    options = {"model": "stub-1", "input": text, "store": False, **options}
    with client(running) as c, c.responses.stream(**options) as told:
        events = list(told)
        return told.get_final_response(), events


@pytest.mark.parametrize("streams_first", [False, True])
def test_both_forms_are_filled_by_either(running, model, streams_first):
    if streams_first:
        (b, _), a = streamed(running, "one two"), create(running, "one two")
    else:
        a, (b, _) = create(running, "one two"), streamed(running, "one two")
    c, events = streamed(running, "one two")
    assert model.calls == 1
    assert a.output_text == b.output_text == c.output_text == "you said: one two"
    assert a.usage == b.usage == c.usage
    assert len({a.id, b.id, c.id}) == len({each.output[0].id for each in (a, b, c)}) == 3
    assert {len(each.id) for each in (a, b, c)} == {len(a.id)}
    assert [event.type.removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [event.sequence_number for event in events] == list(range(9))


def test_a_paraphrase_is_answered_in_the_same_context_only(running, model):
    status_of(running, "What is my order status?", instructions="Be brief.")
    other = "what's the status of my order?"
    assert "semantic" in status_of(running, other, instructions="Be brief.")
    assert "miss" in status_of(running, other, instructions="Be long.")
    as_turn = [{"role": "user", "content": [{"type": "input_text", "text": other}]}]
    assert "miss" in status_of(running, as_turn, instructions="Be brief.")
    assert model.calls == 3


BYPASSED = [
    {"store": True},
    {"store": openai.omit},
    {"previous_response_id": "resp_1"},
    {"conversation": "conv_1"},
    {"background": True},
    {"prompt": {"id": "pmpt_1"}},
    *(
        {"tools": [{"type": kind}]}
        for kind in (
            "web_search",
            "file_search",
            "code_interpreter",
            "computer_use_preview",
            "mcp",
            "image_generation",
        )
    ),
    {"input": [{"type": "item_reference", "id": "msg_1"}, {"role": "user", "content": "and?"}]},
]


@pytest.mark.parametrize("options", BYPASSED, ids=named)
def test_what_the_provider_remembers_or_runs_is_bypassed(running, model, options):
    seen = [status_of(running, **options) for _ in range(2)]
    assert all("fwd=bypass" in one for one in seen)
    assert model.calls == 2
    assert running.cache.stats().entries == 0


def test_kept_answers_hit_where_that_is_allowed_with_ids_of_their_own(model):
    with gateway(model, terms=Terms(stored=True)) as running:
        a, b = (create(running, store=openai.omit) for _ in range(2))
    assert model.calls == 1
    assert a.id != b.id


@pytest.mark.parametrize(
    "options", [{"top_logprobs": 2}, {"include": ["message.output_text.logprobs"]}], ids=named
)
def test_logprobs_hit_exactly_only(running, model, options):
    status_of(running, "What is my order status?", **options)
    assert "hit; detail=exact" in status_of(running, "What is my order status?", **options)
    assert "miss" in status_of(running, "what's the status of my order?", **options)


REFUSAL = message("")
REFUSAL["content"] = [{"type": "refusal", "refusal": "I will not"}]
NOT_STORED = {
    "incomplete": response(message("half an"), status="incomplete"),
    "failed": response(status="failed", error={"code": "server_error", "message": "no"}),
    "refusal": response(REFUSAL),
    "empty": response(message(" ")),
    "thoughts alone": response(reasoning()),
    "a server's tool": response({"id": "ws_1", "type": "web_search_call", "status": "completed"}),
    "a cut item": response({**message("half an"), "status": "incomplete"}),
    "not ours": response({"type": "message", "content": "text"}),
}


@pytest.mark.parametrize("answer", NOT_STORED.values(), ids=NOT_STORED)
@pytest.mark.parametrize("streams", [False, True])
def test_what_is_not_an_answer_is_passed_on_and_not_stored(answer, streams):
    body = json.dumps(answer).encode()
    kind = "application/json"
    if streams:
        status = answer["status"]
        body = json.dumps({"type": f"response.{status}", "response": answer, "sequence_number": 0}).encode()
        body, kind = b"event: response." + status.encode() + b"\ndata: " + body + b"\n\n", "text/event-stream"
    model = Model(lambda asked: Answer(body, kind=kind))
    with gateway(model) as running, client(running) as c:
        for _ in range(2):
            ask = c.responses.with_streaming_response.create
            with ask(model="stub-1", input="a question", store=False, stream=streams) as raw:
                assert raw.read() == body
    assert model.calls == 2


def test_a_cut_stream_is_not_stored():
    whole = list(stream(response(message("one two"))))
    error = b'event: error\ndata: {"type":"error","code":"server_error","message":"no","param":null}\n\n'
    answers = [whole[:-1], [*whole[:-1], error, whole[-1]], [*whole[:-1], whole[-1][:-9]], whole]
    model = Model(
        *(lambda asked, pieces=pieces: Answer(pieces, kind="text/event-stream") for pieces in answers)
    )
    with gateway(model) as running, client(running) as c:
        for _ in range(5):
            ask = c.responses.with_streaming_response.create
            with ask(model="stub-1", input="a question", store=False, stream=True) as raw:
                raw.read()
    assert model.calls == 4


def test_reasoning_and_parallel_calls_as_streams():
    thought = reasoning("a thought", encrypted_content="gAAAA")
    answer = response(thought, call("Paris"), call("Oslo"), message("wait"))
    model = Model(lambda asked: Answer(json.dumps(answer).encode()))
    with gateway(model) as running:
        create(running, QUESTION, tools=[TOOL])
        got, events = streamed(running, QUESTION, tools=[TOOL])
    kinds = ["reasoning", "function_call", "function_call", "message"]
    assert [item.type for item in got.output] == kinds
    assert got.output[0].encrypted_content == "gAAAA"
    assert got.output[0].id == thought["id"]  # it is bound to it
    assert [item.id != old["id"] for item, old in zip(got.output, answer["output"], strict=True)] == [
        False,
        True,
        True,
        True,
    ]
    assert [json.loads(item.arguments) for item in got.output[1:3]] == [{"city": "Paris"}, {"city": "Oslo"}]
    assert [
        item.call_id != old["call_id"]
        for item, old in zip(got.output[1:3], answer["output"][1:3], strict=True)
    ]
    said = [event.type.removeprefix("response.") for event in events]
    assert said[3:7] == [
        f"reasoning_summary_{name}" for name in ("part.added", "text.delta", "text.done", "part.done")
    ]
    assert said[8:12] == [
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
    ]
    assert said[-1] == "completed"


@pytest.mark.parametrize("streams", [False, True])
def test_a_tool_loop_hits_in_both_turns(streams):
    model = Model(agent)

    def loop(running):
        turns = [{"role": "user", "content": QUESTION}]
        first = create(running, turns, tools=[TOOL])
        if streams:
            first, _ = streamed(running, turns, tools=[TOOL])
        calls = [item for item in first.output if item.type == "function_call"]
        turns += [item.to_dict() for item in first.output]
        for item in turns:
            item.pop("parsed_arguments", None)
        turns += [
            {"type": "function_call_output", "call_id": c.call_id, "output": f"{c.arguments} is warm"}
            for c in calls
        ]
        return create(running, turns, tools=[TOOL]).output_text

    with gateway(model) as running:
        assert loop(running) == loop(running)
    assert model.calls == 2


def test_who_asked_is_not_told_to_others(running, model):
    a = create(running, metadata={"who": "alice"})
    b = create(running, metadata={"who": "bob"})
    assert model.calls == 1
    assert a.metadata == {"who": "alice"}
    assert b.metadata is None


class Weather(BaseModel):
    city: str


def test_parsed_answers_hit():
    answer = response(message('{"city": "Oslo"}'))
    model = Model(lambda asked: Answer(json.dumps(answer).encode()))
    with gateway(model) as running, client(running) as c:
        for _ in range(2):
            got = c.responses.parse(model="m", input="Oslo?", store=False, text_format=Weather)
            assert got.output_parsed == Weather(city="Oslo")
    assert model.calls == 1


def test_azure(model):
    with (
        gateway(model, base="") as running,
        openai.AzureOpenAI(
            azure_endpoint=running.url, api_key="azure-key", api_version="2025-04-01-preview"
        ) as c,
    ):
        for _ in range(2):
            c.responses.create(model="mine", input="a question", store=False)
    assert model.calls == 1
    assert model.asked[0].path == "/openai/responses"


@pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("langgraph", "langchain_openai")),
    reason="langgraph and langchain-openai are not installed",
)
@pytest.mark.parametrize("streaming", [False, True])
def test_langgraph_keeps_all_messages(running, model, streaming):
    """It takes two messages of one id for one, so a replayed id would lose an answer."""
    from langchain_openai import ChatOpenAI
    from langgraph.graph.message import add_messages

    chat = ChatOpenAI(
        model="stub-1", base_url=running.url + "/v1", api_key=KEY, use_responses_api=True, store=False,
        streaming=streaming,
    )  # fmt: skip
    state = []
    for _ in range(2):
        question = ("user", "a question")
        state = add_messages(state, [question])
        state = add_messages(state, [chat.invoke([question])])
    assert model.calls == 1
    assert len(state) == 4
    assert state[1].text == state[3].text == "you said: a question"
    assert text_of(model.asked[0].json) == "a question"
