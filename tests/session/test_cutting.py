"""How a client's bytes are cut into packets makes no difference to what comes back."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from leveret.session.connection.connection import Connection
from leveret.wire.constants import FRAME_MAX
from leveret.wire.fields import longstr
from leveret.wire.methods import (
    BasicAck,
    BasicGet,
    BasicNack,
    BasicPublish,
    ChannelClose,
    ChannelOpen,
    ConfirmSelect,
    ConnectionClose,
    ExchangeDeclare,
    QueueBind,
    QueueDeclare,
    QueuePurge,
)
from leveret.wire.properties import BasicProperties
from tests.clients.socketless import encode, everybody, handshake, make_broker, turn


def script() -> bytes:
    """Methods on two channels, with a soft error in between and a polite end."""
    properties = BasicProperties()
    properties.headers = {"CC": longstr("no array")}
    return b"".join(
        [
            *handshake(),
            encode(1, ChannelOpen()),
            encode(1, QueueDeclare("q")),
            encode(1, ConfirmSelect()),
            encode(1, BasicPublish("", "q"), b"one"),
            encode(1, BasicPublish("", "q"), b""),
            encode(1, BasicPublish("", "q"), bytes(FRAME_MAX + 100)),
            encode(2, ChannelOpen()),
            encode(1, BasicPublish("", "none", mandatory=True), b"back"),
            encode(1, BasicGet("q")),
            encode(1, BasicGet("q")),
            encode(1, BasicNack(1, False, True)),
            encode(1, BasicGet("q")),
            encode(1, BasicAck(2, True)),
            encode(2, BasicPublish("", "q"), b"bad", properties),
            encode(2, QueueDeclare("ignored, as the channel is closing")),
            b"\x08\x00\x00\x00\x00\x00\x00\xce",
            encode(1, ExchangeDeclare("x", "fanout")),
            encode(1, QueueBind("q", "x")),
            encode(1, BasicPublish("x", "any"), b"routed"),
            encode(1, QueuePurge("q")),
            encode(1, ChannelClose(200, "done")),
            encode(0, ConnectionClose(200, "done")),
        ]
    )


def answer(pieces: list[bytes]) -> bytes:
    """All that a broker says to these bytes."""
    broker = make_broker()
    connection = Connection(broker, "test", "127.0.0.1", "0")
    for piece in pieces:
        connection.receive(piece)
        if connection.login_request is not None:
            connection.login(everybody())
    turn(broker)
    assert connection.finished
    return b"".join(connection.data_to_send())


SCRIPT = script()
WHOLE = answer([SCRIPT])
NEAR = st.integers(0, 900) | st.integers(len(SCRIPT) - 900, len(SCRIPT)) | st.integers(0, len(SCRIPT))


@given(st.lists(NEAR, max_size=30))
def test_any_cutting_gives_the_same_answer(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(SCRIPT)]
    pieces = [SCRIPT[start:end] for start, end in itertools.pairwise(places)]
    assert answer(pieces) == WHOLE


def test_byte_by_byte() -> None:
    head, tail = SCRIPT[:800], SCRIPT[-800:]
    middle = SCRIPT[800:-800]
    pieces = [bytes((octet,)) for octet in head] + [middle] + [bytes((octet,)) for octet in tail]
    assert answer(pieces) == WHOLE
