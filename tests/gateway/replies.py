"""Responses as OpenAI's API gives them, whole and as streams."""

import itertools
import json

from upstream import Answer

_ids = itertools.count(1)
USAGE = {
    "input_tokens": 11,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 7,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 18,
}


def new(kind):
    return f"{kind}_{next(_ids):048d}"


def message(text, **part):
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": [], **part}
    return {
        "id": new("msg"),
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [part],
    }


def reasoning(summary="a thought", **more):
    return {
        "id": new("rs"),
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": summary}],
        **more,
    }


def call(city):
    return {
        "id": new("fc"),
        "type": "function_call",
        "status": "completed",
        "call_id": new("call"),
        "name": "weather",
        "arguments": json.dumps({"city": city}),
    }


def response(*output, **more):
    return {
        "id": new("resp"),
        "object": "response",
        "created_at": 1764000000,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": "stub-1",
        "output": list(output),
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": USAGE,
        **more,
    }


def stream(answer):
    """The frames of an answer with one message, a word a frame."""
    item = answer["output"][0]
    begun = {**answer, "status": "in_progress", "output": [], "usage": None}
    text, where = item["content"][0]["text"], {"item_id": item["id"], "output_index": 0, "content_index": 0}
    empty = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    events = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {**item, "status": "in_progress", "content": []},
        },
        {"type": "response.content_part.added", **where, "part": empty},
        *(
            {"type": "response.output_text.delta", **where, "delta": " " * (i > 0) + word, "logprobs": []}
            for i, word in enumerate(text.split())
        ),
        {"type": "response.output_text.done", **where, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **where, "part": item["content"][0]},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": answer},
    ]
    for number, event in enumerate(events):
        data = json.dumps({**event, "sequence_number": number})
        yield f"event: {event['type']}\ndata: {data}\n\n".encode()


def text_of(body):
    last = body["input"] if isinstance(body["input"], str) else body["input"][-1]["content"]
    return last if isinstance(last, str) else last[-1]["text"]


def reply(asked):
    """Answers with the last text, in the form that was asked for."""
    body = asked.json
    answer = response(message(f"you said: {text_of(body)}"), metadata=body.get("metadata") or {})
    if body.get("stream"):
        return Answer(list(stream(answer)), kind="text/event-stream; charset=utf-8")
    return Answer(json.dumps(answer).encode())


def agent(asked):
    """Calls a tool for Paris and Oslo; told the results, answers with them."""
    results = [turn["output"] for turn in asked.json["input"] if turn.get("type") == "function_call_output"]
    output = [message(", ".join(results))] if results else [reasoning(), call("Paris"), call("Oslo")]
    return Answer(json.dumps(response(*output)).encode())
