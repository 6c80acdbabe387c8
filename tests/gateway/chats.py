"""Chat completions as OpenAI's API gives them, whole and as streams."""

import itertools
import json

from upstream import Answer

_ids = itertools.count(1)
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


def completion(content="an answer", finish="stop", **message):
    return {
        "id": f"chatcmpl-{next(_ids):024d}",
        "object": "chat.completion",
        "created": 1764000000,
        "model": "stub-1",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": content, **message},
                "logprobs": None,
                "finish_reason": finish,
            }
        ],
        "usage": USAGE,
    }


def frame(value):
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def stream(content="an answer", finish="stop", usage=False, calls=()):
    """The frames of a stream, a word a frame."""
    head = {"id": f"chatcmpl-{next(_ids):024d}", "created": 1764000000, "model": "stub-1"}
    head["object"] = "chat.completion.chunk"

    def chunk(delta, finish=None):
        return frame({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    yield chunk({"role": "assistant", "content": "" if content else None})
    for i, word in enumerate((content or "").split()):
        yield chunk({"content": (" " if i else "") + word})
    for index, call in enumerate(calls):
        yield chunk({"tool_calls": [{"index": index, **call}]})
    if finish:
        yield chunk({}, finish)
        if usage:
            yield frame({**head, "choices": [], "usage": USAGE})
        yield b"data: [DONE]\n\n"


def chat(asked):
    """Answers with the last message's text, in the form that was asked for."""
    body = asked.json
    text = f"you said: {body['messages'][-1]['content']}"
    if not body.get("stream"):
        return Answer(json.dumps(completion(text)).encode())
    usage = (body.get("stream_options") or {}).get("include_usage", False)
    return Answer(list(stream(text, usage=usage)), kind="text/event-stream; charset=utf-8")


def calls(*cities):
    """Parallel calls of a tool, with new ids."""
    return [
        {
            "id": f"call_{next(_ids):024d}",
            "type": "function",
            "function": {"name": "weather", "arguments": json.dumps({"city": city})},
        }
        for city in cities
    ]


def agent(asked):
    """Calls a tool for Paris and Oslo; told the results, answers with them."""
    body = asked.json
    results = [message["content"] for message in body["messages"] if message["role"] == "tool"]
    usage = (body.get("stream_options") or {}).get("include_usage", False)
    if body.get("stream"):
        given = () if results else calls("Paris", "Oslo")
        text, finish = (", ".join(results), "stop") if results else (None, "tool_calls")
        return Answer(list(stream(text, finish, usage, given)), kind="text/event-stream")
    if results:
        return Answer(json.dumps(completion(", ".join(results))).encode())
    answer = completion(None, "tool_calls", tool_calls=calls("Paris", "Oslo"))
    return Answer(json.dumps(answer).encode())


def named(value):
    """The name of a test's parameter, the same in every process."""
    text = repr(value)
    return getattr(value, "name", None) or (type(value).__name__ if " at 0x" in text else text)
