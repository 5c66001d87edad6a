"""Class 30, access. Made by tools/gen_methods.py; not for editing."""

from __future__ import annotations

from librt.strings import BytesWriter, write_i32_be

from leveret.wire.arguments import ArgumentReader, Method
from leveret.wire.fields import write_shortstr, write_u16


class AccessRequest(Method):
    """access.request (30, 10)."""

    __slots__ = ("realm", "exclusive", "passive", "active", "write", "read")

    def __init__(
        self,
        realm: str = "",
        exclusive: bool = False,
        passive: bool = False,
        active: bool = False,
        write: bool = False,
        read: bool = False,
    ) -> None:
        self.realm = realm
        self.exclusive = exclusive
        self.passive = passive
        self.active = active
        self.write = write
        self.read = read

    @staticmethod
    def parse(reader: ArgumentReader) -> AccessRequest:
        """Read the arguments."""
        realm = reader.shortstr()
        bits = reader.u8()
        exclusive = bits & 1 != 0
        passive = bits & 2 != 0
        active = bits & 4 != 0
        write = bits & 8 != 0
        read = bits & 16 != 0
        return AccessRequest(realm, exclusive, passive, active, write, read)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 1966090)
        write_shortstr(out, self.realm)
        out.append(
            (1 if self.exclusive else 0)
            | (2 if self.passive else 0)
            | (4 if self.active else 0)
            | (8 if self.write else 0)
            | (16 if self.read else 0)
        )


class AccessRequestOk(Method):
    """access.request-ok (30, 11)."""

    __slots__ = ("granted_ticket",)

    def __init__(self, granted_ticket: int = 0) -> None:
        self.granted_ticket = granted_ticket

    @staticmethod
    def parse(reader: ArgumentReader) -> AccessRequestOk:
        """Read the arguments."""
        granted_ticket = reader.u16()
        return AccessRequestOk(granted_ticket)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 1966091)
        write_u16(out, self.granted_ticket)
