"""Clients of HTTP that publish and consume: what the tests of both need."""

from __future__ import annotations

import threading
from typing import Any
from urllib.parse import quote

import leveret
from tests.api.http import Http, Reply

V = "%2F"


def in_path(name: str) -> str:
    """A name, as paths have it."""
    return quote(name, safe="")


def declare(http: Http, name: str, vhost: str = V, **arguments: object) -> str:
    """A durable queue. arguments: with underscores. Returns: its path."""
    table = {key.replace("_", "-"): value for key, value in arguments.items()}
    http.ask("PUT", f"queues/{vhost}/{in_path(name)}", {"durable": True, "arguments": table}).expect(201, 204)
    return f"leveret/queues/{vhost}/{in_path(name)}"


def put(http: Http, queue: str, *bodies: str) -> None:
    """Publish texts to a queue of the virtual host /."""
    for body in bodies:
        http.ask("POST", f"leveret/queues/{V}/{queue}/messages", body.encode()).expect(201)


class Asking:
    """A request that takes its time."""

    def __init__(self, http: Http, method: str, path: str, body: object = None) -> None:
        self._replies: list[Reply] = []
        self._thread = threading.Thread(target=lambda: self._replies.append(http.ask(method, path, body)), daemon=True)
        self._thread.start()

    @property
    def is_answered(self) -> bool:
        """Whether the answer is there."""
        return bool(self._replies)

    def reply(self) -> Reply:
        """The answer."""
        self._thread.join(30)
        assert self._replies, "no answer came"
        return self._replies[0]


class Consumer:
    """A consumer of a queue, as its client sees it."""

    def __init__(self, http: Http, queue: str, vhost: str = V, **wanted: object) -> None:
        self.http = http
        made: Any = http.ask("POST", f"leveret/queues/{vhost}/{in_path(queue)}/consumers", wanted).expect(201)
        self.made: Any = made.json
        self.location = made.headers["location"]
        self.path = f"leveret/consumers/{self.made['id']}"

    def ask(self, method: str, path: str = "", body: object = None, **headers: str) -> Reply:
        """Ask for something of it."""
        return self.http.ask(method, self.path + path, body, **headers)

    def receive(self, most: int = 10, wait: int = 0) -> list[dict[str, Any]]:
        """Messages."""
        found: Any = self.ask("POST", f"/receive?max={most}&wait={wait}").expect(200).json
        return list(found["messages"])

    def bodies(self, most: int = 10, wait: int = 0) -> list[str]:
        """The bodies of messages, with a ! behind those that were delivered before."""
        return [each["payload"] + "!" * each["redelivered"] for each in self.receive(most, wait)]

    def wait(self, most: int = 1, wait: int = 60) -> Asking:
        """Wait for messages, while the test goes on."""
        return Asking(self.http, "POST", f"{self.path}/receive?max={most}&wait={wait}")

    def settle(self, **how: object) -> Any:
        """Settle messages."""
        return self.ask("POST", "/acks", how).expect(200).json

    def show(self) -> Any:
        """What there is to say of it."""
        return self.ask("GET").expect(200).json

    def why_over(self) -> str:
        """Why it is over."""
        found: Any = self.ask("GET").expect(404).json
        return str(found["reason"])


def counts(broker: leveret.Broker, queue: str) -> tuple[int, int]:
    """How many messages of a queue are ready, and unacknowledged."""
    found = broker.queue(queue)
    return found.ready, found.unacked
