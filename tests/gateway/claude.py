"""Messages as Anthropic's API gives them, whole and as streams."""

import itertools
import json

from upstream import Answer

_ids = itertools.count(1)
USAGE = {
    "input_tokens": 11,
    "cache_creation_input_tokens": 100,
    "cache_read_input_tokens": 1000,
    "output_tokens": 7,
    "service_tier": "standard",
}


def text(said):
    return {"type": "text", "text": said}


def call(name="weather", **arguments):
    return {"type": "tool_use", "id": f"toolu_{next(_ids):024d}", "name": name, "input": arguments}


def message(*content, stop="end_turn", **fields):
    return {
        "id": f"msg_{next(_ids):024d}",
        "type": "message",
        "role": "assistant",
        "model": "claude-stub",
        "content": list(content) or [text("an answer")],
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": USAGE,
        **fields,
    }


def event(kind, **fields):
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def words(said):
    return [(" " if i else "") + word for i, word in enumerate(said.split(" "))]


def deltas(block):
    """What follows the start of a block, and the start."""
    kind = block["type"]
    if kind == "text":
        return {**block, "text": ""}, [{"type": "text_delta", "text": word} for word in words(block["text"])]
    if kind == "thinking":
        start = {**block, "thinking": "", "signature": ""}
        told = [{"type": "thinking_delta", "thinking": word} for word in words(block["thinking"])]
        return start, [*told, {"type": "signature_delta", "signature": block["signature"]}]
    if kind == "tool_use":
        pieces = ["", *words(json.dumps(block["input"]))]
        return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": p} for p in pieces]
    return block, []


def stream(whole):
    """The events of a message, a word an event."""
    usage = {**whole["usage"], "output_tokens": 1}
    start = {**whole, "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
    yield event("message_start", message=start)
    yield event("ping")
    for index, block in enumerate(whole["content"]):
        begun, pieces = deltas(block)
        yield event("content_block_start", index=index, content_block=begun)
        for piece in pieces:
            yield event("content_block_delta", index=index, delta=piece)
        yield event("content_block_stop", index=index)
    end = {"stop_reason": whole["stop_reason"], "stop_sequence": whole["stop_sequence"]}
    yield event("message_delta", delta=end, usage={"output_tokens": whole["usage"]["output_tokens"]})
    yield event("message_stop")


def given(make):
    """An upstream's function that answers with `make(body)`, in the form that was asked for."""

    def answer(asked):
        whole = make(asked.json)
        if asked.json.get("stream"):
            return Answer(list(stream(whole)), kind="text/event-stream; charset=utf-8")
        return Answer(json.dumps(whole).encode())

    return answer


def last_text(body):
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else content[-1].get("text", "a result")


def echo(body):
    return message(text(f"you said: {last_text(body)}"))
