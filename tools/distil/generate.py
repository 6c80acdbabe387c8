"""Prompts from the templates of `prompts/`: seeded, distinct, in the ways people and programs type.

A file holds intents; an intent's templates say the same thing in other words. What a template gives is then
dressed as traffic is: capitals and question marks or none, polite openings, a context sentence before, a
misspelt letter. `python generate.py` prints fifty, to look at.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random

from expand import Expander

FOLDER = Path(__file__).parent / "prompts"
SHARES = {"money": 0.2, "shop": 0.15, "tech": 0.15, "life": 0.2, "agents": 0.1, "frames": 0.2}
DOUBLES = 4  # draws that gave nothing new, of one template, before it is given up

OPENINGS = (
    "hi, ", "hello, ", "hey ", "please ", "good morning, ", "quick question: ", "sorry, ", "excuse me, ",
    "urgent: ", "hi there, i was wondering: ", "i have a question. ", "can you help? ", "so ", "ok, ",
    "well, ", "just wondering, ", "i hope you can help me. ", "hello support team, ", "dear sir or madam, ",
    "one more thing: ", "also, ", "um, ",
)  # fmt: skip
CLOSINGS = (
    " please", " thanks", " thank you", " asap", " - thanks in advance", " any help is appreciated", " pls",
    " anyone?", " i am in a hurry", " this is urgent", " thanks a lot!", " i have tried everything",
    " today if possible", " :(",
)  # fmt: skip
CONTEXTS = (
    "I have been a customer for years.", "This is my first time here.", "I am on the phone app.",
    "I'm travelling.", "I already looked in the help pages.", "I asked before and got no answer.",
    "My partner asked me to find out.", "I just moved.", "I am new to this.", "It worked fine before.",
    "I don't speak English very well.", "I am really annoyed.", "I tried it twice.",
    "I read about it somewhere.", "We are a small company.",
)  # fmt: skip
SHORT = {
    "you": "u", "please": "pls", "are": "r", "because": "cuz", "what is": "whats", "i am": "im",
    "your": "ur", "do not": "dont", "cannot": "cant", "does not": "doesnt", "tomorrow": "tmrw",
    "with": "w/",
}  # fmt: skip
QUESTIONS = (
    "how", "what", "why", "when", "where", "who", "which", "can", "could", "is", "are", "do", "does", "will",
)  # fmt: skip


def read_lists(path: Path) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Word lists and rules of `lists.txt`."""
    lists: dict[str, list[str]] = {}
    rules: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("<"):
            name, _, template = line.partition(" = ")
            rules[name.strip("<>")] = template
        elif line and not line.startswith("#"):
            name, _, words = line.partition(": ")
            lists[name] = [word.strip() for word in words.split(" | ")]
    return lists, rules


def read_intents(path: Path) -> list[list[str]]:
    """The templates of every intent of a file."""
    intents: list[list[str]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("= "):
            intents.append([])
        elif line and not line.startswith("#"):
            intents[-1].append(line)
    return intents


def misspell(text: str, random: Random) -> str:
    """One letter swapped, dropped, doubled or replaced, inside a word."""
    spots = [at for at in range(1, len(text) - 1) if text[at - 1 : at + 2].isalpha()]
    if not spots:
        return text
    at = random.choice(spots)
    letter = text[at]
    after, other = text[at + 1], random.choice(string.ascii_lowercase)
    changed = random.choice((after + letter, after, letter * 2 + after, other))
    return text[:at] + changed + text[at + 2 :]


def terse(text: str) -> str:
    """As on a phone."""
    padded = f" {text} "
    for full, brief in SHORT.items():
        padded = padded.replace(f" {full} ", f" {brief} ")
    return padded.strip()


def dress(text: str, random: Random) -> str:
    """The text as one person would type it."""
    text = text.replace(" ,", ",").replace(" .", ".").strip(" ,:")
    if random.random() < 0.12:
        text = random.choice(OPENINGS) + text
    if random.random() < 0.1:
        text += random.choice(CLOSINGS)
    if random.random() < 0.08:
        text = terse(text)
    if random.random() < 0.06:
        text = misspell(text, random)
    if random.random() < 0.55:
        text = text[:1].upper() + text[1:].replace(" i ", " I ").replace(" i'", " I'")
        if text[-1:] not in "?!.)(":
            text += "?" if text.lower().startswith(QUESTIONS) else random.choice((".", "!", ""))
    elif random.random() < 0.03:
        text = text.upper()
    if random.random() < 0.06:
        text = f"{random.choice(CONTEXTS)} {text}"
    return text


def generate(words: Mapping[str, Sequence[str]], count: int, seed: int) -> Iterator[str]:
    """About `count` prompts: every domain its share, the intents of a domain alike.

    Args:
        words: slots drawn from elsewhere (noun, verb, adj, adv, city, country, job).
    """
    own, rules = read_lists(FOLDER / "lists.txt")
    expander = Expander({**words, **own}, rules)
    for domain, share in SHARES.items():
        random = Random(f"{seed} {domain}")
        intents = read_intents(FOLDER / f"{domain}.txt")
        for templates in intents:
            yield from of_intent(templates, int(count * share / len(intents)), expander, random)
    if expander.missing:
        raise ValueError(f"lists.txt: no words for {sorted(expander.missing)}")


def of_intent(templates: Sequence[str], count: int, expander: Expander, random: Random) -> Iterator[str]:
    """At most `count` distinct sentences of one intent, dressed; its templates take turns."""
    seen: set[str] = set()
    for turn in range(count * DOUBLES):
        if len(seen) == count:
            return
        text = expander.draw(templates[turn % len(templates)], random)
        if text not in seen:
            seen.add(text)
            yield dress(text, random)


def main() -> None:
    words = {name: ["cat", "walk"] for name in ("noun", "verb", "adj", "adv", "city", "country", "job")}
    prompts = list(generate(words, 100_000, 20))
    print(len(prompts), "prompts, distinct:", len(set(prompts)))
    print("\n".join(Random(0).sample(prompts, 50)))


if __name__ == "__main__":
    main()
