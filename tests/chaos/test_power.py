"""Power loss: whatever mixture of old and new pages is on the disk, it opens, serves nothing wrong, and has
what was flushed.

No power is cut. A recorder reads random pages of the file while processes write it, close it and are killed:
what it sees is what the kernel's write-back sees. Mixtures of that are disk images, some torn within pages.
An image is a file of its own (another inode), so that the opener takes it for what another start of the
machine left.

Images by SEMCORE_POWER_IMAGES (300 unless told), their choice by SEMCORE_SEED. One that fails is kept.
"""

import bisect
import hashlib
import os
import random
import shutil
import signal
import struct
import sys
import time
import traceback
from pathlib import Path

import numpy as np
import pytest

import semcore

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="file-backed caches need Linux")
IMAGES = int(os.environ.get("SEMCORE_POWER_IMAGES", "300"))
SEED = int(os.environ.get("SEMCORE_SEED") or random.SystemRandom().randrange(1 << 32))
A_ROUND = 400  # images of one recording
VERSIONS = 48  # kept of a page
PAGE, SECTOR, DIM = 4096, 512, 32
STABLE, MOST = range(40), 400
COMMON = {"embed": None, "dim": DIM, "threshold": 0.9}
SCENARIOS = {  # options, and the keys that come and go: with room for all of them, or not
    "room": ({**COMMON, "max_entries": 200, "max_bytes": 300_000}, range(40, 140)),
    "room-i8": ({**COMMON, "max_entries": 200, "max_bytes": 300_000, "storage": "i8"}, range(40, 140)),
    "full": ({**COMMON, "max_entries": 110, "max_bytes": 200_000, "storage": "f32"}, range(40, 340)),
}
VECTORS = np.random.default_rng(0).standard_normal((2 * MOST, DIM)).astype(np.float32)  # two a key
TEXTS = [f"{key:03}" for key in range(MOST)]
NAMESPACES = ["a", "b", "c"]
LEFT_OUT = "an entry's checksum does not match"  # what an image that was accepted unread may hold


# ---- what is stored ----


def answer(key: int, which: int, tags: int, version: int, size: int) -> bytes:
    """An answer that proves itself: whose, put with which of its vectors and how many tags."""
    body = b"%d|%d|%d|%d|" % (key, which, tags, version)
    body += bytes([version % 256]) * (size - 16 - len(body))
    return hashlib.blake2b(body, digest_size=16).digest() + body


def parse(value: bytes) -> tuple[int, int, int]:
    """(key, which, tags) of an answer."""
    digest, body = value[:16], value[16:]
    assert hashlib.blake2b(body, digest_size=16).digest() == digest, "a torn value was served"
    key, which, tags = body.split(b"|", 3)[:3]
    return int(key), int(which), int(tags)


def names(key: int, tags: int) -> list[str]:
    stable = "s" if key in STABLE else ""
    return [f"{stable}{(key // 3 + i) % 7}" for i in range(tags)]


def namespace(key: int) -> str:
    return NAMESPACES[key % 3]


def put(cache, key, dice, ttl) -> None:
    which, tags = dice.randrange(2), dice.choice([0, 1, 1, 1, 2, 5])
    size = dice.randrange(60, 1000)
    if dice.random() < 0.6:
        size = size // 128 * 128 + 125  # with the text full blocks: the tags' block is the same for many keys
    value = answer(key, which, tags, dice.randrange(10_000), size)
    vector = VECTORS[2 * key + which]
    cache.put(TEXTS[key], value, namespace=namespace(key), vector=vector, ttl=ttl, tags=names(key, tags))


# ---- what happens to the file ----


def write(cache, sliding, keys, dice) -> None:
    key, what = dice.choice(keys), dice.random()
    if what < 0.6:
        ttl = [0.05, 3600, None][min(key % 7, 2)]
        put(sliding if key % 7 == 2 else cache, key, dice, 100 if key % 7 == 2 else ttl)
    elif what < 0.8:
        cache.delete(TEXTS[key], namespace=namespace(key))
    elif what < 0.96:
        cache.get(TEXTS[key], namespace=namespace(key))
    elif what < 0.98:
        cache.invalidate(dice.choice(names(key, 3)), namespace=namespace(key))
    else:
        cache.expire()


def work(path, options, keys, seed, seconds, report) -> None:
    """A child's life: it closes after some seconds, unless it was killed before."""
    try:
        dice, end = random.Random(seed), time.monotonic() + seconds
        with (
            semcore.Cache(path, **options) as cache,
            semcore.Cache(path, **options, ttl=100, sliding=True) as sliding,
        ):
            while time.monotonic() < end:
                for _ in range(50):
                    write(cache, sliding, keys, dice)
        os._exit(0)
    except BaseException:
        report.write_text(traceback.format_exc())
        os._exit(1)


