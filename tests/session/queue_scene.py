"""QueueScene: one queue that is changed while it is in use, a publisher, and clients that consume from it."""

from __future__ import annotations

from typing import Any

from leveret.core.policy.overrides import checked
from leveret.core.policy.policy import Policy
from leveret.core.queue.queue import Queue
from leveret.wire.fields import Field, Table, boolean, long, longstr
from leveret.wire.methods import (
    BasicConsume,
    BasicConsumeOk,
    BasicDeliver,
    BasicGet,
    BasicGetOk,
    BasicPublish,
    BasicQos,
    BasicQosOk,
    ConfirmSelect,
    ConfirmSelectOk,
    Method,
    QueueDeclare,
    QueueDeclareOk,
)
from leveret.wire.properties import BasicProperties
from tests.clients.socketless import Peer, make_broker, turn

START_MS = 1_700_000_000_000  # since 1970, when a scene begins


def field(value: object) -> Field:
    """A value of an argument or a header."""
    if isinstance(value, Field):
        return value
    if isinstance(value, bool):
        return boolean(value)
    return long(value) if isinstance(value, int) else longstr(str(value))


def arguments_of(**given: object) -> Table:
    """Arguments whose names are written with underscores."""
    return {f"x-{name.replace('_', '-')}": field(value) for name, value in given.items()}


class QueueScene:
    """arguments: of the durable queue q, without x- and with underscores."""

    def __init__(self, **arguments: object) -> None:
        self.broker = make_broker()
        self.broker.clock.offset_ms = START_MS
        self.vhost = self.broker.vhosts["/"]
        self.peer = Peer(self.broker)
        self.arguments = arguments_of(**arguments)
        self.declare()
        self.peer.call(ConfirmSelect(), ConfirmSelectOk)

    def declare(self) -> QueueDeclareOk:
        """Declare the queue as at the beginning."""
        return Peer(self.broker).call(QueueDeclare("q", durable=True, arguments=self.arguments), QueueDeclareOk)

    @property
    def queue(self) -> Queue:
        """The queue."""
        return self.vhost.queues["q"]

    def override(self, **changes: Any) -> None:
        """Change arguments, written as those of the beginning; None takes one away."""
        named = {f"x-{name.replace('_', '-')}": value for name, value in changes.items()}
        found = checked(named, self.queue.settings.queue_type)
        self.vhost.override(self.queue, {**self.queue.overrides, **found})
        turn(self.broker)

    def policy(self, definition: dict[str, Any] | None, is_operator: bool = False) -> None:
        """Have this policy, or none."""
        put = self.vhost.set_operator_policy if is_operator else self.vhost.set_policy
        delete = self.vhost.delete_operator_policy if is_operator else self.vhost.delete_policy
        if definition is None:
            delete("p")
        else:
            put(Policy("p", "^q$", definition, 0, "all"))
        self.broker.finish()

    def publish(self, *bodies: str, headers: dict[str, object] | None = None, **properties: Any) -> list[Method]:
        """Publish persistent messages. Returns: what the publisher hears of them."""
        found = BasicProperties()
        found.delivery_mode = 2
        found.headers = None if headers is None else {name: field(value) for name, value in headers.items()}
        for name, value in properties.items():
            setattr(found, name, value)
        for body in bodies:
            self.peer.send(BasicPublish("", "q"), body.encode(), found)
        return [got.method for got in self.peer.got() if got.method is not None]

    def get(self, no_ack: bool = True) -> str | None:
        """The next message by basic.get, None if there is none."""
        self.peer.send(BasicGet("q", no_ack))
        (got,) = [got for got in self.peer.got() if got.body is not None or not isinstance(got.method, BasicGetOk)]
        return None if got.body is None else got.body.decode()

    def ready(self) -> int:
        """How many messages are ready."""
        turn(self.broker)
        return len(self.queue.ready)

    def counts(self) -> tuple[int, int, int]:
        """How many messages are ready, held, and unacknowledged."""
        return self.ready(), self.queue.detours.held(), int(self.queue.unacked)

    def pass_ms(self, milliseconds: int) -> None:
        """Time passes."""
        self.broker.tick(self.broker.clock.now_ms + milliseconds)
        turn(self.broker)


class Taker:
    """A client that consumes from q. tags: of what it has not settled, by body."""

    def __init__(
        self,
        scene: QueueScene,
        prefetch: int = 0,
        shared: bool = False,
        tag: str = "c",
        no_ack: bool = False,
        **arguments: object,
    ) -> None:
        self.peer = Peer(scene.broker)
        self.tags: dict[str, int] = {}
        self._early: list[str] = []
        self.peer.call(BasicQos(0, prefetch, shared), BasicQosOk)
        self.peer.send(BasicConsume("q", tag, no_ack=no_ack, arguments=arguments_of(**arguments)))
        for got in self.peer.got():
            if isinstance(got.method, BasicDeliver) and got.body is not None:
                self._note(got.method, got.body)
            else:
                assert isinstance(got.method, BasicConsumeOk)

    def got(self) -> list[str]:
        """What has come since the last time."""
        early, self._early = self._early, []
        for got in self.peer.got():
            if isinstance(got.method, BasicDeliver) and got.body is not None:
                self._note(got.method, got.body)
        found, self._early = early + self._early, []
        return found

    def _note(self, delivery: BasicDeliver, body: bytes) -> None:
        self.tags[body.decode()] = delivery.delivery_tag
        self._early.append(body.decode())

    def settle(self, method: Method) -> None:
        """Ack, reject, or give back."""
        self.peer.send(method)
