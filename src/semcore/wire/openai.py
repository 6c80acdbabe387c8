"""What OpenAI's endpoints have in common."""

from __future__ import annotations

from typing import Any

from semcore.wire.question import Json, Question, Terms, Tier, Unreadable, Usage, count
from semcore.wire.split import split

CLIENT = ("function", "custom")  # tools that the client runs; the provider runs all others


class OpenAI:
    """Reading requests and usage, and errors.

    form: the API's name for `split`.
    served: fields that make the provider act or remember; nothing of theirs is cached.
    exact: fields with which only the same question gets the same answer.
    stored: does the provider keep answers unless it is told not to?
    """

    form = "openai-chat"
    served: tuple[str, ...] = ()
    exact: tuple[str, ...] = ()
    stored = False
    echo: tuple[str, ...] = (
        "metadata",
        "user",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
    )

    def question(self, body: Json, terms: Terms, target: str) -> Question:
        """Raises Unreadable."""
        if not isinstance(body, dict):
            raise Unreadable("body: expected an object")
        deployment = target.partition("/deployments/")[2].partition("/")[0]  # Azure's
        model, stream = str(body.get("model") or deployment), body.get("stream") is True
        tier, why = self.tier(body, terms)
        if tier is Tier.BYPASS:
            return Question(model, b"", "", tier, why, stream, self.tells_usage(body), True)
        context, text = split(self.form, body)
        if tier is Tier.SEMANTIC and not text:
            tier, why = Tier.EXACT, "no last user text"
        tools = bool(body.get("tools") or body.get("functions"))
        return Question(model, context, text, tier, why, stream, self.tells_usage(body), tools)

    def tells_usage(self, body: Json) -> bool:
        """Did the client ask for a stream that tells its usage?"""
        options = body.get("stream_options")
        return isinstance(options, dict) and options.get("include_usage") is True

    def tier(self, body: Json, terms: Terms) -> tuple[Tier, str]:
        """How far a lookup may go, and why not further."""
        for field in self.served:
            if said(body, field):
                return Tier.BYPASS, field
        if not all(isinstance(tool, dict) and tool.get("type") in CLIENT for tool in listed(body, "tools")):
            return Tier.BYPASS, "server-side tools"
        if (self.stored if body.get("store") is None else body["store"]) and not terms.stored:
            return Tier.BYPASS, "store"
        if body.get("modalities") not in (None, [], ["text"]):
            return Tier.BYPASS, "modalities"
        if not terms.allow(body.get("temperature")):
            return Tier.BYPASS, "temperature"
        if body.get("n") not in (None, 1):
            return Tier.EXACT, "n"
        for field in ("logprobs", "top_logprobs", *self.exact):
            if said(body, field):
                return Tier.EXACT, field
        return Tier.SEMANTIC, ""

    def told(self, body: Json) -> Json | None:
        options = body.get("stream_options")
        return {
            **body,
            "stream_options": {**(options if isinstance(options, dict) else {}), "include_usage": True},
        }

    def usage(self, answer: Json) -> Usage:
        usage = answer.get("usage")
        if not isinstance(usage, dict):
            return Usage(None, None)
        return Usage(count(usage.get("prompt_tokens")), count(usage.get("completion_tokens")))

    def error(self, status: int, kind: str, message: str) -> Json:
        return error_of(kind, message)


def error_of(kind: str, message: str) -> Json:
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


def said(body: Json, field: str) -> bool:
    """Is a field there that is neither null nor false? An empty object and 0 may well mean something."""
    return body.get(field) is not None and body[field] is not False


def listed(value: Json, field: str) -> list[Any]:
    """A field that is a list, or null. Raises Unreadable."""
    found = value.get(field)
    if found is None:
        return []
    if not isinstance(found, list):
        raise Unreadable(f"{field}: expected a list")
    return found


def objects(value: Json, field: str) -> list[Json]:
    """A field that is a list of objects, or null. Raises Unreadable."""
    found = listed(value, field)
    if not all(isinstance(one, dict) for one in found):
        raise Unreadable(f"{field}: expected a list of objects")
    return found
