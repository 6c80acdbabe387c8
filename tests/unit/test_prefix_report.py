"""`semcore prefix report`: formats, what is found and lost, prices elsewhere, and the changes that save."""

import gzip
import json
import lzma
import random
import re
from datetime import UTC, datetime

import pytest
from conftest import DATA

from semcore.cli import main

RULES = "Follow the rules of the house closely. " * 120  # 1,170 tokens
TOOLS = [{"name": f"tool_{i}", "description": f"Does thing {i}. " * 8, "input_schema": {}} for i in range(6)]


def body(system, messages, **more):
    return {"model": "claude-sonnet-5", "system": system, "messages": messages, **more}


def talks(sessions=4, turns=4, system=lambda t: RULES, wait=60.0, **more):
    """Conversations beside each other, as records in order of time."""
    records = []
    for s in range(sessions):
        messages = []
        for turn in range(turns):
            messages.append({"role": "user", "content": f"Session {s} asks {turn}. " + "Please look. " * 20})
            t = 1.79e9 + turn * wait + s
            request = body(system(t), list(messages), **{k: v() for k, v in more.items()})
            records.append({"time": t, "session": s, "request": request})
            messages.append({"role": "assistant", "content": f"Answer {turn} of {s}. " + "It is so. " * 20})
    return sorted(records, key=lambda record: record["time"])


def stamped(t):
    return f"Now: {datetime.fromtimestamp(t, UTC):%Y-%m-%d %H:%M:%S}\n{RULES}"


