"""Names that the broker makes up: the same from the same seed, and from no seed such as nobody can guess."""

from __future__ import annotations

import base64
import random
import struct

import pytest

from leveret.core.broker import Broker
from leveret.core.turn.clock import Clock
from leveret.store.memory import MemoryLog

WORDS = 624  # of the state of a Mersenne Twister


def broker(seed: int | None) -> Broker:
    """A broker in memory."""
    log = MemoryLog()
    return Broker(log, log, Clock(), seed, "test")


def test_a_seed_gives_the_same_names() -> None:
    first, second = broker(7), broker(7)
    for _ in range(3):
        assert (first.random_name(), first.new_id(), first.chance(1000)) == (
            second.random_name(),
            second.new_id(),
            second.chance(1000),
        )


@pytest.mark.parametrize("seed", [1, None])
def test_who_has_seen_many_names_cannot_tell_the_next_one(seed: int | None) -> None:
    """With a seed the generator is one of which 156 names tell all that follow; without one, it is not."""
    maker = broker(seed)
    words: list[int] = []
    while len(words) < WORDS:
        words += struct.unpack("<4I", base64.urlsafe_b64decode(maker.random_name() + "=="))
    known = random.Random()
    known.setstate((3, (*map(untempered, words), WORDS), None))
    guess = base64.urlsafe_b64encode(known.randbytes(16)).decode()[:22]
    assert (guess == maker.random_name()) is (seed is not None)


def untempered(word: int) -> int:
    """The word of the state from which this word of the output was made."""
    word ^= word >> 18
    word ^= (word << 15) & 0xEFC60000
    result = word
    for _ in range(5):
        result = word ^ ((result << 7) & 0x9D2C5680)
    word = result
    for _ in range(2):
        result = word ^ (result >> 11)
    return result
