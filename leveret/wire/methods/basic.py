"""Class 60, basic. Made by tools/gen_methods.py; not for editing."""

from __future__ import annotations

from librt.strings import BytesWriter, write_i16_be, write_i32_be, write_i64_be
from mypy_extensions import i64

from leveret.wire.arguments import ArgumentReader, Method
from leveret.wire.fields import Table, encode_table, write_shortstr, write_u16, write_u32


class BasicQos(Method):
    """basic.qos (60, 10)."""

    __slots__ = ("prefetch_size", "prefetch_count", "global_")

    def __init__(self, prefetch_size: int = 0, prefetch_count: int = 0, global_: bool = False) -> None:
        self.prefetch_size = prefetch_size
        self.prefetch_count = prefetch_count
        self.global_ = global_

    @staticmethod
    def parse(reader: ArgumentReader) -> BasicQos:
        """Read the arguments."""
        prefetch_size = reader.u32()
        prefetch_count = reader.u16()
        bits = reader.u8()
        global_ = bits & 1 != 0
        return BasicQos(prefetch_size, prefetch_count, global_)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 3932170)
        write_u32(out, self.prefetch_size)
        write_u16(out, self.prefetch_count)
        out.append((1 if self.global_ else 0))


class BasicQosOk(Method):
    """basic.qos-ok (60, 11)."""

    __slots__ = ()

    @staticmethod
    def parse(reader: ArgumentReader) -> BasicQosOk:
        """Read the arguments."""
        return BasicQosOk()

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 3932171)


class BasicConsume(Method):
    """basic.consume (60, 20)."""

    __slots__ = ("queue", "consumer_tag", "no_local", "no_ack", "exclusive", "nowait", "arguments")

    def __init__(
        self,
        queue: str = "",
        consumer_tag: str = "",
        no_local: bool = False,
        no_ack: bool = False,
        exclusive: bool = False,
        nowait: bool = False,
        arguments: Table | None = None,
    ) -> None:
        self.queue = queue
        self.consumer_tag = consumer_tag
        self.no_local = no_local
        self.no_ack = no_ack
        self.exclusive = exclusive
        self.nowait = nowait
        self.arguments: Table = arguments if arguments is not None else {}

    @staticmethod
    def parse(reader: ArgumentReader) -> BasicConsume:
        """Read the arguments."""
        reader.u16()
        queue = reader.shortstr()
        consumer_tag = reader.shortstr()
        bits = reader.u8()
        no_local = bits & 1 != 0
        no_ack = bits & 2 != 0
        exclusive = bits & 4 != 0
        nowait = bits & 8 != 0
        arguments = reader.table()
        return BasicConsume(queue, consumer_tag, no_local, no_ack, exclusive, nowait, arguments)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 3932180)
        write_i16_be(out, 0)
        write_shortstr(out, self.queue)
        write_shortstr(out, self.consumer_tag)
        out.append(
            (1 if self.no_local else 0)
            | (2 if self.no_ack else 0)
            | (4 if self.exclusive else 0)
            | (8 if self.nowait else 0)
        )
        encode_table(out, self.arguments)


class BasicConsumeOk(Method):
    """basic.consume-ok (60, 21)."""

    __slots__ = ("consumer_tag",)

    def __init__(self, consumer_tag: str = "") -> None:
        self.consumer_tag = consumer_tag

    @staticmethod
    def parse(reader: ArgumentReader) -> BasicConsumeOk:
        """Read the arguments."""
        consumer_tag = reader.shortstr()
        return BasicConsumeOk(consumer_tag)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 3932181)
        write_shortstr(out, self.consumer_tag)


class BasicCancel(Method):
    """basic.cancel (60, 30)."""

    __slots__ = ("consumer_tag", "nowait")

    def __init__(self, consumer_tag: str = "", nowait: bool = False) -> None:
        self.consumer_tag = consumer_tag
        self.nowait = nowait

    @staticmethod
    def parse(reader: ArgumentReader) -> BasicCancel:
        """Read the arguments."""
        consumer_tag = reader.shortstr()
        bits = reader.u8()
        nowait = bits & 1 != 0
        return BasicCancel(consumer_tag, nowait)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 3932190)
        write_shortstr(out, self.consumer_tag)
        out.append((1 if self.nowait else 0))


class BasicCancelOk(Method):
    """basic.cancel-ok (60, 31)."""

    __slots__ = ("consumer_tag",)

    def __init__(self, consumer_tag: str = "") -> None:
        self.consumer_tag = consumer_tag

    @staticmethod
    def parse(reader: ArgumentReader) -> BasicCancelOk:
        """Read the arguments."""
        consumer_tag = reader.shortstr()
        return BasicCancelOk(consumer_tag)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 3932191)
        write_shortstr(out, self.consumer_tag)


