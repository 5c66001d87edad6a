"""Workloads: what is declared, how letters are published, and what consumers do with them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.clients.codec import Properties, Table
from tests.clients.ledger import Letter
from tests.clients.methods import ExchangeDeclare, QueueBind, QueueDeclare
from tests.clients.methods_basic import BasicPublish
from tests.clients.peer import Channel

MAX_DELAY_MS = 600
SIZES = (0, 10, 100, 100, 1000, 1000, 4000, 40_000)


@dataclass(frozen=True)
class Workload:
    """One way to use a broker.

    queues: with their arguments. places: see Letter. exchange: name, type and arguments of the one to publish to; all
    queues are bound to it but those in `unbound`. rejects: a queue of which most messages are rejected. loose: see
    Ledger. transactions: publish in transactions, of which each letter goes to one of the queues.
    """

    name: str
    queues: dict[str, Table]
    places: tuple[tuple[str, ...], ...]
    exchange: tuple[str, str, Table] = ("", "", {})
    unbound: tuple[str, ...] = ()
    rejects: str = ""
    loose: tuple[str, ...] = ()
    transactions: bool = False
    headers: Callable[[random.Random], Table | None] = field(default=lambda _: None)
    priorities: int = 1

    def declare(self, channel: Channel) -> None:
        """Declare everything; what is there already stays."""
        name, type_, arguments = self.exchange
        if name:
            channel.call(ExchangeDeclare(exchange=name, type=type_, durable=True, arguments=dict(arguments)))
        for queue, settings in self.queues.items():
            channel.call(QueueDeclare(queue=queue, durable=True, arguments=dict(settings)))
            if name and queue not in self.unbound:
                channel.call(QueueBind(queue=queue, exchange=name, routing_key="k"))

    def letter(self, publisher: int, number: int, chance: random.Random) -> Letter:
        """The next letter."""
        places = (chance.choice(self.places),) if self.transactions else self.places
        return Letter((publisher, number), places, chance.randrange(self.priorities))

    def message(self, letter: Letter, chance: random.Random) -> BasicPublish:
        """How a letter is published."""
        exchange = self.exchange[0]
        return BasicPublish(
            exchange=exchange,
            routing_key="k" if exchange else letter.places[0][0],
            properties=Properties(delivery_mode=2, priority=letter.priority, headers=self.headers(chance)),
            body=letter.body(chance.choice(SIZES)),
        )


def _delay(chance: random.Random) -> Table:
    return {"x-delay": chance.randrange(MAX_DELAY_MS)}


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("plain", {"plain": {}}, (("plain",),)),
        Workload(
            "fanout",
            {"fan.1": {}, "fan.2": {}, "fan.3": {}},
            (("fan.1",), ("fan.2",), ("fan.3",)),
            exchange=("fan", "fanout", {}),
        ),
        Workload(
            "dead-letter",
            {"source": {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "target"}, "target": {}},
            (("source", "target"),),
            exchange=("letters", "direct", {}),
            unbound=("target",),
            rejects="source",
            loose=("target",),
        ),
        Workload("priority", {"urgent": {"x-max-priority": 4}}, (("urgent",),), priorities=5),
        Workload(
            "delayed",
            {"due": {}},
            (("due",),),
            exchange=("later", "x-delayed-message", {"x-delayed-type": "direct"}),
            loose=("due",),
            headers=_delay,
        ),
        Workload("tx", {"tx.1": {}, "tx.2": {}}, (("tx.1",), ("tx.2",)), transactions=True),
    )
}
