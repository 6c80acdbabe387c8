"""A demonstration without a network: a support desk's questions, a small model, the gateway before it."""

from __future__ import annotations

import asyncio
import importlib.util
import random
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, NamedTuple, Protocol

import aiohttp
import uvicorn

from semcore import Cache
from semcore.gateway.app import Gateway
from semcore.gateway.config import Settings, Upstream
from semcore.gateway.seen import Seen
from semcore.gateway.serve import address_of, listen
from semcore.gateway.stub import MODEL, StubModel
from semcore.wire.chat import Chat
from semcore.wire.encode import dumps, loads
from semcore.wire.question import Json
from semcore.wire.sse import Frames

TENANTS = ("sk-demo-acme", "sk-demo-globex")  # credentials of nobody
AT_ONCE = 4
SEED = 2

TOPICS = {  # what the model says, and how customers ask for it
    "Open the sign-in page, choose 'Forgot password', and follow the link that we send you by mail.": (
        "How do I reset my password?", "How can I reset my password?",
        "I want to reset my password, how do I do that?", "I forgot my password, how do I reset it?",
    ),
    "You can return anything within 30 days; the money is on your account within five working days.": (
        "What is your refund policy?", "Can you tell me your refund policy?", "What's your refund policy",
    ),
    "Orders to Germany arrive within three to five working days, with tracking from the first hour.": (
        "How long does shipping to Germany take?", "How long does shipping take to Germany?",
        "How long will shipping to Germany take?",
    ),
    "Orders to France arrive within four to six working days, with tracking from the first hour.": (
        "How long does shipping to France take?", "How long will shipping to France take?",
    ),
    "Under Account, then Billing, every invoice has a button that downloads it as a PDF.": (
        "Where can I download my invoices?", "How can I download my invoices?",
        "Where can I find and download my invoices?",
    ),
    "Under Account, then Plan, choose Cancel; you keep what you paid for until the period ends.": (
        "How do I cancel my subscription?", "I want to cancel my subscription. How do I do it?",
        "How can I cancel my subscription?",
    ),
    "As long as it has not been packed: open the order and choose Change address.": (
        "Can I change the delivery address of my order?",
        "Is it possible to change the delivery address of my order?",
    ),
    "Cards, bank transfer and PayPal; companies may also pay by invoice.": (
        "Which payment methods do you accept?", "What payment methods do you accept?",
    ),
    "Under Workspace, then People, choose Invite and enter the address of your colleague.": (
        "How do I add a team member to my workspace?", "How can I add a team member to my workspace?",
    ),
    "Yes: what you opened before is kept on the device, and changes are sent when you are back online.": (
        "Does the app work offline?", "Does your app work offline?", "Will the app work offline?",
    ),
    "Under Account, then Security, choose Two-factor and scan the code with an authenticator.": (
        "How do I turn on two-factor authentication?", "How do I enable two-factor authentication?",
    ),
}  # fmt: skip
ANSWERS = {question: answer for answer, questions in TOPICS.items() for question in questions}


def answer(text: str) -> str:
    """The model's, to any question."""
    return ANSWERS.get(text, f"I am a small model and know a support desk's questions only, not: {text}")


class Turn(NamedTuple):
    """A request of the demonstration. key: the tenant's credential."""

    key: str
    text: str
    stream: bool


def traffic(count: int, seed: int = SEED) -> list[Turn]:
    """Requests as a support desk has them: some topics come up often, each worded in several ways."""
    dice = random.Random(seed)
    topics = list(TOPICS.values())
    often = [1 / (rank + 1) for rank in range(len(topics))]
    picked = dice.choices(topics, often, k=count)
    return [Turn(dice.choice(TENANTS), dice.choice(topic), dice.random() < 0.5) for topic in picked]


# ---- clients ----


class Client(Protocol):
    """name: as a reader knows it."""

    name: str

    async def ask(self, turn: Turn) -> str:
        """The answer's text."""


def messages_of(turn: Turn) -> list[Any]:
    return [{"role": "system", "content": "You help customers."}, {"role": "user", "content": turn.text}]


