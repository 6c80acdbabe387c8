"""The official clients for Node, of OpenAI and Anthropic, as judges of what the gateway gives.

They need `node`, and SEMCORE_NODE_MODULES: a `node_modules` with `openai` and `@anthropic-ai/sdk`.
"""

import base64
import json
import os
import shutil
import struct
import subprocess
from pathlib import Path

import claude
import pytest
import replies
from chats import agent, chat
from upstream import Answer, Model, gateway

MODULES = Path(os.environ.get("SEMCORE_NODE_MODULES", "node_modules")).absolute()
CLIENT = Path(__file__).with_name("node_client.mjs")
pytestmark = [
    pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed"),
    pytest.mark.skipif(
        not all((MODULES / name).is_dir() for name in ("openai", "@anthropic-ai/sdk")),
        reason="$SEMCORE_NODE_MODULES has not both of openai and @anthropic-ai/sdk",
    ),
]
SAID = {"text": "you said: What is my order status?", "calls": [], "finish": "stop", "tokens": 7}


def does(model, *actions):
    """What the clients got, one after the other, through one gateway."""
    with gateway(model) as running:
        done = subprocess.run(
            ["node", CLIENT, running.url, *actions], capture_output=True, text=True, timeout=60,
            env=os.environ | {"SEMCORE_NODE_MODULES": str(MODULES)},
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("first", ["create", "stream"])
def test_a_completion_is_given_in_both_forms(first):
    model = Model(chat)
    assert does(model, first, "create", "stream") == [SAID] * 3
    assert model.calls == 1


@pytest.mark.parametrize("first", ["tools", "streamTools"])
def test_calls_of_tools_have_new_ids(first):
    model = Model(agent)
    got = does(model, first, "tools", "streamTools")
    assert model.calls == 1
    ids = [id for each in got for id, _ in each["calls"]]
    assert len(set(ids)) == 6
    for each in got:
        assert [given for _, given in each["calls"]] == [{"city": "Paris"}, {"city": "Oslo"}]
        assert each["finish"] == "tool_calls"


@pytest.mark.parametrize("first", ["responses", "streamResponses"])
def test_a_response_is_given_in_both_forms(first):
    model = Model(replies.reply)
    assert does(model, first, "responses", "streamResponses") == [SAID["text"]] * 3
    assert model.calls == 1


def embed(asked):
    """Two numbers for each text, in base64, which is what the client asks for."""
    assert asked.json["encoding_format"] == "base64"
    data = [
        {
            "object": "embedding",
            "index": i,
            "embedding": base64.b64encode(struct.pack("<2f", 0.25, i)).decode(),
        }
        for i, _ in enumerate(asked.json["input"])
    ]
    usage = {"prompt_tokens": 2, "total_tokens": 2}
    return Answer(json.dumps({"object": "list", "data": data, "model": "stub-1", "usage": usage}).encode())


def test_embeddings_in_the_clients_own_format():
    model = Model(embed)
    assert does(model, "embeddings", "embeddings") == [[[0.25, 0], [0.25, 1]]] * 2
    assert model.calls == 1


@pytest.mark.parametrize("first", ["message", "streamMessage"])
def test_a_message_is_given_in_both_forms(first):
    model = Model(claude.given(claude.echo))
    assert does(model, first, "message", "streamMessage") == [SAID | {"finish": "end_turn"}] * 3
    assert model.calls == 1


@pytest.mark.parametrize("first", ["messageTools", "streamMessageTools"])
def test_a_messages_calls_have_new_ids(first):
    model = Model(claude.given(lambda body: claude.message(claude.call(city="Paris"), stop="tool_use")))
    got = does(model, first, "messageTools", "streamMessageTools")
    assert model.calls == 1
    assert len({id for each in got for id, _ in each["calls"]}) == 3
    assert [each["calls"][0][1] for each in got] == [{"city": "Paris"}] * 3


@pytest.mark.parametrize(
    ("action", "client"), [("create", "OpenAI"), ("stream", "OpenAI"), ("embeddings", "OpenAI"),
                           ("message", "Anthropic"), ("streamMessage", "Anthropic")],
)  # fmt: skip
def test_a_limit_is_the_clients_own_error(action, client):
    body = b'{"type":"error","error":{"type":"rate_limit_error","message":"slowly"}}'
    model = Model(lambda asked: Answer(body, status=429, headers=[(b"retry-after", b"7")]))
    (got,) = does(model, action)
    assert got == {"error": f"{client}.RateLimitError", "status": 429, "after": "7"}
