"""The prefix index, damaged, and when its writers are killed: no crash, no hang, no torn value."""

import contextlib
import io
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from semcore import dump
from semcore.errors import SemcoreError
from semcore.prefix import PrefixIndex

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="file-backed caches need Linux")
HEADER = 4096
ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(not shutil.which("gcc"), reason="needs a C compiler")
def test_every_kind_of_damage(tmp_path):
    """Check by check, and by dice: tests/c/prefix_damage.c, with the core in it."""
    sources = [*sorted((ROOT / "src/semcore/core").rglob("*.c")), ROOT / "tests/c/prefix_damage.c"]
    flags = ["-std=c11", "-O0", "-Wall", "-Wextra", "-Werror", f"-I{ROOT / 'src/semcore'}"]
    program = tmp_path / "prefix_damage"
    subprocess.run(["gcc", *flags, *map(str, sources), "-lm", "-lpthread", "-o", str(program)], check=True)
    environ = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}  # of a sanitizer: not built for it
    result = subprocess.run([program], capture_output=True, text=True, env=environ)
    assert result.stdout.startswith("ok "), result.stdout


def prompt(i):
    """Some blocks in common with others, and at least one of its own."""
    return [i % 5] * 32 + [i % 3] * 32 + [10 + i] * 16 * (1 + i % 6)


def value(i):
    return b"%d|" % i + bytes([i % 256]) * (i % 700)


def use(index, rounds):
    for i in rounds:
        found = index.match(prompt(i), touch=True)
        assert found.units <= len(prompt(i)) // 16
        index.insert(prompt(i), value(i), replica=i % 4)
        index.pin(prompt(i)) if i % 7 == 0 else index.unpin(prompt(i))
        index.match(prompt(i))
    index.check()


def test_flipped_words_do_no_harm(tmp_path):
    path, dice = tmp_path / "index", random.Random(5)
    with PrefixIndex(path, blocks=200) as index:
        use(index, range(60))
    sound = path.read_bytes()
    words = [at for at in range(HEADER, len(sound), 4) if sound[at : at + 4] not in (b"\0" * 4, b"\xff" * 4)]
    for _ in range(60):
        with open(path, "r+b") as file:  # in place: the file stays at home, and is believed
            file.write(sound)
            for _ in range(100):
                file.seek(dice.choice(words))
                file.write(
                    dice.choice((0, 1, dice.randrange(300), dice.getrandbits(32))).to_bytes(4, "little")
                )
        with contextlib.suppress(SemcoreError), PrefixIndex(path) as index:
            dump.export(path, io.BytesIO())
            use(index, (dice.randrange(90) for _ in range(40)))
            index._engine.repair()
            assert index.check() is None


def insert_for_ever(path, seed):
    dice = random.Random(seed)
    with PrefixIndex(path) as index:
        while True:
            i = dice.randrange(400)
            index.insert(prompt(i), value(i), replica=i % 4)


def test_writers_are_killed(tmp_path):
    path, dice = tmp_path / "index", random.Random(6)
    PrefixIndex(path, blocks=500).close()
    for kill in range(20):
        pid = os.fork()
        if pid == 0:
            try:
                insert_for_ever(path, kill)
            finally:
                os._exit(1)
        time.sleep(0.03 + 0.05 * dice.random())
        os.kill(pid, signal.SIGKILL)
        assert os.WIFSIGNALED(os.waitpid(pid, 0)[1])
        with PrefixIndex(path) as index:
            assert index.check() is None
            for i in range(400):
                assert index.match(prompt(i)).value in (None, value(i))
