"""Values at the ends of chats, for `Cache.get(messages=...)` and `Cache.put(messages=...)`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from semcore import _engine
from semcore.errors import CapacityError
from semcore.prefix.chat import chat_units

if TYPE_CHECKING:
    from semcore._engine import Hit
    from semcore.prefix import PrefixIndex

Text = str | bytes


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


def find(index: PrefixIndex, prompt: Any, namespace: Text, context: object) -> Hit | None:
    """The value of the longest beginning that has a live one."""
    found = index.match(prompt, namespace=name(namespace, context))
    if not found.value_at:
        return None
    return _engine.prefix_hit(found.value, messages_in(prompt, found.value_at, found.total))


def attach(
    index: PrefixIndex, prompt: Any, value: Any, ttl: float | None, namespace: Text, context: object
) -> int:
    """Keeps a value at the end of a chat; how many messages that is."""
    if value is None:
        raise TypeError("value: expected an answer to keep with these messages, got None")
    done = index.insert(prompt, value, ttl=ttl, namespace=name(namespace, context))
    if not done.stored:
        raise CapacityError("value: the prefix index has no room for it beside what is pinned and in use")
    return messages_in(prompt, done.total, done.total)


def messages_in(prompt: Any, units: int, total: int) -> int:
    """How many whole messages the first of a chat's total units are; tools and system count as none."""
    if isinstance(prompt, list) and total == len(prompt):  # each message is one
        return units
    labels = [label for label, _, _ in chat_units(prompt)]
    whole = {label for label in labels[:units] if label.startswith("message ")}
    return len(whole) - (units < len(labels) and labels[units] in whole)
