"""A model whose answer is a function of the topic, and that fails often: `python moody.py PORT SEED`."""

import asyncio
import hashlib
import json
import random
import sys

import uvicorn
from chats import completion, stream

PAUSE = 0.002  # seconds between two frames
MOODS = {"well": 45, "cut": 12, "short": 15, "length": 10, "error": 8, "broken": 10}


def topic_of(body):
    """What a request is about: its system prompt says so, however the question is worded."""
    return int(body["messages"][0]["content"].rpartition(" ")[2])


def truth(topic):
    """The whole answer: some words that nobody can guess."""
    digest = hashlib.sha256(str(topic).encode()).hexdigest()
    return " ".join([f"topic{topic}", *(digest[i : i + 4] for i in range(0, 64, 4)), "end"])


class Moody:
    """An ASGI application.

    well: the truth; cut: the connection breaks in the middle; short: ends in the middle as if it were whole;
    length: the truth's first half, and says so; error: a status; broken: an error in the middle.
    """

    def __init__(self, seed):
        self._dice = random.Random(seed)

    async def __call__(self, scope, receive, send):
        raw, more = b"", True
        while more:
            message = await receive()
            raw, more = raw + message.get("body", b""), message.get("more_body")
        body = json.loads(raw)
        mood = self._dice.choices(list(MOODS), MOODS.values())[0]
        if mood == "error":
            await say(send, self._dice.choice((429, 500, 503)), b'{"error":{"message":"no"}}')
        elif body.get("stream"):
            await self._stream(send, truth(topic_of(body)), mood)
        else:
            await self._object(send, truth(topic_of(body)), mood)

    async def _stream(self, send, text, mood):
        if mood == "length":
            text = half(text)
        frames = list(stream(text, finish="length" if mood == "length" else "stop", usage=True))
        if mood in ("cut", "short", "broken"):
            frames = frames[: self._dice.randrange(len(frames) - 3)]
        if mood == "broken":
            frames.append(b'data: {"error":{"message":"overloaded"}}\n\n')
        kind = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": kind})
        for frame in frames:
            await asyncio.sleep(PAUSE)
            await send({"type": "http.response.body", "body": frame, "more_body": True})
        if mood != "cut":
            await send({"type": "http.response.body", "body": b""})

    async def _object(self, send, text, mood):
        await asyncio.sleep(PAUSE * 10)
        answer = completion(half(text), "length") if mood == "length" else completion(text)
        raw = json.dumps(answer).encode()
        if mood == "cut":
            await say(send, 200, half(raw), length=len(raw))
        else:
            await say(send, 200, half(raw) if mood in ("short", "broken") else raw)


def half(text):
    return text[: len(text) // 2]


async def say(send, status, body, length=None):
    """length: what is promised, if it is not what comes."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % (length or len(body)))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": length is not None})


if __name__ == "__main__":
    port, seed = map(int, sys.argv[1:])
    uvicorn.run(Moody(seed), port=port, lifespan="off", log_level="critical", access_log=False)
