"""`semcore reembed`: every entry as it was, with another embedder's vector; nothing half done."""

import os
import signal
import stat
import sys

import numpy as np
import pytest

import semcore
from semcore import _engine, dump, reembed
from semcore.cli import main
from semcore.embed.static import default
from semcore.reembed import Reembedded

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="file-backed caches need Linux")
VALUES = ("text", b"bytes", None, [1, {"a": 2.5}])


class Model:
    """A vector by a text's first two words; none for a text that starts with "no"."""

    def __init__(self, seed: int, dim: int, many: bool = True) -> None:
        self.seed, self.dim, self.fingerprint = seed, dim, f"model:{seed}:{dim}"
        self.batches: list[int] = []
        if many:
            self.embed_many = lambda texts: self.batches.append(len(texts)) or [self(t) for t in texts]

    def __call__(self, text):
        if text.startswith("no"):
            return None
        words = " ".join(text.split()[:2]).encode("utf-8", "surrogatepass")
        return np.random.default_rng([self.seed, *words]).standard_normal(self.dim)


OLD, NEW = Model(1, 16), Model(2, 48)
new_model = Model(2, 48)  # by its name


class Failing(Model):
    """Fails on every text with a 7 in it."""

    def __call__(self, text):
        if "7" in text:
            raise OSError("no answer")
        return super().__call__(text)


failing = Failing(3, 24)


def question(i: int) -> str | bytes:
    return b"raw %d" % i if i % 11 == 10 else f"{'no ' if i % 7 == 6 else ''}question {i} ü\ud800"


def where(i: int) -> dict:
    return {"namespace": f"n{i % 3}", "context": {"model": i % 2}}


def fill(path, n=60, embed=OLD, **options) -> None:
    options = {"max_entries": 100, "max_bytes": "256 KiB"} | options
    with semcore.Cache(path, embed=embed, **options) as cache:
        for i in range(n):
            cache.put(
                question(i), VALUES[i % 4], **where(i), tags=[f"t{i % 4}"][: i % 3],
                ttl=1e6 if i % 4 else None, tokens=i, cost=i / 7, latency_ms=i * 3.5,
            )  # fmt: skip
        for i in range(0, n, 2):
            cache.get(question(i), **where(i))


def contents(path, embed, **options) -> dict:
    """What a cache knows of each entry that `fill` makes, its vector apart."""
    out = {}
    with semcore.Cache(path, embed=embed, read_only=True, **options) as cache:
        assert cache.validate() is None
        for i in range(60):
            hit = cache._get_exact(question(i), *where(i).values(), 1.0, False)
            if hit is not None:
                out[i] = ((hit.value, hit.text, hit.saving, round(hit.age)), cache._vector_at(hit.id))
    return out


@pytest.fixture
def filled(tmp_path):
    path = tmp_path / "cache"
    fill(path)
    return path


@pytest.mark.parametrize("storage", ["f16", "f32", "i8"])
def test_all_is_as_it_was_but_the_vectors(tmp_path, storage):
    path = tmp_path / "cache"
    fill(path, storage=storage)
    before, stats = contents(path, OLD, storage=storage), dump.open_any(path, read_only=True)._stats()
    done = reembed.reembed(path, NEW)
    after = contents(path, NEW, storage=storage)
    assert {i: known for i, (known, _) in after.items()} == {i: known for i, (known, _) in before.items()}
    embedded = without = 0
    for i, (_, vector) in after.items():
        wanted = None if isinstance(question(i), bytes) else NEW(question(i))
        assert (vector is None) == (wanted is None)
        without += vector is None and isinstance(question(i), str)
        if vector is not None:
            embedded += 1
            assert vector @ wanted / np.linalg.norm(wanted) > (0.999 if storage == "i8" else 0.99999)
    assert done == Reembedded((60, 0, 0, 0, 0), embedded, without, 0, 0)
    with semcore.Cache(path, embed=NEW, storage=storage) as cache:
        now = cache._stats()
        assert all(now[name] == stats[name] for name in _engine.COUNTERS)
        assert now["max_entries"] == 100
        assert cache.invalidate("t1", namespace="n1") > 0
    assert [p.name for p in tmp_path.iterdir()] == ["cache"]


def test_a_vector_is_the_one_that_a_put_would_store(filled, tmp_path):
    """To the bit, in a cache that the new embedder filled from the start."""
    reembed.reembed(filled, NEW)
    fill(tmp_path / "other", embed=NEW, max_bytes="512 KiB")
    other = contents(tmp_path / "other", NEW)
    for i, (_, vector) in contents(filled, NEW).items():
        assert (vector is None) == (other[i][1] is None)
        assert vector is None or (vector == other[i][1]).all()


