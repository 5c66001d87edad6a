"""Heartbeats of one second: who sends them, what counts as a sign of life, and what silence leads to.

All connections of this file live through the same four seconds, so that these are waited for once; or again, if the
machine was too busy for the clients to speak in time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from tests.clients.codec import HEARTBEAT, frame
from tests.clients.link import EndOfStream
from tests.clients.methods import AccessRequest, AccessRequestOk, ConnectionClose
from tests.clients.peer import Channel, Peer

SECONDS = 4.0
PAUSE_S = 0.3  # between two signs of life
TOO_LATE_S = 0.8  # a pause after which the broker is right to find a client silent, or not to
ATTEMPTS = 5
LIVING = ("beating", "talking", "none", "slow")  # whose connections have to be in order in the end
BEAT = frame(HEARTBEAT, 0, b"")


@dataclass
class Life:
    """What happened on one connection."""

    peer: Peer
    channel: Channel
    born: float = field(default_factory=time.monotonic)
    beats: list[float] = field(default_factory=list)
    others: int = 0
    ended: float | None = None
    is_reset: bool = False
    is_in_order: bool = False

    def listen(self) -> None:
        """Read what has arrived."""
        try:
            while self.ended is None:
                found = self.peer.link.read_frame(0.005)
                if found.type == HEARTBEAT:
                    assert found == (HEARTBEAT, 0, b"")
                    self.beats.append(time.monotonic() - self.born)
                else:
                    self.others += 1
        except TimeoutError:
            return
        except EndOfStream as end:
            self.ended = time.monotonic() - self.born
            self.is_reset = isinstance(end.__cause__, ConnectionResetError)

    def say(self, data: bytes) -> None:
        """Send something, if there is somebody to hear it."""
        if self.ended is None:
            self.peer.link.send_bytes(data)

    def take_leave(self) -> None:
        """Ask for something, and close; at once, since from now on nobody keeps the beat."""
        try:
            self.channel.send(AccessRequest())
            self.channel.expect(AccessRequestOk)
            self.peer.call(ConnectionClose(reply_code=200))
        except (EndOfStream, TimeoutError):
            return
        self.is_in_order = True


@pytest.fixture(scope="module")
def lives(amqp_address: tuple[str, int]) -> Iterator[dict[str, Life]]:
    """Connections that lived through a few seconds, each in its own way."""
    for _ in range(ATTEMPTS):
        lives, longest_s = live(amqp_address)
        if longest_s < TOO_LATE_S:
            break
        close(lives)
    else:
        pytest.skip(f"this machine is too busy to tell: the clients could say nothing for {longest_s:.1f} s")
    yield lives
    close(lives)


def close(lives: dict[str, Life]) -> None:
    """End all connections."""
    for life in lives.values():
        life.peer.link.close()


def live(address: tuple[str, int]) -> tuple[dict[str, Life], float]:
    """Connections that have lived through a few seconds, and the longest time in which none of them could speak."""
    intervals = {"silent": 1, "beating": 1, "talking": 1, "dripping": 1, "none": 0, "slow": 600}
    lives = {}
    for name, interval in intervals.items():
        peer = Peer(address).login(heartbeat=interval)
        lives[name] = Life(peer, peer.channel())
    drops = iter(AccessRequest(realm="a realm that is long enough").frames(1, 0))
    longest_s, now = 0.0, time.monotonic()
    end = now + SECONDS
    while now < end:
        lives["beating"].say(BEAT)
        lives["talking"].say(AccessRequest().frames(1, 0))
        lives["dripping"].say(bytes([next(drops)]))
        time.sleep(PAUSE_S)
        for life in lives.values():
            life.listen()
        before, now = now, time.monotonic()
        longest_s = max(longest_s, now - before)
    for name in LIVING:
        lives[name].take_leave()
    return lives, max(longest_s, time.monotonic() - now)


def test_broker_beats_twice_an_interval(lives: dict[str, Life]) -> None:
    beats = lives["beating"].beats
    assert SECONDS <= len(beats) <= 3 * SECONDS
    assert beats[0] < 1.0 + TOO_LATE_S
    assert all(late - early < 1.5 + TOO_LATE_S for early, late in pairwise(beats))


def test_broker_beats_for_a_silent_client_too(lives: dict[str, Life]) -> None:
    assert len(lives["silent"].beats) >= 2


def test_other_frames_take_the_place_of_beats(lives: dict[str, Life]) -> None:
    assert lives["talking"].others > 5
    assert len(lives["talking"].beats) <= 2


def test_silence_ends_the_connection_without_a_frame(lives: dict[str, Life]) -> None:
    ended = lives["silent"].ended
    assert ended is not None
    assert 1.5 < ended < SECONDS
    assert lives["silent"].others == 0
    assert lives["silent"].is_reset  # so that what the client says next fails


@pytest.mark.parametrize("name", ["beating", "talking", "dripping", "none", "slow"])
def test_any_byte_is_a_sign_of_life(lives: dict[str, Life], name: str) -> None:
    assert lives[name].ended is None


@pytest.mark.parametrize("name", ["none", "slow"])
def test_no_beats_where_none_were_asked_for(lives: dict[str, Life], name: str) -> None:
    assert lives[name].beats == []


@pytest.mark.parametrize("name", LIVING)
def test_connection_is_in_order_afterwards(lives: dict[str, Life], name: str) -> None:
    assert lives[name].is_in_order
