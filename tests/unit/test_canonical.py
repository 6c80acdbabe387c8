"""What of a request counts: equal bytes for what asks the same, others for all else; the last text."""

from __future__ import annotations

import copy
import json
import math
import random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from semcore.wire.canonical import MARKS, NO_EFFECT, canonical_body
from semcore.wire.turn import APIS, BETWEEN, GAP, last_user_text

TURNS = {"openai-responses": "input", "openai-completions": "prompt", "gemini": "contents"}
IMAGE = "data:image/png;base64," + "iVBORw0KGgo" * 200
SCHEMA = {"type": "object", "properties": {"b": {"type": "string"}, "cache_control": {"type": "string"}}}
MARK = {"type": "ephemeral"}

leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
words = st.sampled_from(["role", "content", "text", "type", "user", "input", "x"]) | st.text(max_size=3)
anything = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=12,
)
texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


def block(kind: str) -> st.SearchStrategy:
    return st.fixed_dictionaries({"type": st.just(kind), "text": texts})


messages = st.lists(
    st.fixed_dictionaries(
        {
            "role": st.sampled_from(["user", "assistant"]),
            "content": texts | st.lists(block("text"), max_size=3),
        },
        optional={"name": texts, "tool_calls": st.just([{"id": "c", "function": {"arguments": "{}"}}])},
    ),
    max_size=4,
)
bodies = st.fixed_dictionaries(
    {"model": texts, "messages": messages},
    optional={
        "temperature": st.floats(0, 2),
        "n": st.integers(1, 5),
        "tools": st.just([{"name": "f", "input_schema": SCHEMA}]),
        "system": texts | st.lists(block("text"), max_size=2),
        "response_format": st.just({"type": "json_schema", "json_schema": SCHEMA}),
        "unheard_of": anything.filter(lambda value: value is not None),
    },
)


def shuffled(value: dict, rng: random.Random) -> dict:
    return dict(rng.sample(list(value.items()), len(value)))


def reordered(value, rng: random.Random):
    """A message or block with its keys, and those of its blocks, in another order."""
    if isinstance(value, list):
        return [reordered(one, rng) for one in value]
    if not isinstance(value, dict):
        return value
    return shuffled({k: reordered(v, rng) if k == "content" else v for k, v in value.items()}, rng)


@given(bodies, st.randoms())
def test_the_order_of_keys_of_body_messages_and_blocks_does_not_matter(body, rng):
    other = shuffled(body, rng)
    for field in ("messages", "system"):
        if field in other:
            other[field] = reordered(other[field], rng)
    assert canonical_body(other) == canonical_body(body)


@given(bodies, st.dictionaries(st.sampled_from(sorted(NO_EFFECT)), anything), st.sampled_from(MARKS))
def test_what_has_no_effect_does_not_matter(body, extra, mark):
    marked = copy.deepcopy(body) | extra | {mark: MARK, "seed": None}
    for part in (*marked["messages"], *marked.get("tools", [])):
        part[mark] = MARK
    for holder in (*marked["messages"], {"content": marked.get("system")}):
        for one in holder["content"] if isinstance(holder["content"], list) else ():
            one[mark] = MARK
    for message in marked["messages"]:
        message["refusal"] = None
    assert canonical_body(marked) == canonical_body(body)


def paths(value, before=()):
    """Every place in a value."""
    yield before
    if isinstance(value, (dict, list)):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from paths(value[key], (*before, key))


def at(value, path):
    for key in path:
        value = value[key]
    return value


@given(bodies, anything, st.data())
def test_everything_else_matters(body, new, data):
    path = data.draw(st.sampled_from([path for path in paths(body) if path]))
    was = at(body, path)
    assume(json.dumps(new, sort_keys=True) != json.dumps(was, sort_keys=True))
    if len(path) == 1 and type(was) in (int, float) and type(new) in (int, float):
        assume(was != new)  # 0 and 0.0 are one at the top
    other = copy.deepcopy(body)
    at(other, path[:-1])[path[-1]] = new
    assert canonical_body(other) != canonical_body(body)


@given(bodies, texts, anything.filter(lambda value: value is not None))
def test_an_unknown_field_matters(body, name, value):
    assume(name not in body and name not in NO_EFFECT)
    assert canonical_body(body | {name: value}) != canonical_body(body)


