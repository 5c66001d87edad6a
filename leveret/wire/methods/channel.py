"""Class 20, channel. Made by tools/gen_methods.py; not for editing."""

from __future__ import annotations

from librt.strings import BytesWriter, write_i32_be

from leveret.wire.arguments import ArgumentReader, Method
from leveret.wire.fields import write_longstr, write_shortstr, write_u16


class ChannelOpen(Method):
    """channel.open (20, 10)."""

    __slots__ = ("out_of_band",)

    def __init__(self, out_of_band: str = "") -> None:
        self.out_of_band = out_of_band

    @staticmethod
    def parse(reader: ArgumentReader) -> ChannelOpen:
        """Read the arguments."""
        out_of_band = reader.shortstr()
        return ChannelOpen(out_of_band)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 1310730)
        write_shortstr(out, self.out_of_band)


class ChannelOpenOk(Method):
    """channel.open-ok (20, 11)."""

    __slots__ = ("channel_id",)

    def __init__(self, channel_id: bytes = b"") -> None:
        self.channel_id = channel_id

    @staticmethod
    def parse(reader: ArgumentReader) -> ChannelOpenOk:
        """Read the arguments."""
        channel_id = reader.longstr()
        return ChannelOpenOk(channel_id)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 1310731)
        write_longstr(out, self.channel_id)


class ChannelFlow(Method):
    """channel.flow (20, 20)."""

    __slots__ = ("active",)

    def __init__(self, active: bool = False) -> None:
        self.active = active

    @staticmethod
    def parse(reader: ArgumentReader) -> ChannelFlow:
        """Read the arguments."""
        bits = reader.u8()
        active = bits & 1 != 0
        return ChannelFlow(active)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 1310740)
        out.append((1 if self.active else 0))


class ChannelFlowOk(Method):
    """channel.flow-ok (20, 21)."""

    __slots__ = ("active",)

    def __init__(self, active: bool = False) -> None:
        self.active = active

    @staticmethod
    def parse(reader: ArgumentReader) -> ChannelFlowOk:
        """Read the arguments."""
        bits = reader.u8()
        active = bits & 1 != 0
        return ChannelFlowOk(active)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 1310741)
        out.append((1 if self.active else 0))


class ChannelClose(Method):
    """channel.close (20, 40)."""

    __slots__ = ("reply_code", "reply_text", "class_id", "method_id")

    def __init__(
        self,
        reply_code: int = 0,
        reply_text: str = "",
        class_id: int = 0,
        method_id: int = 0,
    ) -> None:
        self.reply_code = reply_code
        self.reply_text = reply_text
        self.class_id = class_id
        self.method_id = method_id

    @staticmethod
    def parse(reader: ArgumentReader) -> ChannelClose:
        """Read the arguments."""
        reply_code = reader.u16()
        reply_text = reader.shortstr()
        class_id = reader.u16()
        method_id = reader.u16()
        return ChannelClose(reply_code, reply_text, class_id, method_id)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 1310760)
        write_u16(out, self.reply_code)
        write_shortstr(out, self.reply_text)
        write_u16(out, self.class_id)
        write_u16(out, self.method_id)


class ChannelCloseOk(Method):
    """channel.close-ok (20, 41)."""

    __slots__ = ()

    @staticmethod
    def parse(reader: ArgumentReader) -> ChannelCloseOk:
        """Read the arguments."""
        return ChannelCloseOk()

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 1310761)
