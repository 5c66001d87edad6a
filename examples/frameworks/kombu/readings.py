"""Where the readings of thermometers go: one exchange, a queue for warm rooms and one for cold ones."""

from __future__ import annotations

from kombu import Exchange, Queue

READINGS = Exchange("kombu.readings", type="direct", durable=True)
UNREADABLE = Queue("kombu.unreadable", durable=True)  # bound to nothing: the default exchange knows it by its name
DEAD_LETTERS = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": UNREADABLE.name}
WARM = Queue("kombu.warm", READINGS, routing_key="warm", durable=True, queue_arguments=DEAD_LETTERS)
COLD = Queue("kombu.cold", READINGS, routing_key="cold", durable=True, queue_arguments=DEAD_LETTERS)
