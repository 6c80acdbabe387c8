"""OpenAI's APIs without any server: what requests are, what answers are worth, streams there and back."""

import contextlib
import copy
import json

import pytest
from chats import calls, completion, named
from hypothesis import given
from hypothesis import strategies as st
from replies import call, message, reasoning, response

from semcore.wire.chat import Chat
from semcore.wire.completions import Completions
from semcore.wire.embeddings import Embeddings
from semcore.wire.encode import dumps
from semcore.wire.question import Terms, Tier, Unreadable
from semcore.wire.responses import Responses
from semcore.wire.routes import api_of
from semcore.wire.sse import Frames

CHAT, RESPONSES, COMPLETIONS = Chat(), Responses(), Completions()
APIS = (CHAT, RESPONSES, COMPLETIONS)
BASE = {
    CHAT: {"model": "m", "messages": [{"role": "user", "content": "a question"}]},
    RESPONSES: {"model": "m", "input": "a question", "store": False},
    COMPLETIONS: {"model": "m", "prompt": "a question"},
}
TERMS = Terms()
FUNCTION = {"type": "function", "name": "f"}


def tier(api, terms=TERMS, **more):
    return api.question({**BASE[api], **more}, terms, "").tier


def test_the_model_is_azures_deployment_where_none_is_named():
    target = "/openai/deployments/own/chat/completions?api-version=1"
    body = {"messages": BASE[CHAT]["messages"]}
    assert CHAT.question(body, TERMS, target).model == "own"
    assert CHAT.question(BASE[CHAT], TERMS, target).model == "m"


@pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)
@pytest.mark.parametrize(
    "more",
    [{}, {"n": 1}, {"n": None}, {"tools": None}, {"temperature": 2}, {"logprobs": False}, {"seed": 1}],
    ids=named,
)
def test_paraphrases_by_default(api, more):
    assert tier(api, **more) is Tier.SEMANTIC


@pytest.mark.parametrize(
    ("api", "more"),
    [
        (CHAT, {"tools": [FUNCTION, {"type": "custom"}]}),
        (CHAT, {"store": False}),
        (CHAT, {"modalities": ["text"]}),
        (RESPONSES, {"tools": [FUNCTION]}),
        (RESPONSES, {"background": False}),
        (RESPONSES, {"include": ["reasoning.encrypted_content"]}),
        (COMPLETIONS, {"echo": False}),
    ],
    ids=named,
)
def test_what_changes_nothing(api, more):
    assert tier(api, **more) is Tier.SEMANTIC


@pytest.mark.parametrize(
    ("api", "more"),
    [
        (CHAT, {"n": 2}),
        (CHAT, {"logprobs": True}),
        (CHAT, {"prediction": {"type": "content", "content": "x"}}),
        (CHAT, {"messages": [{"role": "user", "content": "a"}, {"role": "tool", "content": "b"}]}),
        (CHAT, {"messages": [{"role": "user", "content": " "}]}),
        (RESPONSES, {"top_logprobs": 0}),
        (RESPONSES, {"include": ["message.output_text.logprobs"]}),
        (RESPONSES, {"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]}),
        (COMPLETIONS, {"logprobs": 0}),
        (COMPLETIONS, {"best_of": 2}),
        (COMPLETIONS, {"prompt": ["a", "b"]}),
        (COMPLETIONS, {"prompt": [1, 2]}),
    ],
    ids=named,
)
def test_exact_only(api, more):
    assert tier(api, **more) is Tier.EXACT


@pytest.mark.parametrize(
    ("api", "more"),
    [
        (CHAT, {"store": True}),
        (CHAT, {"web_search_options": {}}),
        (CHAT, {"modalities": ["text", "audio"]}),
        (CHAT, {"tools": [FUNCTION, {"type": "web_search"}]}),
        (CHAT, {"tools": ["web_search"]}),
        (CHAT, {"data_sources": [{}]}),
        (RESPONSES, {"store": None}),
        (RESPONSES, {"store": True}),
        (RESPONSES, {"background": True}),
        (RESPONSES, {"previous_response_id": "r"}),
        (RESPONSES, {"conversation": {"id": "c"}}),
        (RESPONSES, {"prompt": {"id": "p"}}),
        (RESPONSES, {"input": [{"id": "msg_1"}]}),
    ],
    ids=named,
)
def test_bypass(api, more):
    assert tier(api, **more) is Tier.BYPASS


@pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)
def test_what_operators_allow(api):
    assert tier(api, Terms(stored=True), store=True) is Tier.SEMANTIC
    cold = Terms(temperature_max=0.5)
    assert tier(api, cold, temperature=0.5) is Tier.SEMANTIC
    for hot in (0.6, None, "0"):
        assert tier(api, cold, temperature=hot) is Tier.BYPASS


@pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)
@pytest.mark.parametrize("body", [[], None, "text", {}, {"messages": [], "input": []}], ids=named)
def test_requests_that_are_not_understood(api, body):
    with pytest.raises(Unreadable):
        api.question(body, Terms(stored=True), "")


