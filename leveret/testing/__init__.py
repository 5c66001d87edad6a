"""Floor 5: a real broker inside a test process. Entry points: `leveret.Broker` and `leveret.AsyncBroker`."""

import logging

from leveret.management.recording import compare as compare_recordings
from leveret.node.errors import StartError
from leveret.testing.broker import AsyncBroker, AsyncVirtualHost, Broker, VirtualHost
from leveret.testing.clock import Clock
from leveret.testing.faults import Fault, Faults
from leveret.testing.messages import Consumer, Delivery, Message, Published
from leveret.testing.queues import Queue
from leveret.testing.server import NotRunning
from leveret.testing.virtual_host import Connection, WaitTimeout

__all__ = [
    "AsyncBroker",
    "AsyncVirtualHost",
    "Broker",
    "Clock",
    "Connection",
    "Consumer",
    "Delivery",
    "Fault",
    "Faults",
    "Message",
    "NotRunning",
    "Published",
    "Queue",
    "StartError",
    "VirtualHost",
    "WaitTimeout",
    "compare_recordings",
]

logging.getLogger("leveret").addHandler(logging.NullHandler())  # no log output unless the application configures it
