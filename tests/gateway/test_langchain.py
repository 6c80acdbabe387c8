"""LangChain's cache: its own standard suite, and what a chat model's second call costs."""

import asyncio

import pytest

pytest.importorskip("langchain_tests", reason="langchain-tests is not installed")

from langchain_core.caches import BaseCache
from langchain_core.language_models import FakeListLLM, GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, Generation
from langchain_tests.integration_tests import AsyncCacheTestSuite, SyncCacheTestSuite

from semcore import Cache
from semcore.clients.langchain import SemcoreCache, unreadable
from semcore.gateway.record import VERSION, Record

QUESTION, PARAPHRASE = "What is my order status?", "what's the status of my order?"
TOOL = {"name": "find", "args": {"q": "order"}, "id": "call_1", "type": "tool_call"}


class TestSync(SyncCacheTestSuite):
    @pytest.fixture
    def cache(self) -> BaseCache:
        return SemcoreCache(Cache())


@pytest.mark.asyncio
class TestAsync(AsyncCacheTestSuite):
    @pytest.fixture
    def cache(self) -> BaseCache:
        return SemcoreCache(Cache())


@pytest.fixture
def store():
    with Cache(threshold=0.75) as cache:
        yield cache


def model(cache, *answers):
    return GenericFakeChatModel(messages=iter(answers), cache=cache)


def test_a_repeated_call_gets_the_answer_under_a_new_id(store):
    chat = model(SemcoreCache(store), "first", "second")
    a, b = chat.invoke(QUESTION), chat.invoke(QUESTION)
    assert (a.content, b.content) == ("first", "first")
    assert a.id != b.id
    assert chat.invoke("Who are you?").content == "second"


def test_a_paraphrase_in_the_same_context_only(store):
    chat = model(SemcoreCache(store), "first", "other", "third")
    brief = SystemMessage("Be brief.")
    assert chat.invoke([brief, HumanMessage(QUESTION)]).content == "first"
    assert chat.invoke([brief, HumanMessage(PARAPHRASE)]).content == "first"
    assert chat.invoke([SystemMessage("Be long."), HumanMessage(PARAPHRASE)]).content == "other"
    assert chat.invoke([brief, HumanMessage(PARAPHRASE)], stop=["."]).content == "third"


def test_async_finds_what_sync_stored(store):
    cache = SemcoreCache(store)
    assert model(cache, "first").invoke(QUESTION).content == "first"
    assert asyncio.run(model(cache, "second").ainvoke(PARAPHRASE)).content == "first"
    assert asyncio.run(model(cache, "third").ainvoke("Who are you?")).content == "third"
    assert model(cache).invoke("Who are you?").content == "third"


def test_not_semantic_by_choice(store):
    chat = model(SemcoreCache(store, semantic=False), "first", "second")
    assert [chat.invoke(text).content for text in (QUESTION, PARAPHRASE, QUESTION)] == [
        "first",
        "second",
        "first",
    ]


def test_a_higher_threshold(store):
    chat = model(SemcoreCache(store, threshold=0.999), "first", "second")
    assert [chat.invoke(text).content for text in (QUESTION, PARAPHRASE)] == ["first", "second"]


def test_tool_calls_answer_the_same_question_only(store):
    chat = model(SemcoreCache(store), AIMessage("", tool_calls=[TOOL]), "said")
    assert chat.invoke(QUESTION).tool_calls == [TOOL]
    assert chat.invoke(PARAPHRASE).content == "said"
    assert chat.invoke(QUESTION).tool_calls == [TOOL]


def test_a_prompt_that_is_no_chat_has_to_be_equal(store):
    llm = FakeListLLM(responses=["first", "second"], cache=SemcoreCache(store))
    assert [llm.invoke(text) for text in (QUESTION, PARAPHRASE, QUESTION)] == ["first", "second", "first"]


