"""A cache for LangChain: what a model was asked before, it is not asked again.

    langchain_core.globals.set_llm_cache(SemcoreCache(semcore.Cache()))

LangChain gives the prompt as a text (of a chat, its own JSON of the messages) and the model with all of its
settings as another. Everything but the last human message's text has to be equal; that text may be another
one that means the same. A prompt that is no chat does not tell the question from what stands around it: it
has to be equal.
"""

from __future__ import annotations

import json
import logging
import uuid
import warnings
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from semcore import Cache
from semcore._args import check_threshold, check_ttl
from semcore.errors import ConfigError
from semcore.gateway.record import VERSION, Record
from semcore.gateway.store import Found, Place, Store
from semcore.wire.canonical import packed
from semcore.wire.question import Tier
from semcore.wire.turn import last_user_text

try:
    from langchain_core.caches import RETURN_VAL_TYPE, BaseCache
    from langchain_core.load import dumps, loads
    from langchain_core.messages import AIMessage, AIMessageChunk, ChatMessage
    from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, Generation, GenerationChunk
except ImportError as error:
    raise ConfigError(
        "semcore.clients.langchain needs langchain-core: pip install 'semcore[langchain]'"
    ) from error

log = logging.getLogger("semcore.clients")

READ = (  # what is made of stored JSON, and nothing else
    Generation, GenerationChunk, ChatGeneration, ChatGenerationChunk, AIMessage, AIMessageChunk, ChatMessage,
)  # fmt: skip
with warnings.catch_warnings():  # its first call says that it is in beta, and it is not called by our users
    warnings.simplefilter("ignore")
    loads("[]", allowed_objects=READ)
HUMAN = ("HumanMessage", "HumanMessageChunk")


class SemcoreCache(BaseCache):
    """LangChain's `BaseCache` on a `Cache`, sync and async. No failure of the cache fails a model's call.

    Args:
        cache: where answers are kept; it stays the caller's, who closes it.
        semantic: also answer paraphrases of the last human text. Answers with tool calls never do.
        threshold: least similarity of a paraphrase; None: the cache's own, below which it cannot be.
        ttl: seconds that an answer lives, None for ever.
        tags: names by which `cache.invalidate(tag, namespace=...)` finds the entries.
        namespace: keeps them apart from all else in the cache; `clear` empties it.
        embed_timeout: seconds after which an `await` does without the text's meaning.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        cache: Cache,
        *,
        semantic: bool = True,
        threshold: float | None = None,
        ttl: float | None = None,
        tags: Iterable[str] = (),
        namespace: str = "langchain",
        embed_timeout: float = 1.0,
    ) -> None:
        self._threshold = cache.threshold if threshold is None else check_threshold(threshold)
        if self._threshold < cache.threshold:
            raise ValueError(f"threshold: {threshold} is below the cache's own {cache.threshold}")
        self._ttl, self._tags = check_ttl(ttl, False), tuple(tags)
        self._namespace, self._tier = namespace, Tier.SEMANTIC if semantic else Tier.EXACT
        self._store = Store(cache, embed_timeout)

    def lookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """The stored generations, or None."""
        return generations_of(self._store.find_now(self._place(prompt, llm_string), self._threshold).found)

    async def alookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """`lookup` in asyncio."""
        found = await self._store.find(self._place(prompt, llm_string), self._threshold)
        return generations_of(found.found)

    def update(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """Stores generations, unless LangChain cannot read back what it writes of them."""
        if (record := record_of(return_val)) is not None:
            place = self._place(prompt, llm_string)
            semantic = place.tier is Tier.SEMANTIC and not calls_tools(return_val)
            self._store.keep_now(place, record, None, semantic, self._ttl, self._tags, 0.0, 0.0)

    async def aupdate(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """`update` in asyncio."""
        if (record := record_of(return_val)) is not None:
            place = self._place(prompt, llm_string)
            semantic = place.tier is Tier.SEMANTIC and not calls_tools(return_val)
            await self._store.keep(place, record, None, semantic, self._ttl, self._tags, 0.0, 0.0)

    def clear(self, **kwargs: Any) -> None:
        """Removes everything of the namespace. kwargs: LangChain's, none of which says anything here."""
        self._store.cache.clear(self._namespace)

    async def aclear(self, **kwargs: Any) -> None:
        """`clear` in asyncio."""
        self.clear()

    def _place(self, prompt: str, llm_string: str) -> Place:
        text, context = parted(prompt)
        tier = self._tier if context is not None else Tier.EXACT
        key = packed([llm_string, context])
        return Place(self._namespace.encode(), key, prompt if context is None else text, tier)


def parted(prompt: str) -> tuple[str, Any]:
    """The last human text of a chat, and the chat without it; None where there is no such text."""
    try:
        messages = json.loads(prompt)
        *before, last = messages
        kind, message = last["id"][-1], last["kwargs"]
    except (ValueError, TypeError, LookupError):
        return prompt, None  # no chat
    if kind not in HUMAN or not isinstance(message, dict):
        return prompt, None
    try:
        text, context = last_user_text("openai-chat", {"messages": [{**message, "role": "user"}]})
    except ValueError:
        return prompt, None
    return (prompt, None) if text is None else (text, [before, kind, context])


def record_of(generations: Sequence[Generation]) -> Record | None:
    """As they are stored; None: LangChain cannot read them back."""
    body = dumps(list(generations))
    try:
        read(body)
    except (ValueError, NotImplementedError) as error:
        log.warning("generations are not stored, LangChain cannot read them back: %s", type(error).__name__)
        return None
    usage = [getattr(getattr(one, "message", None), "usage_metadata", None) or {} for one in generations]
    input = max((said.get("input_tokens", -1) for said in usage), default=-1)  # each tells the same prompt
    output = sum(said.get("output_tokens", 0) for said in usage) if any(usage) else -1
    return Record(VERSION, body.encode(), 0.0, [], [], input, output, [])


def read(body: str) -> list[Generation]:
    """Raises ValueError, NotImplementedError and what LangChain's loader raises."""
    made = loads(body, allowed_objects=READ)
    if not isinstance(made, list) or not all(isinstance(one, Generation) for one in made):
        raise ValueError("expected a list of generations")
    return made


def generations_of(found: Found | None) -> list[Generation] | None:
    """LangChain's objects; None if this LangChain cannot read them, which another one wrote. Of messages the
    ids are new: a graph takes two of one id for one message."""
    if found is None:
        return None
    try:
        generations = read(found.record.body.decode())
    except (ValueError, TypeError, ImportError, NotImplementedError) as error:
        unreadable(type(error).__name__)
        return None
    for one in generations:
        message = getattr(one, "message", None)
        if message is not None and message.id is not None:
            message.id = f"lc_run-{uuid.uuid4()}"
    return generations


@lru_cache(maxsize=16)
def unreadable(error: str) -> None:
    """Says so once for each kind of error."""
    log.warning("stored generations are asked for anew, LangChain cannot read them: %s", error)


def calls_tools(generations: Sequence[Generation]) -> bool:
    messages = [getattr(one, "message", None) for one in generations]
    return any(
        getattr(message, "tool_calls", None)
        or getattr(message, "invalid_tool_calls", None)
        or getattr(message, "additional_kwargs", {}).keys() & {"tool_calls", "function_call"}
        for message in messages
        if message is not None
    )
