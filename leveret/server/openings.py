"""OPENINGS: the protocols that clients may speak, on every port. Unrecognized input is treated as AMQP."""

from __future__ import annotations

from typing import Final

from leveret import __version__
from leveret.core.broker import Broker
from leveret.core.client.conversation import Opening
from leveret.session.connection.connection import Connection


def _amqp(broker: Broker, name: str, host: str) -> Connection:
    return Connection(broker, name, host, __version__)


OPENINGS: Final = [Opening(b"AMQP", _amqp)]
