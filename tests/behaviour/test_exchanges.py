"""Exchanges: declaring, deleting, binding to each other, and every way these are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.clients.method import Method
from tests.clients.methods import (
    ExchangeBind,
    ExchangeBindOk,
    ExchangeDeclare,
    ExchangeDeclareOk,
    ExchangeDelete,
    ExchangeDeleteOk,
    ExchangeUnbind,
    ExchangeUnbindOk,
    QueueBind,
    QueueDelete,
    QueueUnbind,
)
from tests.clients.methods_basic import BasicPublish, BasicReturn
from tests.clients.peer import Channel

from .conftest import Names

DEFAULT = "operation not permitted on the default exchange"

PREDECLARED = {
    "amq.direct": "direct",
    "amq.fanout": "fanout",
    "amq.topic": "topic",
    "amq.headers": "headers",
    "amq.match": "headers",
}


@dataclass
class Refused:
    """A method that closes the channel; `make` gets the name of an exchange that does not exist."""

    label: str
    make: Callable[[str], Method]
    code: int
    text: str


REFUSED = [
    Refused(
        "declare, unknown type",
        lambda name: ExchangeDeclare(exchange=name, type="behaviour"),
        406,
        "invalid exchange type 'behaviour'",
    ),
    Refused("declare, default", lambda _: ExchangeDeclare(exchange="", type="direct"), 403, DEFAULT),
    Refused(
        "declare, default, unknown type",
        lambda _: ExchangeDeclare(exchange="", type="behaviour"),
        406,
        "invalid exchange type 'behaviour'",
    ),
    Refused("declare, default, passive", lambda _: ExchangeDeclare(passive=True), 403, DEFAULT),
    Refused(
        "declare, reserved name",
        lambda _: ExchangeDeclare(exchange="amq.behaviour", type="direct"),
        403,
        "exchange name 'amq.behaviour' contains reserved prefix 'amq.*'",
    ),
    Refused(
        "declare, alternate exchange is a number",
        lambda name: ExchangeDeclare(exchange=name, type="direct", arguments={"alternate-exchange": 5}),
        406,
        "invalid type 'signedint' for arg 'alternate-exchange' in exchange '{name}' in vhost '/'",
    ),
    Refused(
        "declare, passive, missing",
        lambda name: ExchangeDeclare(exchange=name, type="direct", passive=True),
        404,
        "no exchange '{name}' in vhost '/'",
    ),
    Refused(
        "declare, passive, reserved name",
        lambda _: ExchangeDeclare(exchange="amq.behaviour", passive=True),
        404,
        "no exchange 'amq.behaviour' in vhost '/'",
    ),
    Refused("delete, default", lambda _: ExchangeDelete(exchange=""), 403, DEFAULT),
    Refused(
        "delete, predeclared",
        lambda _: ExchangeDelete(exchange="amq.topic"),
        403,
        "deletion of system exchange 'amq.topic' in vhost '/' not allowed",
    ),
    Refused(
        "delete, reserved name",
        lambda _: ExchangeDelete(exchange="amq.behaviour"),
        403,
        "deletion of system exchange 'amq.behaviour' in vhost '/' not allowed",
    ),
    Refused("bind, default is source", lambda _: ExchangeBind(destination="amq.direct"), 403, DEFAULT),
    Refused("bind, default is destination", lambda _: ExchangeBind(source="amq.direct"), 403, DEFAULT),
    Refused("unbind, default is destination", lambda _: ExchangeUnbind(source="amq.direct"), 403, DEFAULT),
    Refused(
        "bind, both missing",
        lambda name: ExchangeBind(source=name, destination=f"{name}-destination"),
        404,
        "no exchange '{name}' in vhost '/'",
    ),
    Refused(
        "bind, source missing",
        lambda name: ExchangeBind(source=name, destination="amq.direct"),
        404,
        "no exchange '{name}' in vhost '/'",
    ),
    Refused(
        "bind, destination missing",
        lambda name: ExchangeBind(source="amq.direct", destination=name),
        404,
        "no exchange '{name}' in vhost '/'",
    ),
    Refused(
        "publish, missing",
        lambda name: BasicPublish(exchange=name),
        404,
        "no exchange '{name}' in vhost '/'",
    ),
    Refused(
        "bind, nowait, missing",
        lambda name: ExchangeBind(source=name, destination="amq.direct", nowait=True),
        404,
        "no exchange '{name}' in vhost '/'",
    ),
]


@pytest.mark.parametrize("refused", REFUSED, ids=lambda case: case.label)
def test_refused(channel: Channel, names: Names, refused: Refused) -> None:
    name = names.plain()
    channel.expect_refused(refused.make(name), refused.code, refused.text.format(name=name))


@pytest.mark.parametrize("type_", ["direct", "fanout", "topic", "headers"])
@pytest.mark.parametrize("durable", [False, True])
def test_declare_and_delete(channel: Channel, names: Names, type_: str, durable: bool) -> None:
    declare = ExchangeDeclare(exchange=names.exchange(), type=type_, durable=durable)
    for _ in range(2):
        assert channel.call(declare) == ExchangeDeclareOk()
    for _ in range(2):
        assert channel.call(ExchangeDelete(exchange=declare.exchange)) == ExchangeDeleteOk()


@pytest.mark.parametrize("name", PREDECLARED)
def test_predeclared(channel: Channel, name: str) -> None:
    channel.call(ExchangeDeclare(exchange=name, type=PREDECLARED[name], durable=True))


def test_predeclared_trace(channel: Channel) -> None:
    trace = "amq.rabbitmq.trace"
    channel.call(ExchangeDeclare(exchange=trace, type="topic", durable=True, internal=True))
    channel.expect_refused(
        BasicPublish(exchange=trace), 403, f"cannot publish to internal exchange '{trace}' in vhost '/'"
    )


def test_predeclared_is_durable(channel: Channel) -> None:
    channel.expect_refused(
        ExchangeDeclare(exchange="amq.direct", type="direct"),
        406,
        "inequivalent arg 'durable' for exchange 'amq.direct' in vhost '/': received 'false' but current is 'true'",
    )


@pytest.mark.parametrize("name", ["-é☃😀", "- a,b;c/d?%20", "n" * 255])
def test_unusual_names(channel: Channel, names: Names, name: str) -> None:
    names.exchanges.append((names.plain() + name)[:255])
    exchange = channel.exchange(names.exchanges[-1], "fanout")
    channel.publish("", b"x", exchange=exchange, mandatory=True)
    assert channel.expect(BasicReturn).exchange == exchange


def test_passive_declare_looks_at_the_name_only(channel: Channel) -> None:
    channel.call(ExchangeDeclare(exchange="amq.topic", type="behaviour", passive=True))


INEQUIVALENT: list[tuple[dict[str, Any], str]] = [
    ({"type": "fanout"}, "'type' for {}: received 'fanout' but current is 'direct'"),
    ({"durable": True}, "'durable' for {}: received 'true' but current is 'false'"),
    ({"auto_delete": False}, "'auto_delete' for {}: received 'false' but current is 'true'"),
    ({"internal": True}, "'internal' for {}: received 'true' but current is 'false'"),
    (
        {"arguments": {"alternate-exchange": "other"}},
        "'alternate-exchange' for {}: received 'other' but current is 'unrouted'",
    ),
    (
        {"arguments": {}},
        "'alternate-exchange' for {}: received none but current is the value 'unrouted' of type 'longstr'",
    ),
    ({"durable": True, "type": "fanout"}, "'type' for {}: received 'fanout' but current is 'direct'"),
    ({"durable": True, "auto_delete": False}, "'durable' for {}: received 'true' but current is 'false'"),
    ({"auto_delete": False, "internal": True}, "'auto_delete' for {}: received 'false' but current is 'true'"),
    ({"internal": True, "arguments": {}}, "'internal' for {}: received 'true' but current is 'false'"),
]


@pytest.mark.parametrize(("change", "text"), INEQUIVALENT, ids=str)
def test_declare_again_differently(channel: Channel, names: Names, change: dict[str, Any], text: str) -> None:
    name = names.exchange()
    same: dict[str, Any] = {
        "type": "direct",
        "auto_delete": True,
        "arguments": {"alternate-exchange": "unrouted"},
    }
    channel.call(ExchangeDeclare(**{"exchange": name, **same}))
    channel.expect_refused(
        ExchangeDeclare(**{"exchange": name, **same, **change}),
        406,
        "inequivalent arg " + text.format(f"exchange '{name}' in vhost '/'"),
    )


def test_unknown_arguments_are_not_compared(channel: Channel, names: Names) -> None:
    name = names.exchange()
    channel.exchange(name, "direct", x_behaviour=1)
    channel.exchange(name, "direct", x_behaviour="two")


def test_publish_to_internal_exchange(channel: Channel, names: Names) -> None:
    name = names.exchange()
    channel.call(ExchangeDeclare(exchange=name, type="fanout", internal=True))
    channel.expect_refused(
        BasicPublish(exchange=name), 403, f"cannot publish to internal exchange '{name}' in vhost '/'"
    )


def test_nowait(channel: Channel, names: Names) -> None:
    name = names.exchange()
    channel.send(
        ExchangeDeclare(exchange=name, type="direct", nowait=True),
        ExchangeBind(destination=name, source="amq.direct", routing_key=name, nowait=True),
        ExchangeUnbind(destination=name, source="amq.direct", routing_key=name, nowait=True),
        ExchangeDelete(exchange=name, nowait=True),
    )
    gone(channel, name)


def gone(channel: Channel, exchange: str) -> None:
    """Check that an exchange does not exist."""
    passive = ExchangeDeclare(exchange=exchange, passive=True)
    channel.expect_refused(passive, 404, f"no exchange '{exchange}' in vhost '/'")


def test_delete_if_unused_asks_for_bindings_as_source(channel: Channel, names: Names) -> None:
    name = channel.exchange(names.exchange(), "direct")
    channel.call(ExchangeBind(destination=name, source="amq.fanout"))
    channel.call(ExchangeBind(destination="amq.fanout", source=name))
    delete = ExchangeDelete(exchange=name, if_unused=True)
    channel.expect_refused(delete, 406, f"exchange '{name}' in vhost '/' in use")
    channel.call(ExchangeUnbind(destination="amq.fanout", source=name))
    channel.call(delete)
    gone(channel, name)
    channel.call(delete)


def test_delete_removes_bindings(channel: Channel, names: Names, queue: str) -> None:
    name = channel.exchange(names.exchange(), "fanout")
    channel.bind(queue, name)
    channel.call(ExchangeDelete(exchange=name))
    channel.exchange(name, "fanout")
    channel.publish("", b"x", exchange=name)
    assert channel.bodies(queue) == []


def test_bind_and_unbind_again_and_again(channel: Channel, names: Names) -> None:
    name = channel.exchange(names.exchange(), "direct")
    for _ in range(2):
        assert channel.call(ExchangeBind(destination=name, source="amq.topic")) == ExchangeBindOk()
    for _ in range(2):
        assert channel.call(ExchangeUnbind(destination=name, source="amq.topic")) == ExchangeUnbindOk()


def test_unbind_of_missing_exchanges(channel: Channel, names: Names) -> None:
    channel.call(ExchangeUnbind(destination=names.plain(), source=names.plain()))


def test_line_breaks_are_removed_from_names(channel: Channel, names: Names) -> None:
    name = names.exchange()
    broken = f"{name[:5]}\r\n{name[5:]}"
    channel.call(ExchangeDeclare(exchange=broken, type="direct"))
    channel.call(ExchangeDeclare(exchange=name, type="direct", passive=True))
    channel.call(ExchangeBind(destination=broken, source="amq.\r\nfanout", routing_key="a\nb"))
    channel.call(ExchangeUnbind(destination=broken, source="amq.\nfanout", routing_key="a\nb"))
    channel.call(ExchangeDelete(exchange=broken))
    gone(channel, name)


def test_publish_does_not_remove_line_breaks(channel: Channel) -> None:
    channel.expect_refused(BasicPublish(exchange="amq.\r\ndirect"), 404, "no exchange 'amq.\r\ndirect' in vhost '/'")


def auto_delete(channel: Channel, names: Names) -> str:
    """Declare an auto-delete fanout exchange."""
    name = names.exchange()
    channel.call(ExchangeDeclare(exchange=name, type="fanout", auto_delete=True))
    return name


def test_auto_delete_after_the_last_unbind(channel: Channel, names: Names, queue: str) -> None:
    name = auto_delete(channel, names)
    channel.bind(queue, name, "one")
    channel.bind(queue, name, "two")
    channel.call(QueueUnbind(queue=queue, exchange=name, routing_key="one"))
    channel.call(ExchangeDeclare(exchange=name, passive=True))
    channel.call(QueueUnbind(queue=queue, exchange=name, routing_key="two"))
    gone(channel, name)


def test_auto_delete_after_the_last_queue(channel: Channel, names: Names, queue: str) -> None:
    name = auto_delete(channel, names)
    channel.bind(queue, name)
    channel.call(QueueDelete(queue=queue))
    gone(channel, name)


def test_auto_delete_in_a_chain(channel: Channel, names: Names, queue: str) -> None:
    first, second = auto_delete(channel, names), auto_delete(channel, names)
    channel.call(ExchangeBind(destination=second, source=first))
    channel.bind(queue, second)
    channel.call(QueueUnbind(queue=queue, exchange=second))
    gone(channel, second)
    gone(channel, first)


def test_auto_delete_never_before_the_first_binding(channel: Channel, names: Names) -> None:
    name = auto_delete(channel, names)
    channel.call(ExchangeBind(destination=name, source="amq.fanout"))
    channel.call(ExchangeUnbind(destination=name, source="amq.fanout"))
    channel.call(ExchangeDeclare(exchange=name, passive=True))


def test_failed_binding_is_no_binding(channel: Channel, names: Names) -> None:
    name, missing = auto_delete(channel, names), names.plain()
    channel.expect_refused(QueueBind(queue=missing, exchange=name), 404, f"no queue '{missing}' in vhost '/'")
    channel.call(ExchangeDeclare(exchange=name, passive=True))