def test_hits_by_meaning_under_the_new_embedder(filled):
    with pytest.raises(semcore.RegionError) as refused:
        semcore.Cache(filled, embed=NEW)
    for words in ("'model:1:16'", "'model:2:48'", "`semcore reembed` changes the embedder"):
        assert words in str(refused.value)
    reembed.reembed(filled, NEW)
    with semcore.Cache(filled, embed=NEW) as cache:
        for i in (1, 2, 3):
            hit = cache.get(f"question {i} in other words", **where(i))
            assert (hit.layer, hit.value, hit.text) == ("semantic", VALUES[i % 4], question(i))
        assert cache.get("question 1 of another tenant", namespace="n2") is None
        assert cache.get(question(6), **where(6)).layer == "exact"  # of no meaning
    with pytest.raises(semcore.RegionError, match="made with embedder 'model:2:48'"):
        semcore.Cache(filled, embed=OLD)


def test_the_suggestion_is_for_embedders_only(filled):
    with pytest.raises(semcore.RegionError) as refused:
        semcore.Cache(filled, embed=OLD, max_entries=7)
    assert "reembed" not in str(refused.value)


@pytest.mark.parametrize(("dim", "grows"), [(8, False), (48, True), (2048, True)])
def test_longer_vectors_take_nothing_from_the_values(tmp_path, dim, grows):
    path, model = tmp_path / "cache", Model(4, dim)
    fill(path, 200, max_bytes="128 KiB", max_entries=250)
    before, room = contents(path, OLD), _engine.peek(path)["max_bytes"]
    blocks = dump.open_any(path, read_only=True)._stats()["blocks"]
    assert reembed.reembed(path, model).moved.left_out == 0
    assert contents(path, model).keys() == before.keys()
    assert dump.open_any(path, read_only=True)._stats()["blocks"] >= blocks
    assert (_engine.peek(path)["max_bytes"] > room) == grows


def test_what_was_exact_only_becomes_findable(tmp_path):
    """A cache that never had vectors."""
    path = tmp_path / "cache"
    with semcore.Cache(path, embed=None, max_entries=50, max_bytes="1 MiB") as cache:
        for text in ("question 1", "", b"raw"):
            cache.put(text, text)
    assert reembed.reembed(path, NEW) == Reembedded((3, 0, 0, 0, 0), 1, 0, 0, 0)
    with semcore.Cache(path, embed=NEW) as cache:
        assert cache.get("question 1 ?").value == "question 1"
        assert cache.get("").layer == "exact"  # as if its text were not stored


def test_the_default_embedder_needs_no_name(filled, capsys):
    assert main(["reembed", str(filled)]) == 0
    assert f"model:1:16 before, {default().fingerprint} now" in capsys.readouterr().out
    with semcore.Cache(filled, threshold=0.5) as cache:
        assert cache.get("Question 1?", **where(1)).layer == "semantic"


def test_unknown_texts_are_refused_or_dropped(tmp_path, capsys):
    path = tmp_path / "cache"
    fill(path, 20, store_text=False)
    with semcore.Cache(path, embed=OLD) as cache:
        cache.put(b"with a vector", 1, vector=np.ones(16))
        cache.put("stored", 2)
    before = contents(path, OLD)
    unstored = sum(vector is not None for _, vector in before.values())
    with pytest.raises(
        semcore.SemcoreError, match=rf"{unstored + 1} vectors .*text of {unstored} is not stored, of 1 b"
    ):
        reembed.reembed(path, NEW)
    assert contents(path, OLD).keys() == before.keys()
    command = ["reembed", str(path), "--embedder", f"{__name__}:new_model"]
    assert main(command) == 2
    assert "--drop-unknown" in capsys.readouterr().err
    assert main([*command, "--drop-unknown"]) == 0
    out = capsys.readouterr().out
    assert "22 entries kept, 0 left out" in out
    assert "1 texts embedded: model:1:16 before, model:2:48 now" in out
    assert (
        f"0 for which the embedder has no vector, 0 on which it failed, {unstored + 1} whose text is unknown"
        in out
    )
    with semcore.Cache(path, embed=NEW) as cache:
        assert cache.get(b"with a vector").value == 1
        assert cache.get("stored  ?") is None
        assert cache.get("stored").value == 2
        assert cache.get(question(1), **where(1)).layer == "exact"
        assert cache.get("question 1 in other words", **where(1)) is None
    assert main([*command]) == 0
    assert "are model:2:48's already" in capsys.readouterr().out


