"""Values at the ends of chats, for `Cache.get(messages=...)` and `Cache.put(messages=...)`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from semcore import _engine
from semcore._args import UNSET, check_ttl
from semcore.errors import CapacityError
from semcore.prefix.chat import ChatError, chat_units
from semcore.prefix.index import PrefixIndex

if TYPE_CHECKING:
    from semcore._engine import Hit
    from semcore.cache import Cache

Text = str | bytes
PRIVATE_BLOCKS = 1 << 16  # of a cache in private memory


def check_one(text: object, messages: object) -> None:
    if text is None and messages is None:
        raise TypeError("text: expected str or bytes (or messages, a chat), got NoneType")
    if text is not None:
        raise TypeError("text, messages: expected one of them (tools and system belong to messages)")


def chat(messages: Any, tools: Any, system: Any) -> Any:
    """The prompt that an index takes."""
    if not isinstance(messages, Sequence) or isinstance(messages, (str, bytes)):
        raise TypeError(f"messages: expected a list of chat messages, got {type(messages).__name__}")
    if messages and not isinstance(messages[0], dict):  # the index would take numbers for tokens
        raise TypeError(f"messages: message 0: expected a dict, got {type(messages[0]).__name__}")
    messages = messages if type(messages) is list else list(messages)
    if tools is None and system is None:
        return messages
    return {"messages": messages, "tools": tools, "system": system}


def name(namespace: Text, context: object) -> tuple[Text, ...]:
    """The partition, as an index takes it."""
    return (namespace,) if context is None else (namespace, _engine.packed_context(context))


def index(cache: Cache) -> PrefixIndex:
    """The cache's own, made when it is first asked for. Raises ConfigError: the file was made without one."""
    with cache._making:
        _engine.describe(cache)  # a closed cache makes none
        if cache._prefix is None and cache._prefix_apart:
            cache._prefix = PrefixIndex(blocks=PRIVATE_BLOCKS, clock=cache._clock)
        elif cache._prefix is None:
            cache._prefix = PrefixIndex.of(cache)
        return cache._prefix


def clear(cache: Cache) -> None:
    """Forgets what the cache's index holds, if it has one."""
    if cache._prefix is not None or _engine.describe(cache)["prefix"][0]:
        cache.prefix.clear()


def find(
    cache: Cache, text: object, messages: Any, tools: Any, system: Any, namespace: Text, context: object
) -> Hit | None:
    """What `get` does with messages: the value of the longest beginning that has a live one. Counts."""
    check_one(text, messages)
    prompt, where = chat(messages, tools, system), name(namespace, context)
    try:
        found = cache.prefix.match(prompt, namespace=where)
    except ChatError as error:
        raise TypeError(_named(error)) from error
    if not found.value_at:
        cache._miss()
        return None
    cache._hit_prefix()
    return _engine.prefix_hit(found.value, messages_in(prompt, found.value_at, found.total))


def attach(
    cache: Cache,
    text: object,
    value: Any,
    asked: tuple[Any, Any, Any],
    namespace: Text,
    context: object,
    ttl: float | None,
    bare: bool,
) -> int:
    """What `put` does with messages, tools and system: keeps a value at their end; how many messages that is.

    bare: nothing else was given.
    """
    check_one(text, asked[0])
    if not bare:
        raise ValueError("messages: expected no vector, tags, tokens, cost or latency_ms with them")
    seconds = cache._ttl if ttl is UNSET else check_ttl(ttl, False)
    prompt = chat(*asked)
    if not asked[0] and not asked[1] and asked[2] is None:
        raise ValueError("messages: expected at least one")
    if value is None:
        raise TypeError("value: expected an answer to keep with these messages, got None")
    try:
        done = cache.prefix.insert(prompt, value, ttl=seconds or None, namespace=name(namespace, context))
    except ChatError as error:
        raise TypeError(_named(error)) from error
    if not done.stored:
        raise CapacityError("value: the prefix index has no room for it beside what is pinned and in use")
    return messages_in(prompt, done.total, done.total)


def _named(error: ChatError) -> str:
    """The error with the argument's name in front."""
    part = error.what.split(":")[0].split(" ")[0]
    argument = part if part in ("tools", "system") else "messages"
    return error.what if error.what.startswith(f"{argument}:") else f"{argument}: {error.what}"


def messages_in(prompt: Any, units: int, total: int) -> int:
    """How many whole messages the first of a chat's total units are; tools and system count as none."""
    if isinstance(prompt, list) and total == len(prompt):  # each message is one
        return units
    labels = [label for label, _, _ in chat_units(prompt)]
    whole = {label for label in labels[:units] if label.startswith("message ")}
    return len(whole) - (units < len(labels) and labels[units] in whole)
