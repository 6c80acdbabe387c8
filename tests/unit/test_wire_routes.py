"""Which API a path belongs to, and what of its query counts."""

import pytest

from semcore.wire.routes import api_of, same_path, secret_of

MODEL = "/v1beta/models/gemini-stub"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/chat/completions", "chat.completions"),
        ("/v1/messages", "messages"),
        ("/anthropic/v1/messages", "messages"),
        (MODEL + ":generateContent", "generate_content"),
        (MODEL + ":streamGenerateContent", "generate_content"),
        ("/v1/projects/p/locations/l/publishers/google/models/m:generateContent", "generate_content"),
    ],
)
def test_apis(path, name):
    assert api_of("POST", path).name == name
    assert api_of("GET", path) is None


@pytest.mark.parametrize(
    "path",
    [
        "/v1/messages/count_tokens",
        "/v1/messages/batches",
        "/v1/threads/thread_1/messages",
        MODEL + ":countTokens",
        MODEL + ":batchGenerateContent",
        "/",
    ],
)
def test_all_else_is_of_none(path):
    assert api_of("POST", path) is None


def test_both_methods_of_gemini_are_one_place():
    whole = same_path(MODEL + ":generateContent", b"")
    assert same_path(MODEL + ":streamGenerateContent", b"alt=sse") == whole
    assert same_path(MODEL + ":streamGenerateContent", b"key=one&alt=sse") == whole
    assert same_path("/v1beta/models/other:generateContent", b"") != whole
    assert same_path(MODEL + ":generateContent", b"fields=candidates") != whole


def test_the_order_of_a_query_does_not_count():
    assert same_path("/p", b"a=1&b=2") == same_path("/p", b"b=2&a=1") != same_path("/p", b"a=2&b=1")


def test_secrets():
    assert secret_of(b"") == secret_of(b"alt=sse&a=key") == b""
    assert secret_of(b"key=one") != secret_of(b"key=two")
    assert secret_of(b"key=%FF") != secret_of(b"key=%FE")
    assert secret_of(b"access_token=one&alt=sse") == b"one"
