"""The package as its users get it: what it imports, its types, its stubs, its archives."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def python(*args: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *args], capture_output=True, text=True, **options)


def test_import_is_lean():
    code = (
        "import sys, semcore\n"
        "heavy = ['rich', 'matplotlib', 'wordllama', 'tokenizers', 'usearch', 'pydantic', 'onnxruntime',"
        " 'httpx2', 'asyncio',"
        " 'semcore.providers', 'genai_prices']\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    assert python("-c", code).stdout == "[]\n"


def test_a_users_code_is_typed(tmp_path):
    (tmp_path / "user.py").write_text(
        "import semcore\n\n"
        "cache = semcore.Cache(embed=None, dim=8, max_bytes='1 MiB')\n"
        "id: int = cache.put('q', {'a': 1}, tags=['t'])\n"
        "hit = cache.get('q')\n"
        "if hit is not None:\n"
        "    layer: str = hit.layer\n"
        "    saved: int = hit.saving.tokens\n"
        "answer: str = cache.get_or_compute('q', lambda text: 'x')\n"
        "ratio: float = cache.stats().hit_ratio\n"
        "semcore.Cache(embed=semcore.embed.MiniLM(truncate=True))\n"
        "keyed = semcore.embed.OpenAICompatible('http://localhost/v1', 'm', dim=8)\n"
        "semcore.embed.Static(max_tokens='1')  # type: ignore[arg-type]\n"
        "cached: int = semcore.ProviderCache.openai('gpt-5.6', price=1.0).estimate({}, 0.0).cached\n"
        "semcore.ProviderCache.gemini('m', entries='1')  # type: ignore[arg-type]\n"
        "bad: str = cache.stats().hits  # type: ignore[assignment]\n"
    )
    result = python("-m", "mypy", "--strict", "user.py", cwd=tmp_path)
    assert result.returncode == 0, result.stdout


def test_stubs_match_the_extension():
    path = ROOT / "tests/package/stubtest.txt"
    result = python(
        "-m", "mypy.stubtest", "semcore._engine", "--allowlist", str(path), "--ignore-unused-allowlist"
    )
    assert result.returncode == 0, result.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    """The source archive."""
    out = tmp_path_factory.mktemp("sdist")
    result = python("setup.py", "-q", "sdist", "--dist-dir", str(out), cwd=ROOT)
    assert result.returncode == 0, result.stderr
    return next(out.glob("*.tar.gz"))


def test_the_sdist_holds_what_a_build_and_a_test_need(sdist):
    with tarfile.open(sdist) as archive:
        names = {n.split("/", 1)[1] for n in archive.getnames() if "/" in n}
    for needed in ("setup.py", "pyproject.toml", "LICENSE", "README.md", "src/semcore/_engine.pyx",
                   "src/semcore/core/semcore.h", "src/semcore/core/engine.c", "tests/model.py",
                   "examples/support.jsonl", "bench/peers.py", "CHANGELOG.md", ".ci/run"):  # fmt: skip
        assert needed in names


@pytest.mark.skipif("not __import__('shutil').which('gcc')", reason="needs a C compiler")
def test_the_wheel_builds_from_the_sdist(sdist, tmp_path):
    """Without optimisation: what is in the archive is asked here, not what the compiler makes of it."""
    result = python(
        "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), str(sdist),
        env=os.environ | {"SEMCORE_BUILD": "debug"},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    package = {n.split("/", 1)[1] for n in names if n.startswith("semcore/")}
    assert {
        "py.typed",
        "_engine.pyi",
        "_engine.pxd",
        "core/semcore.h",
        "cache.py",
        "cli/replay.py",
        "embed/http/wire.py",
        "providers/rules/openai.toml",
    } <= package
    assert not [n for n in package if n.endswith((".c", ".pyx"))]
    assert [n for n in package if n.startswith("_engine.") and n.endswith((".so", ".pyd"))]
