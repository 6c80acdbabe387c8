"""The official clients on transports with a cache: what a second request costs, and what it gets."""

import asyncio
import contextlib
import json
import subprocess
import sys

import anthropic
import claude
import httpx2
import openai
import pytest
from chats import completion, stream

from semcore import Cache
from semcore.clients.transport import AsyncCacheTransport, CacheTransport

QUESTION, PARAPHRASE = "What is my order status?", "what's the status of my order?"
EVENTS = {"content-type": "text/event-stream; charset=utf-8"}
TOOL = {"id": "call_0123456789abcdef", "type": "function", "function": {"name": "find", "arguments": "{}"}}


class Pieces(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A body that comes in pieces, and breaks after the last one if it is cut."""

    def __init__(self, pieces, cut=False):
        self.pieces, self.cut, self.closed = list(pieces), cut, False

    def __iter__(self):
        yield from self.pieces
        if self.cut:
            raise httpx2.ReadError("cut")

    async def __aiter__(self):
        for piece in self:
            yield piece

    def close(self):
        self.closed = True

    async def aclose(self):
        self.closed = True


class Model(httpx2.MockTransport):
    """Answers by its functions of a request's JSON, in turn; the last one answers all that follow."""

    def __init__(self, *answers):
        super().__init__(self.answer)
        self.answers, self.asked, self.given, self.closed = list(answers), [], [], 0

    @property
    def calls(self):
        return len(self.asked)

    def answer(self, request):
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.given.append(answer(json.loads(request.content)))
        return self.given[-1]

    def close(self):
        self.closed += 1

    async def aclose(self):
        self.closed += 1


def chat(body, text=None, **fields):
    text = f"you said: {claude.last_text(body)}" if text is None else text
    if not body.get("stream"):
        return httpx2.Response(200, json=completion(text, **fields))
    usage = (body.get("stream_options") or {}).get("include_usage", False)
    return httpx2.Response(200, headers=EVENTS, stream=Pieces(stream(text, usage=usage)))


def messages(body):
    whole = claude.echo(body)
    if not body.get("stream"):
        return httpx2.Response(200, json=whole)
    return httpx2.Response(200, headers=EVENTS, stream=Pieces(claude.stream(whole)))


def cut(count):
    def answer(body):
        return httpx2.Response(
            200, headers=EVENTS, stream=Pieces(list(stream("one two three"))[:count], True)
        )

    return answer


def failing(status, **headers):
    error = {"error": {"message": "no", "type": "stub", "param": None, "code": None}}
    return lambda body: httpx2.Response(status, json=error, headers=headers)


class Sync:
    """OpenAI's and Anthropic's clients."""

    def __init__(self, model, cache, **options):
        self.transport = CacheTransport(cache, model, **options)
        self.http = httpx2.Client(transport=self.transport)

    def openai(self, key="sk-1"):
        return openai.OpenAI(api_key=key, http_client=self.http, max_retries=0)

    def ask(self, text=QUESTION, key="sk-1", **options):
        options = {"model": "stub-1", "messages": [{"role": "user", "content": text}], **options}
        return self.openai(key).chat.completions.with_raw_response.create(**options)

    def stream(self, text=QUESTION, **options):
        asked = [{"role": "user", "content": text}]
        return list(
            self.openai().chat.completions.create(model="stub-1", messages=asked, stream=True, **options)
        )

    def claude(self, text=QUESTION, streamed=False):
        client = anthropic.Anthropic(api_key="sk-1", http_client=self.http, max_retries=0)
        asked = {"model": "claude", "max_tokens": 9, "messages": [{"role": "user", "content": text}]}
        if not streamed:
            return client.messages.create(**asked)
        with client.messages.stream(**asked) as told:
            return told.get_final_message()

    def close(self):
        self.http.close()


class Async:
    """The same in asyncio, one event loop for all calls."""

    def __init__(self, model, cache, **options):
        self.transport = AsyncCacheTransport(cache, model, **options)
        self.http = httpx2.AsyncClient(transport=self.transport)
        self.runner = asyncio.Runner()
        self.run = self.runner.run

    def openai(self, key="sk-1"):
        return openai.AsyncOpenAI(api_key=key, http_client=self.http, max_retries=0)

    def ask(self, text=QUESTION, key="sk-1", **options):
        options = {"model": "stub-1", "messages": [{"role": "user", "content": text}], **options}
        return self.run(self.openai(key).chat.completions.with_raw_response.create(**options))

    def stream(self, text=QUESTION, **options):
        async def all():
            asked = [{"role": "user", "content": text}]
            create = self.openai().chat.completions.create
            return [one async for one in await create(model="stub-1", messages=asked, stream=True, **options)]

        return self.run(all())

    def claude(self, text=QUESTION, streamed=False):
        client = anthropic.AsyncAnthropic(api_key="sk-1", http_client=self.http, max_retries=0)
        asked = {"model": "claude", "max_tokens": 9, "messages": [{"role": "user", "content": text}]}

        async def final():
            async with client.messages.stream(**asked) as told:
                return await told.get_final_message()

        return self.run(final() if streamed else client.messages.create(**asked))

    def close(self):
        self.run(self.http.aclose())


@pytest.fixture(params=[Sync, Async], ids=["sync", "async"])
def made(request):
    """A function that makes clients of a model, with a cache."""
    with contextlib.ExitStack() as stack:

        def make(model, cache=None, **options):
            cache = stack.enter_context(Cache(threshold=0.75) if cache is None else cache)
            clients = request.param(model, cache, **options)
            if request.param is Async:
                stack.enter_context(clients.runner)
            return clients

        yield make


def status(response):
    return response.headers["cache-status"].removeprefix("semcore; ")


def content(response):
    return response.parse().choices[0].message.content


def text_of(chunks):
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


def test_the_second_one_is_not_asked(made):
    model = Model(chat)
    clients = made(model)
    first, second = clients.ask(), clients.ask()
    assert model.calls == 1
    assert status(first) == "fwd=miss; fwd-status=200; stored"
    assert status(second) == "hit; detail=exact"
    assert second.headers["age"] == "0"
    a, b = first.parse(), second.parse()
    assert (a.choices, a.usage) == (b.choices, b.usage)
    assert a.id != b.id
    assert len(a.id) == len(b.id)


def test_a_paraphrase_in_the_same_context_only(made):
    model = Model(chat)
    clients = made(model)
    clients.ask(QUESTION)
    hit = clients.ask(PARAPHRASE)
    assert status(hit) == "hit; detail=semantic"
    assert 0.75 < float(hit.headers["x-semcore-similarity"]) < 1
    assert content(hit) == f"you said: {QUESTION}"
    clients.ask(PARAPHRASE, model="stub-2")
    clients.ask(PARAPHRASE, key="sk-2")
    clients.ask(PARAPHRASE, extra_headers={"x-semcore-threshold": "0.999"})
    assert model.calls == 4


def test_a_stream_answers_a_request_without_one_and_the_reverse(made):
    model = Model(chat)
    clients = made(model)
    chunks = clients.stream("Tell me a joke")
    assert text_of(chunks) == "you said: Tell me a joke"
    assert all(chunk.choices for chunk in chunks)  # the usage was ours to ask for
    whole = clients.ask("Tell me a joke")
    assert content(whole) == "you said: Tell me a joke"
    assert whole.parse().usage.total_tokens == 18
    clients.ask("Say something else")
    again = clients.stream("Say something else", stream_options={"include_usage": True})
    assert text_of(again) == "you said: Say something else"
    assert again[-1].usage.total_tokens == 18
    assert len(again) == 4  # coalesced: role, text, end, usage
    assert model.calls == 2


def test_the_models_pieces_by_choice(made):
    clients = made(Model(chat))
    first = clients.stream()
    again = clients.stream(extra_headers={"x-semcore-mode": "faithful"})
    assert [text_of([chunk]) for chunk in again] == [text_of([chunk]) for chunk in first]


def test_anthropics_client(made):
    model = Model(messages)
    clients = made(model)
    first = clients.claude(streamed=True)
    for answer in (clients.claude(), clients.claude(PARAPHRASE, streamed=True)):
        assert answer.content[0].text == first.content[0].text == f"you said: {QUESTION}"
        assert answer.id != first.id
        assert answer.usage.output_tokens == first.usage.output_tokens
    assert model.calls == 1


def test_tool_calls_answer_the_same_question_only(made):
    model = Model(lambda body: chat(body, None, finish="tool_calls", tool_calls=[TOOL]))
    clients = made(model)
    clients.ask(QUESTION)
    again = clients.ask(QUESTION)
    assert status(again) == "hit; detail=exact"
    assert again.parse().choices[0].message.tool_calls[0].function.name == "find"
    assert status(clients.ask(PARAPHRASE)) == "fwd=miss; fwd-status=200; stored"


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_cut_stream_is_not_stored(made, count):
    model = Model(cut(count), chat)
    clients = made(model)
    with pytest.raises(openai.APIConnectionError):
        clients.stream()
    assert model.given[0].stream.closed
    assert text_of(clients.stream()) == f"you said: {QUESTION}"
    assert model.calls == 2


def test_a_caller_that_leaves_stores_nothing():
    model = Model(chat)
    with Cache() as cache:
        clients = Sync(model, cache)
        asked = [{"role": "user", "content": QUESTION}]
        told = clients.openai().chat.completions.create(model="stub-1", messages=asked, stream=True)
        next(iter(told))
        told.close()
        assert model.given[0].stream.closed
        assert len(cache) == 0


@pytest.mark.parametrize(("code", "error"), [(429, openai.RateLimitError), (500, openai.InternalServerError)])
def test_errors_are_passed_and_not_stored(made, code, error):
    model = Model(failing(code, **{"retry-after": "7"}), chat)
    clients = made(model)
    with pytest.raises(error) as raised:
        clients.ask()
    assert raised.value.response.headers["retry-after"] == "7"
    assert raised.value.body["message"] == "no"
    assert content(clients.ask()) == f"you said: {QUESTION}"


def test_what_is_cut_by_length_is_not_stored(made):
    model = Model(lambda body: chat(body, finish="length"))
    clients = made(model)
    assert [status(clients.ask()) for _ in range(2)] == ["fwd=miss; fwd-status=200"] * 2


def test_a_stale_answer_stands_for_an_error(made, clock):
    def dead(body):
        raise httpx2.ConnectError("dead")

    model = Model(chat, failing(503), dead)
    cache = Cache(clock=clock)
    clients = made(model, cache, ttl=10, stale_if_error=60)
    clients.ask()
    clock.step(20)
    assert status(clients.ask()) == "fwd=stale; fwd-status=503; ttl=-10; detail=stale-if-error"
    assert status(clients.ask()) == "fwd=stale; ttl=-10; detail=stale-if-error"
    clock.step(60)
    with pytest.raises(openai.APIConnectionError):
        clients.ask()


def test_what_a_request_says_about_caching(made):
    model = Model(chat)
    clients = made(model)

    def ask(**headers):
        return clients.ask(extra_headers={key.replace("_", "-"): value for key, value in headers.items()})

    with pytest.raises(openai.APIStatusError) as raised:
        ask(cache_control="only-if-cached")
    assert raised.value.status_code == 504
    with pytest.raises(openai.BadRequestError, match="x-semcore-ttl"):
        ask(x_semcore_ttl="soon")
    assert model.calls == 0
    assert status(ask(cache_control="no-store")) == "fwd=request; fwd-status=200"
    assert status(ask(x_semcore_tags="a")) == "fwd=miss; fwd-status=200; stored"
    assert status(ask(cache_control="no-cache")) == "fwd=request; fwd-status=200; stored"
    assert status(ask(x_semcore_namespace="other")) == "fwd=miss; fwd-status=200; stored"
    assert not [name for asked in model.asked for name in asked.headers if name.startswith("x-semcore")]


def test_what_the_models_side_gets(made):
    model = Model(chat)
    clients = made(model)
    clients.ask(extra_headers={"x-own": "1"})
    (asked,) = model.asked
    assert asked.headers["host"] == "api.openai.com"
    assert asked.headers["authorization"] == "Bearer sk-1"
    assert asked.headers["accept-encoding"] == "identity"
    assert asked.headers["x-own"] == "1"
    assert int(asked.headers["content-length"]) == len(asked.content)
    assert "timeout" in asked.extensions


def test_what_is_not_known_passes(made):
    model = Model(lambda body: httpx2.Response(200, json={"data": [], "model": "m", "object": "list"}))
    clients = made(model)
    for _ in range(2):
        response = clients.openai().embeddings.with_raw_response.create(
            model="m", input="x", encoding_format="float", extra_headers={"x-semcore-tags": "a"}
        )
        if asyncio.iscoroutine(response):
            response = clients.run(response)
        assert status(response) == "fwd=bypass; fwd-status=200"
    assert model.calls == 2
    assert "x-semcore-tags" not in model.asked[0].headers
    assert "identity" not in model.asked[0].headers["accept-encoding"]


def test_what_is_understood_but_not_looked_up(made):
    model = Model(chat)
    clients = made(model)
    for _ in range(2):
        assert status(clients.ask(store=True)) == 'fwd=bypass; fwd-status=200; detail="store"'
    assert text_of(clients.stream(store=True)) == f"you said: {QUESTION}"
    assert model.calls == 3


def test_one_cache_for_all_credentials_by_choice(made):
    model = Model(chat)
    clients = made(model, shared=True)
    clients.ask(key="sk-1")
    assert status(clients.ask(key="sk-2")) == "hit; detail=exact"


def test_sizes(made):
    model = Model(chat)
    clients = made(model, largest_body=1000, largest_answer=200)
    assert status(clients.ask("x" * 2000)) == "fwd=bypass; fwd-status=200"
    assert status(clients.ask()) == "fwd=miss; fwd-status=200"
    assert text_of(clients.stream("short " * 100)) == "you said: " + ("short " * 100).strip()
    assert status(clients.ask()) == "fwd=miss; fwd-status=200"


@pytest.mark.parametrize("part", ["_get_exact", "_store", "_vector"])
def test_a_failing_cache_costs_no_answer(made, part, monkeypatch):
    def broken(*args):
        raise RuntimeError("broken")

    monkeypatch.setattr(Cache, part, broken, raising=False)
    model = Model(chat)
    clients = made(model)
    for _ in range(3):
        assert content(clients.ask()) == f"you said: {QUESTION}"
        assert text_of(clients.stream()) == f"you said: {QUESTION}"
    assert model.calls == (1 if part == "_vector" else 6)


def test_closing(made):
    model, cache = Model(chat), Cache()
    clients = made(model, cache)
    clients.ask()
    clients.close()
    assert model.closed == 1
    assert len(cache) == 1  # still open


def test_bad_arguments_are_named():
    with Cache() as cache:
        for name, value in (("ttl", -1), ("stale_if_error", -1), ("salt", b"x" * 65), ("salt", "text")):
            for made in (CacheTransport, AsyncCacheTransport):
                with pytest.raises(ValueError, match=name):
                    made(cache, **{name: value})


def test_without_the_gateways_server():
    code = "import sys, semcore.clients.transport; print({'aiohttp', 'uvicorn', 'yarl'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"
