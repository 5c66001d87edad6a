"""Class 50, queue. Made by tools/gen_methods.py; not for editing."""

from __future__ import annotations

from librt.strings import BytesWriter, write_i16_be, write_i32_be

from leveret.wire.arguments import ArgumentReader, Method
from leveret.wire.fields import Table, encode_table, write_shortstr, write_u32


class QueueDeclare(Method):
    """queue.declare (50, 10)."""

    __slots__ = ("queue", "passive", "durable", "exclusive", "auto_delete", "nowait", "arguments")

    def __init__(
        self,
        queue: str = "",
        passive: bool = False,
        durable: bool = False,
        exclusive: bool = False,
        auto_delete: bool = False,
        nowait: bool = False,
        arguments: Table | None = None,
    ) -> None:
        self.queue = queue
        self.passive = passive
        self.durable = durable
        self.exclusive = exclusive
        self.auto_delete = auto_delete
        self.nowait = nowait
        self.arguments: Table = arguments if arguments is not None else {}

    @staticmethod
    def parse(reader: ArgumentReader) -> QueueDeclare:
        """Read the arguments."""
        reader.u16()
        queue = reader.shortstr()
        bits = reader.u8()
        passive = bits & 1 != 0
        durable = bits & 2 != 0
        exclusive = bits & 4 != 0
        auto_delete = bits & 8 != 0
        nowait = bits & 16 != 0
        arguments = reader.table()
        return QueueDeclare(queue, passive, durable, exclusive, auto_delete, nowait, arguments)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 3276810)
        write_i16_be(out, 0)
        write_shortstr(out, self.queue)
        out.append(
            (1 if self.passive else 0)
            | (2 if self.durable else 0)
            | (4 if self.exclusive else 0)
            | (8 if self.auto_delete else 0)
            | (16 if self.nowait else 0)
        )
        encode_table(out, self.arguments)


class QueueDeclareOk(Method):
    """queue.declare-ok (50, 11)."""

    __slots__ = ("queue", "message_count", "consumer_count")

    def __init__(self, queue: str = "", message_count: int = 0, consumer_count: int = 0) -> None:
        self.queue = queue
        self.message_count = message_count
        self.consumer_count = consumer_count

    @staticmethod
    def parse(reader: ArgumentReader) -> QueueDeclareOk:
        """Read the arguments."""
        queue = reader.shortstr()
        message_count = reader.u32()
        consumer_count = reader.u32()
        return QueueDeclareOk(queue, message_count, consumer_count)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 3276811)
        write_shortstr(out, self.queue)
        write_u32(out, self.message_count)
        write_u32(out, self.consumer_count)


class QueueBind(Method):
    """queue.bind (50, 20)."""

    __slots__ = ("queue", "exchange", "routing_key", "nowait", "arguments")

    def __init__(
        self,
        queue: str = "",
        exchange: str = "",
        routing_key: str = "",
        nowait: bool = False,
        arguments: Table | None = None,
    ) -> None:
        self.queue = queue
        self.exchange = exchange
        self.routing_key = routing_key
        self.nowait = nowait
        self.arguments: Table = arguments if arguments is not None else {}

    @staticmethod
    def parse(reader: ArgumentReader) -> QueueBind:
        """Read the arguments."""
        reader.u16()
        queue = reader.shortstr()
        exchange = reader.shortstr()
        routing_key = reader.shortstr()
        bits = reader.u8()
        nowait = bits & 1 != 0
        arguments = reader.table()
        return QueueBind(queue, exchange, routing_key, nowait, arguments)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 3276820)
        write_i16_be(out, 0)
        write_shortstr(out, self.queue)
        write_shortstr(out, self.exchange)
        write_shortstr(out, self.routing_key)
        out.append((1 if self.nowait else 0))
        encode_table(out, self.arguments)


class QueueBindOk(Method):
    """queue.bind-ok (50, 21)."""

    __slots__ = ()

    @staticmethod
    def parse(reader: ArgumentReader) -> QueueBindOk:
        """Read the arguments."""
        return QueueBindOk()

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 3276821)


