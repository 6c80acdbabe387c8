"""Requests of each API as `ProviderCache` reads them: order, breakpoints, media, gateways, bad ones."""

import json

import pytest

from semcore.providers import ProviderCache, named, render

LONG = "word " * 2000  # 2,500 tokens
TOOL = {"type": "function", "function": {"name": "search", "parameters": {"b": 1, "a": 2}}}
CHAT = {
    "model": "gpt-5.6",
    "tools": [TOOL],
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": "there"}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "function": {"name": "search"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "found"},
    ],
}
MESSAGES = {
    "model": "claude-sonnet-5",
    "tools": [{"name": "search", "input_schema": {}, "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
    "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
    "messages": [{"role": "user", "content": "Hi"}],
}
CONVERSE = {
    "modelId": "amazon.nova-pro-v1:0",
    "toolConfig": {"tools": [{"toolSpec": {"name": "search"}}, {"cachePoint": {"type": "default"}}]},
    "system": [{"text": "Be brief."}, {"cachePoint": {"type": "default", "ttl": "1h"}}],
    "messages": [{"role": "user", "content": [{"text": "Hi"}, {"text": "there"}]}],
}
CONTENTS = {
    "systemInstruction": {"parts": [{"text": "Be brief."}]},
    "contents": [{"role": "user", "parts": [{"text": "Hi"}]}, {"role": "model", "parts": [{"text": "Yes"}]}],
}
RESPONSES = {
    "model": "gpt-5.6",
    "instructions": "Be brief.",
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        {"type": "function_call_output", "call_id": "c", "output": "found"},
    ],
}


def chat(*texts, **more):
    return {"messages": [{"role": "user", "content": text} for text in texts]} | more


def test_every_api_is_rendered_in_its_order():
    assert [unit.name for unit in render(CHAT).units] == [
        "tools, tool 1 (search)",
        "system",
        "message 2, block 1",
        "message 2, block 2",
        "message 3",
        "message 4",
    ]
    assert [name for name, _ in named(MESSAGES)] == ["tools", "system", "message 1"]
    assert named(CONTENTS) == [("system", b"Be brief."), ("message 1", b"Hi"), ("message 2", b"Yes")]
    assert [name for name, _ in named(RESPONSES)] == ["system", "message 1", "message 2"]
    apis = [render(r).api for r in (CHAT, MESSAGES, CONVERSE, CONTENTS, RESPONSES)]
    assert apis == ["openai-chat", "anthropic", "bedrock", "gemini", "openai-responses"]


def test_breakpoints_are_read_in_every_apis_words():
    assert [unit.mark for unit in render(MESSAGES).units] == ["1h", "", None]
    assert [unit.mark for unit in render(CONVERSE).units] == ["", "1h", None, None]
    assert render(MESSAGES | {"cache_control": {"type": "ephemeral", "ttl": "1h"}}).automatic == "1h"
    block = {"type": "text", "text": "Hi", "prompt_cache_breakpoint": {"mode": "explicit"}}
    chat = {"messages": [{"role": "user", "content": [block]}], "prompt_cache_options": {"ttl": "12h"}}
    assert (render(chat).units[0].mark, render(chat).ttl) == ("", "12h")


def test_a_breakpoint_does_not_change_the_block():
    plain = [{"type": "text", "text": "Be brief."}]
    assert (
        render(MESSAGES).units[1].data == render(MESSAGES | {"system": plain}).units[1].data == b"Be brief."
    )


def test_media_are_stood_in_for_by_their_hash():
    def image(data):
        source = {"type": "base64", "data": data}
        return render({"messages": [{"role": "user", "content": [{"type": "image", "source": source}]}]})

    a, b = image("A" * 100_000), image("A" * 99_999 + "B")
    assert len(a.units[0].data) < 200
    assert a.units[0].data != b.units[0].data


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({}, "messages, input or contents"),
        ([1], "sequence of Unit"),
        ("text", "mapping"),
        ({"messages": "x"}, "messages: expected a list"),
        ({"messages": ["x"]}, "message 1: expected an object"),
        ({"messages": [{"role": "user", "content": 5}]}, "message 1: expected a string or a list"),
        ({"messages": [{"content": [5]}]}, "message 1: expected a block"),
        ({"input": "x", "previous_response_id": "r"}, "previous_response_id: expected the whole"),
        ({"input": "x", "prompt": {"id": "p"}}, "prompt: expected the whole"),
        ({"input": [{"type": "item_reference", "id": "m"}]}, "input 1: expected an item"),
        ({"messages": [], "tools": 5}, "tools: expected a list"),
        ({"contents": [], "cachedContent": "c"}, "cachedContent: expected the whole"),
    ],
)
def test_bad_requests_are_named(request_, words):
    with pytest.raises((ValueError, TypeError), match=words):
        ProviderCache.openai("gpt-5.6").estimate(request_, 0.0)


def test_text_without_spaces_is_no_medium():
    output = json.dumps([{"a": i} for i in range(400)], separators=(",", ":"))
    item = {"type": "function_call_output", "call_id": "c", "output": output}
    assert len(render({"input": [item]}).units[0].data) > len(output) > 1024


def test_openais_json_for_claude_keeps_calls_and_breakpoints():
    call = {"id": "c", "function": {"name": "search", "arguments": "{}"}}
    messages = [
        {"role": "system", "content": [{"type": "text", "text": LONG, "cache_control": {"ttl": "1h"}}]},
        {"role": "user", "content": "Hi", "cache_control": {"type": "ephemeral"}},
        {"role": "assistant", "content": None, "tool_calls": [call]},
    ]
    found = render({"model": "anthropic/claude-sonnet-5", "messages": messages, "tools": [TOOL]})
    assert [(unit.part, unit.mark) for unit in found.units] == [
        ("tools", None), ("system", "1h"), ("message 2", ""), ("message 3", None)
    ]  # fmt: skip
    assert b"search" in found.units[3].data
    cache = ProviderCache.anthropic("claude-sonnet-5")
    assert cache.commit({"messages": messages}, 0.0).writes == (("1h", 2500),)


def test_anthropics_json_is_understood_by_bedrock():
    cache = ProviderCache.bedrock("us.anthropic.claude-opus-5-v1:0")
    system = [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    body = chat("Hi", system=system, anthropic_version="bedrock-2023-05-31")
    assert cache.estimate(body, 0.0).writes == (("1h", 2500),)


def test_an_sdks_config_and_old_functions_are_parts_of_the_prompt():
    config = {"system_instruction": "Be brief.", "tools": [{"function_declarations": []}]}
    found = named({"contents": "Hi", "config": config})
    assert [name for name, _ in found] == ["tools", "system", "message 1"]
    assert named({"messages": [], "functions": [{"name": "f"}]}) == [("tools", b'{"name":"f"}')]
