"""Requests and answers that are wrong in some way, by dice: HTTP's and JSON's shapes, half valid."""

import json
from typing import NamedTuple

import chats
import claude
import replies
import test_gemini as gemini

TEXT = "Where is my order?"
TURNS = [{"role": "system", "content": "short"}, {"role": "user", "content": TEXT}]
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
CALL = {"role": "assistant", "content": None, "tool_calls": chats.calls("Paris")}
USAGE = {"include_usage": True}
WARM = {"role": "tool", "tool_call_id": "call_1", "content": "warm"}
PARTS = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": "data:,x"}}]
CHAT, EMBED, MESSAGES = "/v1/chat/completions", "/v1/embeddings", "/v1/messages"
GENERATE, STREAM = gemini.PATH + "generateContent", gemini.PATH + "streamGenerateContent"
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "warm"}]}
BODIES = [
    (CHAT, {"model": "stub-1", "messages": TURNS, "temperature": 0, "tools": [TOOL]}),
    (CHAT, {"model": "stub-1", "messages": TURNS, "stream": True, "stream_options": USAGE}),
    (CHAT, {"model": "stub-1", "messages": [*TURNS, CALL, WARM]}),
    (CHAT, {"model": "stub-1", "messages": [{"role": "user", "content": PARTS}], "stream": True, "n": 2}),
    ("/v1/completions", {"model": "stub-1", "prompt": TEXT, "logprobs": 1}),
    ("/v1/completions", {"model": "stub-1", "prompt": ["a", "b"], "stream": True}),
    ("/v1/responses", {"model": "stub-1", "input": TEXT, "store": False, "stream": True}),
    ("/v1/responses", {"model": "stub-1", "input": [{"role": "user", "content": TEXT}], "store": False}),
    (EMBED, {"model": "stub-1", "input": ["a", "b"], "encoding_format": "float", "dimensions": 2}),
    (EMBED, {"model": "stub-1", "input": [[1, 2], [3]], "encoding_format": "base64"}),
    (MESSAGES, {"model": "c", "max_tokens": 9, "messages": TURNS[1:], "system": [PARTS[0]]}),
    (MESSAGES, {"model": "c", "max_tokens": 9, "messages": TURNS[1:], "stream": True}),
    (MESSAGES, {"model": "c", "max_tokens": 9, "messages": [{"role": "user", "content": [RESULT]}]}),
    (GENERATE, {"contents": [{"role": "user", "parts": [{"text": TEXT}]}], "systemInstruction": {}}),
    (STREAM, {"contents": [{"parts": [{"text": TEXT}]}], "tools": [gemini.FUNCTION]}),
]  # fmt: skip
PURGES = [{"id": 7}, {"tag": "a", "namespace": "b"}, {"namespace": "b"}, {"everything": True}]
ODD_PATHS = [
    "/", "", "*", "//", "/v1", "/v1/", "/v1/models", "/v1//chat/completions", "/stub/v1/chat/completions",
    "/stub", "/nobody/v1/messages", "/v1/chat/completions/", "/v1/%63hat/completions", "/%ff/completions",
    "/\xff/completions", "/v1/../completions", "/a:generateContent", "/:streamGenerateContent",
    "@host/completions", "http://host/completions", "/metrics", "/_semcore", "/_semcore/stats",
    "/_semcore/health", "/_semcore/purge", "/_semcore/\xe9", "/v1/files?x=/completions", "/v1/x#y",
    "/v1/[/completions", "/v1/%/responses",
]  # fmt: skip
METHODS = ["POST"] * 12 + ["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "M-SEARCH"]
QUERIES = [
    b"", b"alt=sse", b"alt=json", b"alt=sse&alt=json", b"alt", b"key=a", b"key=%ff&access_token=\xff",
    b"api-version=1", b"&&==&", b"%", b"a=%zz;b", b"?", b"#", b"[", b"\xff\xfe", b"a=" + b"x" * 3000,
]  # fmt: skip
NAMES = [
    b"cache-control", b"x-semcore-ttl", b"x-semcore-threshold", b"x-semcore-tags", b"x-semcore-mode",
    b"x-semcore-namespace", b"x-semcore-key", b"x-semcore-", b"x-semcore-admin", b"cf-aig-cache-ttl",
    b"cf-aig-skip-cache", b"cf-aig-cache-key", b"authorization", b"x-api-key", b"content-encoding",
    b"content-type", b"accept-encoding", b"accept", b"connection", b"te", b"host", b"anthropic-version",
    b"openai-organization", b"traceparent", b"upgrade", b"cookie", b"x", b"range", b"if-none-match",
]  # fmt: skip
VALUES = [
    b"", b" ", b"0", b"-1", b"1", b"0.5", b"1e9", b"1e999", b"nan", b"inf", b"-0", b"1_0", b"\xb2", b"0x1",
    b"9" * 400, b"soon", b"no-store", b"no-cache", b"only-if-cached", b"max-age=1", b"max-age=\xb2",
    b"max-age=" + b"9" * 400, b"max-stale", b"max-stale=x", b'max-age="5", no-cache', b",,=,", b"true",
    b"coalesced", b"faithful", b"a,b,,c", b"t" * 300, b",".join(b"%d" % i for i in range(99)), b"\xff\xfe",
    b"gzip", b"identity", b"br, \xe9", b"application/json; charset=utf-16", b"text/plain", b"close",
    b"keep-alive, x-semcore-ttl", b"x-api-key", b"websocket", b"Bearer sk-1", b"Bearer \xff", b"n" * 5000,
]  # fmt: skip
DEPTHS = (100, 250, 300, 505, 600, 990, 1020, 1100, 5000)
JUNK = [
    None, True, False, 0, 1, -1, 1.5, -0.0, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, 2**64,
    -(2**63), -(2**64), 10**400, float("nan"), float("inf"), "", " ", "x", "\0", "\x1e", "\n\x1e\n",
    "\ud800", "\U0001f600", "data:,x", "A" * 1500, "user", "text", "stop", [], {}, [[]], [{}], [None],
    {"": None}, {"type": None}, {"type": "text"}, {"type": []}, [1, "a"], [True], [1e40], ["a", "a"],
]  # fmt: skip
JUNK += [f"@deep{depth}" for depth in DEPTHS]  # written as so many lists, one in the other


class Wrong(NamedTuple):
    """A request. length: is its body's length told?"""

    method: str
    path: str
    query: bytes
    headers: list
    pieces: list
    plain: object  # the body that was meant, before anything was done to its text

    @property
    def body(self):
        return b"".join(self.pieces)


class Answer(NamedTuple):
    """What the model's server says: the head's status and type, and the body. cut: then the connection ends
    too early."""

    status: int
    kind: bytes
    body: bytes
    cut: bool


def written(value):
    """As JSON, also what JSON has not."""
    text = json.dumps(value)
    for depth in DEPTHS:
        text = text.replace(f'"@deep{depth}"', "[" * depth + "]" * depth)
    return text.encode()


def mutated(dice, value):
    """A value with something wrong at a place inside it."""
    if isinstance(value, (dict, list)) and value and dice.random() < 0.8:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        key = dice.choice(keys)
        new = value.copy()
        if dice.random() < 0.15:
            del new[key]
        elif isinstance(value, dict) and dice.random() < 0.1:
            new[dice.choice(("x", "type", "index", "stop", "", "\ud800", "error"))] = dice.choice(JUNK)
        elif isinstance(value, list) and dice.random() < 0.1:
            new.append(value[key])
        else:
            new[key] = mutated(dice, value[key])
        return new
    return dice.choice(JUNK)


def garbled(dice, raw):
    """Bytes with some of them wrong."""
    at = dice.randrange(len(raw) + 1)
    match dice.randrange(7):
        case 0:
            return raw[:at]
        case 1:
            return raw[:at] + dice.randbytes(dice.randrange(1, 9)) + raw[at:]
        case 2:
            return raw[:at] + dice.randbytes(1) + raw[at + 1 :]
        case 3:
            return raw.replace(
                b"{", dice.choice((b'{"model":1,', b'{"stream":true,"n":null,', b"{{", b"{,")), 1
            )
        case 4:
            return dice.choice(
                (b"\xef\xbb\xbf" + raw, raw.decode("latin-1").encode("utf-16"), raw + raw, raw + b"\0")
            )
        case 5:
            return raw.replace(b":", dice.choice((b":NaN,", b":-", b":1e999,", b'"', b":")), 1)
        case _:
            return dice.randbytes(dice.randrange(40))


def some(dice, value, often=0.7):
    """A value as JSON: as it is, with wrong things inside, or as a wrong text."""
    while dice.random() < often:
        value = mutated(dice, value)
    raw = written(value)
    return garbled(dice, raw) if dice.random() < 0.15 else raw


def request(dice):
    path, body = dice.choice(BODIES)
    query = b"alt=sse" if path == STREAM else b""
    raw = some(dice, body)
    if dice.random() < 0.1:
        path = dice.choice(ODD_PATHS)
        if path.endswith("purge"):
            raw = some(dice, dice.choice(PURGES), 0.4)
    if dice.random() < 0.1:
        query = dice.choice(QUERIES)
    headers = [(b"content-type", b"application/json"), (b"authorization", b"Bearer sk-1")]
    while dice.random() < 0.25:
        headers.append((dice.choice(NAMES), dice.choice(VALUES)))
    if raw and dice.random() < 0.95:
        headers.append((b"content-length", b"%d" % len(raw)))
    dice.shuffle(headers)
    at = dice.randrange(len(raw) + 1)
    pieces = [raw] if dice.random() < 0.8 else [raw[:at], raw[at:]]
    return Wrong(dice.choice(METHODS), path, query, headers, pieces, body)


REFUSAL = b'{"error":{"message":"not understood","type":"invalid_request_error"}}'


def answers_to(wanted):
    """A good answer to a request, whole and as frames."""
    path, body = wanted.path, wanted.plain
    if "messages" in path:
        whole = claude.message(claude.text("it is on its way"), claude.call(city="Paris"), stop="tool_use")
        return whole, list(claude.stream(whole))
    if "esponses" in path:
        whole = replies.response(
            replies.message("it is on its way"), replies.reasoning(), replies.call("Oslo")
        )
        return whole, list(replies.stream(whole))
    if "enerateContent" in path:
        whole = gemini.whole(
            {"text": "it is on its way"}, {"functionCall": {"name": "f", "args": {}, "id": "1"}}
        )
        return whole, [b"data: " + json.dumps(each).encode() + b"\r\n\r\n" for each in gemini.streamed(whole)]
    if "input" in body:
        data = [{"object": "embedding", "index": i, "embedding": [0.25, i]} for i in range(2)]
        return {"object": "list", "data": data, "model": "stub-1", "usage": chats.USAGE}, []
    if "prompt" in body:
        choice = {"index": 0, "text": "on its way", "finish_reason": "stop", "logprobs": None}
        whole = {
            "id": "cmpl-1",
            "object": "text_completion",
            "model": "m",
            "choices": [choice],
            "usage": chats.USAGE,
        }
        return whole, [chats.frame(whole), b"data: [DONE]\n\n"]
    calls = chats.calls("Paris") if "tools" in body else []
    answer = chats.completion("it is on its way", "tool_calls" if calls else "stop", tool_calls=calls)
    return answer, list(chats.stream("it is on its way", usage=True, calls=calls))


def answer(dice, wanted):
    """What the model's server says to a request: half of the time that it did not understand it."""
    if dice.random() < 0.3:
        return Answer(400, b"application/json", REFUSAL, False)
    whole, frames = answers_to(wanted)
    if frames and dice.random() < 0.5:
        kind, body = b"text/event-stream", b"".join(stream(dice, frames))
    else:
        kind, body = b"application/json", some(dice, whole, 0.6)
    status = 200 if dice.random() < 0.8 else dice.choice((201, 204, 302, 400, 404, 429, 500, 503, 529, 599))
    if dice.random() < 0.05:
        kind = dice.choice(
            (b"", b"text/html", b"text/event-stream; charset=\xff", b";", b"application/json; x")
        )
    return Answer(status, kind, b"" if status == 204 else body, dice.random() < 0.05)


def stream(dice, frames):
    """Frames with some of them wrong, lost, twice, or in another order."""
    frames = list(frames)
    while dice.random() < 0.6:
        at = dice.randrange(len(frames))
        match dice.randrange(6):
            case 0:
                frames.insert(dice.randrange(len(frames)), frames[at])
            case 1 if len(frames) > 1:
                del frames[at]
            case 2:
                frames[at] = garbled(dice, frames[at])
            case 3:
                frames[at] = dice.choice(
                    (b"data\n\n", b"data: [DONE]\n\n", b": hm\n\n", b"\r\r", b"event: \xff\n")
                )
            case _:
                frames[at] = reworded(dice, frames[at])
    return frames


def reworded(dice, frame):
    head, data, rest = frame.partition(b"data: ")
    try:
        value = json.loads(rest)
    except (ValueError, RecursionError):
        return frame
    return head + data + written(mutated(dice, value)) + b"\n\n"
