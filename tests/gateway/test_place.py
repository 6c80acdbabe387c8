"""Which headers part one question from another."""

import httpx2
import pytest
from chats import chat
from upstream import KEY, Model, gateway

BODY = {"model": "m", "messages": [{"role": "user", "content": "Where is my order?"}]}


def calls(*headers):
    """How often the model is asked when one question comes with each of these."""
    model = Model(chat)
    with gateway(model) as running, httpx2.Client() as client:
        for pairs in headers:
            client.post(running.url + "/v1/chat/completions", json=BODY, headers=pairs).raise_for_status()
    return model.calls


@pytest.mark.parametrize(
    "name",
    ["authorization", "ocp-apim-subscription-key", "cookie", "proxy-authorization", "cf-aig-authorization",
     "fastly-key", "x-key-of-a-provider-nobody-knows"],
)  # fmt: skip
def test_two_credentials_never_share(name):
    assert calls({name: "one"}, {name: "two"}, {name: "one"}, {}) == 3
    keyed = {"x-semcore-key": "mine"}
    assert calls({name: "one", **keyed}, {name: "two", **keyed}, {name: "one", **keyed}) == 2


@pytest.mark.parametrize("name", ["x-portkey-provider", "anthropic-beta", "openai-organization"])
def test_what_may_choose_the_answer_counts(name):
    key = {"authorization": f"Bearer {KEY}"}
    assert calls({**key, name: "one"}, {**key, name: "two"}, {**key, name: "one"}) == 2


def test_their_order_does_not_count_but_that_of_equal_names_does():
    assert calls([("x-a", "1"), ("x-b", "2")], [("x-b", "2"), ("x-a", "1")]) == 1
    assert calls([("x-a", "1"), ("x-a", "2")], [("x-a", "2"), ("x-a", "1")]) == 2
    assert calls([("x-a", "1"), ("x-b", "2")], [("x-a", "1x-b2")]) == 2


@pytest.mark.parametrize(
    "name", ["x-stainless-retry-count", "traceparent", "user-agent", "x-request-id", "x-forwarded-for"]
)
def test_what_is_harmless_does_not(name):
    assert calls({name: "one"}, {name: "two"}, {}) == 1