@pytest.mark.parametrize(
    "path",
    [
        ("tools", 0, "input_schema", "properties"),
        ("tools", 0, "input_schema"),
        ("response_format", "json_schema", "properties"),
        ("text", "format", "schema", "properties"),
        ("messages", 0, "content", 0, "input"),
    ],
)
def test_order_in_schemas_and_arguments_matters(path):
    call = {"type": "tool_use", "id": "1", "name": "f", "input": {"b": 1, "cache_control": 2}}
    body = {
        "messages": [{"role": "assistant", "content": [call]}],
        "tools": [{"name": "f", "input_schema": SCHEMA}],
        "response_format": {"type": "json_schema", "json_schema": SCHEMA},
        "text": {"format": {"type": "json_schema", "schema": SCHEMA}},
    }
    turned, without = copy.deepcopy(body), copy.deepcopy(body)
    inner = dict(reversed(at(body, path).items()))
    at(turned, path[:-1])[path[-1]] = inner
    assert canonical_body(turned) != canonical_body(body)
    first = next(iter(inner))  # a property or an argument named as a mark is none
    del at(without, path)[first]
    assert canonical_body(without) != canonical_body(body)


def test_marks_inside_blocks_do_not_matter():
    def body(mark):
        inner = {"type": "text", "text": "42"} | mark
        result = {"type": "tool_result", "tool_use_id": "1", "content": [inner]} | mark
        source = {"type": "content", "content": [inner]}
        return {"messages": [{"role": "user", "content": [result, {"type": "document", "source": source}]}]}

    assert canonical_body(body({"cache_control": MARK})) == canonical_body(body({}))


def test_whole_numbers_at_the_top():
    assert canonical_body({"temperature": 0}) == canonical_body({"temperature": 0.0})
    assert canonical_body({"temperature": 0}) != canonical_body({"temperature": False})
    assert canonical_body({"a": {"b": 0}}) != canonical_body({"a": {"b": 0.0}})
    assert canonical_body({"a": math.inf}) != canonical_body({"a": 1e300})


def test_media_count_by_what_they_are():
    def body(url):
        image = {"type": "image_url", "image_url": {"url": url}}
        return {"messages": [{"role": "user", "content": [image]}]}

    assert len(canonical_body(body(IMAGE))) < 200 < len(IMAGE)
    assert canonical_body(body(IMAGE)) != canonical_body(body(IMAGE + "A"))
    stood_in = canonical_body(body(IMAGE))
    digest = stood_in[-32:]
    assert canonical_body(body("sha256:" + digest.hex())) != stood_in
    text = {"messages": [{"role": "user", "content": IMAGE}]}
    assert IMAGE.encode() in canonical_body(text)


def nested(deep: int):
    value: list = []
    for _ in range(deep):
        value = [value]
    return value


@pytest.mark.parametrize(
    "body", [7, [], None, {"a": 2**64}, {"a": nested(3000)}, {"messages": [{"content": nested(3000)}]}]
)
def test_what_is_not_understood(body):
    with pytest.raises(ValueError, match="body: "):
        canonical_body(body)


@given(bodies)
def test_the_same_bytes_whichever_parser(body):
    orjson = pytest.importorskip("orjson")
    sent = json.dumps(body)
    assert canonical_body(json.loads(sent)) == canonical_body(orjson.loads(sent)) == canonical_body(body)


def test_lone_surrogates():
    one, other = ({"messages": [{"role": "user", "content": text}]} for text in ("\ud800", "\ud801"))
    assert canonical_body(one) != canonical_body(other)


# ---- the last text ----

