"""`ProviderCache`: the reference numbers, rules by day, estimates, prices."""

import json
import lzma
import re
from dataclasses import replace
from datetime import date

import pytest
from conftest import DATA

from semcore.errors import ConfigError
from semcore.providers import ProviderCache, Unit, render, rules_for
from semcore.providers.prompt import Prompt, Tokens
from semcore.providers.rules import PROVIDERS, Life, known

LONG = "word " * 2000  # 2,500 tokens


# ---- the reference simulator's numbers ----

SPLIT = re.compile(rb"(?=\n(?:user|assistant|system): )")


def recorded(name):
    """(seconds, blocks) of recorded requests: by role, or by what each added to its session's last one."""
    path = DATA / "prefix" / f"agent_{name}.jsonl.xz"
    if not path.exists():
        pytest.skip(f"needs the shared data set prefix/agent_{name}")
    last = {}
    for line in lzma.decompress(path.read_bytes()).decode().splitlines():
        record = json.loads(line)
        text = record["in"].encode()
        if name == "magagent":
            blocks = [part for part in SPLIT.split(text) if part]
        else:
            before, known_blocks = last.get(record["s"], (b"", []))
            if before and text.startswith(before) and len(text) > len(before):
                blocks = [*known_blocks, text[len(before) :]]
            else:
                blocks = [text] if text and text != before else known_blocks
            last[record["s"]] = (text, blocks)
        yield record["t"] / 1e6, blocks


KEY = b"k" * 32  # of all, so that digests are made once


def made(name):
    """The cache of a row of the reference, and whether the first block is a breakpoint too."""
    head = name.split("_")[0]
    if head == "openai":
        rules = replace(rules_for("openai", "gpt-5"), minimum=1024)
        ttl = {"5m": 300, "10m": 600, "24h": 86400}[name.split("_")[-1]]
        return ProviderCache(replace(rules, lives={"x": Life(ttl, 1.0)}), "m", _key=KEY), False
    if head == "gemini":
        rules = replace(rules_for("gemini", "gemini-2.5-flash"), minimum=int(name.split("_")[-1]))
        return ProviderCache(rules, "m", _key=KEY), False
    if head == "gpt56":
        return ProviderCache(rules_for("openai", "gpt-5.6"), "m", _key=KEY), "+system" in name
    rules = replace(rules_for("anthropic", "claude-sonnet-4-5"), minimum=int(name.rsplit("min", 1)[1]))
    ttl = name.split("_")[2]
    rules = replace(rules, lives={ttl: rules.lives[ttl]})
    return ProviderCache(rules, "m", automatic=True, _key=KEY), "+system" in name


@pytest.mark.parametrize("name", ["magagent", "miniswe"])
def test_the_reference_simulator_is_reproduced_exactly(name):
    def prompt(blocks, first):
        marks = ["" if first and i == 0 and len(blocks) > 1 else None for i in range(len(blocks))]
        units = [Unit(f"message {i}", 0, blocks[i], marks[i]) for i in range(len(blocks))]
        return Prompt(render(units), "", Tokens(None), KEY)

    requests = [(t, prompt(blocks, False), prompt(blocks, True)) for t, blocks in recorded(name)]
    expected = json.loads((DATA / "prefix" / "reference_providers.json").read_text())[name]
    found = {}
    for row in expected:
        cache, first = made(row)
        for t, plain, with_first in requests:
            cache.commit(with_first if first else plain, t)
        t = cache.totals
        found[row] = {
            "tokens": t.tokens, "cached": t.cached, "written": t.written, "plain": t.plain,
            "cost_ratio": round(t.ratio, 6),
        }  # fmt: skip
    assert found == expected


# ---- rules ----


