"""Gemini's generateContent as its documentation has it: what a second request costs, and what it gets."""

import itertools
import json

import httpx2
import pytest
from upstream import KEY, Answer, Model, gateway

QUESTION, PARAPHRASE = "What is my order status?", "what's the status of my order?"
USAGE = {"promptTokenCount": 11, "candidatesTokenCount": 5, "thoughtsTokenCount": 2, "totalTokenCount": 18}
FUNCTION = {"functionDeclarations": [{"name": "weather", "parameters": {"type": "OBJECT"}}]}
PATH = "/v1beta/models/gemini-stub:"
_ids = itertools.count(1)


def whole(*parts, finish="STOP"):
    content = {"parts": list(parts), "role": "model"}
    return {
        "candidates": [{"content": content, "finishReason": finish, "index": 0}],
        "usageMetadata": USAGE,
        "modelVersion": "gemini-stub-001",
        "responseId": f"Il0taoSYJ{next(_ids):014d}",
    }


def streamed(answer):
    """An answer as its stream: a response a word, the last one with the reason of its end."""
    pieces = []
    for part in answer["candidates"][0]["content"]["parts"]:
        words = part.get("text", "").split(" ")
        texts = [(" " if i else "") + word for i, word in enumerate(words)]
        pieces += [{**part, "text": text} for text in texts] if "text" in part else [part]
    for i, piece in enumerate(pieces):
        candidate = {"content": {"parts": [piece], "role": "model"}, "index": 0}
        if i == len(pieces) - 1:
            candidate["finishReason"] = answer["candidates"][0]["finishReason"]
        yield {**answer, "candidates": [candidate]}


def given(make):
    """An upstream's function that answers with `make(body)`, in the form that was asked for."""

    def answer(asked):
        if ":streamGenerateContent" not in asked.path:
            return Answer(json.dumps(make(asked.json)).encode())
        said = list(streamed(make(asked.json)))
        if b"alt=sse" not in asked.query:
            return Answer(json.dumps(said).encode())
        return Answer(
            [b"data: " + json.dumps(each).encode() + b"\r\n\r\n" for each in said], kind="text/event-stream"
        )

    return answer


def echo(body):
    return whole({"text": f"you said: {body['contents'][-1]['parts'][-1]['text']}"})


@pytest.fixture
def model():
    return Model(given(echo))


@pytest.fixture
def running(model):
    with gateway(model, base="") as running:
        yield running


def user(text):
    return {"role": "user", "parts": [{"text": text}]}


def ask(running, text=QUESTION, method="generateContent", query="", key=KEY, headers=None, **body):
    headers = {"x-goog-api-key": key, **(headers or {})} if key else headers
    body = {"contents": [user(text)], **body}
    return httpx2.post(running.url + PATH + method + query, json=body, headers=headers)


def live(running, *args, **options):
    return ask(running, *args, method="streamGenerateContent", query="?alt=sse", **options)


