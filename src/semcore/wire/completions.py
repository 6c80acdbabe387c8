"""OpenAI's completions of texts: `POST .../completions`."""

from __future__ import annotations

from collections.abc import Iterator

from semcore.wire import sse
from semcore.wire.choices import Choices, choices_of, kept, rest_of, usage_and_end
from semcore.wire.encode import dumps
from semcore.wire.openai import OpenAI
from semcore.wire.question import Cut, Json, Outcome, Unreadable

CHOICE = ("index", "text", "logprobs", "finish_reason")


class Completions(OpenAI):
    """Completions of texts. With a text behind the gap or an echo the prompt's own words count."""

    name = "completions"
    form = "openai-completions"
    exact = ("echo", "suffix", "best_of")

    def assembler(self) -> Assembler:
        return Assembler()

    def outcome(self, answer: Json) -> Outcome:
        for choice in choices_of(answer):
            if choice.get("finish_reason") != "stop":
                return Outcome(False, False, "cut")
            if not text_of(choice).strip():
                return Outcome(False, False, "empty")
        return Outcome(True, True, "")

    def ids(self, answer: Json) -> list[str]:
        return [answer["id"]] if isinstance(answer.get("id"), str) else []

    def events(self, answer: Json, usage: bool, cut: Cut) -> Iterator[bytes]:
        head = rest_of(answer, ("choices", "usage"))
        for choice in choices_of(answer):
            index, probs = choice.get("index", 0), choice.get("logprobs")
            for piece in cut(text_of(choice)):
                told = {"text": piece, "index": index, "logprobs": probs, "finish_reason": None}
                yield sse.write(dumps({**head, "choices": [told]}))
                probs = None  # all of them with the first piece
            last = {**choice, "index": index, "text": "", "logprobs": probs}
            yield sse.write(dumps({**head, "choices": [last]}))
        yield from usage_and_end(head, answer, usage)


def text_of(choice: Json) -> str:
    """Raises Unreadable."""
    text = choice.get("text")
    if not isinstance(text, str):
        raise Unreadable("choices: expected each to have a text")
    return text


class Assembler(Choices):
    """A completion out of its chunks."""

    object = "text_completion"

    def blank(self, index: int) -> Json:
        return {"text": "", "index": index, "logprobs": None, "finish_reason": None}

    def merge(self, mine: Json, choice: Json) -> None:
        text = text_of(choice)
        mine["text"] += text
        if text:
            self.cuts.append(len(text))
        for key, value in rest_of(choice, CHOICE).items():
            kept(mine, key, value)
