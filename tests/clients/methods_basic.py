"""The methods of class basic: names, ids and arguments in wire order."""

from __future__ import annotations

from dataclasses import field

from tests.clients.method import U16, U32, U64, Bit, ContentMethod, FieldTable, Method, Request, ShortString


class BasicQosOk(Method, index=(60, 11)):
    """basic.qos-ok."""


class BasicQos(Request[BasicQosOk], index=(60, 10)):
    """basic.qos."""

    prefetch_size: U32 = 0
    prefetch_count: U16 = 0
    global_: Bit = False


class BasicConsumeOk(Method, index=(60, 21)):
    """basic.consume-ok."""

    consumer_tag: ShortString = ""


class BasicConsume(Request[BasicConsumeOk], index=(60, 20)):
    """basic.consume."""

    ticket: U16 = 0
    queue: ShortString = ""
    consumer_tag: ShortString = ""
    no_local: Bit = False
    no_ack: Bit = False
    exclusive: Bit = False
    nowait: Bit = False
    arguments: FieldTable = field(default_factory=dict)


class BasicCancelOk(Method, index=(60, 31)):
    """basic.cancel-ok."""

    consumer_tag: ShortString = ""


class BasicCancel(Request[BasicCancelOk], index=(60, 30)):
    """basic.cancel."""

    consumer_tag: ShortString = ""
    nowait: Bit = False


class BasicPublish(ContentMethod, index=(60, 40)):
    """basic.publish."""

    ticket: U16 = 0
    exchange: ShortString = ""
    routing_key: ShortString = ""
    mandatory: Bit = False
    immediate: Bit = False


class BasicReturn(ContentMethod, index=(60, 50)):
    """basic.return."""

    reply_code: U16 = 0
    reply_text: ShortString = ""
    exchange: ShortString = ""
    routing_key: ShortString = ""


class BasicDeliver(ContentMethod, index=(60, 60)):
    """basic.deliver."""

    consumer_tag: ShortString = ""
    delivery_tag: U64 = 0
    redelivered: Bit = False
    exchange: ShortString = ""
    routing_key: ShortString = ""


class BasicGetOk(ContentMethod, index=(60, 71)):
    """basic.get-ok."""

    delivery_tag: U64 = 0
    redelivered: Bit = False
    exchange: ShortString = ""
    routing_key: ShortString = ""
    message_count: U32 = 0


class BasicGet(Request[BasicGetOk], index=(60, 70)):
    """basic.get."""

    ticket: U16 = 0
    queue: ShortString = ""
    no_ack: Bit = False


class BasicGetEmpty(Method, index=(60, 72)):
    """basic.get-empty."""

    cluster_id: ShortString = ""


class BasicAck(Method, index=(60, 80)):
    """basic.ack."""

    delivery_tag: U64 = 0
    multiple: Bit = False


class BasicReject(Method, index=(60, 90)):
    """basic.reject."""

    delivery_tag: U64 = 0
    requeue: Bit = False


class BasicRecoverAsync(Method, index=(60, 100)):
    """basic.recover-async."""

    requeue: Bit = False


class BasicRecoverOk(Method, index=(60, 111)):
    """basic.recover-ok."""


class BasicRecover(Request[BasicRecoverOk], index=(60, 110)):
    """basic.recover."""

    requeue: Bit = False


class BasicNack(Method, index=(60, 120)):
    """basic.nack."""

    delivery_tag: U64 = 0
    multiple: Bit = False
    requeue: Bit = False
