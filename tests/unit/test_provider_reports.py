"""What providers report beside what `ProviderCache` predicted, and which block breaks reuse."""

import subprocess
import sys

import pytest

import semcore
from semcore.providers import ProviderCache, Rules, explain, reported, rules_for

LONG = "word " * 2000  # 2,500 tokens
CHAT = {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]}


def chat(*texts, **more):
    return {"messages": [{"role": "user", "content": text} for text in texts]} | more


# ---- reports ----


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 4}}, (9, 4, 0)),
        (
            {"input_tokens": 9, "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3}},
            (9, 4, 3),
        ),
        ({"input_tokens": 2, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 3}, (9, 4, 3)),
        ({"usageMetadata": {"promptTokenCount": 9, "cachedContentTokenCount": 4}}, (9, 4, 0)),
        ({"inputTokens": 2, "cacheReadInputTokens": 4, "cacheWriteInputTokens": 3}, (9, 4, 3)),
        ({"usage": {"input_tokens": 9}}, (9, 0, 0)),
    ],
)
def test_every_usage_is_read(usage, expected):
    found = reported(usage)
    assert (found.total, found.cached, found.written) == expected


def test_a_usage_tells_times_to_live_apart():
    split = {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 2}
    usage = {"input_tokens": 0, "cache_creation_input_tokens": 3, "cache_creation": split}
    assert reported(usage).writes == (("5m", 1), ("1h", 2))


def test_bad_usages_are_named():
    for usage, words in (
        ({}, "usage: expected prompt_tokens"),
        ([], "usage: expected a mapping"),
        ({"prompt_tokens": -1}, "prompt_tokens: expected a whole number"),
        ({"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": 2}}, "2 cached and 0 written of 1"),
    ):
        with pytest.raises((ValueError, TypeError), match=words):
            reported(usage)


def anthropic_usage(read, written, rest=0):
    return {"input_tokens": rest, "cache_read_input_tokens": read, "cache_creation_input_tokens": written}


def test_a_report_that_proves_an_entry_dead_is_believed():
    cache = ProviderCache.anthropic("claude-sonnet-5", automatic=True)
    cache.commit(chat(LONG), 0.0)
    cache.commit(chat(LONG, "b"), 10.0)
    found = cache.reconcile(chat(LONG, "b"), anthropic_usage(0, 2600), 10.0)
    assert (found.predicted.cached, found.proof, found.error) == (2500, "dead", pytest.approx(-2500 / 2500))
    assert cache.estimate(chat(LONG), 20.0).cached == 0  # gone
    assert cache.estimate(chat(LONG, "b"), 20.0).cached == 2500  # written by that very request
    assert cache.totals.reconciled == 1


def test_a_report_that_proves_an_entry_alive_is_believed():
    cache = ProviderCache.anthropic("claude-sonnet-5", automatic=True)
    found = cache.reconcile(chat(LONG, LONG), anthropic_usage(2500, 2500), 0.0)
    assert (found.predicted.cached, found.proof) == (0, "alive")
    assert found.ratio == pytest.approx((0.1 * 2500 + 1.25 * 2500) / 5000)
    assert cache.estimate(chat(LONG), 1.0).cached == 2500
    assert cache.totals.error == pytest.approx(0.5)


def test_a_report_that_nothing_was_written_is_believed():
    cache = ProviderCache.anthropic("claude-sonnet-5", automatic=True)
    cache.reconcile(chat(LONG), anthropic_usage(0, 0, 900), 0.0)  # below the real minimum, say
    assert cache.estimate(chat(LONG), 1.0).cached == 0


def test_another_providers_times_to_live_are_taken_as_its_own():
    cache = ProviderCache.openai("gpt-5.6")
    usage = anthropic_usage(0, 2500) | {"cache_creation": {"ephemeral_5m_input_tokens": 2500}}
    assert cache.reconcile(chat(LONG), usage, 0.0).ratio == 1.25


def test_an_expected_report_proves_nothing():
    cache = ProviderCache.openai("gpt-5.4")
    cache.commit(chat(LONG), 0.0)
    usage = {"prompt_tokens": 2450, "prompt_tokens_details": {"cached_tokens": 2304}}
    assert cache.reconcile(chat(LONG), usage, 1.0).proof == "as predicted"


# ---- explanations ----


@pytest.mark.parametrize(
    ("a", "b", "name", "what", "position"),
    [
        ("Today is 2026-11-24 10:00. Go.", "Today is 2026-11-24 10:05. Go.", "system", "a timestamp", 24),
        (
            "id 550e8400-e29b-41d4-a716-446655440000",
            "id 650e8400-e29b-41d4-a716-446655440000",
            "system",
            "a UUID",
            3,
        ),
        ("user_1234 asks", "user_1235 asks", "system", "an id", 8),
        ("at most 5 words", "at most 7 words", "system", "a number", 8),
        (f"You help Ann. {LONG}", f"You help Bob. {LONG}", "system", "a short passage", 9),
        ("Be brief.", "Be brief. And kind.", "system", "text was appended", 9),
        ("Grüße an alle", "Grüße, Freunde", "system", "other text", 5),
    ],
)
def test_explain_names_what_differs(a, b, name, what, position):
    found = explain(chat("x", system=a), chat("x", system=b))
    assert (found.name, found.what, found.position) == (name, what, position)


def test_explain_names_tools_messages_and_settings():
    one, two = {"name": "a", "input_schema": {}}, {"name": "b", "input_schema": {}}
    found = explain(chat("x", tools=[one, two]), chat("x", tools=[two, one]))
    assert (found.part, found.what) == ("tools", "the order of the tools")
    assert explain(chat("x", tools=[one]), chat("x", tools=[one, two])).what == "a tool was added"
    assert explain(chat("x", tools=[one, two]), chat("x", tools=[two])).what == "a tool was removed"
    found = explain(chat("x", tools=[one, two]), chat("x", tools=[one]))
    assert (found.name, found.part, found.what) == ("tools, tool 2 (b)", "tools", "a tool was removed")
    keys = {"input_schema": {}, "name": "a"}
    assert explain(chat("x", tools=[one]), chat("x", tools=[keys])).what == "the order of keys"
    found = explain(chat(LONG, "same", "a"), chat(LONG, "same", "b"))
    assert (found.name, found.tokens) == ("message 3", 2501)
    assert "message 3 differs at character 0: other text ('a' became 'b')" in str(found)
    found = explain(CHAT | {"prompt_cache_key": "u1"}, CHAT | {"prompt_cache_key": "u2"})
    assert (found.what, found.before, found.after) == ("prompt_cache_key", "u1", "u2")
    assert ProviderCache.explain(CHAT, CHAT) is None
    assert explain(chat("a"), chat("a", "b")) is None


def test_it_is_imported_when_it_is_asked_for():
    code = "import sys, semcore; print('semcore.providers' in sys.modules, semcore.ProviderCache.__name__)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out == "False ProviderCache\n"
    assert semcore.ProviderCache is ProviderCache
    assert isinstance(rules_for("openai", "gpt-5"), Rules)