class BasicPublish(Method):
    """basic.publish (60, 40)."""

    __slots__ = ("exchange", "routing_key", "mandatory", "immediate")

    def __init__(
        self,
        exchange: str = "",
        routing_key: str = "",
        mandatory: bool = False,
        immediate: bool = False,
    ) -> None:
        self.exchange = exchange
        self.routing_key = routing_key
        self.mandatory = mandatory
        self.immediate = immediate

    @staticmethod
    def parse(reader: ArgumentReader) -> BasicPublish:
        """Read the arguments."""
        reader.u16()
        exchange = reader.shortstr()
        routing_key = reader.shortstr()
        bits = reader.u8()
        mandatory = bits & 1 != 0
        immediate = bits & 2 != 0
        return BasicPublish(exchange, routing_key, mandatory, immediate)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 3932200)
        write_i16_be(out, 0)
        write_shortstr(out, self.exchange)
        write_shortstr(out, self.routing_key)
        out.append((1 if self.mandatory else 0) | (2 if self.immediate else 0))


class BasicReturn(Method):
    """basic.return (60, 50)."""

    __slots__ = ("reply_code", "reply_text", "exchange", "routing_key")

    def __init__(
        self,
        reply_code: int = 0,
        reply_text: str = "",
        exchange: str = "",
        routing_key: str = "",
    ) -> None:
        self.reply_code = reply_code
        self.reply_text = reply_text
        self.exchange = exchange
        self.routing_key = routing_key

    @staticmethod
    def parse(reader: ArgumentReader) -> BasicReturn:
        """Read the arguments."""
        reply_code = reader.u16()
        reply_text = reader.shortstr()
        exchange = reader.shortstr()
        routing_key = reader.shortstr()
        return BasicReturn(reply_code, reply_text, exchange, routing_key)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 3932210)
        write_u16(out, self.reply_code)
        write_shortstr(out, self.reply_text)
        write_shortstr(out, self.exchange)
        write_shortstr(out, self.routing_key)


class BasicDeliver(Method):
    """basic.deliver (60, 60)."""

    __slots__ = ("consumer_tag", "delivery_tag", "redelivered", "exchange", "routing_key")

    def __init__(
        self,
        consumer_tag: str = "",
        delivery_tag: int = 0,
        redelivered: bool = False,
        exchange: str = "",
        routing_key: str = "",
    ) -> None:
        self.consumer_tag = consumer_tag
        self.delivery_tag = delivery_tag
        self.redelivered = redelivered
        self.exchange = exchange
        self.routing_key = routing_key

    @staticmethod
    def parse(reader: ArgumentReader) -> BasicDeliver:
        """Read the arguments."""
        consumer_tag = reader.shortstr()
        delivery_tag = reader.u64()
        bits = reader.u8()
        redelivered = bits & 1 != 0
        exchange = reader.shortstr()
        routing_key = reader.shortstr()
        return BasicDeliver(consumer_tag, delivery_tag, redelivered, exchange, routing_key)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 3932220)
        write_shortstr(out, self.consumer_tag)
        write_i64_be(out, i64(self.delivery_tag))
        out.append((1 if self.redelivered else 0))
        write_shortstr(out, self.exchange)
        write_shortstr(out, self.routing_key)


class BasicGet(Method):
    """basic.get (60, 70)."""

    __slots__ = ("queue", "no_ack")

    def __init__(self, queue: str = "", no_ack: bool = False) -> None:
        self.queue = queue
        self.no_ack = no_ack

    @staticmethod
    def parse(reader: ArgumentReader) -> BasicGet:
        """Read the arguments."""
        reader.u16()
        queue = reader.shortstr()
        bits = reader.u8()
        no_ack = bits & 1 != 0
        return BasicGet(queue, no_ack)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 3932230)
        write_i16_be(out, 0)
        write_shortstr(out, self.queue)
        out.append((1 if self.no_ack else 0))