def test_paths():
    apis = {
        "/v1/chat/completions": "chat.completions",
        "/openai/deployments/gpt/chat/completions": "chat.completions",
        "/openai/v1/responses": "responses",
        "/v1/completions": "completions",
        "/embeddings": "embeddings",
    }
    for path, name in apis.items():
        assert api_of("POST", path).name == name
        assert api_of("GET", path) is None
    for path in ("/v1/models", "/v1/responses/r_1/cancel", "/v1/chat/completions/c_1", "/v1/images"):
        assert api_of("POST", path) is None


def test_outcomes():
    assert CHAT.outcome(completion("text"))[:2] == (True, True)
    called = completion("so", "tool_calls", tool_calls=[{"id": "c", "type": "function"}])
    assert CHAT.outcome(called) == (True, False, "tool calls")
    assert CHAT.outcome(completion(None, "function_call", function_call={"name": "f"})).semantic is False
    assert RESPONSES.outcome(response(reasoning(), message("text")))[:2] == (True, True)
    assert RESPONSES.outcome(response(message("so"), call("Oslo"))) == (True, False, "tool calls")


def test_usage():
    assert CHAT.usage(completion()) == (11, 7)
    assert RESPONSES.usage(response()) == (11, 7)
    for api in APIS:
        assert api.usage({}) == (None, None)
        assert api.usage({"usage": {"prompt_tokens": True, "input_tokens": -1}}) == (None, None)


# ---- streams there and back ----

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
pieces = st.lists(st.integers(1, 7), min_size=1, max_size=9)


def cutter(lengths):
    """Cuts texts into pieces of these lengths, the rest in one."""

    def cut(text):
        at = 0
        for length in lengths:
            if text[at : at + length]:
                yield text[at : at + length]
            at += length
        if text[at:]:
            yield text[at:]

    return cut


def assembled(api, answer, usage, lengths, size):
    """An answer told as a stream, and put together out of blocks of so many bytes."""
    frames, assembler = Frames(), api.assembler()
    told = b"".join(api.events(copy.deepcopy(answer), usage, cutter(lengths)))
    for at in range(0, len(told), size):
        for frame in frames.feed(told[at : at + size]):
            assert assembler.feed(frame.event, frame.data) in (False, usage)
    assert frames.rest() == b""
    return assembler.answer()


functions = st.fixed_dictionaries({"name": st.just("f"), "arguments": texts})
tool_calls = st.lists(
    st.fixed_dictionaries({"id": texts, "type": st.just("function"), "function": functions}), min_size=1
)
messages = st.fixed_dictionaries(
    {"role": st.just("assistant"), "content": st.none() | texts},
    optional={"reasoning_content": texts, "tool_calls": tool_calls, "annotations": st.just([])},
)
probs = st.none() | st.fixed_dictionaries({"content": st.lists(st.just({"token": "a", "logprob": -1.0}))})


def head(kind, choices):
    usage = st.fixed_dictionaries(
        {"prompt_tokens": st.integers(0, 9), "completion_tokens": st.integers(0, 9)}
    )
    return st.fixed_dictionaries(
        {"id": texts, "object": st.just(kind), "created": st.integers(0, 9), "model": texts, "usage": usage,
         "choices": st.lists(choices, min_size=1, max_size=3).map(numbered)},
        optional={"system_fingerprint": texts},
    )  # fmt: skip


def numbered(choices):
    return [{**choice, "index": index} for index, choice in enumerate(choices)]


chat_answers = head(
    "chat.completion",
    st.fixed_dictionaries(
        {"message": messages, "logprobs": probs, "finish_reason": st.sampled_from(["stop", "tool_calls"])},
        optional={"content_filter_results": st.just({"hate": {"filtered": False}})},
    ),
)
completion_answers = head(
    "text_completion",
    st.fixed_dictionaries({"text": texts, "logprobs": st.none(), "finish_reason": st.just("stop")}),
)


@given(chat_answers, pieces, st.integers(1, 99))
def test_chats_come_back(answer, lengths, size):
    assert assembled(CHAT, answer, True, lengths, size) == answer
    del answer["usage"]
    assert assembled(CHAT, answer, False, lengths, size) == answer


@given(completion_answers, pieces, st.integers(1, 99))
def test_completions_come_back(answer, lengths, size):
    assert assembled(COMPLETIONS, answer, True, lengths, size) == answer


