"""Why a model ended, in its own words, wherever its API says so."""

from __future__ import annotations

from semcore.wire.question import Json

LISTS = (("choices", "finish_reason"), ("candidates", "finishReason"))  # OpenAI, Gemini: one each
FIELDS = ("stop_reason", "status")  # Anthropic's messages, OpenAI's responses


def ends_of(answer: Json) -> list[str]:
    """Of each choice; empty where nothing is said."""
    for items, field in LISTS:
        if isinstance(found := answer.get(items), list):
            ends = [item.get(field) for item in found if isinstance(item, dict)]
            return [end for end in ends if isinstance(end, str)]
    return [end for field in FIELDS if isinstance(end := answer.get(field), str)]
