"""Bits of a small data directory, flipped one by one: a start, a check and an export end with an answer all the same.

    python -m tests.store.flipping DIRECTORY [--count 500] [--seed 1] [--every] [--part 1/4]

DIRECTORY: to work in, best one in memory. --every: flips of all bytes, not only of those that say something.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import random
import shutil
import sys
import traceback
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path

from leveret.core.access.user import Credential
from leveret.core.broker import Broker
from leveret.core.errors.administration import AdministrationError
from leveret.core.exchange.exchange import Binding
from leveret.core.message.message import Message, address
from leveret.core.policy.policy import Policy
from leveret.core.turn.clock import Clock
from leveret.management.messages import find_queue
from leveret.store.chunk_store import StoreError
from leveret.store.database import FILE_NAME
from leveret.store.memory import MemoryLog
from leveret.store.rescue.maintenance import check
from leveret.store.snapshot import Snapshot
from leveret.wire.content import make_content
from leveret.wire.fields import long, longstr
from leveret.wire.properties import BasicProperties
from tests.brokers.on_disk import OnDisk

WALL_MS = 1_700_000_000_000
FILES = (FILE_NAME, f"{FILE_NAME}-wal")
NEAR = 8  # bytes behind one that is not zero that may say something too
Flip = tuple[str, int, int]  # file, byte and bit


class Life(OnDisk):
    """A broker without clients."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, Clock(0, WALL_MS))

    def write(self) -> None:
        """Everything so far, on the disk."""
        self.broker.settle()
        self.log.flush()
        self.wait_for_commit()


class Told:
    """What a store has to tell when it is whole.

    messages: contents of those in queue "q", by number. acked: numbers of those that are gone. definitions: see there.
    """

    def __init__(self) -> None:
        self.messages: dict[int, bytes] = {}
        self.acked: set[int] = set()
        self.definitions: set[str] = set()


def content(number: int) -> bytes:
    """A message that occurs nowhere else."""
    properties = BasicProperties()
    properties.delivery_mode = 2
    properties.headers = {"number": long(number)}
    return make_content(properties.encode(), b"<%d>" % number + bytes((number,)) * 40)


def fill(directory: Path) -> Told:
    """A store with some of everything: the file has a part of it, and the write-ahead log of a kill -9 the rest."""
    told = Told()
    live = directory.with_name(f"{directory.name}-live")
    life = Life(live)
    broker = life.broker
    broker.make_defaults("guest", Credential("x", "a hash"))
    vhost = broker.vhosts["/"]
    queue = vhost.make_queue("q", True, 0, False, {"x-max-priority": long(3)})
    arguments = {"x-match": longstr("all"), "a": long(1)}
    vhost.bind(Binding(vhost.exchanges["amq.headers"], queue, None, "k", arguments))
    vhost.set_policy(Policy("p", "^q", {"max-length": 1000}, 1, "queues"))
    life.write()
    for number in range(1, 16):
        if number == 9:
            life.log.close()  # what was written before is in the file itself
            life = Life(live)
            queue = life.broker.vhosts["/"].queues["q"]
        told.messages[number] = content(number)
        queue.publish(Message(address("amq.headers", "k"), told.messages[number], True), None)
        if number % 3 == 0:
            life.write()
        if number in (6, 14):
            for _ in range(2):
                stored = queue.get()
                assert stored is not None
                told.acked.add(int(stored.message.properties().headers["number"].integer))  # type: ignore[index]
                queue.settle(stored)
            life.write()
    told.definitions = definitions(life.broker)
    shutil.copytree(live, directory)
    life.log.close()
    shutil.rmtree(live)
    return told


def definitions(broker: Broker) -> set[str]:
    """What is declared, as one line each."""
    found: set[str] = set()
    for user in broker.users:
        found.add(f"user {user.name} {user.credential.hash} {user.tags}")
        for place, permission in user.permissions.items():
            found.add(f"permission {user.name} {place} {permission.configure} {permission.write} {permission.read}")
    for vhost in broker.vhosts.values():
        found.add(f"vhost {vhost.name}")
        for queue in vhost.queues.values():
            if not queue.name.startswith("salvaged."):
                found.add(f"queue {vhost.name} {queue.name} {queue.arguments} {queue.auto_delete}")
        for exchange in vhost.exchanges.values():
            found.add(f"exchange {vhost.name} {exchange.name} {exchange.kind}")
            for binding in exchange.bindings:
                if not binding.destination.startswith("salvaged."):
                    found.add(f"binding {exchange.name} {binding.destination} {binding.key} {binding.arguments}")
        for policy in vhost.policies.all.values():
            found.add(f"policy {policy.name} {policy.pattern} {policy.definition} {policy.priority}")
    return found


