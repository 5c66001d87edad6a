"""The HTTP API under attack: beside all other attackers, beside each directed scenario, and in scenarios of its own.

Attackers come from addresses of their own, so that a decent client from another one has to be served meanwhile.
"""

from __future__ import annotations

import contextlib
import random
import resource
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Final

from leveret.node.api import places_for
from tests.clients.codec import METHOD, frame
from tests.clients.methods import QueueDeclare
from tests.clients.waiting import eventually
from tests.hostile.attackers import Attack, Tell, sample
from tests.hostile.http_attackers import HttpAttacker, Visitor
from tests.hostile.http_prowlers import PROWLERS, Prey, prowl
from tests.hostile.http_requests import ENDLESS, every_kind, every_operation
from tests.hostile.process import FILES_SLACK, Size
from tests.hostile.scenarios import Ring, scenario
from tests.hostile.verbs import VHOST

AT_ONCE: Final = 12  # requests behind each other
MOMENT_S: Final = 4.0  # of one prowler among all the others
SHORT_MOMENT_S: Final = 0.3
SCENE_S: Final = 8.0
SHORT_SCENE_S: Final = 1.0
PATIENCE_S: Final = (
    60.0  # for an answer: a definitions file of fifty thousand sections waits for all that is more urgent
)
VISIT_S: Final = 0.1  # between two requests of a decent client
SHARE: Final = 0.05  # of all operations in the scenario for them
SHORT_SHARE: Final = 0.002
QUEUES: Final = 8_000  # so that lists are long
SHORT_QUEUES: Final = 1_500
FIRST_SOURCE: Final = 10  # the last number of the first address of attackers
VISITOR: Final = "127.0.0.240"

Address = tuple[str, int]


def _source(number: int) -> str:
    return f"127.0.0.{FIRST_SOURCE + number}"


def _later(seconds: float, until: float = float("inf")) -> float:
    return min(time.monotonic() + seconds, until)


def add_to(
    attack: Attack, address: Address, name: str, share: float, until: float, tell: Tell, patience_s: float | None
) -> None:
    """Let attackers and prowlers of the API take part in an attack. share, patience_s: as for the others."""
    for number, groups in enumerate((every_operation, every_kind)):
        chance = random.Random(f"{name} http {number}")
        attacker = HttpAttacker(address, _source(number), chance, tell, None if patience_s is None else PATIENCE_S)
        asks = sample(groups(chance), share, chance)
        attack.add(attacker, lambda attacker=attacker, asks=asks: attacker.attack("", asks, until, AT_ONCE))  # type: ignore[misc]
    attack.call(lambda: _prowl_in_turn(address, name, share, until, tell))


def _prowl_in_turn(address: Address, name: str, share: float, until: float, tell: Tell) -> None:
    chance = random.Random(f"{name} prowlers")
    moment_s = min(max(10 * MOMENT_S * share, SHORT_MOMENT_S), MOMENT_S)
    for number, each in enumerate(chance.sample(list(PROWLERS), len(PROWLERS))):
        end = _later(moment_s, until)
        prowl(each, Prey(address, _source(number + 2), chance, tell, lambda end=end: time.monotonic() >= end))  # type: ignore[misc]


@contextlib.contextmanager
def prowling(address: Address, name: str, prowlers: list[str], tell: Tell) -> Iterator[Counter[str]]:
    """These prowlers while the block runs. Yields: how many requests each has sent, afterwards."""
    over = threading.Event()
    asked: Counter[str] = Counter()
    attack = Attack()

    def one(number: int, each: str) -> None:
        prey = Prey(address, _source(number + 20), random.Random(f"{name} {each}"), tell, over.is_set)
        prowl(each, prey)
        asked[each] += prey.asked

    for number, each in enumerate(prowlers):
        attack.call(lambda number=number, each=each: one(number, each))  # type: ignore[misc]
    try:
        yield asked
    finally:
        over.set()
        attack.join()


