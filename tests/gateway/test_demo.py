"""The demonstration: offline, by OpenAI's client or without it, and every answer right."""

import asyncio
import importlib.util

import openai
import pytest

from semcore.cli import main
from semcore.gateway import demo
from semcore.gateway.stub import StubModel


def test_traffic_is_the_same_every_time():
    turns = demo.traffic(60)
    assert turns == demo.traffic(60)
    assert {turn.key for turn in turns} == set(demo.TENANTS)
    assert {turn.stream for turn in turns} == {True, False}
    assert len({(turn.key, turn.text) for turn in turns}) < 60  # some come again


@pytest.mark.parametrize("official", [True, False])
def test_all_answers_are_right(official, monkeypatch):
    if not official:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(demo, "StubModel", lambda answer: StubModel(answer, first=0.01, word=0.0))
    with demo.demo() as running:
        outcome = asyncio.run(running.run(demo.traffic(60)))
    assert outcome.client == ("OpenAI's client" if official else "an HTTP client")
    assert (outcome.right, len(outcome.seen)) == (60, 60)
    assert {seen.outcome for seen in outcome.seen} >= {"hit_exact", "hit_semantic", "miss"}
    assert outcome.calls == sum(seen.outcome == "miss" for seen in outcome.seen) < 30


def test_a_wrong_answer_would_be_counted(monkeypatch):
    monkeypatch.setattr(demo, "StubModel", lambda answer: StubModel(str.upper, first=0.0, word=0.0))
    with demo.demo() as running:
        assert asyncio.run(running.run(demo.traffic(5))).right == 0


def test_the_command(monkeypatch, capsys):
    monkeypatch.setattr(demo, "StubModel", lambda answer: StubModel(answer, first=0.0, word=0.0))
    assert main(["demo", "--requests", "20"]) == 0
    out = capsys.readouterr().out
    assert "20 requests of two tenants by OpenAI's client" in out
    assert "20 of 20" in out


def test_the_model_answers_any_question():
    with demo.demo() as running, openai.OpenAI(base_url=running.address + "/v1", api_key="x") as client:
        answer = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Why?"}])
    assert answer.choices[0].message.content.endswith("not: Why?")