class BasicGetOk(Method):
    """basic.get-ok (60, 71)."""

    __slots__ = ("delivery_tag", "redelivered", "exchange", "routing_key", "message_count")

    def __init__(
        self,
        delivery_tag: int = 0,
        redelivered: bool = False,
        exchange: str = "",
        routing_key: str = "",
        message_count: int = 0,
    ) -> None:
        self.delivery_tag = delivery_tag
        self.redelivered = redelivered
        self.exchange = exchange
        self.routing_key = routing_key
        self.message_count = message_count

    @staticmethod
    def parse(reader: ArgumentReader) -> BasicGetOk:
        """Read the arguments."""
        delivery_tag = reader.u64()
        bits = reader.u8()
        redelivered = bits & 1 != 0
        exchange = reader.shortstr()
        routing_key = reader.shortstr()
        message_count = reader.u32()
        return BasicGetOk(delivery_tag, redelivered, exchange, routing_key, message_count)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 3932231)
        write_i64_be(out, i64(self.delivery_tag))
        out.append((1 if self.redelivered else 0))
        write_shortstr(out, self.exchange)
        write_shortstr(out, self.routing_key)
        write_u32(out, self.message_count)


class BasicGetEmpty(Method):
    """basic.get-empty (60, 72)."""

    __slots__ = ("cluster_id",)

    def __init__(self, cluster_id: str = "") -> None:
        self.cluster_id = cluster_id

    @staticmethod
    def parse(reader: ArgumentReader) -> BasicGetEmpty:
        """Read the arguments."""
        cluster_id = reader.shortstr()
        return BasicGetEmpty(cluster_id)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 3932232)
        write_shortstr(out, self.cluster_id)


class BasicAck(Method):
    """basic.ack (60, 80)."""

    __slots__ = ("delivery_tag", "multiple")

    def __init__(self, delivery_tag: int = 0, multiple: bool = False) -> None:
        self.delivery_tag = delivery_tag
        self.multiple = multiple

    @staticmethod
    def parse(reader: ArgumentReader) -> BasicAck:
        """Read the arguments."""
        delivery_tag = reader.u64()
        bits = reader.u8()
        multiple = bits & 1 != 0
        return BasicAck(delivery_tag, multiple)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 3932240)
        write_i64_be(out, i64(self.delivery_tag))
        out.append((1 if self.multiple else 0))


class BasicReject(Method):
    """basic.reject (60, 90)."""

    __slots__ = ("delivery_tag", "requeue")

    def __init__(self, delivery_tag: int = 0, requeue: bool = False) -> None:
        self.delivery_tag = delivery_tag
        self.requeue = requeue

    @staticmethod
    def parse(reader: ArgumentReader) -> BasicReject:
        """Read the arguments."""
        delivery_tag = reader.u64()
        bits = reader.u8()
        requeue = bits & 1 != 0
        return BasicReject(delivery_tag, requeue)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 3932250)
        write_i64_be(out, i64(self.delivery_tag))
        out.append((1 if self.requeue else 0))


class BasicRecoverAsync(Method):
    """basic.recover-async (60, 100)."""

    __slots__ = ("requeue",)

    def __init__(self, requeue: bool = False) -> None:
        self.requeue = requeue

    @staticmethod
    def parse(reader: ArgumentReader) -> BasicRecoverAsync:
        """Read the arguments."""
        bits = reader.u8()
        requeue = bits & 1 != 0
        return BasicRecoverAsync(requeue)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 3932260)
        out.append((1 if self.requeue else 0))


class BasicRecover(Method):
    """basic.recover (60, 110)."""

    __slots__ = ("requeue",)

    def __init__(self, requeue: bool = False) -> None:
        self.requeue = requeue

    @staticmethod
    def parse(reader: ArgumentReader) -> BasicRecover:
        """Read the arguments."""
        bits = reader.u8()
        requeue = bits & 1 != 0
        return BasicRecover(requeue)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 3932270)
        out.append((1 if self.requeue else 0))


class BasicRecoverOk(Method):
    """basic.recover-ok (60, 111)."""

    __slots__ = ()

    @staticmethod
    def parse(reader: ArgumentReader) -> BasicRecoverOk:
        """Read the arguments."""
        return BasicRecoverOk()

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 3932271)


class BasicNack(Method):
    """basic.nack (60, 120)."""

    __slots__ = ("delivery_tag", "multiple", "requeue")

    def __init__(self, delivery_tag: int = 0, multiple: bool = False, requeue: bool = False) -> None:
        self.delivery_tag = delivery_tag
        self.multiple = multiple
        self.requeue = requeue

    @staticmethod
    def parse(reader: ArgumentReader) -> BasicNack:
        """Read the arguments."""
        delivery_tag = reader.u64()
        bits = reader.u8()
        multiple = bits & 1 != 0
        requeue = bits & 2 != 0
        return BasicNack(delivery_tag, multiple, requeue)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 3932280)
        write_i64_be(out, i64(self.delivery_tag))
        out.append((1 if self.multiple else 0) | (2 if self.requeue else 0))
