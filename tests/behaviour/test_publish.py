"""basic.publish: what is checked, in which order, what comes back, and that messages are not changed."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.clients.codec import BODY, HEADER, METHOD, Properties, Timestamp, Typed, content_header, frame, long_string
from tests.clients.methods import ConnectionClose, QueueDeclare
from tests.clients.methods_basic import BasicDeliver, BasicGet, BasicPublish, BasicReturn
from tests.clients.peer import Channel, Peer
from tests.marks import differs_from_rabbitmq

from .conftest import Names

EVERY_PROPERTY = Properties(
    content_type="text/plain",
    content_encoding="utf-8",
    headers={"key": "value"},
    delivery_mode=2,
    priority=255,
    correlation_id="correlation",
    reply_to="somewhere",
    expiration="600000",
    message_id="message",
    timestamp=2**64 - 1,
    type="kind",
    user_id="guest",
    app_id="application",
    cluster_id="cluster",
)

EVERY_FIELD_TYPE: dict[str, Any] = {
    "t": True,
    "b": Typed("b", -128),
    "B": Typed("B", 255),
    "s": Typed("s", -32768),
    "u": Typed("u", 65535),
    "I": Typed("I", -(2**31)),
    "i": Typed("i", 2**32 - 1),
    "l": Typed("l", -(2**63)),
    "f": Typed("f", 1.5),
    "d": Typed("d", -2.5e300),
    "D": Decimal("12.34"),
    "S": "long string ☃",
    "x": b"\x00\xff",
    "T": Timestamp(1_700_000_000),
    "A": [1, "two", [b"three"], {"four": None}],
    "F": {"nested": {"deeper": {}}},
    "V": None,
    "": "a key may be empty",
    "k" * 128: "or long",
}

MESSAGES = {
    "no properties": Properties(),
    "every property": EVERY_PROPERTY,
    # RabbitMQ sorts the keys of headers, hence already sorted ones for a comparison of bytes.
    "every field type": Properties(headers=dict(sorted(EVERY_FIELD_TYPE.items()))),
    "empty values": Properties(content_type="", headers={}, correlation_id="", message_id="", app_id=""),
    "odd numbers": Properties(delivery_mode=0, priority=200, timestamp=0),
    "delivery mode 3": Properties(delivery_mode=3),
    "not UTF-8": Properties(content_type="\udcff", correlation_id="\udc80", headers={"k": "\udcff"}),
    "long strings": Properties(message_id="m" * 255, correlation_id="c" * 255, headers={"k": "v" * 5000}),
}


@pytest.mark.parametrize("case", MESSAGES)
def test_properties_arrive_byte_by_byte(channel: Channel, queue: str, case: str) -> None:
    channel.send(BasicPublish(routing_key=queue, properties=MESSAGES[case], body=b"body"))
    channel.consume(queue, "tag", no_ack=True)
    channel.expect(BasicDeliver)
    channel.send(BasicPublish(routing_key=queue, properties=MESSAGES[case], body=b"body"))
    method, header, body = [channel.link.read_frame() for _ in range(3)]
    assert method.payload == BasicDeliver(consumer_tag="tag", delivery_tag=2, routing_key=queue).payload()
    assert header == (HEADER, 1, content_header(4, MESSAGES[case]))
    assert body.payload == b"body"


def test_header_keys_may_come_in_any_order(channel: Channel, queue: str) -> None:
    headers = {"z": 1, "a": "two", "m": [{"y": 1, "b": 2}]}
    channel.publish(queue, b"", headers=headers)
    assert channel.get(queue).properties.headers == headers


def test_largest_decimal(channel: Channel, queue: str) -> None:
    headers = {"least": Decimal("0.00000"), "most": Decimal("42949672.95")}
    channel.publish(queue, b"", headers=headers)
    assert channel.get(queue).properties.headers == headers


REWRITTEN = {
    "second of two equal keys": b"\x01kB\x05\x01kB\x06",
    "true is any octet but 0": b"\x01kt\x05",
    "other tag of signed 64 bit": b"\x01kL" + bytes(7) + b"\x05",
    "unknown type": b"\x01kU\x00\x05",
}


@differs_from_rabbitmq("RabbitMQ reads the headers and writes them anew")
@pytest.mark.parametrize("case", REWRITTEN)
def test_headers_arrive_as_they_were_written(channel: Channel, queue: str, case: str) -> None:
    properties = b"\x20\x00" + long_string(REWRITTEN[case])
    channel.link.send_bytes(frame(METHOD, 1, BasicPublish(routing_key=queue).payload()))
    channel.link.send_bytes(frame(HEADER, 1, content_header(0, properties)))
    channel.send(BasicGet(queue=queue))
    assert [channel.link.read_frame() for _ in range(2)][1] == (HEADER, 1, content_header(0, properties))


UNREADABLE = {
    "cut short": b"\x80\x00\x05abc",
    "table cut short": b"\x20\x00\x00\x00\x00\x09aa",
    "too long": b"\x00\x00zz",
    "more flags than properties": b"\x00\x01\x00\x00",
}


@differs_from_rabbitmq("RabbitMQ ends the connection with 541")
@pytest.mark.parametrize("case", UNREADABLE)
def test_properties_that_cannot_be_read(peer: Peer, channel: Channel, case: str) -> None:
    channel.link.send_bytes(frame(METHOD, 1, BasicPublish(routing_key="x").payload()))
    channel.link.send_bytes(frame(HEADER, 1, content_header(0, UNREADABLE[case])))
    octets = ",".join(str(octet) for octet in UNREADABLE[case])
    peer.expect_closed(501, f"cannot decode all octets = <<{octets}>>", by=BasicPublish)


def test_signed_64_bit_integers_are_read_with_either_tag(channel: Channel, queue: str) -> None:
    channel.publish(queue, b"", headers={"k": Typed("L", -5)})
    assert channel.get(queue).properties.headers == {"k": -5}


def test_message_arrives_with_its_exchange_and_key(channel: Channel, names: Names, queue: str) -> None:
    exchange = channel.exchange(names.exchange(), "topic")
    channel.bind(queue, exchange, "a.*")
    channel.publish("a.b", b"x", exchange=exchange)
    channel.publish(queue, b"y")
    assert [(m.exchange, m.routing_key) for m in channel.drain(queue)] == [(exchange, "a.b"), ("", queue)]


def test_default_exchange_needs_the_exact_name(channel: Channel, queue: str) -> None:
    channel.publish(queue.upper(), b"x", mandatory=True)
    channel.expect(BasicReturn)
    channel.publish(queue + "x", b"x", mandatory=True)
    channel.expect(BasicReturn)


def test_order_of_one_channel_is_kept(channel: Channel, names: Names, queue: str) -> None:
    channel.bind(queue, "amq.direct", f"{queue}-key")
    for i in range(0, 200, 2):
        channel.publish(queue, b"%d" % i)
        channel.publish(f"{queue}-key", b"%d" % (i + 1), exchange="amq.direct")
    assert channel.bodies(queue) == [b"%d" % i for i in range(200)]


def test_unroutable_is_dropped_in_silence(channel: Channel) -> None:
    channel.publish("behaviour-nowhere", b"x")
    channel.expect_silence()


@pytest.mark.parametrize("case", MESSAGES)
def test_mandatory_and_unroutable_is_returned_whole(channel: Channel, case: str) -> None:
    publish = BasicPublish(
        exchange="amq.direct",
        routing_key="behaviour-nowhere",
        mandatory=True,
        properties=MESSAGES[case],
        body=b"x" * 200_000,
    )
    channel.send(publish)
    returned = channel.expect(BasicReturn)
    assert (returned.reply_code, returned.reply_text) == (312, "NO_ROUTE")
    assert (returned.exchange, returned.routing_key) == ("amq.direct", "behaviour-nowhere")
    assert returned.properties.raw == MESSAGES[case].encode()
    assert returned.body == publish.body


def test_mandatory_and_routed(channel: Channel, queue: str) -> None:
    channel.publish(queue, b"x", mandatory=True)
    assert channel.bodies(queue) == [b"x"]


def test_immediate_is_not_implemented(peer: Peer, channel: Channel) -> None:
    channel.send(BasicPublish(exchange="behaviour-missing", immediate=True, body=b"x"))
    peer.expect_closed(540, "immediate=true", by=BasicPublish)


def test_immediate_is_told_before_a_large_body(peer: Peer, channel: Channel) -> None:
    channel.send(BasicPublish(exchange="behaviour-missing", immediate=True, body=bytes(MAX_SIZE + 1)))
    peer.expect_closed(540, "immediate=true", by=BasicPublish)


def test_after_an_error_publishes_are_dropped(channel: Channel, names: Names, queue: str) -> None:
    missing = names.plain()
    channel.publish(queue, b"before")
    channel.publish("", b"wrong", exchange=missing)
    channel.publish(queue, b"behind", b"behind that")
    channel.expect_closed(404, f"no exchange '{missing}' in vhost '/'", by=BasicPublish)
    channel.open()
    assert channel.bodies(queue) == [b"before"]


EXPIRATIONS = [
    ("abc", "no_integer"),
    ("", "no_integer"),
    ("10x", '{leftover_string,"x"}'),
    ("1.5", '{leftover_string,".5"}'),
    ("-1", "{value_negative,-1}"),
    ("315360000001", "{value_too_large,315360000001}"),
]


@pytest.mark.parametrize(("expiration", "reason"), EXPIRATIONS)
def test_expiration_must_be_a_number(channel: Channel, expiration: str, reason: str) -> None:
    publish = BasicPublish(routing_key="x", properties=Properties(expiration=expiration))
    channel.expect_refused(publish, 406, f"invalid expiration '{expiration}': {reason}")


@pytest.mark.parametrize("expiration", ["600000", "315360000000", "0600000", "+600000"])
def test_expirations_that_are_numbers(channel: Channel, queue: str, expiration: str) -> None:
    channel.publish(queue, b"x", expiration=expiration)
    assert int(channel.get(queue).properties.expiration or "") == int(expiration)


def test_user_id_must_be_the_own_one(channel: Channel, queue: str) -> None:
    channel.publish(queue, b"x", user_id="guest")
    assert channel.get(queue).properties.user_id == "guest"
    publish = BasicPublish(routing_key=queue, properties=Properties(user_id="somebody"))
    text = "user_id property set to 'somebody' but authenticated user was 'guest'"
    channel.expect_refused(publish, 406, text)


def test_missing_exchange_is_told_before_wrong_properties(channel: Channel, names: Names) -> None:
    missing = names.plain()
    wrong = Properties(expiration="never", user_id="somebody")
    publish = BasicPublish(exchange=missing, properties=wrong)
    channel.expect_refused(publish, 404, f"no exchange '{missing}' in vhost '/'")


NO_REPLIES: dict[str, Any] = {"reply_to": "amq.rabbitmq.reply-to"}
NEVER: dict[str, Any] = {"expiration": "never"}
SOMEBODY: dict[str, Any] = {"user_id": "somebody"}
UNACCEPTABLE = 'invalid message: {{unacceptable_type_in_header,"{}",longstr}}'
INTERNAL = "cannot publish to internal exchange 'amq.rabbitmq.trace' in vhost '/'"

# Exchange, properties of which several are wrong, and what is told.
ORDER: list[tuple[str, dict[str, Any], int, str]] = [
    ("amq.rabbitmq.trace", NO_REPLIES | NEVER, 403, INTERNAL),
    ("", NO_REPLIES | NEVER | SOMEBODY, 406, "fast reply consumer does not exist"),
    ("", NEVER | SOMEBODY | {"headers": {"CC": "a"}}, 406, "invalid expiration 'never': no_integer"),
    ("", SOMEBODY | {"headers": {"BCC": "b", "CC": "a"}}, 406, UNACCEPTABLE.format("CC")),
    ("", SOMEBODY | {"headers": {"BCC": "b", "CC": ["a"]}}, 406, UNACCEPTABLE.format("BCC")),
]


@pytest.mark.parametrize(("exchange", "properties", "code", "text"), ORDER, ids=str)
def test_order_of_the_checks(channel: Channel, exchange: str, properties: dict[str, Any], code: int, text: str) -> None:
    channel.expect_refused(BasicPublish(exchange=exchange, properties=Properties(**properties)), code, text)


MAX_SIZE = 16 * 1024 * 1024
TOO_LARGE = f"message size {MAX_SIZE + 1} is larger than configured max size {MAX_SIZE}"


def test_largest_message(channel: Channel, queue: str) -> None:
    channel.publish(queue, bytes(MAX_SIZE))
    assert len(channel.get(queue, no_ack=True).body) == MAX_SIZE
    channel.expect_refused(BasicPublish(routing_key=queue, body=bytes(MAX_SIZE + 1)), 406, TOO_LARGE)


def test_size_is_told_before_a_missing_exchange(channel: Channel, names: Names) -> None:
    channel.expect_refused(BasicPublish(exchange=names.plain(), body=bytes(MAX_SIZE + 1)), 406, TOO_LARGE)


def test_too_large_is_told_when_the_body_is_there(channel: Channel) -> None:
    size = 16 * 1024 * 1024 + 1
    channel.link.send_bytes(frame(METHOD, 1, BasicPublish(routing_key="x").payload()))
    channel.link.send_bytes(frame(HEADER, 1, content_header(size, Properties())))
    step = 131064
    for at in range(0, size, step):
        channel.link.expect_silence(0.001)
        channel.link.send_bytes(frame(BODY, 1, bytes(min(step, size - at))))
    text = f"message size {size} is larger than configured max size {size - 1}"
    channel.expect_closed(406, text, by=BasicPublish)


def test_publish_during_close_is_ignored(peer: Peer, channel: Channel) -> None:
    peer.send(ConnectionClose(reply_code=200))
    channel.send(BasicPublish(routing_key="x", body=b"x"), QueueDeclare())
    assert peer.link.read_frame().payload == b"\x00\x0a\x00\x33"