class Recording:
    """Versions of each page with the moments they were seen at, and the whole file after each clean close."""

    def __init__(self, path: Path, dice: random.Random) -> None:
        self.fd = os.open(path, os.O_RDONLY)
        self.dice = dice
        self.n = os.fstat(self.fd).st_size // PAGE
        self.moments: list[list[int]] = [[] for _ in range(self.n)]
        self.seen: list[list[bytes]] = [[] for _ in range(self.n)]
        self.base = self.closed()
        self.clean = [self.base]
        self.moment = 0

    def close(self) -> None:
        os.close(self.fd)

    def closed(self) -> list[bytes]:
        return [os.pread(self.fd, PAGE, page * PAGE) for page in range(self.n)]

    def look(self) -> None:
        page = self.dice.randrange(self.n)
        self.moment += 1
        self.keep(page, os.pread(self.fd, PAGE, page * PAGE))

    def keep(self, page: int, data: bytes) -> None:
        seen, moments = self.seen[page], self.moments[page]
        if seen and seen[-1] == data:
            return
        if len(seen) == VERSIONS:
            gone = self.dice.randrange(VERSIONS)
            del seen[gone], moments[gone]
        seen.append(data)
        moments.append(self.moment)

    def any(self, page: int) -> bytes:
        seen = self.seen[page]
        which = self.dice.randrange(len(seen) + 1)
        return seen[which] if which < len(seen) else self.base[page]

    def as_of(self, page: int, moment: float) -> bytes:
        at = bisect.bisect(self.moments[page], moment)
        return self.seen[page][at - 1] if at else self.base[page]


def watch(recording, pid) -> int:
    """Records until the child ends; its status."""
    while True:
        for _ in range(100):
            recording.look()
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status


def record(path, options, keys, dice, report) -> Recording:
    with semcore.Cache(path, **options) as cache:
        for key in STABLE:
            put(cache, key, dice, 1e6 if key % 2 else None)
        cache.flush()
        image = path.read_bytes()
        check_offsets(image, cache.stats())
    recording = Recording(path, dice)
    recording.base = [image[at : at + PAGE] for at in range(0, len(image), PAGE)]
    for _ in range(6):
        killed = dice.random() < 0.5
        seconds, seed = dice.uniform(0.01, 0.08), dice.random()
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, seconds if killed else 0)  # SIGALRM ends it, wherever it is
            work(path, options, keys, seed, 9 if killed else seconds, report)
        status = watch(recording, pid)
        assert not report.exists(), report.read_text()[-3000:]
        if status == 0:
            recording.clean.append(recording.closed())
            for page, data in enumerate(recording.clean[-1]):
                recording.keep(page, data)
    return recording


# ---- what may be on the disk ----


def mixed(r, dice):
    """Each page written at any time, or never."""
    return [r.any(page) for page in range(r.n)]


def lagging(r, dice):
    """Each page as it was a while ago: what write-back leaves."""
    now, lag = dice.randrange(r.moment), dice.choice([30, 300, 3000])
    return [r.as_of(page, now - dice.expovariate(1 / lag)) for page in range(r.n)]


def few_written(r, dice):
    """The flushed file and a few pages more, or a closed one of which a few are not on the disk."""
    image = list(dice.choice([r.base, *r.clean]))
    for page in dice.choices(range(r.n), k=dice.choice([1, 1, 2, 3, 8])):
        image[page] = r.any(page)
    return image


def all_but_the_header(r, dice):
    """A closed file's header beside pages that were written before or after."""
    image = dice.choice([mixed, lagging])(r, dice)
    image[0] = dice.choice(r.clean)[0]
    return image


def tear(image, r, dice) -> None:
    """Some pages were being written when the power went: each sector is of one of two versions."""
    for page in dice.choices(range(r.n), k=dice.choice([1, 2, r.n])):
        other = r.any(page)
        halves = [dice.choice([image[page], other])[at : at + SECTOR] for at in range(0, PAGE, SECTOR)]
        image[page] = b"".join(halves)


# ---- what must hold of it ----


LEDGER, SHARD, SHARDS = 960, 128, 16  # sc_header.ledger
PUTS, DAMAGED, RECOVERIES = 4, 8, 9  # enum sc_counter


def counted(image: bytes, what: int) -> int:
    return sum(struct.unpack_from("<Q", image, LEDGER + SHARD * i + 8 * what)[0] for i in range(SHARDS))


def check_offsets(image, stats) -> None:
    assert counted(image, PUTS) == stats.puts == len(STABLE), "the header's layout is another: change LEDGER"


