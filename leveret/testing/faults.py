"""Faults: injected failures between a broker and its clients.

Every fault starts at once. Lasting faults return a Fault, which ends with end() or at the end of a `with` block; others
are over when the call returns. connection: only the connection with this name, which is the client property
connection_name or both addresses; None for all connections of the virtual host. queue: only what concerns this queue.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from leveret.core.client.party import Party
from leveret.core.message.confirm import Confirm
from leveret.core.message.destination import Destination
from leveret.core.message.message import Message as CoreMessage
from leveret.core.queue.client import HOLD, PASS, REFUSE, STRAY
from leveret.core.turn.alarms import DISK, MEMORY
from leveret.session.base.errors import AmqpError
from leveret.session.channel import Channel
from leveret.testing.protocol import EmbeddedProtocol
from leveret.testing.publishes import Rule
from leveret.wire.constants import REPLY_NAMES, SOFT_CODES
from leveret.wire.methods import ConnectionBlocked, ConnectionUnblocked

if TYPE_CHECKING:
    from leveret.testing.server import Server

__tracebackhide__ = True  # so that pytest shows the line of the test
TEXT: Final = "for a test"  # the reason sent to clients
ALARMS: Final = {"low on memory": MEMORY, "low on disk": DISK}


class Fault:
    """A lasting fault. As a context manager, it ends with the block."""

    def __init__(self, end: Callable[[], object]) -> None:
        self._end: Callable[[], object] | None = end

    def __repr__(self) -> str:
        return f"<{'active' if self._end is not None else 'ended'} fault>"

    def end(self) -> None:
        """End the fault. Has no effect the second time."""
        last, self._end = self._end, None
        if last is not None:
            last()

    def __enter__(self) -> Fault:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


class Faults:
    """Faults for one virtual host of an embedded broker. Some affect all virtual hosts, as their descriptions say."""

    def __init__(self, server: Server, vhost: str) -> None:
        self._server = server
        self._vhost = vhost

    def __repr__(self) -> str:
        return f"<faults of virtual host '{self._vhost}'>"

    # -- connections

    def drop(self, connection: str | None = None, queue: str | None = None) -> int:
        """Close sockets without an AMQP handshake. queue: of clients that consume from it. Returns: their number."""
        return self._each(connection, queue, lambda protocol: protocol.drop())

    def reset(self, connection: str | None = None, queue: str | None = None, after: int = 0) -> int:
        """Reset connections in the middle of a frame. after: bytes that are still sent to the client.

        Returns: number of connections.
        """

        def begin(protocol: EmbeddedProtocol) -> None:
            if after:
                protocol.throttle(after, None, protocol.reset)
            else:
                protocol.reset()

        return self._each(connection, queue, begin)

    def close(self, connection: str | None = None, code: int = 320, text: str = TEXT) -> int:
        """Close connections with connection.close. Returns: number of connections."""
        error = _error(code, text)

        def begin(protocol: EmbeddedProtocol) -> None:
            protocol.connection.method_id = 0
            protocol.connection.close(error)

        return self._each(connection, None, begin)

    def silence(self, connection: str | None = None, queue: str | None = None, after: int = 0) -> Fault:
        """Send clients only this many more bytes. Further data is lost, so close the connection afterwards."""
        return self._narrow(connection, queue, after, None)

    def slow(self, bytes_per_second: float, connection: str | None = None, queue: str | None = None) -> Fault:
        """Send slowly to clients. Does not affect later connections."""
        return self._narrow(connection, queue, None, bytes_per_second)

    def refuse_connections(self) -> Fault:
        """Refuse new connections, of all virtual hosts. Existing connections stay open."""
        server = self._server
        return self._switch(
            "connections", lambda is_on: server.node.stop_listening() if is_on else server.resume_listening()
        )

    def refuse_logins(self) -> Fault:
        """Refuse all logins, as with a wrong password."""
        return self._switch("logins", lambda is_on: setattr(self._server.node.authenticator, "refuses", is_on))

    def freeze(self, connection: str | None = None) -> Fault:
        """Let the broker hang: it sends nothing to a connection until this ends. connection None: to no client of any
        virtual host, and timers do not run either; clients can still open sockets.
        """
        if connection is None:
            return self._switch("frozen", lambda is_on: self._server.node.driver.freeze(is_on))

        def turn(protocol: EmbeddedProtocol, is_on: bool) -> None:
            protocol.hold(is_on)
            protocol.throttle(None, 0 if is_on else None)

        return self._switch_each("frozen", connection, turn)

    def block(self, reason: str = "low on memory", connection: str | None = None) -> Fault:
        """Block publishers, and notify those that support connection.blocked. connection None: all publishers of all
        virtual hosts, from their next publish. A single connection is notified at once, and nothing it sends is read.

        reason: "low on memory" or "low on disk", as in RabbitMQ.
        """
        alarm = ALARMS.get(reason)
        if alarm is None:
            raise ValueError(f"the reason must be 'low on memory' or 'low on disk', not {reason!r}")
        if connection is None:
            return self._switch(reason, lambda is_on: self._server.node.broker.alarms.set(alarm, is_on))

        def turn(protocol: EmbeddedProtocol, is_on: bool) -> None:
            if "connection.blocked" in protocol.connection.capabilities:
                protocol.connection.writer.method(0, ConnectionBlocked(reason) if is_on else ConnectionUnblocked())
                protocol.connection.wake()
            protocol.hold(is_on)

        return self._switch_each("blocked", connection, turn)

    # -- channels and consumers

    def close_channels(
        self, code: int = 406, text: str = TEXT, connection: str | None = None, queue: str | None = None
    ) -> int:
        """Close channels with a soft error. queue: those that consume from it. Returns: number of channels."""
        error = _error(code, text)
        if not error.is_soft:
            raise ValueError(f"{code} is not a channel error; choose from {', '.join(map(str, sorted(SOFT_CODES)))}")

        def begin() -> int:
            count = 0
            for protocol in self._select(connection, None):
                for channel in list(protocol.connection.channels.values()):
                    if channel.is_open and (queue is None or _consumes(channel, queue)):
                        protocol.connection.fail_channel(channel.number, error)
                        count += 1
            return count

        return self._server.call(begin)

    def cancel_consumers(self, queue: str | None = None, connection: str | None = None) -> int:
        """Cancel consumers as if their queue was deleted: clients receive basic.cancel. Returns: their number."""

        def begin() -> int:
            count = 0
            for protocol in self._select(connection, None):
                for channel in protocol.connection.channels.values():
                    for consumer in list(channel.consuming.consumers.values()):
                        if queue in (None, consumer.queue.name):
                            consumer.queue.unsubscribe(consumer)
                            channel.consuming.cancelled(consumer)
                            count += 1
            return count

        return self._server.call(begin)

    # -- publishes

    def nack(
        self,
        count: int | None = 1,
        *,
        queue: str | None = None,
        connection: str | None = None,
        rate: float = 1.0,
    ) -> Fault:
        """Drop the next publishes, and nack them if the publisher uses confirms.

        count: number of publishes, None for all until this ends. queue: only publishes that would reach it. rate:
        probability for each publish, using the seed of the broker.
        """
        return self._rule(REFUSE, count, queue, connection, rate)

    def unroute(
        self,
        count: int | None = 1,
        *,
        queue: str | None = None,
        connection: str | None = None,
        rate: float = 1.0,
    ) -> Fault:
        """Make the next publishes unroutable: mandatory ones come back with basic.return."""
        return self._rule(STRAY, count, queue, connection, rate)

    def refuse(
        self,
        code: int = 403,
        text: str = TEXT,
        count: int | None = 1,
        *,
        queue: str | None = None,
        connection: str | None = None,
        rate: float = 1.0,
    ) -> Fault:
        """Answer the next publishes by closing the channel, or the connection for a hard error code."""
        return self._rule(PASS, count, queue, connection, rate, _error(code, text))

    def delay_confirms(
        self,
        seconds: float,
        count: int | None = 1,
        *,
        queue: str | None = None,
        connection: str | None = None,
        rate: float = 1.0,
    ) -> Fault:
        """Delay the confirms of the next publishes. The messages are not delayed."""
        server = self._server

        def hold(confirm: Confirm) -> None:
            server.later(seconds, confirm.pay)

        return self._rule(HOLD, count, queue, connection, rate, hold=hold)

    def hold_confirms(self, *, queue: str | None = None, connection: str | None = None) -> Fault:
        """Hold all confirms until this ends. The messages are not delayed."""
        held: list[Confirm] = []
        fault = self._rule(HOLD, None, queue, connection, 1.0, hold=held.append)

        def end() -> None:
            fault.end()
            for confirm in held:
                confirm.pay()

        return self.begun(end)

    def clear(self) -> None:
        """End all faults of this virtual host."""
        for fault in self._server.faults.pop(self._vhost, []):
            fault.end()

    def begun(self, end: Callable[[], object]) -> Fault:
        """Register a lasting fault. end: ends it; called on the event loop."""
        server = self._server
        fault = Fault(lambda: server.call(end) if server.is_running else None)
        server.faults.setdefault(self._vhost, []).append(fault)
        return fault

    # -- internal

    def _rule(
        self,
        verdict: int,
        count: int | None,
        queue: str | None,
        connection: str | None,
        rate: float,
        error: AmqpError | None = None,
        hold: Callable[[Confirm], None] | None = None,
    ) -> Fault:
        if count is not None and count < 1:
            return Fault(lambda: None)
        chance = self._server.chance

        def applies(client: Party, _: CoreMessage, queues: list[Destination]) -> bool:
            return (
                connection in (None, client.label, client.name)
                and (queue is None or any(each.name == queue for each in queues))
                and (rate >= 1.0 or chance.random() < rate)
            )

        rule = Rule(self._vhost, verdict, applies, count, error, hold)
        rules = self._server.publishes.rules
        self._server.call(lambda: rules.append(rule))
        return self.begun(lambda: rules.remove(rule) if rule in rules else None)

    def _switch(self, name: str, turn: Callable[[bool], object]) -> Fault:
        """Turn a fault on, until all that turned it on have ended it, or the node stops."""
        server = self._server

        def begin() -> Counter[str]:
            server.switches[name] += 1
            if server.switches[name] == 1:
                turn(True)
            return server.switches

        switches = server.call(begin)

        def end() -> None:
            switches[name] -= 1
            if switches is server.switches and not switches[name]:
                turn(False)

        return self.begun(end)

    def _switch_each(self, name: str, connection: str, turn: Callable[[EmbeddedProtocol, bool], None]) -> Fault:
        """The same as _switch() for some connections."""
        found = self._server.call(lambda: self._select(connection, None))

        def turn_each(is_on: bool) -> None:
            for protocol in found:
                before = protocol.switches[name]
                protocol.switches[name] += 1 if is_on else -1
                if not protocol.is_gone and (before == 0 or protocol.switches[name] == 0):
                    turn(protocol, is_on)

        self._server.call(lambda: turn_each(True))
        return self.begun(lambda: turn_each(False))

    def _narrow(self, connection: str | None, queue: str | None, left: int | None, rate: float | None) -> Fault:
        found = self._server.call(lambda: self._select(connection, queue))

        def throttle(left: int | None, rate: float | None) -> None:
            for protocol in found:
                if not protocol.is_gone:
                    protocol.throttle(left, rate)

        self._server.call(lambda: throttle(left, rate))
        return self.begun(lambda: throttle(None, None))

    def _each(self, connection: str | None, queue: str | None, begin: Callable[[EmbeddedProtocol], None]) -> int:
        def each() -> int:
            found = self._select(connection, queue)
            for protocol in found:
                begin(protocol)
            return len(found)

        return self._server.call(each)

    def _select(self, connection: str | None, queue: str | None) -> list[EmbeddedProtocol]:
        return [
            protocol
            for protocol in self._server.node.protocols()
            if protocol.connection.vhost.name == self._vhost
            and connection in (None, protocol.connection.label, protocol.connection.name)
            and (queue is None or any(_consumes(channel, queue) for channel in protocol.connection.channels.values()))
        ]


def _consumes(channel: Channel, queue: str) -> bool:
    return any(consumer.queue.name == queue for consumer in channel.consuming.consumers.values())


def _error(code: int, text: str) -> AmqpError:
    """Raises: ValueError, for an unknown reply code."""
    if code not in REPLY_NAMES:
        raise ValueError(f"AMQP has no reply code {code}; choose from {', '.join(map(str, sorted(REPLY_NAMES)))}")
    return AmqpError(code, text)