def test_rules_go_by_model_and_day():
    assert rules_for("openai", "openai/gpt-4o-mini").read == 0.5
    assert (rules_for("openai", "gpt-5.4").kind, rules_for("openai", "gpt-5.6-sol").kind) == (
        "grid",
        "breakpoints",
    )
    assert rules_for("anthropic", "claude-sonnet-4.5").minimum == 1024
    assert rules_for("anthropic", "claude-haiku-4-5-20251001").minimum == 4096
    assert rules_for("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0").lookback == 20
    assert [rules_for("gemini", f"gemini-{m}").read for m in ("2.0-flash", "4-pro", "4-flash")] == [
        0.25,
        0.05,
        0.05,
    ]
    days = {
        on: rules_for("gemini", "gemini-2.5-pro", on).minimum for on in ("2025-06-01", "2026-06-01", None)
    }
    assert days == {"2025-06-01": 2048, "2026-06-01": 4096, None: 2048}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("nobody", "m"), "provider: expected one of openai"),
        (("openai", "llama"), "model: no rules of openai for 'llama'; there are some for"),
        (("openai", "gpt-5.6", "2020-01-01"), "on: the first rules of openai for 'gpt-5.6' are of"),
        (("openai", "gpt-5.6", "yesterday"), "on: expected a date such as"),
        (("openai", ""), "model: expected a model's name"),
    ],
)
def test_bad_choices_of_rules_are_named(args, words):
    with pytest.raises((ConfigError, ValueError, TypeError), match=words):
        rules_for(*args)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_data_files_are_sound(provider):
    for rule in known(provider):
        assert rule.source
        assert rule.effective <= date(2027, 1, 1)
        assert 0 < rule.read <= 1 <= min(life.write for life in rule.lives.values())


def test_rules_of_ones_own_are_checked():
    base = rules_for("openai", "gpt-5")
    for field, value in (("kind", "x"), ("minimum", -1), ("step", 0), ("read", -0.1), ("lives", {})):
        with pytest.raises(ConfigError, match=rf"^{field}: expected"):
            replace(base, **{field: value})


# ---- estimates ----


def chat(*texts, **more):
    return {"messages": [{"role": "user", "content": text} for text in texts]} | more


def test_a_grid_rounds_down_and_needs_the_minimum():
    cache = ProviderCache.openai("gpt-5.4", price=2.0)
    assert cache.commit(chat(LONG), 0.0).reason == "nothing of it is known"
    again = cache.estimate(chat(LONG, "and more"), 1.0)
    assert (again.tokens, again.cached, again.written) == (2502, 2432, 0)
    assert again.cached % 128 == 0
    assert again.cost == pytest.approx((2502 - 2432 + 0.1 * 2432) * 2e-6)
    assert again.uncached_cost == pytest.approx(2502 * 2e-6)
    assert "1,024" in cache.estimate(chat("short"), 1.0).reason


def test_breakpoints_write_and_read_whole_blocks():
    cache = ProviderCache.anthropic("claude-sonnet-5")
    system = [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}]
    first = cache.commit(chat("Hi", system=system), 0.0)
    assert (first.written, first.cached, first.plain, first.writes) == (2500, 0, 0, (("5m", 2500),))
    second = cache.commit(chat("Another question", system=system), 10.0)
    assert (second.cached, second.written, second.plain, second.after) == (2500, 0, 4, "system")
    assert second.ratio == pytest.approx((4 + 250) / 2504)


def test_times_to_live_are_priced_apart():
    cache = ProviderCache.anthropic("claude-sonnet-5")
    system = [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    body = chat(LONG, system=system, cache_control={"type": "ephemeral"})
    first = cache.commit(body, 0.0)
    assert first.writes == (("1h", 2500), ("5m", 2500))
    assert first.ratio == pytest.approx((2 * 2500 + 1.25 * 2500) / 5000)
    assert cache.estimate(body, 300.0).cached == 5000
    assert cache.estimate(body, 300.5).cached == 2500
    assert cache.estimate(body, 3600.5).reason == "expired: last used 3,600 s ago, lives 300 s"


def test_the_lookback_is_twenty_blocks():
    cache = ProviderCache.anthropic("claude-sonnet-5", automatic=True)
    cache.commit(chat(LONG), 0.0)
    assert cache.estimate(chat(LONG, *["x"] * 19), 1.0).cached == 2500
    assert cache.estimate(chat(LONG, *["x"] * 20), 1.0).cached == 0


def test_what_a_request_asks_for_in_vain_is_named():
    anthropic = ProviderCache.anthropic("claude-sonnet-5")
    marked = [{"type": "text", "text": "x", "cache_control": {"ttl": "2h"}}]
    with pytest.raises(ValueError, match="ttl: expected one of 5m, 1h, got '2h'"):
        anthropic.estimate(chat(system=marked), 0.0)
    five = [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}] * 5
    with pytest.raises(ValueError, match="expected 4 breakpoints at most, got 5"):
        anthropic.estimate(chat(system=five), 0.0)
    with pytest.raises(ValueError, match="ttl: expected one of 24h, got 'in_memory'"):
        ProviderCache.openai("gpt-5.5").estimate(chat(LONG, prompt_cache_retention="in-memory"), 0.0)


