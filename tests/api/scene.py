"""A broker with something of everything in it, made the same way in Leveret and in RabbitMQ."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

import pika
from pika.adapters.blocking_connection import BlockingChannel

from tests.api.http import Http

VHOST = "scene"
PASSWORD = "secret"
TAGS = {"mon": "monitoring", "man": "management", "pol": "policymaker", "imp": "impersonator", "nob": ""}
SHOWS_AFTER_S = 11.0  # RabbitMQ samples every five seconds, and a rate needs two samples


@dataclass(frozen=True)
class Place:
    """Where a broker is."""

    host: str
    port: int
    api: str
    """As in http://127.0.0.1:15672."""


def path(*parts: str) -> str:
    """A path below /api, of names that may have a slash in them."""
    return "/".join(quote(part, safe="") for part in parts)


def furnish(http: Http) -> None:
    """Make users, a virtual host and what is in it."""

    def put(where: str, **body: object) -> None:
        http.ask("PUT", where, {key.replace("_to", "-to"): value for key, value in body.items()}).expect(201, 204)

    put(path("vhosts", VHOST), description="All there is", tags="a,b", default_queue_type="classic")
    put(path("vhosts", "closed"))
    put(path("permissions", VHOST, "guest"), configure=".*", write=".*", read=".*")
    for name, tags in TAGS.items():
        put(path("users", name), password=PASSWORD, tags=tags)
        put(path("permissions", VHOST, name), configure="^own", write=".*", read=".*")
    put(path("exchanges", VHOST, "events"), type="topic", durable=True)
    put(path("topic-permissions", VHOST, "man"), exchange="events", write="^order", read=".*")
    put(path("exchanges", VHOST, "inner"), type="fanout", durable=True, internal=True, auto_delete=False)
    put(path("exchanges", VHOST, "byhead"), type="headers", durable=True, arguments={"alternate-exchange": "inner"})
    put(
        path("queues", VHOST, "orders"),
        durable=True,
        arguments={"x-max-length": 1000, "x-dead-letter-exchange": "inner"},
    )
    put(path("queues", VHOST, "ledger"), durable=True, arguments={"x-queue-type": "quorum"})
    put(path("queues", VHOST, "urgent"), durable=True, arguments={"x-max-priority": 5})
    put(path("queues", VHOST, "with/slash and ü"), durable=True, auto_delete=True, arguments={})
    put(path("queues", VHOST, "idle"), durable=True)
    for target, key, arguments in (
        ("q/orders", "order.*", {}),
        ("q/orders", "", {}),
        ("q/ledger", "#", {}),
        ("e/inner", "order.new", {"note": "x"}),
    ):
        where = f"{path('bindings', VHOST, 'e', 'events')}/{target}"
        http.ask("POST", where, {"routing_key": key, "arguments": arguments}).expect(201)
    where = f"{path('bindings', VHOST, 'e', 'byhead')}/q/urgent"
    http.ask("POST", where, {"routing_key": "", "arguments": {"x-match": "all", "kind": 1}}).expect(201)
    put(
        path("policies", VHOST, "ceiling"),
        pattern="^orders$",
        definition={"max-length-bytes": 100000},
        apply_to="queues",
    )
    put(path("operator-policies", VHOST, "floor"), pattern="^idle$", definition={"expires": 3600000}, apply_to="queues")
    put(path("vhost-limits", VHOST, "max-queues"), value=100)
    put(path("user-limits", "man", "max-channels"), value=50)
    put(path("global-parameters", "motto"), value={"text": "post box, post office, postman"})
    props = {"headers": {"a": 1}, "delivery_mode": 2, "content_type": "text/plain"}
    for text in ("one", "two"):
        body = {"properties": props, "routing_key": "urgent", "payload": text, "payload_encoding": "string"}
        http.ask("POST", path("exchanges", VHOST, "amq.default", "publish"), body).expect(200)


def clear(http: Http) -> None:
    """Take away what furnish() has made; nothing where it has made nothing."""
    for where in (path("vhosts", VHOST), path("vhosts", "closed"), *(path("users", name) for name in TAGS)):
        http.ask("DELETE", where).expect(204, 404)
    http.ask("DELETE", path("global-parameters", "motto")).expect(204, 404)


class Traffic(threading.Thread):
    """Publishes, gets and acknowledges all the time, ten times a second."""

    def __init__(self, place: Place) -> None:
        super().__init__(daemon=True)
        self._place = place
        self._stopping = threading.Event()

    def run(self) -> None:
        """Go on until stop()."""
        with connection(self._place, "postman") as (_, channel):
            channel.confirm_delivery()
            while not self._stopping.wait(0.1):
                properties = pika.BasicProperties(delivery_mode=2, timestamp=int(time.time()))
                channel.basic_publish("events", "order.new", b"hello", properties)
                with contextlib.suppress(pika.exceptions.UnroutableError):
                    channel.basic_publish("byhead", "nowhere", b"", mandatory=True)
                channel.basic_get("ledger", auto_ack=True)
                method, _, _ = channel.basic_get("orders")
                if method is not None:
                    channel.basic_ack(method.delivery_tag)

    def stop(self) -> None:
        """End it."""
        self._stopping.set()
        self.join()


@contextlib.contextmanager
def connection(place: Place, name: str) -> Iterator[tuple[pika.BlockingConnection, BlockingChannel]]:
    """A connection in the virtual host of the scene, with a channel."""
    parameters = pika.ConnectionParameters(
        place.host,
        place.port,
        VHOST,
        pika.PlainCredentials("guest", "guest"),
        client_properties={"connection_name": name},
    )
    made = pika.BlockingConnection(parameters)
    try:
        yield made, made.channel()
    finally:
        with contextlib.suppress(pika.exceptions.AMQPError):
            made.close()


@contextlib.contextmanager
def play(place: Place, shows_after_s: float = SHOWS_AFTER_S) -> Iterator[None]:
    """Furnish the broker, and let clients be there while the block runs."""
    http = Http(place.api)
    clear(http)
    furnish(http)
    with connection(place, "shop") as (made, channel):
        channel.queue_declare("mine", exclusive=True)
        channel.basic_qos(prefetch_count=2)
        channel.basic_consume("urgent", lambda *_: None, consumer_tag="clerk", arguments={"x-priority": 3})
        channel.basic_consume("mine", lambda *_: None, auto_ack=True, consumer_tag="private", exclusive=True)
        made.process_data_events(0.2)
        traffic = Traffic(place)
        traffic.start()
        until = time.monotonic() + shows_after_s
        while time.monotonic() < until:
            made.process_data_events(0.2)
        try:
            yield
        finally:
            traffic.stop()
            clear(http)
