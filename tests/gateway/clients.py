"""OpenAI's client, and what tests of what is seen ask for."""

import json
import time
import urllib.error
import urllib.request

import openai
from upstream import KEY


def ask(running, text="Where is my order?", key=KEY, **options):
    """A completion; of a stream, its chunks."""
    options = {"model": "stub-1", "messages": [{"role": "user", "content": text}], **options}
    with openai.OpenAI(base_url=running.url + "/v1", api_key=key, max_retries=0) as client:
        answer = client.chat.completions.create(**options)
        return list(answer) if options.get("stream") else answer


def fetch(running, path, headers=None, body=None):
    """Status and body of a request without a client; JSON is read."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(running.url + path, data=data, headers=headers or {})
    try:
        with urllib.request.urlopen(request) as response:
            status, text, kind = response.status, response.read().decode(), response.headers["content-type"]
    except urllib.error.HTTPError as error:
        status, text, kind = error.code, error.read().decode(), error.headers["content-type"]
    return status, json.loads(text) if kind == "application/json" else text


def until(condition):
    """Waits for what happens after a response has gone."""
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.002)
    assert condition()
