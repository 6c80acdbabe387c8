"""Gemini's `.../models/MODEL:generateContent`, and `:streamGenerateContent?alt=sse`.

A stream without `alt=sse` is one JSON array that grows: it passes through, neither looked up nor stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

from semcore.wire import sse
from semcore.wire.encode import dumps, loads
from semcore.wire.question import Cut, Json, Outcome, Question, Terms, Tier, Unreadable, Usage, count
from semcore.wire.split import split

GENERATE, STREAM = ":generateContent", ":streamGenerateContent"
TOOLS = frozenset(("functionDeclarations", "function_declarations"))  # all others run at the provider's
NOTES = frozenset(("thought", "thoughtSignature"))  # of a part, beside what it says
LATEST = ("finishReason", "finishMessage", "safetyRatings", "tokenCount", "avgLogprobs")
STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class Gemini:
    """generateContent, of the Gemini API and of Vertex AI. The path says the model, and whether to stream."""

    name = "generate_content"
    echo: tuple[str, ...] = ()

    def question(self, body: Json, terms: Terms, target: str) -> Question:
        """Raises Unreadable."""
        path, _, query = target.partition("?")
        model = path.rpartition(":")[0].rpartition("/")[2]
        stream = path.endswith(STREAM)
        if parse_qs(query).get("alt", ["json"]) != ["sse" if stream else "json"]:
            tier, why = Tier.BYPASS, "alt"
        else:
            tier, why = tier_of(body, terms)
        context, text = split("gemini", body)
        if tier is Tier.SEMANTIC and not text:
            tier, why = Tier.EXACT, "no last user text"
        return Question(model, context, text, tier, why, stream, True, bool(body.get("tools")))

    def told(self, body: Json) -> Json | None:
        return None  # its streams always tell

    def assembler(self) -> Assembler:
        return Assembler()

    def outcome(self, answer: Json) -> Outcome:
        if not answer.get("candidates") and "promptFeedback" in answer:
            return Outcome(False, False, "blocked")
        calls = False
        for candidate in candidates_of(answer):
            if candidate.get("finishReason") != "STOP":
                return Outcome(False, False, "cut by " + str(candidate.get("finishReason")))
            said = called = False
            for part in parts_of(candidate):
                kinds = part.keys() - NOTES
                if not kinds <= {"text", "functionCall"}:
                    return Outcome(False, False, ", ".join(sorted(kinds)))
                said = said or bool(part.get("text") and not part.get("thought"))
                called = called or "functionCall" in kinds
            if not said and not called:
                return Outcome(False, False, "empty")
            calls = calls or called
        return Outcome(True, not calls, "tool calls" if calls else "")

    def usage(self, answer: Json) -> Usage:
        """Output with the thoughts, which are billed as such."""
        usage = answer.get("usageMetadata")
        if not isinstance(usage, dict):
            return Usage(None, None)
        told = count(usage.get("candidatesTokenCount")), count(usage.get("thoughtsTokenCount"))
        known = [n for n in told if n is not None]
        return Usage(count(usage.get("promptTokenCount")), sum(known) if known else None)

    def ids(self, answer: Json) -> list[str]:
        found = [answer.get("responseId")]
        for candidate in candidates_of(answer):
            calls = [part["functionCall"] for part in parts_of(candidate) if "functionCall" in part]
            found += [call.get("id") for call in calls if isinstance(call, dict)]
        return [id for id in found if isinstance(id, str)]

    def events(self, answer: Json, usage: bool, cut: Cut) -> Iterator[bytes]:
        late = ("candidates", "usageMetadata", "promptFeedback")
        head = {key: value for key, value in answer.items() if key not in late}
        tail = {key: value for key, value in answer.items() if key not in head and key != "candidates"}
        candidates = candidates_of(answer)
        for candidate in candidates:
            at = {key: candidate[key] for key in ("index",) if key in candidate}
            *first, last = [piece for part in parts_of(candidate) for piece in pieces_of(part, cut)]
            for piece in first:
                yield frame(head, {"content": {**candidate["content"], "parts": [piece]}, **at})
            end = {**candidate, "content": {**candidate["content"], "parts": [last]}}
            yield frame(head, end, **(tail if candidate is candidates[-1] else {}))

    def error(self, status: int, kind: str, message: str) -> Json:
        info = {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": kind.upper(),
            "domain": "semcore",
        }
        name = STATUS.get(status, "UNKNOWN")
        return {"error": {"code": status, "message": message, "status": name, "details": [info]}}


def tier_of(body: Json, terms: Terms) -> tuple[Tier, str]:
    """How far a lookup may go, and why not further."""
    tools = body.get("tools")
    for tool in tools if isinstance(tools, list) else [tools or {}]:  # one alone is read as a list
        if not isinstance(tool, dict) or not tool.keys() <= TOOLS:
            return Tier.BYPASS, "tools"
    config = body.get("generationConfig", body.get("generation_config"))
    if config is None:
        config = {}
    if not isinstance(config, dict):
        raise Unreadable("generationConfig: expected an object")

    def field(camel: str, snake: str) -> Any:
        return config.get(camel, config.get(snake))

    if field("responseModalities", "response_modalities") not in (None, [], ["TEXT"]):
        return Tier.BYPASS, "responseModalities"
    if not terms.allow(config.get("temperature")):
        return Tier.BYPASS, "temperature"
    if field("candidateCount", "candidate_count") not in (None, 1):
        return Tier.EXACT, "candidateCount"
    if field("responseLogprobs", "response_logprobs"):
        return Tier.EXACT, "responseLogprobs"
    return Tier.SEMANTIC, ""


def candidates_of(answer: Json) -> list[Json]:
    candidates = answer.get("candidates")
    if not isinstance(candidates, list) or not candidates or not all(isinstance(c, dict) for c in candidates):
        raise Unreadable("candidates: expected a list of objects")
    return candidates


def parts_of(candidate: Json) -> list[Json]:
    """None while a candidate says nothing."""
    content = candidate.get("content", {})
    parts = content.get("parts", []) if isinstance(content, dict) else None
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        raise Unreadable("parts: expected a list of objects")
    return parts


# ---- streams ----


def frame(head: Json, candidate: Json, **tail: Any) -> bytes:
    return sse.write(dumps({"candidates": [candidate], **tail, **head}))


def pieces_of(part: Json, cut: Cut) -> list[Json]:
    """A part in pieces; a signature comes with the last one."""
    if not isinstance(part.get("text"), str):
        return [part]
    thought = {"thought": part["thought"]} if "thought" in part else {}
    *first, last = list(cut(part["text"])) or [""]
    return [*({"text": piece, **thought} for piece in first), {**part, "text": last}]


def plain(part: Json) -> bool:
    """Is a part text alone, thought or said? One with a signature is not joined to others."""
    return isinstance(part.get("text"), str) and part.keys() <= {"text", "thought"}


class Assembler:
    """A response out of those of a stream."""

    def __init__(self) -> None:
        self.cuts: list[int] = []
        self._head: Json = {}
        self._candidates: dict[int, Json] = {}

    def feed(self, event: str, data: bytes) -> bool:
        if not data:
            return False
        got = loads(data)
        if not isinstance(got, dict) or "error" in got:
            raise Unreadable("stream: expected responses")
        self._head |= {key: value for key, value in got.items() if key != "candidates"}
        for candidate in candidates_of(got) if got.get("candidates") else ():
            self._merge(candidate)
        return False

    def _merge(self, piece: Json) -> None:
        index = piece.get("index", 0)
        if not isinstance(index, int):
            raise Unreadable("index: expected a number")
        mine = self._candidates.setdefault(index, {"content": {"parts": []}})
        for part in parts_of(piece):
            self._add(mine["content"]["parts"], part)
        rest = {key: value for key, value in piece.items() if key != "content"}
        settle(mine, rest)
        settle(mine["content"], {k: v for k, v in piece.get("content", {}).items() if k != "parts"})

    def _add(self, parts: list[Json], part: Json) -> None:
        call = part.get("functionCall")
        if isinstance(call, dict) and ("partialArgs" in call or "willContinue" in call):
            raise Unreadable("functionCall: expected whole arguments")
        if text := part.get("text"):
            self.cuts.append(len(str(text)))
        same = parts and plain(parts[-1]) and plain(part) and parts[-1].get("thought") == part.get("thought")
        if same:
            parts[-1]["text"] += part["text"]
        else:
            parts.append(part)

    def answer(self) -> Json | None:
        candidates = [self._candidates[index] for index in sorted(self._candidates)]
        if not candidates or any(candidate.get("finishReason") is None for candidate in candidates):
            return None
        return {"candidates": candidates, **self._head}


def settle(mine: Json, new: Json) -> None:
    """Takes over fields. Raises Unreadable: one was said before otherwise, and is not known to change."""
    for key, value in new.items():
        if key not in LATEST and mine.setdefault(key, value) != value:
            raise Unreadable(f"stream: expected {key} once")
        mine[key] = value
