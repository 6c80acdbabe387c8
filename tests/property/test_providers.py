"""Whatever is sent to `ProviderCache`, in whatever order: tokens add up, and only what was sent is read."""

import copy
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcore.providers import Life, ProviderCache, Unit, explain, named, rules_for

TEXTS = st.sampled_from([b"a" * 64, b"b" * 64, b"a" * 63 + b"c", b"aa", b"ab" * 100, "ü".encode() * 33])


def taken(units):
    """Three breakpoints at most, and the longer times to live first."""
    marks = [unit.mark for unit in units if unit.mark is not None]
    return len(marks) <= 3 and marks == sorted(marks, reverse=True)


UNITS = st.lists(
    st.builds(
        Unit,
        part=st.just("message 1"),
        block=st.just(0),
        data=TEXTS,
        mark=st.sampled_from([None, None, None, "", "long"]),
        salt=st.sampled_from([(), (("role", "user"),)]),
    ),
    max_size=7,
).filter(taken)
STEPS = st.lists(st.tuples(UNITS, st.sampled_from([0.0, 1.0, 10.0, 10.5, 60.0, 100.0])), max_size=12)
LIVES = {"short": Life(10, 1.25), "long": Life(60, 2.0)}
RULES = {
    "grid": replace(rules_for("openai", "gpt-5.4"), minimum=32, step=16, lives=LIVES),
    "lookback": replace(rules_for("anthropic", "claude-sonnet-5"), minimum=8, lookback=3, lives=LIVES),
    "implicit": replace(rules_for("openai", "gpt-5.6"), minimum=8, latest=4, lives=LIVES),
}


def made(kind):
    return ProviderCache(RULES[kind], "m", automatic=kind == "lookback", price=1.0)


def shared(a, b):
    """Bytes of the common prefix that the provider could see as such."""
    size = 0
    for x, y in zip(a, b, strict=False):
        if x.salt != y.salt:
            return size
        equal = next((i for i, (p, q) in enumerate(zip(x.data, y.data, strict=False)) if p != q), None)
        if equal is None and len(x.data) == len(y.data):
            size += len(x.data)
            continue
        return (
            size + (min(len(x.data), len(y.data)) if equal is None else equal) + 200
        )  # the next unit goes on
    return size


@pytest.mark.parametrize("kind", RULES)
@given(STEPS)
def test_tokens_add_up_and_only_what_was_sent_is_read(kind, steps):
    cache, now, sent = made(kind), 0.0, []
    for units, wait in steps:
        now += wait
        before = copy.deepcopy(cache._live.entries)
        estimate = cache.estimate(units, now)
        assert cache._live.entries == before
        assert estimate.cached + estimate.written + estimate.plain == estimate.tokens
        assert min(estimate.cached, estimate.written, estimate.plain) >= 0
        assert estimate.tokens == sum(len(unit.data) for unit in units) // 4
        assert sum(tokens for _, tokens in estimate.writes) == estimate.written
        most = max((shared(units, old) for old in sent), default=0)
        assert estimate.cached <= most // 4
        assert cache.commit(units, now) == estimate
        sent.append(units)
    assert cache.totals.tokens == sum(sum(len(u.data) for u in units) // 4 for units, _ in steps)
    assert cache.totals.cached + cache.totals.written + cache.totals.plain == cache.totals.tokens


@pytest.mark.parametrize("kind", RULES)
@given(STEPS)
def test_committing_twice_is_as_once(kind, steps):
    once, now = made(kind), 0.0
    twice = ProviderCache(once.rules, "m", automatic=once.automatic, price=1.0, _key=once._key)
    for units, wait in steps:
        now += wait
        assert once.commit(units, now) == twice.commit(units, now)
        twice.commit(units, now)
        assert list(once._live.entries.items()) == list(twice._live.entries.items())


@pytest.mark.parametrize("kind", RULES)
@given(UNITS.filter(lambda units: sum(len(u.data) for u in units) >= 128), st.sampled_from(["", "long"]))
def test_an_entry_lives_exactly_so_long(kind, units, ttl):
    units = [unit._replace(mark=ttl if unit.mark is not None else None) for unit in units]
    units[-1] = units[-1]._replace(mark=ttl)
    cache = made(kind)
    cache.commit(units, 100.0)
    seconds = cache.rules.life(ttl if kind != "grid" else "").seconds
    assert cache.estimate(units, 100.0 + seconds).cached > 0
    assert cache.estimate(units, 100.0 + seconds + 1e-6).cached == 0


@pytest.mark.parametrize("kind", RULES)
@given(STEPS, st.integers(1, 5))
def test_no_more_is_remembered_than_the_bound(kind, steps, entries):
    cache, now = ProviderCache(RULES[kind], "m", automatic=True, price=1.0, entries=entries), 0.0
    for units, wait in steps:
        now += wait
        cache.commit(units, now)
        assert len(cache) <= entries


@pytest.mark.parametrize("kind", RULES)
@given(STEPS, st.integers(0, 400), st.integers(0, 400))
def test_any_report_leaves_it_sound(kind, steps, read, written):
    cache, now = made(kind), 0.0
    for units, wait in steps:
        now += wait
        usage = {"input_tokens": 3, "cache_read_input_tokens": read, "cache_creation_input_tokens": written}
        found = cache.reconcile(units, usage, now)
        assert -1 <= found.error <= 1
        after = cache.estimate(units, now)
        assert after.cached + after.written + after.plain == after.tokens
    assert cache.totals.reconciled == cache.totals.requests == len(steps)


@given(UNITS, UNITS)
def test_explain_agrees_with_what_is_equal(a, b):
    found = explain(a, b)
    pairs = [(x.data, x.salt) == (y.data, y.salt) for x, y in zip(a, b, strict=False)]
    assert (found is None) == all(pairs)
    if found is not None:
        assert found.unit == pairs.index(False)
        assert str(found)


TEXT = st.text(max_size=40)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["messages", "content", "role", "text", "type", "tools", "system", "input", "contents", "parts",
             "cache_control", "ttl", "name", "cachePoint", "toolConfig", "instructions", "model"]
        ) | TEXT,
        inner, max_size=4,
    ),
    max_leaves=25,
)  # fmt: skip


@given(JSON, st.sampled_from(["messages", "input", "contents"]))
def test_any_json_is_rendered_or_refused_with_words(value, field):
    request = {field: value} if not isinstance(value, dict) else {field: [], **value}
    try:
        parts = named(request)
    except (ValueError, TypeError):
        return
    assert all(isinstance(data, bytes) and data for _, data in parts)