def written(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def report(capsys, path, *args):
    status = main(["prefix", "report", str(path), "--json", *map(str, args)])
    out, err = capsys.readouterr()
    return json.loads(out) if status == 0 else err


def automatic():
    return {"type": "ephemeral"}


def test_what_was_seen_before(capsys, tmp_path):
    found = report(capsys, written(tmp_path / "r.jsonl", talks(cache_control=automatic)))
    assert (found["requests"], found["sessions"], found["unusable"]) == (16, 4, 0)
    assert found["seen_share"] > 0.8
    assert [found["turns"][name]["requests"] for name in ("1", "2-3", "4-7", "8-15")] == [4, 8, 4, 0]
    assert found["paid"]["provider"] == "anthropic"
    sent = found["scenarios"][0]
    assert sent["how"] == "as sent"
    assert sent["cached"] + sent["written"] + sent["plain"] == sent["tokens"] == found["tokens"]
    assert 0.1 < sent["ratio"] < 0.7


def test_sessions_are_found_where_they_are_not_recorded(capsys, tmp_path):
    records = [{k: v for k, v in record.items() if k != "session"} for record in talks()]
    assert report(capsys, written(tmp_path / "r.jsonl", records))["sessions"] == 4


def test_a_timestamp_at_the_head_of_the_system_prompt(capsys, tmp_path):
    path = written(tmp_path / "r.jsonl", talks(system=stamped, cache_control=automatic))
    found = report(capsys, path)
    loss = found["losses"][0]
    assert (loss["part"], loss["what"]) == ("system", "a timestamp")
    assert loss["tokens"] / found["tokens"] > 0.5
    first = found["changes"][0]
    assert first["title"] == "move the timestamp in system to a block of its own at the end of the prompt"
    assert found["together"]["saved_share"] > 0.4
    assert found["together"]["tokens"] == found["tokens"]
    mended = talks(cache_control=automatic)  # without any timestamp: about what the change promises
    ratio = report(capsys, written(tmp_path / "mended.jsonl", mended))["scenarios"][0]["ratio"]
    assert first["alone"]["ratio"] == pytest.approx(ratio, abs=0.02)


def test_tools_in_changing_order(capsys, tmp_path):
    rng = random.Random(5)
    records = talks(tools=lambda: rng.sample(TOOLS, len(TOOLS)), cache_control=automatic)
    found = report(capsys, written(tmp_path / "r.jsonl", records))
    assert (found["losses"][0]["part"], found["losses"][0]["what"]) == ("tools", "the order of the tools")
    assert found["changes"][0]["title"] == "send the tools in one order, their keys too"
    assert found["changes"][0]["saved_share"] > 0.3


def test_changes_that_pay_only_together(capsys, tmp_path):
    rng = random.Random(5)
    records = talks(system=stamped, tools=lambda: rng.sample(TOOLS, len(TOOLS)))
    found = report(capsys, written(tmp_path / "r.jsonl", records))
    titles = [change["title"].split(" ")[0] for change in found["changes"]]
    assert sorted(titles) == ["ask", "move", "send"]
    assert found["scenarios"][0]["cached"] == 0
    assert found["together"]["saved_share"] > 0.4
    assert all(change["alone"]["saved_share"] <= 0.05 for change in found["changes"])


def test_breakpoints_that_are_missing(capsys, tmp_path):
    found = report(capsys, written(tmp_path / "r.jsonl", talks()))
    assert found["scenarios"][0]["ratio"] == 1
    assert found["changes"][0]["title"].startswith("ask for automatic caching")
    assert found["together"]["saved_share"] > 0.3


def test_entries_that_live_too_short(capsys, tmp_path):
    found = report(capsys, written(tmp_path / "r.jsonl", talks(wait=400.0, cache_control=automatic)))
    assert "keep entries for 1h instead of 5m" in [change["title"] for change in found["changes"]]


def test_prompts_just_below_the_minimum(capsys, tmp_path):
    def system(t):
        return RULES[:3800]  # 950 tokens

    records = [r for s in range(30) for r in talks(1, 1, system)]
    for i, record in enumerate(records):
        record["request"]["messages"][0]["content"] = f"{i}?"
        record["time"] += i
    found = report(capsys, written(tmp_path / "r.jsonl", records))
    assert found["changes"][0]["title"].startswith("lengthen tools and system prompt to the minimum of 1,024")
    assert found["together"]["saved_share"] > 0.5


def test_a_cache_key_that_changes(capsys, tmp_path):
    records = []
    for i in range(20):
        messages = [{"role": "system", "content": RULES}, {"role": "user", "content": f"{i}?"}]
        records.append({"model": "gpt-5.4", "messages": messages, "prompt_cache_key": f"user-{i}"})
    found = report(capsys, written(tmp_path / "r.jsonl", records))
    assert (found["losses"][0]["what"], found["timed"]) == ("prompt_cache_key", False)
    assert found["changes"][0]["title"] == "keep prompt_cache_key the same"
    assert found["paid"]["provider"] == "openai"


def test_a_message_that_grows(capsys, tmp_path):
    records, text = [], ""
    for i in range(12):
        text += f"\nStep {i}: " + "the command printed this and that. " * 60
        messages = [{"role": "user", "content": text}]
        records.append({"time": 60.0 * i, "request": {"model": "gpt-5.6", "messages": messages}})
    found = report(capsys, written(tmp_path / "r.jsonl", records))
    assert found["scenarios"][0]["cached"] == 0
    assert found["changes"][0]["title"].startswith("send what is added to a message as a block of its own")
    assert found["together"]["saved_share"] > 0.5


def test_what_the_provider_reported(capsys, tmp_path):
    records = talks(cache_control=automatic)
    for record in records:
        record["response"] = {"usage": {"input_tokens": 0, "cache_read_input_tokens": 900,
                                        "cache_creation_input_tokens": 100}}  # fmt: skip
    found = report(capsys, written(tmp_path / "r.jsonl", records))["reported"]
    assert (found["requests"], found["tokens"], found["cached"]) == (16, 16_000, 14_400)
    assert 0 <= found["absolute_error"] <= 1


def test_other_wrappings(capsys, tmp_path):
    chat = {"model": "gpt-5.4", "messages": [{"role": "user", "content": "x" * 6000}]}
    lines = [
        json.dumps(chat),
        json.dumps({"custom_id": "1", "body": chat, "timestamp": "2026-11-24T10:00:00Z"}),
        json.dumps({"request": json.dumps(chat), "t": 1_790_000_000_000}),
        json.dumps({"request": {"model": "gpt-5.4", "input": "x" * 6000}}),
        "",
    ]
    path = tmp_path / "r.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    assert report(capsys, path)["requests"] == 4
    assert report(capsys, path, "--limit", 2)["requests"] == 2


def test_unusable_lines_are_named(capsys, tmp_path):
    path = tmp_path / "r.jsonl"
    good = json.dumps(body(RULES, [{"role": "user", "content": "x"}]))
    lines = ["{", "[]", "{}", '{"messages": []}', '{"input": "x", "previous_response_id": "r"}', good]
    path.write_text("\n".join([*lines, '{"messages": [{"content": "x"}], "t": "noon"}']))
    assert main(["prefix", "report", str(path)]) == 0
    out, err = capsys.readouterr()
    assert re.search(r"unusable +6 lines", out)
    expected = {1: "Expecting", 2: "expected an object", 3: "expected a field messages",
                4: "the prompt is empty", 5: "previous_response_id", 7: "t: expected seconds"}  # fmt: skip
    for line, words in expected.items():
        assert re.search(rf"line {line}: .*{words}", err)


@pytest.mark.parametrize(
    ("text", "args", "words"),
    [
        ("", [], "holds no usable requests"),
        ("{", [], "holds no usable requests; line 1: Expecting"),
        (
            json.dumps(body("x", [])),
            ["--model", "gpt-2", "--provider", "openai"],
            "no rules of openai for 'gpt-2'",
        ),
        (json.dumps(body("x", [])), ["--on", "noon"], "on: expected a date"),
    ],
)
def test_bad_files_and_arguments(capsys, tmp_path, text, args, words):
    path = tmp_path / "r.jsonl"
    path.write_text(text)
    assert main(["prefix", "report", str(path), *args]) == 2
    assert words in capsys.readouterr().err
    assert main(["prefix", "report", str(tmp_path / "absent")]) == 2


def test_for_people_with_a_plot(capsys, tmp_path):
    path = written(tmp_path / "r.jsonl", talks(system=stamped, cache_control=automatic))
    out, plot = tmp_path / "r.json", tmp_path / "r.png"
    assert main(["prefix", "report", str(path), "--out", str(out), "--plot", str(plot)]) == 0
    shown = capsys.readouterr().out
    assert "What would save most at anthropic, claude-sonnet-5:" in shown
    assert "1. move the timestamp in system" in shown
    assert json.loads(out.read_text())["requests"] == 16
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_usages_of_others_and_unreadable_ones_do_no_harm(capsys, tmp_path):
    usage = {"input_tokens": 1, "cache_creation_input_tokens": 9,
             "cache_creation": {"ephemeral_5m_input_tokens": 9}}  # fmt: skip
    chat = {"model": "gpt-5.6", "messages": [{"role": "user", "content": RULES}]}
    claude = talks(1, 1)[0]["request"]
    records = [{"request": chat, "usage": {"prompt_tokens": 1200}}, {"request": claude, "usage": usage}]
    records.append({"request": chat, "usage": {"total_tokens": 5}})
    found = report(capsys, written(tmp_path / "r.jsonl", records))
    assert (found["requests"], found["unusable"], found["reported"]["requests"]) == (3, 0, 1)


def test_requests_that_are_refused_count_in_no_change(capsys, tmp_path):
    records = talks(wait=400.0, cache_control=automatic)
    refused = json.loads(json.dumps(records))
    for record in refused:
        record["request"]["cache_control"]["ttl"] = "2h"
    path = written(tmp_path / "r.jsonl", [x for pair in zip(records, refused, strict=True) for x in pair])
    found = report(capsys, path)
    assert (found["requests"], found["unusable"]) == (16, 16)
    clean = report(capsys, written(tmp_path / "clean.jsonl", records))
    assert "keep entries for 1h instead of 5m" in [change["title"] for change in clean["changes"]]
    assert (found["changes"], found["together"]) == (clean["changes"], clean["together"])


def test_the_model_beside_the_request_and_unknown_ones(capsys, tmp_path):
    request = {"contents": [{"role": "user", "parts": [{"text": RULES}]}]}
    path = written(tmp_path / "r.jsonl", [{"model": "gemini-2.5-pro", "request": request}])
    assert report(capsys, path)["paid"]["model"] == "gemini-2.5-pro"
    written(path, [{"model": "own-model", "request": request}])
    assert report(capsys, path)["paid"]["asked"] == "own-model"
    assert main(["prefix", "report", str(path)]) == 0
    assert "no rules for own-model: taken as gemini-2.5-flash" in capsys.readouterr().out


def test_a_prompt_below_a_token_is_plotted(capsys, tmp_path):
    path = written(tmp_path / "r.jsonl", [{"messages": [{"role": "user", "content": "x"}]}])
    assert main(["prefix", "report", str(path), "--plot", str(tmp_path / "r.png")]) == 0


def test_what_can_be_read_once_only_is_refused(capsys, tmp_path):
    assert main(["prefix", "report", "/dev/null"]) == 2
    assert "expected a regular file" in capsys.readouterr().err


def test_a_file_that_grows_is_read_as_it_was_at_first(capsys, tmp_path, monkeypatch):
    from semcore.cli import survey

    path = written(tmp_path / "r.jsonl", talks())
    before = report(capsys, path)
    choose = survey.choose

    def late(tried, sent, run):
        with path.open("a") as file:
            file.writelines(json.dumps(record) + "\n" for record in talks())
        return choose(tried, sent, run)

    monkeypatch.setattr(survey, "choose", late)
    assert report(capsys, path)["together"] == before["together"]


def test_each_reading_cuts_messages_afresh(capsys, tmp_path, monkeypatch):
    from semcore.cli import survey
    from semcore.providers.changes import Splitter

    tries = []
    choose = survey.choose
    monkeypatch.setattr(survey, "choose", lambda tried, *rest: tries.extend(tried) or choose(tried, *rest))
    bodies = [{"model": "gpt-5.6", "messages": [{"role": "user", "content": RULES * n}]} for n in (1, 2, 3)]
    report(capsys, written(tmp_path / "r.jsonl", bodies))
    (cut,) = (change.transform for change in tries if isinstance(change.transform, Splitter))
    assert not cut._ends  # what it learned in one reading is not known in the next


def test_another_provider(capsys, tmp_path):
    path = written(tmp_path / "r.jsonl", talks())
    found = report(capsys, path, "--provider", "gemini", "--on", "2026-06-01")
    assert (found["paid"]["provider"], found["paid"]["effective"]) == ("gemini", "2025-05-08")


def test_recorded_agents(capsys, tmp_path):
    source = DATA / "prefix" / "agent_magagent.jsonl.xz"
    if not source.exists():
        pytest.skip("needs the shared data set prefix/agent_magagent")
    records = []
    for line in lzma.decompress(source.read_bytes()).decode().splitlines()[:200]:
        record = json.loads(line)
        turns = re.split(r"(?:^|\n)(user|assistant|system): ", record["in"])
        messages = [
            {"role": role, "content": text} for role, text in zip(turns[1::2], turns[2::2], strict=True)
        ]
        request = {"model": "gpt-5.6", "messages": messages}
        records.append({"time": record["t"] / 1e6, "session": record["s"], "request": request})
    found = report(capsys, written(tmp_path / "r.jsonl", records))
    assert found["seen_share"] > 0.7
    assert found["changes"][0]["saved_share"] > 0.01