custom_calls = st.builds(
    lambda text: {"id": "ctc_1", "type": "custom_tool_call", "call_id": "call_1", "name": "f", "input": text},
    texts,
)
citation = {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1}
items = st.one_of(
    st.builds(message, texts, annotations=st.lists(st.just(citation), max_size=2)),
    st.builds(reasoning, texts, encrypted_content=texts),
    st.builds(lambda text: {**reasoning(), "content": [{"type": "reasoning_text", "text": text}]}, texts),
    st.builds(call, texts),
    custom_calls,
)
responses = st.lists(items, min_size=1, max_size=4).map(lambda output: response(*output))


@given(responses, pieces, st.integers(1, 99))
def test_responses_come_back(answer, lengths, size):
    assert assembled(RESPONSES, answer, True, lengths, size) == answer


@given(responses, pieces)
def test_events_of_responses_add_up(answer, lengths):
    """Each text is what its pieces say, each part and item is what was begun and filled."""
    frames = Frames().feed(b"".join(RESPONSES.events(answer, True, cutter(lengths))))
    events = [json.loads(frame.data) for frame in frames]
    assert [frame.event for frame in frames] == [event["type"] for event in events]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    said = {}
    for event in events:
        where = tuple(event.get(key) for key in ("output_index", "summary_index", "content_index"))
        name = event["type"].removeprefix("response.")
        if name.endswith(".delta"):
            said[where] = said.get(where, "") + event["delta"]
        elif name.endswith((".done",)) and not name.endswith(("part.done", "item.done")):
            assert said[where] == event.get("text", event.get("arguments", event.get("input")))
        elif name.endswith("part.done"):
            assert said[where] == event["part"]["text"]
        elif name == "output_item.done":
            assert event["item"] == answer["output"][event["output_index"]]
        if "item_id" in event:
            assert event["item_id"] == answer["output"][event["output_index"]]["id"]
    assert [event["type"] for event in events].count("response.output_item.added") == len(answer["output"])


# ---- what is not in the form of its API ----

WORDS = ["stop", "completed", "message", "output_text", "function_call", "response.completed", ""]
strange = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 3) | st.sampled_from(WORDS),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "text"]), inner, max_size=2)
    ),
    max_leaves=4,
)
ANSWERS = {
    CHAT: completion("text", tool_calls=calls("Oslo")),
    COMPLETIONS: {
        "id": "i",
        "choices": [{"text": "text", "index": 0, "logprobs": None, "finish_reason": "stop"}],
    },
    RESPONSES: response(message("text", annotations=[citation]), reasoning(), call("Oslo")),
}
EMBEDDED = {"data": [{"index": 0, "embedding": [0.5]}, {"index": 1, "embedding": "AAAAAA=="}]}
ASKED = {
    CHAT: {**BASE[CHAT], "tools": [FUNCTION], "modalities": ["text"], "n": 1},
    COMPLETIONS: {**BASE[COMPLETIONS], "temperature": 0},
    RESPONSES: {**BASE[RESPONSES], "input": ANSWERS[RESPONSES]["output"], "include": ["x"]},
}


@st.composite
def damaged(draw, whole):
    """With something strange anywhere inside."""
    whole = copy.deepcopy(whole)
    inside = whole
    while True:
        key = draw(st.sampled_from(list(inside) if isinstance(inside, dict) else range(len(inside))))
        if not isinstance(inside[key], (dict, list)) or not inside[key] or draw(st.integers(0, 3)) == 0:
            inside[key] = draw(strange)
            return whole
        inside = inside[key]


@pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)
@given(st.data())
def test_a_stored_answer_can_be_told(api, data):
    """Damaged, an answer is unreadable, or not stored, or makes a stream."""
    answer = data.draw(damaged(ANSWERS[api]))
    try:
        stored = api.outcome(answer).store and len(api.ids(answer)) + len(api.usage(answer)) > 0
    except Unreadable:
        stored = False
    if stored:
        assert list(api.events(answer, True, cutter([3])))


@pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)
@given(st.data())
def test_damaged_streams_are_unreadable_at_most(api, data):
    told = b"".join(api.events(copy.deepcopy(ANSWERS[api]), True, cutter([3])))
    frames = [frame.data for frame in Frames().feed(told) if frame.data != b"[DONE]"]
    at = data.draw(st.integers(0, len(frames) - 1))
    frames[at] = dumps(data.draw(damaged(json.loads(frames[at])) | strange))
    assembler = api.assembler()
    with contextlib.suppress(Unreadable):
        for frame in frames:
            assembler.feed("", frame)
        assert isinstance(assembler.answer(), dict | None)


@given(damaged(EMBEDDED))
def test_damaged_embeddings_are_unreadable_at_most(answer):
    with contextlib.suppress(Unreadable):
        assert [len(vector) for vector in Embeddings().vectors(answer, 2)] != [0, 0]


@pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)
@given(st.data())
def test_damaged_requests_are_unreadable_at_most(api, data):
    with contextlib.suppress(Unreadable):
        assert api.question(data.draw(damaged(ASKED[api])), TERMS, "").tier in Tier
