"""Prices of answers, by the package's own data."""

import pytest

from semcore.providers.prices import answer_price

OPENAI = "https://api.openai.com/v1/chat/completions"


@pytest.fixture(autouse=True)
def _package():
    pytest.importorskip("genai_prices", reason="needs the extra prices")


def openai(cached=0):
    return {"usage": {"prompt_tokens": 1000, "prompt_tokens_details": {"cached_tokens": cached}}}


def test_every_part_counts():
    whole = answer_price(OPENAI, "gpt-4o", openai(), 100)
    assert 0 < answer_price(OPENAI, "gpt-4o", openai(), 0) < whole
    assert answer_price(OPENAI, "gpt-4o", openai(), 200) - whole == pytest.approx(
        whole - answer_price(OPENAI, "gpt-4o", openai(), 0)
    )
    assert answer_price(OPENAI, "gpt-4o", openai(cached=800), 100) < whole


def test_tokens_of_a_providers_cache_are_not_counted_twice():
    url, model = "https://api.anthropic.com/v1/messages", "claude-sonnet-4-5"
    plain = answer_price(url, model, {"usage": {"input_tokens": 1000}}, 0)
    read = answer_price(url, model, {"usage": {"input_tokens": 0, "cache_read_input_tokens": 1000}}, 0)
    assert 0 < read < plain


@pytest.mark.parametrize(
    ("url", "model", "usage"),
    [
        ("http://127.0.0.1:8000/v1", "gpt-4o", openai()),
        (OPENAI, "no-such-model", openai()),
        (OPENAI, "gpt-4o", {"usage": {}}),
        (OPENAI, "gpt-4o", None),
    ],
)
def test_what_is_not_known_has_no_price(url, model, usage):
    assert answer_price(url, model, usage, 100) is None
