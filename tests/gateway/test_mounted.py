"""The gateway inside another application."""

import asyncio
import importlib.util
import sys
from pathlib import Path

import httpx2
import openai
import pytest
from chats import chat
from upstream import KEY, Model, served

from semcore import Cache
from semcore.gateway.app import Gateway
from semcore.gateway.config import Settings
from semcore.gateway.message import Request
from semcore.gateway.upstream import Upstream

EXAMPLE = Path(__file__).parents[2] / "examples" / "fastapi_app" / "app.py"


@pytest.fixture
def example(monkeypatch):
    """The example's module, its model, and the URL where it is served."""
    pytest.importorskip("fastapi", reason="fastapi is not installed")
    model = Model(chat)
    with served(model) as upstream:
        monkeypatch.setenv("UPSTREAM_URL", f"http://127.0.0.1:{upstream}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.delenv("SEMCORE_CACHE", raising=False)
        spec = importlib.util.spec_from_file_location("fastapi_app", EXAMPLE)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "fastapi_app", module)  # FastAPI looks annotations up in it
        spec.loader.exec_module(module)
        with served(module.app) as port:
            yield module, model, f"http://127.0.0.1:{port}"
    assert module.gateway._served is None


def test_the_example(example):
    module, model, url = example
    with openai.OpenAI(base_url=url + "/llm/v1", api_key=KEY, max_retries=0) as client:
        messages = [{"role": "user", "content": "Where is my order?"}]
        create = client.chat.completions.with_raw_response.create
        answers = [create(model="stub-1", messages=messages) for _ in range(2)]
    assert [a.headers["cache-status"].split("; ")[1] for a in answers] == ["fwd=miss", "hit"]
    assert model.calls == 1
    assert model.asked[0].path == "/v1/chat/completions"
    for _ in range(2):
        answer = httpx2.get(url + "/support", params={"question": "Do you ship?"}).json()
        assert answer == {"answer": "you said: Do you ship?"}
    assert model.calls == 2
    assert module.cache.stats().hits == 2


@pytest.mark.parametrize(
    ("root", "path", "seen"),
    [
        ("", "/v1/models", "/v1/models"),
        ("/llm", "/llm/v1/models", "/v1/models"),
        ("/a b", "/a%20b/v1/models", "/v1/models"),
        ("/llm", "/v1/models", "/v1/models"),  # a proxy took it away
        ("/llm", "/llms/v1/models", "/llms/v1/models"),
        ("/v1", "/v1/v1/models", "/v1/models"),
    ],
)
def test_the_path_below_where_it_is_mounted(root, path, seen):
    scope = {"method": "GET", "root_path": root, "query_string": b"", "headers": []}
    assert Request.of({**scope, "raw_path": path.encode(), "path": "unused"}).path == seen
    assert Request.of({**scope, "path": path.replace("%20", " ")}).path == seen


def test_nested_mounts():
    starlette = pytest.importorskip("starlette", reason="starlette is not installed")
    from starlette.applications import Starlette
    from starlette.routing import Mount

    assert starlette
    model = Model(chat)
    with served(model) as port, Cache() as cache:
        upstreams = {"stub": Upstream("stub", f"http://127.0.0.1:{port}/v1")}
        gateway = Gateway(Settings(upstreams=upstreams), cache)
        app = Starlette(routes=[Mount("/a", routes=[Mount("/{tenant}", app=gateway)])])

        async def ask():
            transport = httpx2.ASGITransport(app)
            async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
                body = {"model": "stub-1", "messages": [{"role": "user", "content": "hi"}]}
                paths = ("/a/x/v1/chat/completions", "/a/y/stub/v1/chat/completions")
                said = [(await client.post(path, json=body)).headers["cache-status"] for path in paths]
            await gateway.close()
            return said

        assert [one.split("; ")[1] for one in asyncio.run(ask())] == ["fwd=miss", "hit"]
    assert model.calls == 1
