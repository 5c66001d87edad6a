"""Leveret: a message broker that every RabbitMQ client uses unchanged."""

from typing import Final

__version__: Final = "0.1.0"
