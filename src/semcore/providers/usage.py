"""What a provider reports of a request, read from its usage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Reported(NamedTuple):
    """Tokens of a prompt as the provider counted them.

    Args:
        total: of the whole prompt.
        cached: read from the cache.
        written: written to it; 0 where the provider does not say.
        writes: (name of the time to live, tokens) where it says; else empty.
    """

    total: int
    cached: int
    written: int
    writes: tuple[tuple[str, int], ...] = ()

    @property
    def plain(self) -> int:
        """Tokens neither read nor written."""
        return self.total - self.cached - self.written


def reported(usage: Any) -> Reported:
    """Reads a usage.

    Args:
        usage: a response's usage (OpenAI chat or responses, Anthropic, Bedrock Converse) or usageMetadata
            (Gemini); or the whole response. A mapping; of an SDK's object, its `model_dump()`.

    Returns:
        The counts; what is absent is 0.

    Raises:
        TypeError: it is no mapping.
        ValueError: it is none of these, or a count is no whole number from 0, or they contradict each other.
    """
    if not isinstance(usage, Mapping):
        raise TypeError(
            f"usage: expected a mapping (of an SDK's object, model_dump()), got {type(usage).__name__}"
        )
    for name in ("usage", "usageMetadata", "usage_metadata"):
        if isinstance(usage.get(name), Mapping):
            return reported(usage[name])
    found = counts(usage)
    if found.cached + found.written > found.total:
        raise ValueError(f"usage: {found.cached} cached and {found.written} written of {found.total} tokens")
    return found


def counts(usage: Mapping[str, Any]) -> Reported:
    if "prompt_tokens" in usage:
        return openai(usage, "prompt_tokens")
    if "promptTokenCount" in usage or "prompt_token_count" in usage:
        total = number(usage, "promptTokenCount", "prompt_token_count")
        return Reported(total, number(usage, "cachedContentTokenCount", "cached_content_token_count"), 0)
    if "inputTokens" in usage:
        return bedrock(usage)
    if "input_tokens" not in usage:
        raise ValueError("usage: expected prompt_tokens, input_tokens, inputTokens or promptTokenCount")
    anthropic_says = {
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
        "cache_creation",
    } & usage.keys()
    return anthropic(usage) if anthropic_says else openai(usage, "input_tokens")


def openai(usage: Mapping[str, Any], name: str) -> Reported:
    """Its total holds all."""
    details = usage.get(f"{name}_details")
    details = details if isinstance(details, Mapping) else {}
    return Reported(
        number(usage, name), number(details, "cached_tokens"), number(details, "cache_write_tokens")
    )


def anthropic(usage: Mapping[str, Any]) -> Reported:
    """Its input_tokens are those after the last breakpoint only."""
    read, written = number(usage, "cache_read_input_tokens"), number(usage, "cache_creation_input_tokens")
    split = usage.get("cache_creation")
    writes: tuple[tuple[str, int], ...] = ()
    if isinstance(split, Mapping):
        named = [(ttl, number(split, f"ephemeral_{ttl}_input_tokens")) for ttl in ("5m", "1h")]
        writes = tuple((ttl, tokens) for ttl, tokens in named if tokens)
        written = written or sum(tokens for _, tokens in writes)
    return Reported(number(usage, "input_tokens") + read + written, read, written, writes)


def bedrock(usage: Mapping[str, Any]) -> Reported:
    """As Anthropic's: inputTokens are what is neither read nor written."""
    read, written = number(usage, "cacheReadInputTokens"), number(usage, "cacheWriteInputTokens")
    return Reported(number(usage, "inputTokens") + read + written, read, written)


def number(usage: Mapping[str, Any], *names: str) -> int:
    """The first of the fields that is there; 0 when none is."""
    for name in names:
        value = usage.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ValueError(f"{name}: expected a whole number from 0, got {value!r}")
        return value
    return 0
