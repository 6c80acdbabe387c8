"""Messages by Anthropic's client: what a second request costs, and what it gets."""

import json

import anthropic
import httpx2
import pytest
from claude import call, echo, event, given, message, stream, text
from upstream import KEY, Answer, Model, gateway

QUESTION, PARAPHRASE = "What is my order status?", "what's the status of my order?"
TOOLS = [{"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]
THINKING = {"type": "thinking", "thinking": "Let me think", "signature": "c2lnbmF0dXJl"}
THOUGHTFUL = {"thinking": {"type": "enabled", "budget_tokens": 1024}}


@pytest.fixture
def model():
    return Model(given(echo))


@pytest.fixture
def running(model):
    with gateway(model) as running:
        yield running


def client(running, key=KEY, base=""):
    return anthropic.Anthropic(base_url=running.url + base, api_key=key, max_retries=0)


def user(content):
    return {"role": "user", "content": content}


def request(content=QUESTION, **options):
    return {"model": "claude-stub", "max_tokens": 100, "messages": [user(content)], **options}


def ask(running, content=QUESTION, key=KEY, base="", **options):
    with client(running, key, base) as c:
        return c.messages.with_raw_response.create(**request(content, **options))


def streamed(running, content=QUESTION, **options):
    """The message that the client put together."""
    with client(running) as c, c.messages.stream(**request(content, **options)) as told:
        return told.get_final_message()


def events(running, content=QUESTION, headers=None):
    with client(running) as c:
        return list(c.messages.create(stream=True, extra_headers=headers, **request(content)))


def status(response):
    return response.headers["cache-status"].removeprefix("semcore; ")


def said(whole):
    return [block.text for block in whole.content if block.type == "text"]


@pytest.mark.parametrize("base", ["", "/anthropic"])
def test_the_second_one_is_not_asked(running, model, base):
    first, second = ask(running, base=base), ask(running, base=base)
    assert model.calls == 1
    assert status(first) == "fwd=miss; fwd-status=200; stored"
    assert status(second) == "hit; detail=exact"
    assert second.headers["x-semcore-saved-tokens"] == "1118"
    a, b = first.parse(), second.parse()
    assert (a.content, a.usage, a.stop_reason) == (b.content, b.usage, b.stop_reason)
    assert a.id != b.id
    assert b.id.startswith("msg_")
    assert len(a.id) == len(b.id)


def test_a_paraphrase_is_answered_in_the_same_context_only(running, model):
    ask(running, system="Be brief.")
    assert status(ask(running, PARAPHRASE, system="Be brief.")) == "hit; detail=semantic"
    assert model.calls == 1
    others = [
        {"system": "Be long."},
        {"system": "Be brief.", "model": "claude-other"},
        {"system": "Be brief.", "key": "sk-other"},
        {"system": "Be brief.", "tools": TOOLS},
        {"system": "Be brief.", "extra_headers": {"anthropic-beta": "new-things"}},
        {"system": "Be brief.", "messages": [user("Hi"), {"role": "assistant", "content": "Hi"}, user("?")]},
    ]
    for n, other in enumerate(others):
        assert status(ask(running, PARAPHRASE, **other)).startswith("fwd=miss")
        assert model.calls == n + 2


def test_a_breakpoint_and_metadata_are_not_in_the_key(running):
    block = text(QUESTION)
    ask(running, [block], system=[text("Be brief.")])
    marked = {"cache_control": {"type": "ephemeral"}}
    again = ask(
        running, [block | marked], system=[text("Be brief.") | marked], metadata={"user_id": "somebody"}
    )
    assert status(again) == "hit; detail=exact"


def test_a_stream_answers_a_request_without_one_and_the_reverse(running, model):
    first = streamed(running)
    whole = ask(running).parse()
    assert said(first) == said(whole) == [f"you said: {QUESTION}"]
    assert first.usage == whole.usage
    other = ask(running, "Tell me a joke").parse()
    again = streamed(running, "Tell me a joke")
    assert (said(again), again.usage, again.stop_reason) == (said(other), other.usage, "end_turn")
    assert again.id != other.id
    assert model.calls == 2


@pytest.mark.parametrize("mode", ["coalesced", "faithful", "paced"])
def test_the_events_of_a_stream(model, mode):
    with gateway(model, pace=10_000) as running:
        events(running)
        again = events(running, headers={"x-semcore-mode": mode})
    pieces = 1 if mode == "coalesced" else 7  # of "you said: What is my order status?"
    assert [each.type for each in again] == [
        "message_start",
        "content_block_start",
        *["content_block_delta"] * pieces,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert again[0].message.usage.input_tokens == 11
    assert again[-2].usage.output_tokens == 7


@pytest.mark.parametrize("fill", [ask, streamed])
def test_tool_calls_are_given_to_the_same_question_only(model, fill):
    model.answers = [
        given(lambda body: message(text("I look."), call(city="Rome"), call(city="Oslo"), stop="tool_use"))
    ]
    with gateway(model) as running:
        first = fill(running, tools=TOOLS)
        first = first if fill is streamed else first.parse()
        again, live = ask(running, tools=TOOLS).parse(), streamed(running, tools=TOOLS)
        assert model.calls == 1
        assert status(ask(running, PARAPHRASE, tools=TOOLS)).startswith("fwd=miss")
    for whole in (again, live):
        assert [block.input for block in whole.content[1:]] == [{"city": "Rome"}, {"city": "Oslo"}]
        assert whole.stop_reason == "tool_use"
    ids = [block.id for whole in (first, again, live) for block in whole.content[1:]]
    assert len(set(ids)) == 6
    assert all(id.startswith("toolu_") and len(id) == len(ids[0]) for id in ids)


def test_a_loop_of_tool_calls_is_replayed(model):
    """The ids in the second request are those of the first answer, which are new each time."""
    model.answers = [given(agent)]
    with gateway(model) as running:
        first, second = loop(running), loop(running)
    assert first == second == "It is warm."
    assert model.calls == 2


def agent(body):
    if len(body["messages"]) == 1:
        return message(call(city="Rome"), stop="tool_use")
    return message(text("It is warm."))


def loop(running):
    """An agent's two requests; what it says at last."""
    called = ask(running, tools=TOOLS).parse().content
    result = {"type": "tool_result", "tool_use_id": called[0].id, "content": "25 degrees"}
    turns = [user(QUESTION), {"role": "assistant", "content": called}, user([result])]
    return ask(running, messages=turns, tools=TOOLS).parse().content[0].text


def test_a_tools_result_is_no_text_to_search_by(running):
    def turns(result):
        use = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}}
        given = {"type": "tool_result", "tool_use_id": "toolu_1", "content": result}
        return [user(QUESTION), {"role": "assistant", "content": [use]}, user([given])]

    first = ask(running, messages=turns("25 degrees"))
    assert status(first) == 'fwd=miss; fwd-status=200; stored; detail="no last user text"'
    assert status(ask(running, messages=turns("25 degrees."))).startswith("fwd=miss")


def test_thoughts_are_given_again_as_they_were(model):
    model.answers = [given(lambda body: message(THINKING, text("42")))]
    with gateway(model) as running:
        streamed(running, **THOUGHTFUL)
        same, like = streamed(running, **THOUGHTFUL), ask(running, PARAPHRASE, **THOUGHTFUL)
    assert model.calls == 1
    assert status(like) == "hit; detail=semantic"
    for whole in (same, like.parse()):
        assert whole.content[0].to_dict() == THINKING
        assert said(whole) == ["42"]


@pytest.mark.parametrize("stop", ["max_tokens", "refusal", "pause_turn", "model_context_window_exceeded"])
@pytest.mark.parametrize("fill", [ask, streamed])
def test_what_is_not_whole_is_not_stored(model, stop, fill):
    model.answers = [given(lambda body: message(stop=stop))]
    with gateway(model) as running:
        fill(running)
        fill(running)
        assert running.cache.stats().entries == 0
    assert model.calls == 2


def test_a_stream_with_an_error_inside_is_not_stored(model):
    *most, _, _ = stream(message())
    error = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
    model.answers = [lambda asked: Answer([*most, error], kind="text/event-stream")]
    with gateway(model) as running:
        for _ in range(2):
            with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
                streamed(running)
        assert running.cache.stats().entries == 0
    assert model.calls == 2


@pytest.mark.parametrize("without", [1, 2])
def test_a_stream_that_stops_early_is_not_stored(model, without):
    model.answers = [lambda asked: Answer(list(stream(message()))[:-without], kind="text/event-stream")]
    with gateway(model) as running:
        events(running)
        assert running.cache.stats().entries == 0


@pytest.mark.parametrize(
    "options",
    [
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        {"tools": [*TOOLS, {"type": "code_execution_20250825", "name": "code_execution"}]},
        {"tools": [{"type": "computer_20250124", "name": "computer"}]},
        {"extra_body": {"mcp_servers": [{"type": "url", "url": "https://example.com", "name": "x"}]}},
        {"extra_body": {"container": "container_1"}},
    ],
)
def test_what_the_provider_does_itself_is_not_cached(running, model, options):
    assert status(ask(running, **options)).startswith("fwd=bypass")
    ask(running, **options)
    assert model.calls == 2
    assert running.cache.stats().entries == 0


def test_errors(model):
    body = b'{"type":"error","error":{"type":"rate_limit_error","message":"slow down"},"request_id":"req_1"}'
    model.answers = [lambda asked: Answer(body, status=429, headers=[(b"retry-after", b"7")])]
    with gateway(model) as running:
        with pytest.raises(anthropic.RateLimitError) as raised:
            ask(running)
        assert raised.value.response.headers["retry-after"] == "7"
        assert raised.value.response.content == body
        with pytest.raises(anthropic.APIStatusError) as raised:
            ask(running, extra_headers={"cache-control": "only-if-cached"})
        assert raised.value.status_code == 504
        own = raised.value.response.json()
        assert own["type"] == "error"
        assert own["error"]["message"] == "only-if-cached: there is no stored answer"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/messages/count_tokens", b'{"model": "claude-stub",  "messages": [] }'),
        ("/v1/messages/batches", b'{"requests": [{"custom_id": "1", "params": {}}]}'),
        ("/v1/messages", b'{"model": "claude-stub", "messages": "not a list"}'),
        ("/v1/messages", b'[{"messages": []}]'),
    ],
)
def test_all_else_passes_untouched(model, path, body):
    model.answers = [lambda asked: Answer(b'{"input_tokens":  3}')]
    with gateway(model) as running:
        for _ in range(2):
            response = httpx2.post(running.url + path, content=body, headers={"x-api-key": KEY})
            assert response.content == b'{"input_tokens":  3}'
            assert status(response) == "fwd=bypass; fwd-status=200"
    assert [(asked.path, asked.body) for asked in model.asked] == [(path, body)] * 2


def test_tokens_are_counted_and_batches_made_by_the_client(model):
    model.answers = [
        lambda asked: Answer(b'{"input_tokens": 3}'),
        lambda asked: Answer(json.dumps({"id": "msgbatch_1", "type": "message_batch"}).encode()),
    ]
    with gateway(model) as running, client(running) as c:
        assert c.messages.count_tokens(model="claude-stub", messages=[user("Hi")]).input_tokens == 3
        batch = c.messages.batches.create(requests=[{"custom_id": "1", "params": request()}])
    assert batch.id == "msgbatch_1"
    assert [asked.path for asked in model.asked] == ["/v1/messages/count_tokens", "/v1/messages/batches"]
