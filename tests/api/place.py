"""Place: where a broker and its HTTP API are, and one that is started for tests."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import pika

from tests.brokers.process import Server

INTERVAL_S = 0.2  # from one sample to the next, in brokers that are started for tests


@dataclass(frozen=True)
class Place:
    """Where a broker is. api: as in http://127.0.0.1:15672."""

    host: str
    port: int
    api: str

    @contextlib.contextmanager
    def connect(
        self,
        vhost: str = "/",
        name: str = "",
        user: str = "guest",
        password: str = "guest",
        heartbeat_s: int | None = None,
    ) -> Iterator[pika.BlockingConnection]:
        """A connection of an AMQP client. name: what it calls itself. heartbeat_s: None for what the broker wants."""
        parameters = pika.ConnectionParameters(
            self.host,
            self.port,
            vhost,
            pika.PlainCredentials(user, password),
            client_properties={"connection_name": name} if name else None,
            heartbeat=heartbeat_s,
        )
        made = pika.BlockingConnection(parameters)
        try:
            yield made
        finally:
            with contextlib.suppress(pika.exceptions.AMQPError):
                made.close()


@dataclass(frozen=True)
class Started:
    """A broker in memory, as a process of its own."""

    server: Server
    place: Place

    @classmethod
    @contextlib.contextmanager
    def start(cls, *options: str) -> Iterator[Started]:
        """It runs while the block does."""
        interval = str(round(INTERVAL_S * 1000))
        server = Server.start("--memory", "--management-port", "0", "--statistics-interval-ms", interval, *options)
        try:
            yield cls(server, Place(server.host, server.port, server.api))
        finally:
            server.stop()
