"""Every SIMD kernel equals the scalar one: natively, and NEON under an emulator where there is one."""

import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = [*sorted((ROOT / "src/semcore/core/simd").glob("*.c")), ROOT / "tests/c/kernels.c"]


def build(compiler: list[str], out: Path) -> Path:
    command = [
        *compiler,
        "-std=c11",
        "-O2",
        "-Wall",
        "-Wextra",
        "-Werror",
        *map(str, SOURCES),
        "-lm",
        "-o",
        str(out),
    ]
    subprocess.run(command, check=True)
    return out


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_kernels_of_this_machine(compiler, tmp_path):
    if not shutil.which(compiler):
        pytest.skip(f"no {compiler}")
    out = run(str(build([compiler], tmp_path / "kernels")))
    assert out.startswith("ok ")
    if sysconfig.get_platform().endswith("x86_64") and "avx2" in Path("/proc/cpuinfo").read_text():
        assert "avx2" in out


def test_avx512_emulated_in_plain_c(tmp_path):
    if not Path("/usr/include/simde/x86/avx512.h").exists() or not shutil.which("gcc"):
        pytest.skip("needs libsimde-dev and gcc")
    if not sysconfig.get_platform().endswith("x86_64"):
        pytest.skip("x86-64 only")
    out = tmp_path / "kernels"
    emulate = ["-DSC_EMULATE", f"-I{ROOT / 'tests/c/emulate'}", "-w"]
    command = ["gcc", "-std=c11", "-O1", *emulate, *map(str, SOURCES), "-lm", "-o", str(out)]
    subprocess.run(command, check=True)
    assert run(str(out)).startswith("ok avx512 ")


def test_neon_under_an_emulator(tmp_path):
    compiler, emulator = shutil.which("aarch64-linux-gnu-gcc"), shutil.which("qemu-aarch64")
    if not compiler or not emulator:
        pytest.skip("needs gcc-aarch64-linux-gnu and qemu-user")
    assert run(emulator, str(build([compiler, "-static"], tmp_path / "kernels"))) == "ok neon scalar\n"