def test_longer_times_to_live_come_first():
    mark = [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]
    hour = {"type": "ephemeral", "ttl": "1h"}
    with pytest.raises(ValueError, match="expected longer times to live first, got 5m, 1h"):
        ProviderCache.anthropic("claude-sonnet-5").estimate(chat(LONG, system=mark, cache_control=hour), 0.0)


def test_openais_retention_and_ttl_do_not_interact():
    cache = ProviderCache.openai("gpt-5.6")
    assert cache.estimate(chat(LONG, prompt_cache_retention="24h"), 0.0).writes == (("30m", 2500),)
    both = chat(LONG, prompt_cache_retention="24h", prompt_cache_options={"ttl": "12h"})
    assert cache.estimate(both, 0.0).writes == (("12h", 2500),)


def test_settings_models_and_cache_keys_separate():
    cache = ProviderCache.openai("gpt-5.4")
    cache.commit(chat(LONG, model="gpt-5.4", prompt_cache_key="a"), 0.0)
    assert cache.estimate(chat(LONG, model="gpt-5.4", prompt_cache_key="a"), 1.0).cached
    assert not cache.estimate(chat(LONG, model="gpt-5.4", prompt_cache_key="b"), 1.0).cached
    assert not cache.estimate(chat(LONG, model="gpt-5.2", prompt_cache_key="a"), 1.0).cached
    assert not cache.estimate([Unit("message 1", 0, LONG.encode(), salt=(("role", "a"),))], 1.0).cached


def test_a_tokenizer_is_used_and_checked():
    cache = ProviderCache.openai("gpt-5.4", count=lambda text: len(text.split()))
    cache.commit(chat(LONG), 0.0)
    found = cache.estimate(chat(LONG, "a b c"), 1.0)
    assert (found.tokens, found.cached) == (2003, 1920)
    with pytest.raises(ValueError, match="count: expected a whole number of tokens"):
        ProviderCache.openai("gpt-5.4", count=lambda text: -1).estimate(chat("x"), 0.0)


def test_what_is_remembered_is_bounded():
    cache = ProviderCache.anthropic("claude-sonnet-5", automatic=True, entries=3)
    for i in range(10):
        cache.commit(chat(f"{i} {LONG}"), float(i))
    assert len(cache) == 3
    assert cache.estimate(chat(f"9 {LONG}"), 10.0).cached
    assert not cache.estimate(chat(f"0 {LONG}"), 10.0).cached
    grid = ProviderCache.openai("gpt-5.4", entries=10)  # the beginnings of prefixes stay
    grid.commit(chat(LONG), 0.0)
    assert grid.estimate(chat(LONG), 0.0).cached == 1280


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"entries": 0}, "entries: expected a whole number above 0"),
        ({"price": -1}, "price: expected US dollars"),
        ({"count": 5}, "count: expected a callable"),
    ],
)
def test_bad_options_are_named(options, words):
    with pytest.raises((ValueError, TypeError), match=words):
        ProviderCache.openai("gpt-5.6", **options)


def test_times_are_checked():
    for now in (float("nan"), float("inf"), "x", True):
        with pytest.raises(ValueError, match="now: expected a time in seconds"):
            ProviderCache.openai("gpt-5.6").estimate(chat("Hi"), now)


# ---- money ----


def test_prices_come_from_the_package_or_are_unknown(monkeypatch):
    from semcore.providers import prices

    prices.base_price.cache_clear()
    monkeypatch.setattr(prices, "find_spec", lambda name: None)
    assert ProviderCache.openai("gpt-5.6").estimate(chat(LONG), 0.0).cost is None
    prices.base_price.cache_clear()


def test_prices_of_the_package():
    pytest.importorskip("genai_prices")
    found = ProviderCache.openai("gpt-4o").estimate(chat(LONG), 0.0)
    assert found.uncached_cost == pytest.approx(2500 * 2.5e-6)
    rules = replace(rules_for("openai", "gpt-4o"), models=("*",))
    assert ProviderCache(rules, "no-such-model").estimate(chat(LONG), 0.0).cost is None
