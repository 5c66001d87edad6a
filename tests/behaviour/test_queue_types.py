"""The type that queues of a virtual host are of when their declaration does not say."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from tests.clients.administration import Administration
from tests.clients.methods import ChannelClose, ChannelCloseOk, QueueDeclare, QueueDelete
from tests.clients.peer import Channel, Peer

VHOST = f"behaviour-queue-types-{os.getpid():x}"


@pytest.fixture
def quorum_channel(administration: Administration, connect: Callable[..., Peer]) -> Channel:
    """A channel in a virtual host whose queues are quorum queues."""
    administration.add_vhost(VHOST, "quorum")
    return connect(vhost=VHOST).channel()


CASES: list[tuple[dict[str, Any], str]] = [
    ({"durable": True}, "quorum"),
    ({"durable": True, "arguments": {"x-queue-type": "classic"}}, "classic"),
    ({"durable": True, "auto_delete": True}, "classic"),
    ({"durable": True, "exclusive": True}, "classic"),
    ({"exclusive": True}, "classic"),
]


def test_default_queue_type(quorum_channel: Channel) -> None:
    for flags, kind in CASES:
        other = "classic" if kind == "quorum" else "quorum"
        quorum_channel.call(QueueDeclare(queue="q", **flags))
        quorum_channel.call(QueueDeclare(queue="q", **flags))
        quorum_channel.send(QueueDeclare(queue="q", **{**flags, "arguments": {"x-queue-type": other}}))
        text = f"inequivalent arg 'x-queue-type' for queue 'q' in vhost '{VHOST}': "
        text += f"received '{other}' but current is '{kind}'"
        assert quorum_channel.expect(ChannelClose).reply_text == f"PRECONDITION_FAILED - {text}", flags
        quorum_channel.send(ChannelCloseOk())
        quorum_channel.open()
        quorum_channel.call(QueueDelete(queue="q"))
