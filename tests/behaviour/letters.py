"""Words for tests of dead letters."""

from __future__ import annotations

from typing import Any

from tests.clients.methods_basic import BasicGetOk, BasicReject
from tests.clients.peer import Channel


def deaths(message: BasicGetOk) -> list[dict[str, Any]]:
    """Return x-death."""
    found: list[dict[str, Any]] = (message.properties.headers or {})["x-death"]
    return found


def reject(channel: Channel, queue: str) -> BasicGetOk:
    """Get a message and let it die."""
    channel.expect_ready(queue, 1)
    message = channel.get(queue)
    channel.send(BasicReject(delivery_tag=message.delivery_tag))
    return message


def dead_letter(channel: Channel, dead: str) -> BasicGetOk:
    """Wait for a dead letter and get it."""
    channel.expect_ready(dead, 1)
    return channel.get(dead, no_ack=True)