def test_one_text_beside_an_image(store):
    def asked(text, url):
        image = {"type": "image_url", "image_url": {"url": url}}
        return [HumanMessage([image, {"type": "text", "text": text}])]

    chat = model(SemcoreCache(store), "first", "second")
    assert chat.invoke(asked(QUESTION, "data:image/png;base64,AA==")).content == "first"
    assert chat.invoke(asked(PARAPHRASE, "data:image/png;base64,AA==")).content == "first"
    assert chat.invoke(asked(PARAPHRASE, "data:image/png;base64,BB==")).content == "second"


def test_clear_leaves_what_is_not_its_own(store):
    store.put("kept", "value")
    cache, other = SemcoreCache(store), SemcoreCache(store, namespace="other")
    for each in (cache, other):
        each.update("prompt", "llm", [Generation(text="x")])
    cache.clear()
    assert cache.lookup("prompt", "llm") is None
    assert other.lookup("prompt", "llm") == [Generation(text="x")]
    assert store.get("kept").value == "value"


def test_ttl_and_tags(clock):
    with Cache(clock=clock) as store:
        cache = SemcoreCache(store, ttl=60, tags=["prices"])
        cache.update("prompt", "llm", [Generation(text="x")])
        clock.step(59)
        assert cache.lookup("prompt", "llm") is not None
        clock.step(2)
        assert cache.lookup("prompt", "llm") is None
        cache.update("prompt", "llm", [Generation(text="x")])
        assert store.invalidate("prices", namespace="langchain") == 1
        assert cache.lookup("prompt", "llm") is None


def test_what_a_hit_spares_is_counted(store):
    usage = {"input_tokens": 11, "output_tokens": 7, "total_tokens": 18}
    chat = model(SemcoreCache(store), AIMessage("said", usage_metadata=usage))
    chat.invoke(QUESTION)
    chat.invoke(QUESTION)
    assert store.stats().tokens == 18


def test_what_langchain_cannot_read_back_is_not_stored(store, caplog):
    cache = SemcoreCache(store)
    cache.update("prompt", "llm", [Generation(text="x", generation_info={"raw": object()})])
    assert cache.lookup("prompt", "llm") is None
    assert "not stored" in caplog.text


@pytest.mark.parametrize(
    "body",
    [
        b"not JSON",
        b"\xff",
        b'[{"lc": 1, "type": "constructor", "id": ["langchain_core", "gone", "Gone"], "kwargs": {}}]',
        b'[{"lc": 1, "type": "not_implemented", "id": ["a"], "repr": "x"}]',
        b"[1]",
        b"{}",
    ],
)
def test_what_this_langchain_cannot_read_is_asked_for_anew(body, store, caplog):
    unreadable.cache_clear()
    cache = SemcoreCache(store)
    place = cache._place("prompt", "llm")
    cache._store.keep_now(place, Record(VERSION, body, 0.0, [], [], 1, 1, []), None, False, 0.0, (), 0.0, 0.0)
    assert len(store) == 1
    assert [cache.lookup("prompt", "llm") for _ in range(2)] == [None, None]
    assert caplog.text.count("cannot read") == 1
    cache.update("prompt", "llm", [Generation(text="new")])
    assert cache.lookup("prompt", "llm") == [Generation(text="new")]


def test_a_broken_cache_fails_no_call(store, monkeypatch):
    def broken(*args):
        raise RuntimeError("broken")

    monkeypatch.setattr(Cache, "_get_exact", broken, raising=False)
    monkeypatch.setattr(Cache, "_store", broken, raising=False)
    chat = model(SemcoreCache(store), "first", "second")
    assert [chat.invoke(QUESTION).content for _ in range(2)] == ["first", "second"]


def test_a_bad_argument_is_named(store):
    for arguments in ({"threshold": 0.5}, {"ttl": -1}, {"threshold": 2}):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            SemcoreCache(store, **arguments)


def test_stored_as_json(store):
    cache = SemcoreCache(store)
    generation = ChatGeneration(message=AIMessage("said"))
    cache.update("prompt", "llm", [generation])
    (id,) = store
    assert store[id].value[1].startswith(b'[{"lc": 1')
    assert cache.lookup("prompt", "llm") == [generation]