class QueuePurge(Method):
    """queue.purge (50, 30)."""

    __slots__ = ("queue", "nowait")

    def __init__(self, queue: str = "", nowait: bool = False) -> None:
        self.queue = queue
        self.nowait = nowait

    @staticmethod
    def parse(reader: ArgumentReader) -> QueuePurge:
        """Read the arguments."""
        reader.u16()
        queue = reader.shortstr()
        bits = reader.u8()
        nowait = bits & 1 != 0
        return QueuePurge(queue, nowait)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 3276830)
        write_i16_be(out, 0)
        write_shortstr(out, self.queue)
        out.append((1 if self.nowait else 0))


class QueuePurgeOk(Method):
    """queue.purge-ok (50, 31)."""

    __slots__ = ("message_count",)

    def __init__(self, message_count: int = 0) -> None:
        self.message_count = message_count

    @staticmethod
    def parse(reader: ArgumentReader) -> QueuePurgeOk:
        """Read the arguments."""
        message_count = reader.u32()
        return QueuePurgeOk(message_count)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 3276831)
        write_u32(out, self.message_count)


class QueueDelete(Method):
    """queue.delete (50, 40)."""

    __slots__ = ("queue", "if_unused", "if_empty", "nowait")

    def __init__(
        self,
        queue: str = "",
        if_unused: bool = False,
        if_empty: bool = False,
        nowait: bool = False,
    ) -> None:
        self.queue = queue
        self.if_unused = if_unused
        self.if_empty = if_empty
        self.nowait = nowait

    @staticmethod
    def parse(reader: ArgumentReader) -> QueueDelete:
        """Read the arguments."""
        reader.u16()
        queue = reader.shortstr()
        bits = reader.u8()
        if_unused = bits & 1 != 0
        if_empty = bits & 2 != 0
        nowait = bits & 4 != 0
        return QueueDelete(queue, if_unused, if_empty, nowait)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 3276840)
        write_i16_be(out, 0)
        write_shortstr(out, self.queue)
        out.append((1 if self.if_unused else 0) | (2 if self.if_empty else 0) | (4 if self.nowait else 0))


class QueueDeleteOk(Method):
    """queue.delete-ok (50, 41)."""

    __slots__ = ("message_count",)

    def __init__(self, message_count: int = 0) -> None:
        self.message_count = message_count

    @staticmethod
    def parse(reader: ArgumentReader) -> QueueDeleteOk:
        """Read the arguments."""
        message_count = reader.u32()
        return QueueDeleteOk(message_count)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 3276841)
        write_u32(out, self.message_count)


class QueueUnbind(Method):
    """queue.unbind (50, 50)."""

    __slots__ = ("queue", "exchange", "routing_key", "arguments")

    def __init__(
        self,
        queue: str = "",
        exchange: str = "",
        routing_key: str = "",
        arguments: Table | None = None,
    ) -> None:
        self.queue = queue
        self.exchange = exchange
        self.routing_key = routing_key
        self.arguments: Table = arguments if arguments is not None else {}

    @staticmethod
    def parse(reader: ArgumentReader) -> QueueUnbind:
        """Read the arguments."""
        reader.u16()
        queue = reader.shortstr()
        exchange = reader.shortstr()
        routing_key = reader.shortstr()
        arguments = reader.table()
        return QueueUnbind(queue, exchange, routing_key, arguments)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 3276850)
        write_i16_be(out, 0)
        write_shortstr(out, self.queue)
        write_shortstr(out, self.exchange)
        write_shortstr(out, self.routing_key)
        encode_table(out, self.arguments)


class QueueUnbindOk(Method):
    """queue.unbind-ok (50, 51)."""

    __slots__ = ()

    @staticmethod
    def parse(reader: ArgumentReader) -> QueueUnbindOk:
        """Read the arguments."""
        return QueueUnbindOk()

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 3276851)
