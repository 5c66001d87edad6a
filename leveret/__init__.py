"""Leveret: a message broker for existing RabbitMQ clients."""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from leveret.testing.broker import AsyncBroker, Broker

__version__: Final = "0.1.0"
__all__ = ["AsyncBroker", "Broker", "__version__"]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Load the embedded broker on demand only; `leveret serve` does not need it."""
        if name in ("AsyncBroker", "Broker"):
            from leveret.testing import broker

            return getattr(broker, name)
        raise AttributeError(f"module 'leveret' has no attribute '{name}'")