def frames(response):
    return [json.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: ")]


def status(response):
    return response.headers["cache-status"].removeprefix("semcore; ")


def parts(answer):
    return answer["candidates"][0]["content"]["parts"]


def test_the_second_one_is_not_asked(running, model):
    first, second = ask(running), ask(running)
    assert model.calls == 1
    assert status(first) == "fwd=miss; fwd-status=200; stored"
    assert status(second) == "hit; detail=exact"
    assert second.headers["x-semcore-saved-tokens"] == "18"
    a, b = first.json(), second.json()
    assert a.pop("responseId") != b.pop("responseId")
    assert a == b


def test_a_paraphrase_is_answered_in_the_same_context_only(running, model):
    system = {"systemInstruction": {"parts": [{"text": "Be brief."}]}}
    ask(running, **system)
    assert status(ask(running, PARAPHRASE, **system)) == "hit; detail=semantic"
    others = [
        {},
        {**system, "key": "other"},
        {**system, "cachedContent": "cachedContents/1"},
        {**system, "generationConfig": {"temperature": 0.5}},
        {**system, "tools": [FUNCTION]},
        {**system, "contents": [user("Hi"), {"role": "model", "parts": [{"text": "Hi"}]}, user(PARAPHRASE)]},
    ]
    for n, other in enumerate(others):
        assert status(ask(running, PARAPHRASE, **other)).startswith("fwd=miss")
        assert model.calls == n + 2


def test_a_stream_answers_a_request_without_one_and_the_reverse(running, model):
    first = live(running)
    assert len(frames(first)) == 7
    assert parts(ask(running).json()) == [{"text": f"you said: {QUESTION}"}]
    told = ask(running, "Tell me a joke").json()
    again = live(running, "Tell me a joke")
    assert status(again) == "hit; detail=exact"
    assert again.headers["content-type"].startswith("text/event-stream")
    [frame] = frames(again)
    assert frame.pop("responseId") != told.pop("responseId")
    assert frame == told
    assert model.calls == 2


@pytest.mark.parametrize("mode", ["faithful", "paced"])
def test_modes(model, mode):
    with gateway(model, base="", pace=10_000) as running:
        live(running)
        said = frames(live(running, headers={"x-semcore-mode": mode}))
    assert "".join(parts(each)[0]["text"] for each in said) == f"you said: {QUESTION}"
    assert [each["candidates"][0].get("finishReason") for each in said] == [None] * 6 + ["STOP"]
    assert said[-1]["usageMetadata"] == USAGE
    assert len({each["responseId"] for each in said}) == 1


def test_a_stream_as_an_array_passes_through(running, model):
    for _ in range(2):
        response = ask(running, method="streamGenerateContent")
        assert status(response) == 'fwd=bypass; fwd-status=200; detail="alt"'
        assert len(response.json()) == 7
    assert model.calls == 2
    assert running.cache.stats().entries == 0


def test_the_key_in_the_query_is_the_tenant_and_nothing_else(running, model):
    assert status(ask(running, key=None, query="?key=one")).startswith("fwd=miss")
    assert status(ask(running, key=None, query="?key=one")) == "hit; detail=exact"
    assert status(ask(running, key=None, query="?key=two")).startswith("fwd=miss")
    streamed = ask(running, method="streamGenerateContent", key=None, query="?key=two&alt=sse")
    assert status(streamed) == "hit; detail=exact"
    assert [asked.query for asked in model.asked] == [b"key=one", b"key=two"]


def test_the_operators_key_takes_the_place_of_the_clients(running, model, monkeypatch):
    monkeypatch.setenv("GEMINI_KEY", "operators")
    upstreams = running.gateway.settings.upstreams
    upstreams["stub"] = upstreams["stub"]._replace(key_env="GEMINI_KEY")
    ask(running, key=None, query="?key=clients&fields=candidates")
    ask(running, "Tell me a joke", key="clients")
    assert [asked.query for asked in model.asked] == [b"key=operators&fields=candidates", b""]
    assert model.asked[1].headers["x-goog-api-key"] == "operators"


@pytest.mark.parametrize("fill", [ask, live])
def test_calls_of_functions_are_given_to_the_same_question_only(model, fill):
    call = {"functionCall": {"id": "call-0123456789", "name": "weather", "args": {"city": "Rome"}}}
    model.answers = [given(lambda body: whole({**call, "thoughtSignature": "c2ln"}))]
    with gateway(model, base="") as running:
        fill(running, tools=[FUNCTION])
        again = ask(running, tools=[FUNCTION]).json()
        assert model.calls == 1
        assert status(ask(running, PARAPHRASE, tools=[FUNCTION])).startswith("fwd=miss")
    [part] = parts(again)
    assert part["functionCall"].pop("id") != call["functionCall"]["id"]
    assert part == {"functionCall": {"name": "weather", "args": {"city": "Rome"}}, "thoughtSignature": "c2ln"}


@pytest.mark.parametrize("fill", [ask, live])
def test_thoughts_are_given_again_as_they_were(model, fill):
    said = [{"text": "Let me think", "thought": True}, {"text": "42", "thoughtSignature": "c2ln"}]
    model.answers = [given(lambda body: whole(*said))]
    with gateway(model, base="") as running:
        fill(running)
        assert parts(ask(running).json()) == said
        assert status(ask(running, PARAPHRASE)) == "hit; detail=semantic"
    assert model.calls == 1


@pytest.mark.parametrize("finish", ["MAX_TOKENS", "SAFETY", "RECITATION", "MALFORMED_FUNCTION_CALL", None])
@pytest.mark.parametrize("fill", [ask, live])
def test_what_is_not_whole_is_not_stored(model, finish, fill):
    model.answers = [given(lambda body: whole({"text": "half"}, finish=finish))]
    with gateway(model, base="") as running:
        assert fill(running).status_code == 200
        assert running.cache.stats().entries == 0


@pytest.mark.parametrize("fill", [ask, live])
def test_a_blocked_prompt_is_not_stored(model, fill):
    answer = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": USAGE}
    body = json.dumps(answer).encode()
    model.answers = [
        lambda asked: (
            Answer(b"data: " + body + b"\n\n", kind="text/event-stream") if asked.query else Answer(body)
        )
    ]
    with gateway(model, base="") as running:
        assert "SAFETY" in fill(running).text
        assert running.cache.stats().entries == 0


@pytest.mark.parametrize(
    "tool", ["googleSearch", "google_search", "codeExecution", "urlContext", "unheardOf"]
)
def test_what_the_provider_does_itself_is_not_cached(running, model, tool):
    for _ in range(2):
        assert (
            status(ask(running, tools=[FUNCTION, {tool: {}}])) == 'fwd=bypass; fwd-status=200; detail="tools"'
        )
    assert model.calls == 2
    assert running.cache.stats().entries == 0


def test_errors(model):
    body = b'{"error": {"code": 404, "message": "no such model", "status": "NOT_FOUND"}}'
    model.answers = [lambda asked: Answer(body, status=404)]
    with gateway(model, base="") as running:
        assert ask(running).content == body
        own = ask(running, headers={"cache-control": "only-if-cached"})
        assert running.cache.stats().entries == 0
    assert own.status_code == own.json()["error"]["code"] == 504
    assert own.json()["error"]["status"] == "DEADLINE_EXCEEDED"


@pytest.mark.parametrize("method", ["countTokens", "embedContent"])
def test_all_else_passes_untouched(model, method):
    model.answers = [lambda asked: Answer(b'{"totalTokens":  3}')]
    with gateway(model, base="") as running:
        for _ in range(2):
            response = ask(running, method=method)
            assert response.content == b'{"totalTokens":  3}'
            assert status(response) == "fwd=bypass; fwd-status=200"
    assert [asked.path for asked in model.asked] == [PATH + method] * 2