class Flipper:
    """Flips bits of a store in copies of it. whole: the store; work: where the copies are made."""

    def __init__(self, whole: Path, work: Path, told: Told) -> None:
        self._whole = whole
        self._work = work
        self._told = told

    def flips(self, every: bool = False) -> list[Flip]:
        """All bits; without every, only those of bytes that say something, or are near one."""
        found: list[Flip] = []
        for name in FILES:
            content = (self._whole / name).read_bytes()
            near = 0
            for at, byte in enumerate(content):
                near = NEAR if byte else near - 1
                if every or near >= 0:
                    found += [(name, at, bit) for bit in range(8)]
        return found

    def try_all(self, flips: Iterable[Flip], tell: Callable[[int], None] = lambda done: None) -> list[str]:
        """Flip one after the other. tell: called with how many are done. Returns: what went wrong, in texts."""
        wrong: list[str] = []
        for done, flip in enumerate(flips):
            tell(done)
            try:
                self.one(flip)
            except Exception:
                wrong.append(f"{flip}: {traceback.format_exc(limit=-4)}")
        return wrong

    def one(self, flip: Flip) -> None:
        """Flip a bit, and ask everybody. Raises: whatever should not be."""
        name, at, bit = flip
        self._copy()
        with (self._work / name).open("r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes((byte ^ 1 << bit,)))
        self.look()

    def look(self) -> None:
        """Check, export and serve what is in the copy, twice. Raises: whatever should not be."""
        with contextlib.suppress(StoreError):
            check(self._work, lambda done, total: None)
        with contextlib.suppress(StoreError, AdministrationError):
            self._export()
        try:
            first = self._serve()
            second = self._serve()
        except StoreError:
            return
        assert first == second, f"{sorted(first)} at the first start, {sorted(second)} at the next"

    def _copy(self) -> None:
        shutil.rmtree(self._work, ignore_errors=True)
        shutil.copytree(self._whole, self._work)

    def _export(self) -> None:
        snapshot = Snapshot(self._work)
        try:
            broker = Broker(MemoryLog(), snapshot, Clock(0, WALL_MS), 0, "")
            broker.recover_definitions()
            self._compare_definitions(broker)
            found = find_queue(broker, "/", "q")
            for each in snapshot.messages(found.queue_id, True, lambda done, total: None):
                self._compare(each.message, each.redelivered)
        finally:
            snapshot.close()

    def _serve(self) -> set[int]:
        """Start, look at everything and end. Returns: numbers of the messages."""
        life = Life(self._work)
        try:
            self._compare_definitions(life.broker)
            numbers: list[int] = []
            for vhost in life.broker.vhosts.values():
                for queue in vhost.queues.values():
                    assert not queue.fault, queue.fault
                    numbers += [self._compare(each.message, each.redelivered) for each in queue.ready.items()]
            assert len(numbers) == len(set(numbers)), f"messages are there twice: {sorted(numbers)}"
            jumps = [after for before, after in pairwise(numbers) if after < before]
            assert len(jumps) <= 1, f"more than one chunk is not in its place: {numbers}"
            life.log.flush()
        finally:
            life.log.close()
        return set(numbers)

    def _compare(self, message: Message, redelivered: bool) -> int:
        """Whether a message is one of those that were stored. Returns: its number."""
        headers = message.properties().headers
        assert headers is not None
        number = headers["number"].integer
        assert message.content == self._told.messages[number], "a message that was never stored"
        assert (message.address.exchange, message.address.routing_key) == ("amq.headers", "k")
        assert redelivered or number not in self._told.acked, "an acked message that is not flagged"
        return number

    def _compare_definitions(self, broker: Broker) -> None:
        strange = definitions(broker) - self._told.definitions
        assert not strange, f"what was never declared: {strange}"


def sample(flips: list[Flip], count: int, seed: int) -> list[Flip]:
    """Some of the flips, the same for the same seed."""
    return random.Random(seed).sample(flips, min(count, len(flips)))


def main() -> int:
    """Flip what is asked for. Returns: 1 if anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", action="store_true")
    parser.add_argument("--part", default="1/1")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    directory: Path = options.directory
    whole, work = directory / "whole", directory / "work"
    flipper = Flipper(whole, work, fill(whole))
    flipper._copy()
    flipper.look()
    flips = flipper.flips(options.every)
    if options.count:
        flips = sample(flips, options.count, options.seed)
    part, parts = map(int, options.part.split("/"))
    flips = flips[part - 1 :: parts]
    wrong = flipper.try_all(flips)
    for text in wrong:
        print(text)
    print(f"{len(flips)} flips, {len(wrong)} went wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
