"""Values behind chats: Cache.put(messages=...) and Cache.get(messages=...)."""

import math
import threading

import pytest

import semcore
from semcore.prefix import PrefixIndex

CHAT = [
    {"role": "system", "content": "You plan trips."},
    {"role": "user", "content": "Three days in Rome?"},
    {"role": "assistant", "content": "Day 1: the Forum."},
    {"role": "user", "content": "And the second day?"},
]
TOOLS = [{"name": "weather", "input_schema": {"type": "object"}}]


@pytest.fixture(params=["private", "region", "file"])
def cache(request, tmp_path):
    path = tmp_path / "cache" if request.param == "file" else None
    options = {} if request.param == "private" else {"prefix_blocks": 1000}
    now = [1000.0]
    with semcore.Cache(
        path, embed=None, max_entries=100, max_bytes="1 MiB", clock=lambda: now[0], **options
    ) as c:
        c.now = now
        yield c
        assert c.prefix.check() is None


def test_the_longest_beginning_that_has_a_value_is_served(cache):
    assert cache.get(messages=CHAT) is None
    assert cache.put(messages=CHAT[:2], value={"step": 1}) == 2
    assert cache.put(messages=CHAT[:1], value="system only") == 1
    hit = cache.get(messages=CHAT)
    assert (hit.value, hit.layer, hit.matched, hit.similarity, hit.text) == (
        {"step": 1},
        "prefix",
        2,
        1.0,
        None,
    )
    assert math.isnan(hit.age)
    assert "matched=2" in repr(hit)
    assert cache.get(messages=CHAT[:2]).matched == 2
    assert cache.get(messages=CHAT[:1]).value == "system only"
    assert cache.get(messages=[*CHAT[:1], {"role": "user", "content": "Paris?"}]).matched == 1
    assert cache.get(messages=CHAT[1:]) is None


def test_put_again_replaces(cache):
    cache.put(messages=CHAT, value=1)
    cache.put(messages=CHAT, value=2)
    assert cache.get(messages=CHAT).value == 2


def test_blocks_and_tools_count_by_message(cache):
    blocks = [
        {"role": "user", "content": [{"type": "text", "text": "Look:"}, {"type": "text", "text": "here"}]},
        {"role": "assistant", "content": "I see."},
    ]
    assert cache.put(messages=blocks[:1], value="seen", tools=TOOLS, system="Be brief.") == 1
    hit = cache.get(messages=blocks, tools=TOOLS, system="Be brief.")
    assert (hit.value, hit.matched) == ("seen", 1)
    assert cache.get(messages=blocks, system="Be brief.") is None
    assert cache.get(messages=blocks, tools=TOOLS, system="Be long.") is None


def test_nothing_crosses_namespaces_and_contexts(cache):
    cache.put(messages=CHAT, value="a", namespace="a")
    cache.put(messages=CHAT, value="a, warm", namespace="a", context={"model": "m", "t": 1})
    assert cache.get(messages=CHAT) is None
    assert cache.get(messages=CHAT, namespace="b") is None
    assert cache.get(messages=CHAT, namespace="a").value == "a"
    assert cache.get(messages=CHAT, namespace="a", context={"t": 1, "model": "m"}).value == "a, warm"
    assert cache.get(messages=CHAT, namespace="a", context={"t": 2, "model": "m"}) is None


def test_values_have_their_time(cache):
    cache.put(messages=CHAT[:2], value="long")
    cache.put(messages=CHAT, value="short", ttl=10)
    assert cache.get(messages=CHAT).value == "short"
    cache.now[0] += 10
    assert cache.get(messages=CHAT).value == "long"


