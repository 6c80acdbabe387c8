"""OpenAI's API: what is sent, in which batches, and what an answer has to be."""

import builtins

import pytest
from server import DIM, KEY, data_of, same

import semcore
from semcore.embed import OpenAICompatible

pytest.importorskip("httpx2", reason="needs the extra http")


def test_answers_are_ordered_by_their_index(stub, make, ask):
    texts = ["c", "a", "b", "a"]
    same(ask(make(), texts), texts)
    assert stub.asked == [["c", "a", "b"]]  # the second "a" costs nothing


def test_many_texts_are_sent_in_batches(stub, make, ask):
    texts = [f"text {i}" for i in range(150)]
    same(ask(make(batch=64), texts), texts)
    assert sorted(map(len, stub.asked)) == [22, 64, 64]


def test_what_is_sent(stub, make):
    make(shorten=True)("h\u00e9llo \ud800")
    make(url=stub.url + "/embeddings?api-version=1", key_header="api-key", max_cached=0)("x")
    make(api_key="")("y")
    (path, headers, sent), (azure, azure_headers, _), (_, keyless, plain) = stub.seen
    assert path == "/v1/embeddings"
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert sent == {"model": "m", "dimensions": DIM, "input": ["h\u00e9llo ?"]}
    assert azure == "/v1/embeddings?api-version=1"
    assert azure_headers["api-key"] == KEY
    assert "Authorization" not in azure_headers
    assert not {"Authorization", "api-key"} & set(keyless)
    assert set(plain) == {"model", "input"}


def test_blank_texts_have_no_vector_and_are_not_sent(stub, make, ask):
    vectors = ask(make(), ["", "a", " \n\t"])
    assert [v is None for v in vectors] == [True, False, True]
    assert stub.asked == [["a"]]
    assert ask(make(), []) == []


def nth(i, **changes):
    """An answer for which one item is changed."""

    def item(texts):
        data = data_of(texts)
        data[i] |= changes
        return 200, {}, {"data": data}

    return item


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((200, {}, b"<html>"), "expected JSON like"),
        ((200, {}, b"\xff\xfe"), "expected JSON like"),
        ((200, {}, b"[" * 200_000), "expected JSON like"),
        ((200, {}, []), "expected JSON like"),
        ((200, {}, {"error": "x"}), "expected JSON like"),
        ((200, {}, {"data": "ab"}), "expected JSON like"),
        ((200, {}, {"data": [1, 2]}), "expected JSON like"),
        (nth(1, index="1"), "expected JSON like"),
        ((200, {}, {"data": []}), "returned 0 vectors for 2 texts"),
        (lambda texts: (200, {}, {"data": data_of(["x", *texts])}), "returned 3 vectors for 2 texts"),
        (nth(1, index=0), "expected each index from 0 to 1 once"),
        (nth(1, index=2), "expected each index from 0 to 1 once"),
        (nth(1, embedding=[0.5] * 7), "returned a vector of 7 numbers, expected 8"),
        (nth(0, embedding=[0.0] * 8), "zero or not finite"),
        (nth(0, embedding=[float("nan")] * 8), "zero or not finite"),
        (nth(0, embedding=[1e300] * 8), "zero or not finite"),
        (nth(0, embedding=[None] * 8), "list of numbers"),
        (nth(0, embedding=["1"] * 8), "list of numbers"),
        (nth(0, embedding=[[1.0]] * 8), "list of numbers"),
        (nth(0, embedding=[1.0, [1.0]]), "list of numbers"),
        (nth(0, embedding="AACAPw=="), "list of numbers"),
        (nth(0, embedding=[]), "list of numbers"),
    ],
)
def test_a_wrong_answer_says_what_was_expected(stub, make, ask, waits, answer, words):
    embed = make()
    stub.script = [answer]
    with pytest.raises(semcore.EmbeddingError, match=words) as caught:
        ask(embed, ["a", "b"])
    assert str(caught.value).startswith(f"embed: {stub.url}/embeddings: ")
    assert waits == []
    same(ask(embed, ["a", "b"]), ["a", "b"])  # and nothing of it was kept


def test_without_a_stated_dim_all_must_have_one_length(stub, make, ask):
    stub.script = [nth(1, embedding=[0.5] * 7)]
    with pytest.raises(semcore.EmbeddingError, match="7 numbers, expected 8"):
        ask(make(dim=None), ["a", "b"])


def test_the_dimension_is_asked_once_if_not_stated(stub, make):
    embed = make(dim=None)
    assert stub.asked == []
    assert (embed.dim, embed.dim) == (DIM, DIM)
    assert stub.asked == [["semcore"]]
    other = make(dim=None)
    other("a")
    assert other.dim == DIM
    assert len(stub.asked) == 2


def test_fingerprints(stub, make):
    host = stub.url.split("/")[2]
    assert make().fingerprint == make(dim=None).fingerprint == f"openai:m:{DIM}@{host}"
    assert make(model="n").fingerprint != make().fingerprint
    long, longer = make(model="x" * 200).fingerprint, make(model="x" * 201).fingerprint
    assert max(len(long), len(longer)) < 120
    assert long != longer


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"url": "api.openai.com/v1"}, "url: expected http"),
        ({"url": "ftp://x/y"}, "url: expected http"),
        ({"url": "http://[::1"}, "url: not a URL"),
        ({"url": None}, "url: not a URL"),
        ({"key_header": "X-Key"}, "key_header: expected one of"),
        ({"dim": 0}, "dim: expected a whole number from 8 to 4096"),
        ({"dim": 8.0}, "dim: expected"),
        ({"dim": None, "shorten": True}, "shorten: needs a dim"),
        ({"batch": 0}, "batch: expected"),
        ({"timeout": 0}, "timeout: expected"),
        ({"max_cached": -1}, "max_cached: expected"),
    ],
)
def test_bad_settings(make, options, words):
    with pytest.raises(ValueError, match=words):  # which a ConfigError is, too
        make(**options)


def test_without_its_extra(monkeypatch):
    real = builtins.__import__

    def importing(name, *args, **kwargs):
        if name == "httpx2":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", importing)
    with pytest.raises(semcore.ConfigError, match=r"pip install 'semcore\[http\]'"):
        OpenAICompatible("http://127.0.0.1:9/v1", "m")


def test_in_a_cache(stub, make):
    embed = make()
    with semcore.Cache(embed=embed, max_entries=100, max_bytes="1 MiB") as cache:
        assert cache.embedder.fingerprint == embed.fingerprint
        cache.put_many([("a", 1), ("b", 2)])
        assert cache.get("a").layer == "exact"
        assert cache.get_many(["c", "d"]) == [None, None]
        assert stub.asked == [["a", "b"], ["c", "d"]]
        stub.script = [(404, {}, b"no such model")]
        with pytest.raises(semcore.EmbeddingError, match=r"^embed: http.*404: no such model"):
            cache.get("e")
