"""kill -9 while messages are moved, or sent home: each is in one of the queues, once.

LEVERET_TEST_KILLS says how often, instead of the few times that are enough to find what goes wrong always.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path

import pika
import pytest

from tests.api.http import Http
from tests.brokers.process import Server

KILLS = int(os.environ.get("LEVERET_TEST_KILLS", "3"))
COUNT = 8_000
LONGEST_S = 0.25  # from the beginning of an action to the kill


class Victim:
    """A broker on a disk, which is killed again and again. The queue `home` has numbered messages."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.server = self.start()
        with self.connect() as connection:
            channel = connection.channel()
            arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
            channel.queue_declare("home", durable=True, arguments=arguments)
            channel.queue_declare("dead", durable=True)
            for number in range(COUNT):
                properties = pika.BasicProperties(delivery_mode=2, message_id=str(number))
                channel.basic_publish("", "home", b"x" * random.randrange(200), properties)
            channel.confirm_delivery()
            channel.basic_publish("", "home", b"", pika.BasicProperties(delivery_mode=2, message_id=str(COUNT)))

    def start(self) -> Server:
        """Start it, with little memory, so that much rests on the disk."""
        options = ["--data-dir", str(self.directory), "--management-port", "0", "--memory-budget", "1MB"]
        self.server = Server.start(*options)
        self.http = Http(self.server.api, timeout_s=60)
        return self.server

    def connect(self) -> pika.BlockingConnection:
        """A client."""
        return pika.BlockingConnection(pika.URLParameters(self.server.url))

    def reject_all(self) -> None:
        """Let everything in `home` become dead letters."""
        with self.connect() as connection:
            channel = connection.channel()
            for method, _, _ in channel.consume("home", inactivity_timeout=2):
                if method is None:
                    break
                channel.basic_reject(method.delivery_tag, requeue=False)

    def act(self, queue: str, **wanted: object) -> None:
        """Act, as long as the broker lives."""
        with contextlib.suppress(OSError, HTTPException):
            self.http.ask("POST", f"leveret/queues/%2F/{queue}/messages/act", wanted)

    def kill_within(self, queue: str, **wanted: object) -> None:
        """Begin with an action, kill the broker soon, and start it again."""
        thread = threading.Thread(target=self.act, args=(queue,), kwargs=wanted)
        thread.start()
        time.sleep(random.uniform(0.005, LONGEST_S))
        self.server.stop(signal.SIGKILL)
        thread.join()
        self.start()

    def numbers(self, queue: str) -> Counter[str]:
        """The numbers of all messages of a queue."""
        reply = self.http.ask("POST", f"leveret/queues/%2F/{queue}/messages/search", {"limit": None, "truncate": 0})
        lines = map(json.loads, reply.expect(200).body.splitlines())
        return Counter(line["message"]["properties"]["message_id"] for line in lines if "message" in line)


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Victim]:
    """One for a test."""
    victim = Victim(tmp_path)
    yield victim
    victim.server.stop()


def test_what_is_moved_is_in_one_queue(victim: Victim) -> None:
    wanted = Counter(map(str, range(COUNT + 1)))
    places = ["home", "dead"]
    for _ in range(KILLS):
        victim.kill_within(places[0], action="move", to_queue=places[1], all=True)
        home, dead = victim.numbers("home"), victim.numbers("dead")
        assert home + dead == wanted
        if not (home if places[0] == "home" else dead):
            places.reverse()


def test_dead_letters_that_are_sent_home_are_in_one_queue(victim: Victim) -> None:
    wanted = Counter(map(str, range(COUNT + 1)))
    for _ in range(KILLS):
        victim.reject_all()
        victim.kill_within("dead", action="redrive", max_redrives=1_000)
        assert victim.numbers("home") + victim.numbers("dead") == wanted