def find_all(cache, keys, accepted: bool) -> dict[int, int]:
    """Looks for every key by its text and by its vectors; what is found has so many tags."""
    found = {}
    for key in keys:
        where = namespace(key)
        hit = cache.get(TEXTS[key], namespace=where)
        if hit is not None:
            owner, which, found[key] = parse(hit.value)
            assert owner == key, "another question's answer was served"
            assert (hit.layer, hit.text) == ("exact", TEXTS[key])
        for i in (0, 1):
            near = cache.get("?", namespace=where, vector=VECTORS[2 * key + i])
            if near is not None:
                assert parse(near.value)[:2] == (key, i), "another vector's answer was served"
                assert near.layer == "semantic"
                assert near.similarity > 0.99
                assert near.text == TEXTS[key] or (accepted and near.text is None)
            elif hit is not None and which == i:
                assert accepted, "an entry is not found by its vector"
        if key % 8 == 0:
            elsewhere = namespace(key + 1)
            assert cache.get(TEXTS[key], namespace=elsewhere) is None, "a namespace was crossed"
            hit = cache.get("?", namespace=elsewhere, vector=VECTORS[2 * key])
            assert hit is None, "a namespace was crossed"
    return found


def sound(cache, accepted: bool) -> None:
    why = cache.validate()
    assert why is None or (accepted and why == LEFT_OUT), why


def examine(path, image, options, keys, all_stable, dice) -> tuple[int, int]:
    """(recovered, dropped) on opening."""
    keys = sorted(dice.sample(keys, 100))
    with semcore.Cache(path, **options) as cache:
        stats = cache.stats()
        recovered = stats.recoveries - counted(image, RECOVERIES)
        dropped = stats.damaged - counted(image, DAMAGED)
        assert recovered in (0, 1)
        sound(cache, not recovered)
        found = find_all(cache, [*STABLE, *keys], not recovered)
        if all_stable:
            lost = set(STABLE) - set(found)
            assert not lost, f"stable entries are lost: {lost}"
        use(cache, found, keys, dice)
        sound(cache, not recovered)
    if dice.random() < 0.1:
        with semcore.Cache(path, **options) as cache:
            sound(cache, not recovered)
            find_all(cache, keys, not recovered)
            cache.clear()
            assert cache.validate() is None
            assert len(cache) == 0
    return recovered, dropped


def use(cache, found, keys, dice) -> None:
    """It goes on as any cache: what is put is found, and what is invalidated is gone."""
    for key in dice.sample(keys, 10):
        put(cache, key, dice, None)
        hit = cache.get(TEXTS[key], namespace=namespace(key))
        found[key] = parse(hit.value)[2]
    where = dice.choice(NAMESPACES)
    for tag in dice.sample([f"{stable}{i}" for stable in ("", "s") for i in range(7)], 5):
        cache.invalidate(tag, namespace=where)
        for key, tags in found.items():
            if namespace(key) == where and tag in names(key, tags):
                assert cache.get(TEXTS[key], namespace=where) is None, "an invalidated answer was served"


def one(r, path, scenario, dice) -> tuple[int, int]:
    options, keys = SCENARIOS[scenario]
    image = dice.choice([mixed, lagging, few_written, few_written, all_but_the_header])(r, dice)
    if dice.random() < 0.3:
        tear(image, r, dice)
    data = b"".join(image)
    path.write_bytes(data)
    try:
        return examine(path, data, options, keys, scenario != "full", dice)
    except BaseException:
        path.write_bytes(data)
        raise


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_power(tmp_path, disk, scenario):
    dice = random.Random(f"{SEED} {scenario}")
    images = -(-IMAGES // len(SCENARIOS))
    opened = recovered = dropped = 0
    for start in range(0, images, A_ROUND):
        path = disk / f"cache{start}"
        r = record(path, *SCENARIOS[scenario], dice, tmp_path / "report")
        try:
            for i in range(start, min(start + A_ROUND, images)):
                image = disk / f"image{i}"
                try:
                    result = one(r, image, scenario, dice)
                except BaseException:
                    shutil.copy(image, tmp_path / "image")
                    print(f"SEMCORE_SEED={SEED}, image {i} of {scenario}: {tmp_path / 'image'}")
                    raise
                image.unlink()
                opened, recovered, dropped = opened + 1, recovered + result[0], dropped + result[1]
        finally:
            r.close()
    print(f"{scenario}: {opened} images opened, {recovered} recovered, {dropped} entries dropped")
    assert recovered > images / 2


def test_power_while_a_file_is_made(disk):
    """The header is written last: with it the file opens, whatever else is not there; without it never."""
    options, _ = SCENARIOS["room"]
    semcore.Cache(disk / "cache", **options).close()
    whole = (disk / "cache").read_bytes()
    dice = random.Random(SEED)
    for i in range(60):
        pages = [dice.choice([whole[at : at + PAGE], bytes(PAGE)]) for at in range(0, len(whole), PAGE)]
        pages[0] = [whole[:PAGE], b"semcore+".ljust(PAGE, b"\0"), bytes(PAGE)][i % 3]
        path = disk / f"image{i}"
        path.write_bytes(b"".join(pages))
        if i % 3 == 2:
            with pytest.raises(semcore.RegionError, match="not a semcore file"):
                semcore.Cache(path, **options)
            continue
        with semcore.Cache(path, **options) as cache:
            assert cache.validate() is None
            assert len(cache) == 0
            put(cache, 1, dice, None)
            assert set(find_all(cache, range(40), False)) == {1}
            assert cache.validate() is None
