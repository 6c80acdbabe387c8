"""What input and answers cost, by the package `genai-prices` (extra `prices`), offline. Unknown stays so."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

from semcore.providers.usage import reported

PACKAGE = {"openai": "openai", "anthropic": "anthropic", "gemini": "google", "bedrock": "aws"}


@lru_cache(maxsize=65536)
def base_price(provider: str, model: str, tokens: int, on: date | None) -> float | None:
    """US dollars for a prompt of so many tokens without any cache.

    Args:
        provider, model: as for `rules_for`.
        tokens: of the prompt; some models cost more a token from a length on.
        on: the day whose prices; None: the newest.

    Returns:
        The price, or None: the package is not installed, or does not know the model.
    """
    if find_spec("genai_prices") is None:
        return None
    from genai_prices import Usage, calc_price

    when = None if on is None else datetime.combine(on, time(12), UTC)
    try:
        price = calc_price(
            Usage(input_tokens=tokens),
            model_ref=model.rsplit("/", 1)[-1],
            provider_id=PACKAGE[provider],
            genai_request_timestamp=when,
        )
    except (LookupError, ValueError):
        return None
    return float(price.input_price)


def answer_price(url: str, model: str, usage: Any, output: int) -> float | None:
    """US dollars for a request and its answer, by today's prices.

    Args:
        url: of the API that was asked; says whose prices hold.
        model: as the API names it.
        usage: what the API reported, as for `reported`.
        output: tokens of the answer.

    Returns:
        The price, or None: the package is not installed, or does not know the API or the model, or the usage
        says nothing.
    """
    if find_spec("genai_prices") is None:
        return None
    from genai_prices import Usage, calc_price

    try:
        told = reported(usage)
        counts = Usage(
            input_tokens=told.total,
            cache_read_tokens=told.cached,
            cache_write_tokens=told.written,
            output_tokens=output,
        )
        return float(calc_price(counts, model_ref=model, provider_api_url=url).total_price)
    except (LookupError, ValueError, TypeError):
        return None
