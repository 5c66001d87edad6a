"""Class 40, exchange. Made by tools/gen_methods.py; not for editing."""

from __future__ import annotations

from librt.strings import BytesWriter, write_i16_be, write_i32_be

from leveret.wire.arguments import ArgumentReader, Method
from leveret.wire.fields import Table, encode_table, write_shortstr


class ExchangeDeclare(Method):
    """exchange.declare (40, 10)."""

    __slots__ = ("exchange", "exchange_type", "passive", "durable", "auto_delete", "internal", "nowait", "arguments")

    def __init__(
        self,
        exchange: str = "",
        exchange_type: str = "",
        passive: bool = False,
        durable: bool = False,
        auto_delete: bool = False,
        internal: bool = False,
        nowait: bool = False,
        arguments: Table | None = None,
    ) -> None:
        self.exchange = exchange
        self.exchange_type = exchange_type
        self.passive = passive
        self.durable = durable
        self.auto_delete = auto_delete
        self.internal = internal
        self.nowait = nowait
        self.arguments: Table = arguments if arguments is not None else {}

    @staticmethod
    def parse(reader: ArgumentReader) -> ExchangeDeclare:
        """Read the arguments."""
        reader.u16()
        exchange = reader.shortstr()
        exchange_type = reader.shortstr()
        bits = reader.u8()
        passive = bits & 1 != 0
        durable = bits & 2 != 0
        auto_delete = bits & 4 != 0
        internal = bits & 8 != 0
        nowait = bits & 16 != 0
        arguments = reader.table()
        return ExchangeDeclare(
            exchange,
            exchange_type,
            passive,
            durable,
            auto_delete,
            internal,
            nowait,
            arguments,
        )

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 2621450)
        write_i16_be(out, 0)
        write_shortstr(out, self.exchange)
        write_shortstr(out, self.exchange_type)
        out.append(
            (1 if self.passive else 0)
            | (2 if self.durable else 0)
            | (4 if self.auto_delete else 0)
            | (8 if self.internal else 0)
            | (16 if self.nowait else 0)
        )
        encode_table(out, self.arguments)


class ExchangeDeclareOk(Method):
    """exchange.declare-ok (40, 11)."""

    __slots__ = ()

    @staticmethod
    def parse(reader: ArgumentReader) -> ExchangeDeclareOk:
        """Read the arguments."""
        return ExchangeDeclareOk()

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 2621451)


class ExchangeDelete(Method):
    """exchange.delete (40, 20)."""

    __slots__ = ("exchange", "if_unused", "nowait")

    def __init__(self, exchange: str = "", if_unused: bool = False, nowait: bool = False) -> None:
        self.exchange = exchange
        self.if_unused = if_unused
        self.nowait = nowait

    @staticmethod
    def parse(reader: ArgumentReader) -> ExchangeDelete:
        """Read the arguments."""
        reader.u16()
        exchange = reader.shortstr()
        bits = reader.u8()
        if_unused = bits & 1 != 0
        nowait = bits & 2 != 0
        return ExchangeDelete(exchange, if_unused, nowait)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 2621460)
        write_i16_be(out, 0)
        write_shortstr(out, self.exchange)
        out.append((1 if self.if_unused else 0) | (2 if self.nowait else 0))


class ExchangeDeleteOk(Method):
    """exchange.delete-ok (40, 21)."""

    __slots__ = ()

    @staticmethod
    def parse(reader: ArgumentReader) -> ExchangeDeleteOk:
        """Read the arguments."""
        return ExchangeDeleteOk()

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 2621461)


class ExchangeBind(Method):
    """exchange.bind (40, 30)."""

    __slots__ = ("destination", "source", "routing_key", "nowait", "arguments")

    def __init__(
        self,
        destination: str = "",
        source: str = "",
        routing_key: str = "",
        nowait: bool = False,
        arguments: Table | None = None,
    ) -> None:
        self.destination = destination
        self.source = source
        self.routing_key = routing_key
        self.nowait = nowait
        self.arguments: Table = arguments if arguments is not None else {}

    @staticmethod
    def parse(reader: ArgumentReader) -> ExchangeBind:
        """Read the arguments."""
        reader.u16()
        destination = reader.shortstr()
        source = reader.shortstr()
        routing_key = reader.shortstr()
        bits = reader.u8()
        nowait = bits & 1 != 0
        arguments = reader.table()
        return ExchangeBind(destination, source, routing_key, nowait, arguments)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 2621470)
        write_i16_be(out, 0)
        write_shortstr(out, self.destination)
        write_shortstr(out, self.source)
        write_shortstr(out, self.routing_key)
        out.append((1 if self.nowait else 0))
        encode_table(out, self.arguments)


class ExchangeBindOk(Method):
    """exchange.bind-ok (40, 31)."""

    __slots__ = ()

    @staticmethod
    def parse(reader: ArgumentReader) -> ExchangeBindOk:
        """Read the arguments."""
        return ExchangeBindOk()

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 2621471)


class ExchangeUnbind(Method):
    """exchange.unbind (40, 40)."""

    __slots__ = ("destination", "source", "routing_key", "nowait", "arguments")

    def __init__(
        self,
        destination: str = "",
        source: str = "",
        routing_key: str = "",
        nowait: bool = False,
        arguments: Table | None = None,
    ) -> None:
        self.destination = destination
        self.source = source
        self.routing_key = routing_key
        self.nowait = nowait
        self.arguments: Table = arguments if arguments is not None else {}

    @staticmethod
    def parse(reader: ArgumentReader) -> ExchangeUnbind:
        """Read the arguments."""
        reader.u16()
        destination = reader.shortstr()
        source = reader.shortstr()
        routing_key = reader.shortstr()
        bits = reader.u8()
        nowait = bits & 1 != 0
        arguments = reader.table()
        return ExchangeUnbind(destination, source, routing_key, nowait, arguments)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 2621480)
        write_i16_be(out, 0)
        write_shortstr(out, self.destination)
        write_shortstr(out, self.source)
        write_shortstr(out, self.routing_key)
        out.append((1 if self.nowait else 0))
        encode_table(out, self.arguments)


class ExchangeUnbindOk(Method):
    """exchange.unbind-ok (40, 51)."""

    __slots__ = ()

    @staticmethod
    def parse(reader: ArgumentReader) -> ExchangeUnbindOk:
        """Read the arguments."""
        return ExchangeUnbindOk()

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 2621491)
