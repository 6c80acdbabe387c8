"""Ids of tool calls and replies, which are new in every reply, count by their order only."""

import copy

import pytest

from semcore.wire.canonical import canonical_body


def chat(*ids):
    calls = [{"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}} for id in ids]
    results = [{"role": "tool", "tool_call_id": id, "content": f"result {n}"} for n, id in enumerate(ids)]
    return {"messages": [{"role": "assistant", "tool_calls": calls}, *results]}


def anthropic(*ids):
    calls = [{"type": "tool_use", "id": id, "name": "f", "input": {"id": "an argument"}} for id in ids]
    results = [
        {"type": "tool_result", "tool_use_id": id, "content": f"result {n}"} for n, id in enumerate(ids)
    ]
    return {"messages": [{"role": "assistant", "content": calls}, {"role": "user", "content": results}]}


def responses(*ids):
    calls = [{"type": "function_call", "call_id": id, "name": "f", "arguments": "{}"} for id in ids]
    results = [
        {"type": "function_call_output", "call_id": id, "output": f"result {n}"} for n, id in enumerate(ids)
    ]
    return {"input": [*calls, *results]}


def gemini(*ids):
    calls = [{"functionCall": {"id": id, "name": "f", "args": {"id": "an argument"}}} for id in ids]
    results = [
        {"functionResponse": {"id": id, "name": "f", "response": {"result": n}}} for n, id in enumerate(ids)
    ]
    return {"contents": [{"role": "model", "parts": calls}, {"role": "user", "parts": results}]}


def swapped(body):
    """With the last two results in each other's place."""
    body = copy.deepcopy(body)
    [turns] = body.values()
    inner = (
        turns
        if "call_id" in turns[-1] or "tool_call_id" in turns[-1]
        else next(turns[-1][key] for key in ("content", "parts") if key in turns[-1])
    )
    inner[-2:] = reversed(inner[-2:])
    return body


@pytest.mark.parametrize("make", [chat, anthropic, responses, gemini])
def test_ids_count_by_their_order(make):
    body = make("call_1", "call_2")
    before = copy.deepcopy(body)
    same = canonical_body(body)
    assert body == before
    assert canonical_body(make("other_8", "other_7")) == same
    assert canonical_body(make("call_1", "call_1")) != same  # two results of one call
    assert canonical_body(swapped(body)) != same
    assert canonical_body(make("call_1")) != same


def test_an_id_is_not_taken_for_its_number():
    assert canonical_body(anthropic(0)) != canonical_body(anthropic("0"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            {"input": [{"type": "item_reference", "id": "a"}]},
            {"input": [{"type": "item_reference", "id": "b"}]},
        ),
        ({"messages": [{"role": "user", "id": "a"}]}, {"messages": [{"role": "user", "id": "b"}]}),
        ({"metadata_id": "a"}, {"metadata_id": "b"}),
    ],
)
def test_other_ids_count(one, other):
    assert canonical_body(one) != canonical_body(other)


@pytest.mark.parametrize("id", [None, 7, [], {}])
@pytest.mark.parametrize("turns", ["messages", "input", "contents"])
def test_ids_of_another_kind(id, turns):
    part = {"type": ["tool_use"], "id": id, "tool_use_id": id, "functionCall": id, "tool_calls": id}
    canonical_body({turns: [part, {"content": [part, id], "parts": id}, id]})
