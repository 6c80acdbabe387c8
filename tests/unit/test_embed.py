"""Embedders: any callable, checked; and the wordllama adapter, offline."""

import subprocess
import sys

import numpy as np
import pytest

import semcore
from semcore.embed import Embedder, resolve


class Model:
    """An embedder with everything stated."""

    dim = 8
    fingerprint = "model:1"

    def __call__(self, text):
        return np.ones(8)


def test_what_an_embedder_states_is_used():
    embedder = Embedder(Model())
    assert (embedder.dim, embedder.fingerprint) == (8, "model:1")


def test_what_it_does_not_state_is_found_out():
    embedder = Embedder(lambda text: [0.5] * 12)
    assert embedder.dim == 12
    assert ".<lambda>:12:" in embedder.fingerprint
    assert embedder("x").dtype == np.float32


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda t: 1 / 0, "ZeroDivisionError"),
        (lambda t: np.zeros(8), "zero or not finite"),
        (lambda t: np.full(8, np.nan), "zero or not finite"),
        (lambda t: ["x"] * 8, "returned no vector"),
        (lambda t: np.ones(9 if t == "q" else 8), r"returned shape \(9,\), expected \(8,\)"),
    ],
)
def test_a_failing_embedder_is_an_embedding_error(function, words):
    function.dim, function.fingerprint = 8, "test"
    with semcore.Cache(embed=function, max_entries=10, max_bytes="1 MiB") as cache:
        for call in (cache.get, lambda t: cache.put(t, 1), lambda t: cache.get_or_compute(t, str)):
            with pytest.raises(semcore.EmbeddingError, match=words):
                call("q")
        assert len(cache) == 0


def test_two_models_behind_one_wrapper_have_two_fingerprints():
    def wrapped(matrix):
        return lambda text: matrix @ np.ones(8)

    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 16, 8))
    assert Embedder(wrapped(a)).fingerprint != Embedder(wrapped(b)).fingerprint
    assert Embedder(wrapped(a)).fingerprint == Embedder(wrapped(a + 1e-7)).fingerprint


def test_an_embedder_may_reuse_its_buffer():
    buffer = np.zeros(8)

    def embed(text):
        buffer[:] = 0
        buffer[ord(text[0]) % 8] = 1
        return buffer

    with semcore.Cache(embed=embed, max_entries=10, max_bytes="1 MiB") as cache:
        assert cache.get_or_compute("a", lambda t: cache.get("b") or t) == "a"
        assert cache.get("a2").value == "a"
        assert cache.get("b2") is None


def test_none_means_exact_only():
    def embed(text):
        return None if text == "no meaning" else np.ones(8)

    with semcore.Cache(embed=embed, max_entries=10, max_bytes="1 MiB") as cache:
        cache.put("no meaning", 1)
        cache.put("meaning", 2)
        assert cache.get("no meaning").layer == "exact"
        assert cache.get("other").value == 2
    with pytest.raises(semcore.EmbeddingError, match="returned None for the probe"):
        Embedder(lambda t: None)


def test_embed_many_must_return_as_many():
    model = Model()
    model.embed_many = lambda texts: [np.ones(8)]
    with pytest.raises(semcore.EmbeddingError, match="returned 1 vectors for 2 texts"):
        Embedder(model).many(["a", "b"])


def test_a_dim_that_contradicts_the_embedder():
    with pytest.raises(semcore.ConfigError, match="dim: 16 was given, but the embedder returns 8"):
        semcore.Cache(embed=Model(), dim=16)


@pytest.mark.parametrize("name", ["Static", "OpenAICompatible"])
def test_a_class_is_no_embedder(name):
    with pytest.raises(semcore.ConfigError, match=f"got the class {name}: make an object of it"):
        semcore.Cache(embed=getattr(semcore.embed, name))


@pytest.mark.parametrize("dim", ["8", 8.5])
def test_a_dim_that_is_no_number_of_dimensions(dim):
    model = Model()
    model.dim = dim
    with pytest.raises(semcore.EmbeddingError, match=f"expected a whole number as its dim, got {dim!r}"):
        Embedder(model)


def test_a_long_name_makes_a_fingerprint_that_fits():
    kind = type("\u00dc" * 200, (), {"__call__": lambda self, text: np.ones(8)})
    with semcore.Cache(embed=kind(), max_entries=10, max_bytes="1 MiB") as cache:
        assert cache.embedder.fingerprint.startswith("\u00dc")
        assert len(cache.embedder.fingerprint.encode()) <= 119


def test_bytes_are_never_embedded():
    def embed(text):
        assert isinstance(text, str)
        return np.ones(8)

    with semcore.Cache(embed=embed, max_entries=10, max_bytes="1 MiB") as cache:
        cache.put(b"raw", 1)
        assert cache.get(b"other") is None
        assert cache.get_many([b"raw", "text"])[0].value == 1


def test_ours_are_imported_when_asked_for():
    code = (
        "import sys, semcore\n"
        "ours = ['static', 'minilm', 'wordllama', 'openai', 'http']\n"
        "print([m for m in ours if f'semcore.embed.{m}' in sys.modules])\n"
        "for name in ('Static', 'MiniLM', 'WordLlama', 'OpenAICompatible'):\n"
        "    assert getattr(semcore.embed, name).__name__ == name in dir(semcore.embed)\n"
        "print([m for m in ('onnxruntime', 'wordllama', 'httpx2') if m in sys.modules])\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "[]\n[]\n", result.stderr
    with pytest.raises(AttributeError, match=r"module 'semcore\.embed' has no attribute 'Word2Vec'"):
        semcore.embed.Word2Vec  # noqa: B018


def test_wordllama_offline(monkeypatch):
    pytest.importorskip("wordllama")
    import socket

    def no_network(*args, **kwargs):
        raise AssertionError("an embedder must not use the network")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    embedder = resolve("wordllama")
    assert embedder.dim == 256
    assert embedder.fingerprint.startswith("wordllama:")
    many = embedder.many(["where is my order?", "", "\ud800"])
    assert np.allclose(many[0], embedder("where is my order?"), atol=1e-3)
    with semcore.Cache(embed=embedder, threshold=0.7, max_entries=10, max_bytes="1 MiB") as cache:
        cache.put("What is my order status?", "on its way")
        assert cache.get("what is the status of my order").layer == "semantic"
        assert cache.get("how do I bake bread") is None


def test_wordllama_without_its_extra(monkeypatch):
    import builtins

    real = builtins.__import__

    def absent(name, *args, **kwargs):
        if name == "wordllama":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(semcore.ConfigError, match=r"pip install 'semcore\[wordllama\]'"):
        semcore.Cache(embed="wordllama")
