"""Class 85, confirm. Made by tools/gen_methods.py; not for editing."""

from __future__ import annotations

from librt.strings import BytesWriter, write_i32_be

from leveret.wire.arguments import ArgumentReader, Method


class ConfirmSelect(Method):
    """confirm.select (85, 10)."""

    __slots__ = ("nowait",)

    def __init__(self, nowait: bool = False) -> None:
        self.nowait = nowait

    @staticmethod
    def parse(reader: ArgumentReader) -> ConfirmSelect:
        """Read the arguments."""
        bits = reader.u8()
        nowait = bits & 1 != 0
        return ConfirmSelect(nowait)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 5570570)
        out.append((1 if self.nowait else 0))


class ConfirmSelectOk(Method):
    """confirm.select-ok (85, 11)."""

    __slots__ = ()

    @staticmethod
    def parse(reader: ArgumentReader) -> ConfirmSelectOk:
        """Read the arguments."""
        return ConfirmSelectOk()

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 5570571)