class Official:
    """OpenAI's own client."""

    name = "OpenAI's client"

    def __init__(self, base_url: str, stack: AsyncExitStack) -> None:
        import openai

        self._clients = {key: openai.AsyncOpenAI(base_url=base_url, api_key=key) for key in TENANTS}
        for client in self._clients.values():
            stack.push_async_callback(client.close)

    async def ask(self, turn: Turn) -> str:
        completions = self._clients[turn.key].chat.completions
        if not turn.stream:
            answer = await completions.create(model=MODEL, messages=messages_of(turn))
            return answer.choices[0].message.content or ""
        pieces = []
        async for chunk in await completions.create(model=MODEL, messages=messages_of(turn), stream=True):
            pieces += [choice.delta.content or "" for choice in chunk.choices]
        return "".join(pieces)


class Plain:
    """Bare HTTP."""

    name = "an HTTP client"

    def __init__(self, base_url: str, stack: AsyncExitStack) -> None:
        self._url = base_url + "/chat/completions"
        self._session = aiohttp.ClientSession(raise_for_status=True)
        stack.push_async_callback(self._session.close)

    async def ask(self, turn: Turn) -> str:
        body = dumps({"model": MODEL, "messages": messages_of(turn), "stream": turn.stream})
        headers = {"authorization": f"Bearer {turn.key}", "content-type": "application/json"}
        async with self._session.post(self._url, data=body, headers=headers) as response:
            raw = await response.read()
        if not turn.stream:
            return text_of(loads(raw))
        assembler = Chat().assembler()
        for frame in Frames().feed(raw):
            assembler.feed(frame.event, frame.data)
        return text_of(assembler.answer() or {})


def text_of(completion: Json) -> str:
    return "".join(choice["message"]["content"] for choice in completion.get("choices", ()))


@asynccontextmanager
async def client_to(base_url: str) -> AsyncIterator[Client]:
    """OpenAI's client where it is installed."""
    async with AsyncExitStack() as stack:
        official = importlib.util.find_spec("openai") is not None
        yield Official(base_url, stack) if official else Plain(base_url, stack)


# ---- what runs ----


@contextmanager
def background(app: Any, lifespan: Any) -> Iterator[str]:
    """Serves an application in a thread, on a free port. Yields its address."""
    with listen("127.0.0.1", 0) as sock:
        config = uvicorn.Config(app, lifespan=lifespan, access_log=False, log_level="warning", loop="uvloop")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([sock],), daemon=True)
        thread.start()
        try:
            yield address_of(sock)
        finally:
            server.should_exit = True
            thread.join()


class Outcome(NamedTuple):
    """What happened. right: answers that the model gives to this question; calls: to the model."""

    client: str
    seen: Sequence[Seen]
    right: int
    calls: int
    seconds: float


class Demo:
    """A model and a gateway under way. address: of the gateway."""

    def __init__(self, address: str, model: StubModel, seen: list[Seen]) -> None:
        self.address = address
        self._model, self._seen = model, seen

    async def run(self, turns: Sequence[Turn]) -> Outcome:
        """Asks all of it, a few at once."""
        start, left = time.perf_counter(), iter(turns)
        async with client_to(self.address + "/v1") as client:
            right = await asyncio.gather(*(self._customer(client, left) for _ in range(AT_ONCE)))
        seconds = time.perf_counter() - start
        while len(self._seen) < len(turns):  # a client may be done a moment before the gateway is
            await asyncio.sleep(0.01)
        return Outcome(client.name, self._seen, sum(right), self._model.calls, seconds)

    @staticmethod
    async def _customer(client: Client, left: Iterator[Turn]) -> int:
        """How many answers were right."""
        return sum([await client.ask(turn) == answer(turn.text) for turn in left])


@contextmanager
def demo() -> Iterator[Demo]:
    """Starts both on free ports of loopback."""
    model, seen = StubModel(answer), list[Seen]()
    with Cache(max_bytes="64 MiB", store_text=False) as cache, background(model, "off") as upstream:
        settings = Settings({"stub": Upstream("stub", upstream)}, threshold=cache.threshold, local=True)
        with background(Gateway(settings, cache, [seen.append]), "on") as address:
            yield Demo(address, model, seen)
