"""A FastAPI application with the gateway mounted, and an endpoint of its own on the same cache."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import openai
from fastapi import FastAPI

from semcore import Cache
from semcore.gateway.app import Gateway
from semcore.gateway.config import Settings
from semcore.gateway.upstream import Upstream

URL = os.environ.get("UPSTREAM_URL", "https://api.openai.com/v1")
MODEL = os.environ.get("MODEL", "gpt-5.4-mini")

cache = Cache(os.environ.get("SEMCORE_CACHE"))  # no path: memory of its own
gateway = Gateway(Settings(upstreams={"models": Upstream("models", URL)}), cache)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """A mounted application is not told when it ends: the one around it closes it."""
    yield
    await gateway.close()
    cache.close()


app = FastAPI(lifespan=lifespan)
app.mount("/llm", gateway)


async def ask_model(question: str) -> str:
    async with openai.AsyncOpenAI(base_url=URL) as client:
        messages = [{"role": "user", "content": question}]
        answer = await client.chat.completions.create(model=MODEL, messages=messages)
    return answer.choices[0].message.content or ""


@app.get("/support")
async def support(question: str) -> dict[str, str]:
    return {"answer": await cache.aget_or_compute(question, ask_model, namespace="support")}