def test_an_embedder_that_fails(filled, capsys):
    before = contents(filled, OLD)
    command = ["reembed", str(filled), "--embedder", f"{__name__}:failing"]
    assert main(command) == 2
    assert "embed: OSError: no answer" in capsys.readouterr().err
    assert contents(filled, OLD).keys() == before.keys()
    assert main([*command, "--keep-going"]) == 0
    failed = sum(isinstance(question(i), str) and "7" in question(i) for i in range(60))
    assert f"has no vector, {failed} on which it failed, 0 whose text is unknown" in capsys.readouterr().out
    after = contents(filled, failing)
    assert after.keys() == before.keys()
    assert after[7][1] is None
    assert after[8][1] is not None


def test_an_embedder_that_only_fails_changes_nothing(filled, tmp_path):
    def down(text):
        raise OSError("down")

    down.dim, down.fingerprint = 16, "down"
    with pytest.raises(semcore.EmbeddingError, match="failed on every text"):
        reembed.reembed(filled, down, keep_going=True)
    assert len(contents(filled, OLD)) == 60
    assert [p.name for p in tmp_path.iterdir()] == ["cache"]


def test_an_embedder_that_fails_on_what_it_has_vectors_for(filled):
    """Not on every text: of the others it says that they have none."""

    def poor(text):
        if "7" in text:
            raise OSError("no answer")

    poor.dim, poor.fingerprint = 16, "poor"
    done = reembed.reembed(filled, poor, keep_going=True)
    assert done.vectors == 0
    assert min(done.failed, done.without) > 0


@pytest.mark.parametrize("dim", [4, 5000])
def test_an_impossible_embedder_is_refused(filled, dim):
    with pytest.raises(semcore.ConfigError, match=f"dim: expected 8 to 4096.*got {dim}"):
        reembed.reembed(filled, Model(5, dim))
    with pytest.raises(semcore.ConfigError, match="expected an embedder"):
        reembed.reembed(filled, None)


def test_batches_and_progress(filled, monkeypatch):
    monkeypatch.setattr(reembed, "BATCH", 16)
    model, seen = Model(6, 32), []
    reembed.reembed(filled, model, progress=lambda *how_far: seen.append(how_far))
    assert seen == [(16, 60), (32, 60), (48, 60), (60, 60)]
    assert len(model.batches) == 4
    monkeypatch.setattr(reembed, "BATCH_BYTES", 1)
    reembed.reembed(filled, Model(7, 32, many=False), progress=lambda *how_far: seen.append(how_far))
    assert len(seen) == 64


def test_a_terminated_command_leaves_the_old_file(filled, tmp_path, monkeypatch):
    before, half = contents(filled, OLD), []

    def end(text):
        half.extend(p.name for p in tmp_path.iterdir())
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(failing, "embed_many", end)
    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGHUP)
    try:
        assert main(["reembed", str(filled), "--embedder", f"{__name__}:failing"]) == 143
    finally:
        signal.signal(signal.SIGTERM, handlers[0])
        signal.signal(signal.SIGHUP, handlers[1])
    assert len(half) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["cache"]
    after = contents(filled, OLD)
    assert after.keys() == before.keys()
    assert all(
        (x is None and y is None) or (x == y).all()
        for (_, x), (_, y) in zip(after.values(), before.values(), strict=True)
    )


def test_a_killed_command_leaves_the_old_file(filled, tmp_path):
    before = contents(filled, OLD)
    killed = Model(5, 24)
    killed.embed_many = lambda texts: os.kill(os.getpid(), signal.SIGKILL)
    child = os.fork()
    if child == 0:
        try:
            reembed.reembed(filled, killed)
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    after = contents(filled, OLD)
    assert after.keys() == before.keys()
    assert reembed.reembed(filled, NEW).moved.kept == 60
    left = [p.name for p in tmp_path.iterdir() if p.name != "cache"]
    assert len(left) == 1
    assert left[0].startswith(".cache.")


def test_a_file_in_use_is_refused_and_mode_and_owner_stay(filled):
    with semcore.Cache(filled, embed=OLD), pytest.raises(semcore.SemcoreError, match="open elsewhere"):
        reembed.reembed(filled, NEW)
    filled.chmod(0o660)
    reembed.reembed(filled, NEW)
    assert stat.S_IMODE(filled.stat().st_mode) == 0o660


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