@contextlib.contextmanager
def beside(address: Address, name: str, seed: int, tell: Tell) -> Iterator[None]:
    """A prowler beside a scenario, unless that is one about the API."""
    chance = random.Random(f"beside {name} {seed}")
    chosen = [] if name.startswith("http-") else [chance.choice(list(PROWLERS))]
    with prowling(address, f"{name} {seed}", chosen, tell):
        yield


def _endure(ring: Ring, *prowlers: str, short_s: float = SHORT_SCENE_S) -> int:
    """Prowlers for a while, with a decent client beside them; afterwards all that they took is free again.

    Returns: how many more files were open meanwhile, at most.
    """
    process = ring.process
    visitor = Visitor(process.api, VISITOR, ring.tell)
    visitor.ask()
    size = Size(process, ring.tell)
    before, most = process.files(), 0
    with prowling(process.api, f"scene {ring.chance.random()}", list(prowlers), ring.tell) as asked:
        end = _later(short_s if ring.is_short else SCENE_S)
        while time.monotonic() < end or visitor.answered < 2:
            visitor.ask()
            most = max(most, process.files() - before)
            time.sleep(VISIT_S)
    assert all(asked[each] for each in prowlers), f"somebody has asked for nothing: {asked}"
    size.look()
    return most


@contextlib.contextmanager
def _many_queues(ring: Ring) -> Iterator[None]:
    """Queues that end with the block."""
    peer = ring.process.peer(VHOST)
    channel = peer.channel()
    count = SHORT_QUEUES if ring.is_short else QUEUES
    declares = [QueueDeclare(queue=f"{number:0100d}", exclusive=True, nowait=True) for number in range(count)]
    peer.link.send_bytes(b"".join(frame(METHOD, 1, each.payload()) for each in declares))
    channel.queue()
    try:
        yield
    finally:
        peer.close()


@scenario
def http_slow(ring: Ring) -> None:
    """Headers and bodies that come octet by octet, and large ones that never end."""
    _endure(ring, "slow-heads", "slow-bodies", "large-bodies")


@scenario
def http_unread(ring: Ring) -> None:
    """Long answers that nobody reads to their end."""
    with _many_queues(ring):
        _endure(ring, "unread", "half-read", "pipelines")


@scenario
def http_crowd(ring: Ring) -> None:
    """More connections than there may be."""
    most = _endure(ring, "crowd", "comers-and-goers", short_s=6 * SHORT_SCENE_S)
    places = places_for(resource.prlimit(ring.process.pid, resource.RLIMIT_NOFILE)[0])
    assert most <= places + FILES_SLACK, f"{most} connections are open, and there are places for {places}"


@scenario
def http_strangers(ring: Ring) -> None:
    """Wrong passwords, beside somebody who is slow."""
    _endure(ring, "strangers", "slow-heads")


@scenario
def http_listeners(ring: Ring) -> None:
    """Streams of events that are opened and left, while there is much to tell."""
    with _many_queues(ring):
        _endure(ring, "listeners", "half-read")
    _endure(ring, "listeners")
    visitor = Visitor(ring.process.api, VISITOR, lambda kind, text: None)  # which is refused until all have gone
    eventually(lambda: visitor.ask(ENDLESS) == [200])


@scenario
def http_requests(ring: Ring) -> None:
    """All that may be asked with values of every kind, and all that is hardly HTTP."""
    process = ring.process
    visitor = Visitor(process.api, VISITOR, ring.tell)
    visitor.ask()
    size = Size(process, ring.tell)
    attack = Attack()
    share = SHORT_SHARE if ring.is_short else SHARE
    for number, groups in enumerate((every_operation, every_kind)):
        chance = random.Random(ring.chance.random())
        attacker = HttpAttacker(process.api, _source(number), chance, ring.tell, PATIENCE_S)
        asks = sample(groups(chance), share if number == 0 else 10 * share, chance)
        attack.add(attacker, lambda attacker=attacker, asks=asks: attacker.attack("", asks, at_once=AT_ONCE))  # type: ignore[misc]
    attack.join()
    assert all(attacker.done for attacker in attack.attackers), "an attacker was answered nothing"
    visitor.ask()
    size.look()