LAST = [
    ("openai-chat", "hi", "hi"),
    ("openai-chat", [{"type": "text", "text": "hi"}], "hi"),
    (
        "openai-chat",
        [{"type": "image_url", "image_url": {"url": IMAGE}}, {"type": "text", "text": "hi"}],
        "hi",
    ),
    ("openai-chat", [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "a" + BETWEEN + "b"),
    ("openai-responses", [{"type": "input_text", "text": "hi"}], "hi"),
    (
        "openai-responses",
        [{"type": "input_image", "image_url": IMAGE}, {"type": "input_text", "text": "hi"}],
        "hi",
    ),
    ("anthropic", "hi", "hi"),
    ("anthropic", [{"type": "text", "text": "hi", "cache_control": MARK}], "hi"),
    ("anthropic", [{"type": "document", "source": {}}, {"type": "text", "text": "hi"}], "hi"),
    ("gemini", [{"text": "hi"}], "hi"),
    ("gemini", [{"inlineData": {"data": "QUJD"}}, {"text": "hi", "thought": False}], "hi"),
]


def request(api, content, role="user"):
    part = "parts" if api == "gemini" else "content"
    earlier = {"role": "user", part: "first"}
    return {"model": "m", TURNS.get(api, "messages"): [earlier, {"role": role, part: content}]}


@pytest.mark.parametrize(("api", "content", "text"), LAST)
def test_the_text_of_the_last_message(api, content, text):
    body = request(api, content)
    before = copy.deepcopy(body)
    question = last_user_text(api, body)
    assert question.text == text
    assert body == before
    assert refilled(question) == body
    other = last_user_text(api, request(api, json.loads(json.dumps(content).replace("hi", "ho"))))
    if "hi" in text:
        assert other.text == text.replace("hi", "ho")
        assert canonical_body(other.context) == canonical_body(question.context)
        assert canonical_body(other.context) != canonical_body(body)


@pytest.mark.parametrize(("api", "field"), [("openai-responses", "input"), ("openai-completions", "prompt")])
def test_a_string_alone_is_the_text(api, field):
    assert last_user_text(api, {"model": "m", field: "hi"}) == ("hi", {"model": "m", field: GAP})


@pytest.mark.parametrize(
    ("api", "content"),
    [
        ("openai-chat", ""),
        ("openai-chat", " \n"),
        ("openai-chat", None),
        ("openai-chat", []),
        ("openai-chat", ["hi"]),
        ("openai-chat", [{"type": "text", "text": 7}]),
        ("openai-chat", [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": IMAGE}}]),
        ("openai-chat", [{"type": "unheard_of"}, {"type": "text", "text": "hi"}]),
        ("openai-chat", [{"type": ["text"]}]),
        ("openai-chat", [{"type": "text", "text": BETWEEN}, {"type": "text", "text": "hi"}]),
        ("anthropic", [{"type": "tool_result", "tool_use_id": "1", "content": "42"}]),
        ("anthropic", [{"type": "tool_result", "tool_use_id": "1"}, {"type": "text", "text": "hi"}]),
        ("gemini", [{"functionResponse": {"name": "f", "response": {}}}, {"text": "hi"}]),
        ("gemini", [{"text": "hi", "functionCall": {}}]),
    ],
)
def test_no_text(api, content):
    body = request(api, content)
    assert last_user_text(api, body) == (None, body)


@pytest.mark.parametrize("role", ["assistant", "tool", "system", None, 7])
def test_the_last_message_of_somebody_else(role):
    for api in ("openai-chat", "openai-responses", "anthropic", "gemini"):
        body = request(api, "hi", role)
        assert last_user_text(api, body) == (None, body)


def test_other_turns_have_no_text():
    call = {"input": [{"type": "function_call_output", "call_id": "1", "output": "42"}]}
    assert last_user_text("openai-responses", call).text is None
    assert last_user_text("openai-completions", {"prompt": ["a", "b"]}).text is None
    assert last_user_text("gemini", {"contents": [{"parts": [{"text": "hi"}]}]}).text == "hi"


def refilled(question):
    """The body again."""
    texts = question.text.split(BETWEEN)

    def fill(value):
        if isinstance(value, list):
            return [fill(one) for one in value]
        if isinstance(value, dict):
            return {key: fill(one) for key, one in value.items()}
        return texts.pop(0) if isinstance(value, bytes) else value

    filled = fill(question.context)
    assert not texts
    return filled


@given(bodies)
def test_text_and_context_are_the_body(body):
    if not body["messages"]:
        with pytest.raises(ValueError, match="messages: expected a list"):
            last_user_text("openai-chat", body)
        return
    question = last_user_text("openai-chat", body)
    assert question.context == body if question.text is None else refilled(question) == body


@given(st.sampled_from(APIS), st.fixed_dictionaries({"messages": st.lists(anything, max_size=3)}) | anything)
def test_any_json(api, body):
    if isinstance(body, dict) and "messages" in body:
        body = {TURNS.get(api, "messages"): body["messages"]}
    try:
        question = last_user_text(api, body)
    except ValueError as error:
        assert "expected" in str(error)  # noqa: PT017
        return
    assert question.text is None or question.text.strip()
    canonical_body(question.context)


def test_an_unknown_api():
    with pytest.raises(ValueError, match="api: expected one of openai-chat"):
        last_user_text("cohere", {})
