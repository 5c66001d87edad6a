"""The test client: a connection (`Peer`) and its channels, over a link that shows every frame.

`send` never waits, `expect` reads exactly one method, `call` does both, and `expect_closed` compares a close
with code, text and the method that failed. Nothing is retried, reopened or hidden.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from tests.clients.codec import PROTOCOL_HEADER, Properties, Table, encode_table
from tests.clients.link import REPLY_NAMES, Line, Link
from tests.clients.method import Method
from tests.clients.methods import (
    AccessRequest,
    ChannelClose,
    ChannelCloseOk,
    ChannelOpen,
    ConfirmSelect,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionOpen,
    ConnectionStart,
    ConnectionStartOk,
    ConnectionTune,
    ConnectionTuneOk,
    ExchangeDeclare,
    ExchangeDelete,
    QueueBind,
    QueueDeclare,
    QueueDeclareOk,
)  # fmt: skip
from tests.clients.methods_basic import (
    BasicAck,
    BasicConsume,
    BasicDeliver,
    BasicGet,
    BasicGetEmpty,
    BasicGetOk,
    BasicPublish,
    BasicQos,
)  # fmt: skip
from tests.clients.waiting import PATIENCE, eventually

LOCKED = (
    "cannot obtain exclusive access to locked queue '{}' in vhost '/'. It could be originally declared on "
    "another connection or the exclusive property value does not match that of the original declaration."
)
"""Explanation of every 405 about a queue; its name goes into the braces."""

CAPABILITIES: Mapping[str, bool] = {
    "authentication_failure_close": True,
    "basic.nack": True,
    "connection.blocked": True,
    "consumer_cancel_notify": True,
    "publisher_confirms": True,
}
"""What a client says it understands unless a test says otherwise."""

SOON = 8.0
"""Seconds in which a socket is closed that nobody lingers on, on a machine however busy."""


def plain(user: str = "guest", password: str = "guest") -> bytes:
    """Return a PLAIN response."""
    return f"\0{user}\0{password}".encode()


def amqplain(**credentials: str) -> bytes:
    """Return an AMQPLAIN response: a field table without its length."""
    return encode_table(credentials)[4:]


def start_ok(
    mechanism: str = "PLAIN",
    response: bytes | None = None,
    capabilities: Table = CAPABILITIES,
    **properties: Any,
) -> ConnectionStartOk:
    """Return a connection.start-ok as a usual client sends it."""
    return ConnectionStartOk(
        client_properties={"product": "behaviour tests", "capabilities": dict(capabilities), **properties},
        mechanism=mechanism,
        response=plain() if response is None else response,
        locale="en_US",
    )


class Peer(Line):
    """One connection; as a line it is channel 0."""

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(Link(address), 0)

    def start(self, answer: ConnectionStartOk | None = None) -> ConnectionStart:
        """Send the protocol header and, if given, the answer to connection.start."""
        self.link.send_bytes(PROTOCOL_HEADER)
        start = self.expect(ConnectionStart)
        if answer is not None:
            self.send(answer)
        return start

    def negotiate(
        self,
        answer: ConnectionStartOk | None = None,
        *,
        frame_max: int = 131072,
        channel_max: int = 2047,
        heartbeat: int = 0,
    ) -> None:
        """Go through the handshake up to and including connection.tune-ok."""
        self.start(answer or start_ok())
        self.expect(ConnectionTune)
        self.send(ConnectionTuneOk(channel_max=channel_max, frame_max=frame_max, heartbeat=heartbeat))
        self.link.frame_max = frame_max

    def login(self, answer: ConnectionStartOk | None = None, *, vhost: str = "/", **tune: int) -> Peer:
        """Go through the whole handshake; `tune` goes to `negotiate`."""
        self.negotiate(answer, **tune)
        self.call(ConnectionOpen(virtual_host=vhost))
        return self

    def channel(self, number: int = 1) -> Channel:
        """Open a channel."""
        channel = Channel(self.link, number)
        channel.call(ChannelOpen())
        return channel

    def expect_closed(self, code: int, text: str, by: type[Method] | None = None, end: bool = True) -> None:
        """Read a connection.close with this code, explanation and culprit, answer it, and wait for the end.

        end: false where the broker stops reading, so that it would close the socket only after a while.
        """
        assert self.expect(ConnectionClose) == ConnectionClose(**_reason(code, text, by))
        self.send(ConnectionCloseOk())
        if end:
            self.expect_end(SOON)

    def expect_end(self, patience: float = PATIENCE) -> None:
        """Wait for the end of the connection; channel 0 stays silent until then."""
        self.link.forget()
        self.link.expect_end(patience)

    def close(self) -> None:
        """Close the connection politely; frames of channels that come before close-ok are lost."""
        self.call(ConnectionClose(reply_code=200, reply_text="bye"))
        self.link.close()


class Channel(Line):
    """One channel above 0, with short words for what most tests do."""

    def open(self) -> None:
        """Open the channel (again)."""
        self.call(ChannelOpen())

    def close(self) -> None:
        """Close the channel."""
        self.call(ChannelClose(reply_code=200, reply_text="bye"))

    def expect_closed(self, code: int, text: str, by: type[Method] | None = None) -> None:
        """Read a channel.close with this code, explanation and culprit, and answer it."""
        assert self.expect(ChannelClose) == ChannelClose(**_reason(code, text, by))
        self.send(ChannelCloseOk())

    def expect_refused(self, method: Method, code: int, text: str) -> None:
        """Send a method that must close the channel, then open the channel again."""
        self.send(method)
        self.expect_closed(code, text, type(method))
        self.open()

    def queue(self, name: str = "", *, exclusive: bool = True, durable: bool = False, **arguments: Any) -> str:
        """Declare a queue, by default exclusive; argument names are written with underscores."""
        return self.declare(name, exclusive=exclusive, durable=durable, **arguments).queue

    def declare(
        self, name: str = "", *, exclusive: bool = True, durable: bool = False, **arguments: Any
    ) -> QueueDeclareOk:
        """Declare a queue as `queue` does and return the whole reply."""
        named = {key.replace("_", "-"): value for key, value in arguments.items()}
        return self.call(QueueDeclare(queue=name, exclusive=exclusive, durable=durable, arguments=named))

    def exchange(self, name: str, type_: str, **arguments: Any) -> str:
        """Declare a transient exchange; argument names are written with underscores."""
        named = {key.replace("_", "-"): value for key, value in arguments.items()}
        self.call(ExchangeDeclare(exchange=name, type=type_, arguments=named))
        return name

    def delete_exchanges(self, *names: str) -> None:
        """Delete exchanges, which may be gone already."""
        for name in names:
            self.call(ExchangeDelete(exchange=name))

    def bind(self, queue: str, exchange: str, key: str = "", **arguments: Any) -> None:
        """Bind a queue to an exchange; argument names are written with underscores."""
        named = {name.replace("_", "-"): value for name, value in arguments.items()}
        self.call(QueueBind(queue=queue, exchange=exchange, routing_key=key, arguments=named))

    def publish(self, key: str, *bodies: bytes, exchange: str = "", mandatory: bool = False, **properties: Any) -> None:
        """Publish messages with the same routing key and properties."""
        self.send(
            *(
                BasicPublish(
                    exchange=exchange,
                    routing_key=key,
                    mandatory=mandatory,
                    body=body,
                    properties=Properties(**properties),
                )
                for body in bodies
            )
        )

    def confirm(self) -> None:
        """Ask for publisher confirms."""
        self.call(ConfirmSelect())

    def confirmed(self, key: str, *bodies: bytes, exchange: str = "", **properties: Any) -> None:
        """Publish messages one by one, each after the confirm of the one before."""
        for body in bodies:
            self.publish(key, body, exchange=exchange, **properties)
            self.expect(BasicAck)

    def prefetch(self, count: int, global_: bool = False) -> None:
        """Set the prefetch window."""
        self.call(BasicQos(prefetch_count=count, global_=global_))

    def consume(self, queue: str, tag: str = "", *, no_ack: bool = False, **arguments: Any) -> str:
        """Start a consumer and return its tag; argument names are written with underscores."""
        named = {name.replace("_", "-"): value for name, value in arguments.items()}
        return self.call(BasicConsume(queue=queue, consumer_tag=tag, no_ack=no_ack, arguments=named)).consumer_tag

    def deliveries(self, count: int) -> list[BasicDeliver]:
        """Read exactly so many deliveries."""
        return [self.expect(BasicDeliver) for _ in range(count)]

    def ready(self, queue: str) -> int:
        """Ask how many messages are ready; what was published just now may not be counted yet."""
        return self.call(QueueDeclare(queue=queue, passive=True)).message_count

    def expect_ready(self, queue: str, count: int) -> None:
        """Wait until so many messages are ready."""
        eventually(lambda: self.ready(queue) == count)

    def consumers(self, queue: str) -> int:
        """Ask how many consumers a queue has."""
        return self.call(QueueDeclare(queue=queue, passive=True)).consumer_count

    def pause(self, seconds: float) -> None:
        """Let time pass; what fell due meanwhile is done by a broker that was kept from its work, too."""
        time.sleep(seconds)
        self.call(AccessRequest())

    def get(self, queue: str, *, no_ack: bool = False) -> BasicGetOk:
        """Get one message, which must be there."""
        return self.call(BasicGet(queue=queue, no_ack=no_ack))

    def drain(self, queue: str) -> list[BasicGetOk]:
        """Get all messages that are ready, without acknowledgement."""
        found: list[BasicGetOk] = []
        while True:
            self.send(BasicGet(queue=queue, no_ack=True))
            reply = self.next()
            if isinstance(reply, BasicGetEmpty):
                return found
            assert isinstance(reply, BasicGetOk), reply
            found.append(reply)

    def bodies(self, queue: str) -> list[bytes]:
        """Get the bodies of all messages that are ready, without acknowledgement."""
        return [message.body for message in self.drain(queue)]


def _reason(code: int, text: str, by: type[Method] | None) -> dict[str, Any]:
    class_id, method_id = by.index if by else (0, 0)
    return {
        "reply_code": code,
        "reply_text": f"{REPLY_NAMES[code]} - {text}" if text else REPLY_NAMES[code],
        "class_id": class_id,
        "method_id": method_id,
    }