def test_texts_are_still_texts(cache):
    cache.put("a text", "its answer")
    assert cache.get("a text").matched is None
    assert cache.get("a text").layer == "exact"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: c.get(), "text: expected str or bytes"),
        (lambda c: c.get("text", messages=CHAT), "text, messages"),
        (lambda c: c.get("text", tools=TOOLS), "tools"),
        (lambda c: c.get(messages="text"), "messages: expected a list"),
        (lambda c: c.get(messages=[1]), "messages: message 0"),
        (lambda c: c.get(messages=[{"role": 1}]), "^messages: message 0: expected a role"),
        (lambda c: c.get(messages=[*CHAT, 7]), "^messages: message 4: expected an object"),
        (lambda c: c.get(messages=CHAT, tools=5), "^tools: expected a list, got int"),
        (lambda c: c.get(messages=CHAT, tools=[5]), "^tools: tools 0: expected an object"),
        (lambda c: c.get(messages=CHAT, system=5), "^system: expected"),
        (lambda c: c.put(messages=[{"role": 1}], value=1), "^messages: message 0: expected a role"),
        (lambda c: c.put(messages=CHAT, value=1, tools=5), "^tools: expected a list, got int"),
        (lambda c: c.put(messages=CHAT), "value"),
        (lambda c: c.put("text", 1, messages=CHAT), "text, messages"),
        (lambda c: c.put(messages=CHAT, value=1, tags=["t"]), "messages: expected no"),
        (lambda c: c.put(messages=CHAT, value=1, ttl=0), "ttl"),
        (lambda c: c.put(messages=[], value=1), "^messages: expected at least one"),
    ],
)
def test_bad_input_is_named_and_changes_nothing(cache, call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call(cache)
    assert cache.get(messages=CHAT) is None
    assert len(cache) == 0


def test_tuples_of_messages_are_messages(cache):
    assert cache.put(messages=tuple(CHAT[:2]), value="v") == 2
    assert cache.get(messages=tuple(CHAT)).matched == 2
    match = cache.prefix.match(tuple(CHAT), namespace=("",))
    assert (match.counted, match.matched, match.divergence) == ("units", 2, "message 2")


def test_clear_clears_prefixes_of_all_namespaces(cache):
    cache.put("text", "answer", namespace="a")
    cache.put(messages=CHAT, value="v", namespace="a")
    assert cache.clear("a") == 1
    assert cache.get(messages=CHAT, namespace="a").value == "v"  # as documented
    assert cache.clear() == 0
    assert cache.get(messages=CHAT, namespace="a") is None
    assert len(cache.prefix) == 0


def test_clear_makes_no_index(tmp_path):
    with semcore.Cache(tmp_path / "cache", embed=None, max_bytes="1 MiB") as cache:
        cache.put("text", "answer")
        assert cache.clear() == 1
    with semcore.Cache(embed=None, max_bytes="1 MiB") as cache:
        assert cache.clear() == 0
        assert cache._prefix is None


def test_all_threads_get_one_index(monkeypatch):
    made, start = [], threading.Barrier(8)
    of = PrefixIndex.__init__

    def slow(self, *args, **options):
        made.append(self)
        started.wait(0.2)  # others come meanwhile
        of(self, *args, **options)

    started = threading.Event()
    monkeypatch.setattr(PrefixIndex, "__init__", slow)
    with semcore.Cache(embed=None, max_bytes="1 MiB") as cache:

        def put(i):
            start.wait()
            cache.put(messages=[{"role": "user", "content": str(i)}], value=i)

        threads = [threading.Thread(target=put, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(made) == 1
        assert len(cache.prefix) == 8


def test_a_closed_cache_has_no_prefixes():
    with semcore.Cache(embed=None, max_bytes="1 MiB") as other:
        mine = other.prefix
    for call in (
        lambda: mine.match(CHAT),
        lambda: mine.insert(CHAT),
        lambda: other.get(messages=CHAT),
        lambda: other.put(messages=CHAT, value=1),
        other.clear,
    ):
        with pytest.raises(semcore.SemcoreError, match="closed"):
            call()
    other.close()
    with semcore.Cache(embed=None, max_bytes="1 MiB") as never:
        pass
    with pytest.raises(semcore.SemcoreError, match="closed"):
        never.prefix  # noqa: B018


def test_a_file_without_an_index_says_so(tmp_path):
    with (
        semcore.Cache(tmp_path / "cache", embed=None, max_bytes="1 MiB") as cache,
        pytest.raises(semcore.ConfigError, match="prefix_blocks"),
    ):
        cache.get(messages=CHAT)
