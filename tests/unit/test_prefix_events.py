"""Events in any order, from any thread: what waits, for how long, and what is no event."""

import random
import threading

import msgpack
import pytest

from semcore import SemcoreError
from semcore.prefix import PrefixIndex
from semcore.prefix.waiting import MOST_WAITING


@pytest.fixture
def index():
    with PrefixIndex(block=1, blocks=20_000, hash="xxh3-64") as x:
        yield x
        assert x.check() is None


def chain(index, prompt):
    """An event for each block of a prompt, the first one first."""
    hashes = index.hashes(prompt)
    return [["BlockStored", [hash], before] for before, hash in zip([None, *hashes], hashes, strict=False)]


def held(index, prompt, replica=0):
    return index.match(prompt).replicas.get(replica, 0)


def waiting(index):
    return len(index._events._waiting)


def test_a_long_chain_in_reverse(index):
    prompt = list(range(3000))
    assert index.apply(chain(index, prompt)[::-1], replica=0) == 1
    assert held(index, prompt) == 3000
    assert waiting(index) == 0


def test_each_engine_has_a_thread(index):
    prompt = list(range(1200))
    events = chain(index, prompt)
    errors = []

    def follow(replica):
        mine = list(events)
        random.Random(replica).shuffle(mine)
        try:
            for at in range(0, len(mine), 5):
                index.apply(mine[at : at + 5], replica=replica)
                if replica == 3:
                    index.forget(4)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=follow, args=(replica,)) for replica in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert index.match(prompt).replicas == dict.fromkeys(range(4), 1200)
    assert waiting(index) == 0


def test_events_are_counted_not_parents(index):
    prompt = list(range(3))
    root, first, last = index.hashes(prompt)
    index.apply(["BlockStored", [last], first], replica=0)
    index.apply([["BlockStored", [1000 + i], first] for i in range(MOST_WAITING - 1)], replica=0)
    assert waiting(index) == MOST_WAITING
    index.apply(["BlockStored", [1000], first], replica=0)  # again
    assert waiting(index) == MOST_WAITING
    index.apply(["BlockStored", [5], first], replica=0)  # the oldest goes
    assert waiting(index) == MOST_WAITING
    index.apply(["BlockStored", [root, first], None], replica=0)
    assert held(index, prompt) == 2
    assert waiting(index) == 0


def test_removed_blocks_do_not_wait(index):
    prompt = list(range(8))
    hashes = index.hashes(prompt)
    later = ["BlockStored", hashes[2:], hashes[1]]
    index.apply(later, replica=0)
    index.apply(["BlockRemoved", [hashes[6], hashes[4]]], replica=1)  # another's
    index.apply(["BlockRemoved", [hashes[6], hashes[4]]], replica=0)
    index.apply(["BlockStored", hashes[:2], None], replica=0)
    assert held(index, prompt) == 4
    index.apply([["BlockRemoved", hashes], later, ["BlockRemoved", [hashes[2]]]], replica=0)
    assert waiting(index) == 0
    index.apply([later, ["BlockRemoved", [hashes[1]]]], replica=0)
    assert waiting(index) == 0
    index.apply([later, ["BlockRemoved", [hashes[4]]], later], replica=0)  # stored again
    index.apply(["BlockStored", hashes[:2], None], replica=0)
    assert held(index, prompt) == 8


def test_mixed_events_leave_nothing_behind(index):
    dice = random.Random(5)
    for _ in range(400):
        batch = []
        for _ in range(20):
            hashes = [dice.randrange(500) for _ in range(3)]
            stored = ["BlockStored", hashes, dice.randrange(500)]
            batch.append(stored if dice.random() < 0.7 else ["BlockRemoved", hashes])
        index.apply(batch, replica=dice.randrange(2), namespace=dice.choice(["a", "b"]))
    assert waiting(index) > 0
    index.forget(0)
    index.forget(1)
    left = index._events._waiting
    assert (len(left), left._behind, left._holding) == (0, {}, {})


@pytest.mark.parametrize("end", [lambda x: x.clear(), lambda x: x.apply(["AllBlocksCleared"], replica=0)])
def test_what_waits_goes_with_the_rest(index, end):
    prompt = list(range(4))
    events = chain(index, prompt)
    index.apply(events[1:], replica=0)
    end(index)
    index.apply(events[0], replica=0)
    assert held(index, prompt) == 1


def test_a_namespace_is_the_same_in_both_forms(index):
    prompt = list(range(2))
    first, later = chain(index, prompt)
    index.apply(later, replica=0, namespace="a")
    index.apply(first, replica=0, namespace=("a",))
    assert index.match(prompt, namespace="a").matched == 2


@pytest.mark.parametrize(
    ("events", "error", "says"),
    [
        (b"", ValueError, "events: not msgpack: "),
        (b"\xff\xff", ValueError, "events: not msgpack: "),
        (b"\xc1", ValueError, "events: not msgpack: "),
        (b"\x81\x90\x01", ValueError, "events: not msgpack: "),
        (msgpack.packb(["BlockStored", [b""], None]), ValueError, "got no bytes"),
        (["BlockStored", [1], b""], ValueError, "got no bytes"),
        (["BlockRemoved", [b""]], ValueError, "got no bytes"),
        (["BlockStored", ["1"], None], TypeError, "expected hashes as int or bytes, got str"),
        (["BlockStored", 1, None], TypeError, "block_hashes as a list"),
        (7, TypeError, "events: expected an event or a batch"),
    ],
)
def test_what_is_no_event(index, events, error, says):
    with pytest.raises(error, match=says):
        index.apply(events, replica=0)
    assert (len(index), waiting(index)) == (0, 0)


@pytest.mark.parametrize("replica", [-1, 64, True, "0", None])
def test_a_replica_is_checked_without_events_too(index, replica):
    index.apply(["BlockStored", [2], 1], replica=1)
    for call in (lambda: index.apply([], replica=replica), lambda: index.forget(replica)):
        with pytest.raises(ValueError, match="replica: expected a"):
            call()
    assert waiting(index) == 1


def test_a_closed_index_says_so(index):
    prompt = list(range(2))
    events = chain(index, prompt)
    with PrefixIndex(block=1, blocks=10, hash="xxh3-64") as other:
        other.close()
        with pytest.raises(SemcoreError, match="closed"):
            other.apply(events, replica=0)
