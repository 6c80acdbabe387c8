"""Where paths lead: forms of a client's base URL, and of an upstream's."""

import pytest

from semcore.gateway.config import Upstream
from semcore.gateway.upstream import Route, route_of, target_of

UPSTREAMS = {
    name: Upstream(name, f"https://{name}.example.com") for name in ("default", "openai", "anthropic")
}


@pytest.mark.parametrize(
    ("path", "name", "rest"),
    [
        ("/v1/chat/completions", "default", "/v1/chat/completions"),
        ("/chat/completions", "default", "/chat/completions"),
        ("/openai/v1/chat/completions", "openai", "/v1/chat/completions"),
        ("/openai/chat/completions", "openai", "/chat/completions"),
        ("/anthropic/v1/messages", "anthropic", "/v1/messages"),
        ("/openai", "openai", "/"),
        ("/openai/", "openai", "/"),
        ("/", "default", "/"),
        ("/openai2/v1/models", "default", "/openai2/v1/models"),
        ("/other/openai/v1/models", "default", "/other/openai/v1/models"),
    ],
)
def test_a_path_names_an_upstream_or_none(path, name, rest):
    assert route_of(UPSTREAMS, path) == Route(UPSTREAMS[name], rest)


def test_the_path_of_a_name_that_is_no_upstream_goes_on_whole():
    only = {"default": Upstream("default", "https://h.example.com")}
    assert route_of(only, "/anthropic/v1/messages").path == "/anthropic/v1/messages"


@pytest.mark.parametrize(
    ("base", "path", "target"),
    [
        ("https://h", "/v1/chat/completions", "https://h/v1/chat/completions"),
        ("https://h/", "/v1/chat/completions", "https://h/v1/chat/completions"),
        ("https://h/v1", "/v1/chat/completions", "https://h/v1/chat/completions"),
        ("https://h/v1/", "/v1/chat/completions", "https://h/v1/chat/completions"),
        ("https://h/v1", "/chat/completions", "https://h/v1/chat/completions"),
        ("https://h/v1", "/v1", "https://h/v1"),
        ("https://h/v1", "/v1/", "https://h/v1/"),
        ("https://h/v1", "/v1beta/models", "https://h/v1/v1beta/models"),
        ("https://h/openai/v1", "/v1/models", "https://h/openai/v1/models"),
        ("https://h/openai/v1", "/openai/v1/models", "https://h/openai/v1/models"),
        ("https://h/openai", "/openai/deployments/d/chat/completions",
         "https://h/openai/deployments/d/chat/completions"),
        ("https://h/openai/deployments/d", "/chat/completions", "https://h/openai/deployments/d/chat/completions"),
        ("https://h/v1beta/openai", "/chat/completions", "https://h/v1beta/openai/chat/completions"),
        ("https://h/anthropic", "/v1/messages", "https://h/anthropic/v1/messages"),
        ("https://h", "/v1/v1", "https://h/v1/v1"),
        ("https://h", "/h/x", "https://h/h/x"),
        ("https://h/v1", "/v1/a%2Fb", "https://h/v1/a%2Fb"),
    ],
)  # fmt: skip
def test_base_and_path_are_put_together(base, path, target):
    assert target_of(Route(Upstream("u", base), path), b"") == target


def test_the_query_goes_on():
    route = Route(Upstream("u", "https://h/openai"), "/deployments/d/chat/completions")
    assert target_of(route, b"api-version=1&x=%20") == (
        "https://h/openai/deployments/d/chat/completions?api-version=1&x=%20"
    )
