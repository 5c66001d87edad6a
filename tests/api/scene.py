"""A broker with something of everything in it, made the same way in Leveret and in RabbitMQ."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pika

from tests.api.http import Http
from tests.api.place import Place
from tests.clients.waiting import PATIENCE

VHOST = "scene"
PASSWORD = "secret"
TAGS = {
    "adm": "administrator",
    "mon": "monitoring",
    "man": "management",
    "pol": "policymaker",
    "imp": "impersonator",
    "nob": "",
}
SHOWS_AFTER_S = 11.0  # RabbitMQ samples every five seconds, and a rate needs two samples


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
    props = {"headers": {"a": 1}, "delivery_mode": 2, "content_type": "text/plain", "timestamp": 1_700_000_000}
    for queue, text in (("urgent", "one"), ("urgent", "two"), ("orders", "three")):
        body = {"properties": props, "routing_key": queue, "payload": text, "payload_encoding": "string"}
        http.ask("POST", path("exchanges", VHOST, "amq.default", "publish"), body).expect(200)


def clear(http: Http) -> None:
    """Take away what furnish() has made; nothing where it has made nothing."""
    for where in (path("vhosts", VHOST), path("vhosts", "closed"), *(path("users", name) for name in TAGS)):
        http.ask("DELETE", where).expect(204, 404)
    for name in ("motto", "cluster_name"):
        http.ask("DELETE", path("global-parameters", name)).expect(204, 404)


class Traffic(threading.Thread):
    """Publishes, gets and acknowledges all the time, ten times a second."""

    def __init__(self, place: Place) -> None:
        super().__init__(daemon=True)
        self._place = place
        self._stopping = threading.Event()

    def run(self) -> None:
        """Go on until stop()."""
        with self._place.connect(VHOST, "postman") as made:
            channel = made.channel()
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


def _shows(http: Http) -> bool:
    """Whether there are samples of all channels, which are looked at no later than anything else."""
    channels: Any = http.ask("GET", f"vhosts/{VHOST}/channels?msg_rates_age=60&msg_rates_incr=1").json
    numbers = [each.get("message_stats", {}) for each in channels]
    shown = [any(isinstance(each, dict) and each.get("samples") for each in stats.values()) for stats in numbers]
    return len(shown) == 2 and all(shown)


@contextlib.contextmanager
def play(place: Place, shows_after_s: float = SHOWS_AFTER_S) -> Iterator[None]:
    """Furnish the broker, and let clients be there while the block runs."""
    http = Http(place.api)
    clear(http)
    furnish(http)
    with place.connect(VHOST, "shop") as made:
        channel = made.channel()
        channel.queue_declare("mine", exclusive=True)
        channel.basic_qos(prefetch_count=2)
        channel.basic_consume("urgent", lambda *_: None, consumer_tag="clerk", arguments={"x-priority": 3})
        channel.basic_consume("mine", lambda *_: None, auto_ack=True, consumer_tag="private", exclusive=True)
        made.process_data_events(0.2)
        traffic = Traffic(place)
        traffic.start()
        began = time.monotonic()
        while time.monotonic() < began + shows_after_s or not _shows(http):
            made.process_data_events(0.2)
            assert time.monotonic() < began + shows_after_s + PATIENCE, "the statistics do not show"
        try:
            yield
        finally:
            traffic.stop()
            clear(http)
