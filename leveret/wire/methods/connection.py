"""Class 10, connection. Made by tools/gen_methods.py; not for editing."""

from __future__ import annotations

from librt.strings import BytesWriter, write_i32_be

from leveret.wire.arguments import ArgumentReader, Method
from leveret.wire.fields import Table, encode_table, write_longstr, write_shortstr, write_u16, write_u32


class ConnectionStart(Method):
    """connection.start (10, 10)."""

    __slots__ = ("version_major", "version_minor", "server_properties", "mechanisms", "locales")

    def __init__(
        self,
        version_major: int = 0,
        version_minor: int = 0,
        server_properties: Table | None = None,
        mechanisms: bytes = b"",
        locales: bytes = b"",
    ) -> None:
        self.version_major = version_major
        self.version_minor = version_minor
        self.server_properties: Table = server_properties if server_properties is not None else {}
        self.mechanisms = mechanisms
        self.locales = locales

    @staticmethod
    def parse(reader: ArgumentReader) -> ConnectionStart:
        """Read the arguments."""
        version_major = reader.u8()
        version_minor = reader.u8()
        server_properties = reader.table()
        mechanisms = reader.longstr()
        locales = reader.longstr()
        return ConnectionStart(version_major, version_minor, server_properties, mechanisms, locales)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 655370)
        out.append(self.version_major)
        out.append(self.version_minor)
        encode_table(out, self.server_properties)
        write_longstr(out, self.mechanisms)
        write_longstr(out, self.locales)


class ConnectionStartOk(Method):
    """connection.start-ok (10, 11)."""

    __slots__ = ("client_properties", "mechanism", "response", "locale")

    def __init__(
        self,
        client_properties: Table | None = None,
        mechanism: str = "",
        response: bytes = b"",
        locale: str = "",
    ) -> None:
        self.client_properties: Table = client_properties if client_properties is not None else {}
        self.mechanism = mechanism
        self.response = response
        self.locale = locale

    @staticmethod
    def parse(reader: ArgumentReader) -> ConnectionStartOk:
        """Read the arguments."""
        client_properties = reader.table()
        mechanism = reader.shortstr()
        response = reader.longstr()
        locale = reader.shortstr()
        return ConnectionStartOk(client_properties, mechanism, response, locale)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 655371)
        encode_table(out, self.client_properties)
        write_shortstr(out, self.mechanism)
        write_longstr(out, self.response)
        write_shortstr(out, self.locale)


class ConnectionSecure(Method):
    """connection.secure (10, 20)."""

    __slots__ = ("challenge",)

    def __init__(self, challenge: bytes = b"") -> None:
        self.challenge = challenge

    @staticmethod
    def parse(reader: ArgumentReader) -> ConnectionSecure:
        """Read the arguments."""
        challenge = reader.longstr()
        return ConnectionSecure(challenge)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 655380)
        write_longstr(out, self.challenge)


class ConnectionSecureOk(Method):
    """connection.secure-ok (10, 21)."""

    __slots__ = ("response",)

    def __init__(self, response: bytes = b"") -> None:
        self.response = response

    @staticmethod
    def parse(reader: ArgumentReader) -> ConnectionSecureOk:
        """Read the arguments."""
        response = reader.longstr()
        return ConnectionSecureOk(response)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 655381)
        write_longstr(out, self.response)


class ConnectionTune(Method):
    """connection.tune (10, 30)."""

    __slots__ = ("channel_max", "frame_max", "heartbeat")

    def __init__(self, channel_max: int = 0, frame_max: int = 0, heartbeat: int = 0) -> None:
        self.channel_max = channel_max
        self.frame_max = frame_max
        self.heartbeat = heartbeat

    @staticmethod
    def parse(reader: ArgumentReader) -> ConnectionTune:
        """Read the arguments."""
        channel_max = reader.u16()
        frame_max = reader.u32()
        heartbeat = reader.u16()
        return ConnectionTune(channel_max, frame_max, heartbeat)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 655390)
        write_u16(out, self.channel_max)
        write_u32(out, self.frame_max)
        write_u16(out, self.heartbeat)


class ConnectionTuneOk(Method):
    """connection.tune-ok (10, 31)."""

    __slots__ = ("channel_max", "frame_max", "heartbeat")

    def __init__(self, channel_max: int = 0, frame_max: int = 0, heartbeat: int = 0) -> None:
        self.channel_max = channel_max
        self.frame_max = frame_max
        self.heartbeat = heartbeat

    @staticmethod
    def parse(reader: ArgumentReader) -> ConnectionTuneOk:
        """Read the arguments."""
        channel_max = reader.u16()
        frame_max = reader.u32()
        heartbeat = reader.u16()
        return ConnectionTuneOk(channel_max, frame_max, heartbeat)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 655391)
        write_u16(out, self.channel_max)
        write_u32(out, self.frame_max)
        write_u16(out, self.heartbeat)


class ConnectionOpen(Method):
    """connection.open (10, 40)."""

    __slots__ = ("virtual_host", "capabilities", "insist")

    def __init__(self, virtual_host: str = "", capabilities: str = "", insist: bool = False) -> None:
        self.virtual_host = virtual_host
        self.capabilities = capabilities
        self.insist = insist

    @staticmethod
    def parse(reader: ArgumentReader) -> ConnectionOpen:
        """Read the arguments."""
        virtual_host = reader.shortstr()
        capabilities = reader.shortstr()
        bits = reader.u8()
        insist = bits & 1 != 0
        return ConnectionOpen(virtual_host, capabilities, insist)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 655400)
        write_shortstr(out, self.virtual_host)
        write_shortstr(out, self.capabilities)
        out.append((1 if self.insist else 0))


class ConnectionOpenOk(Method):
    """connection.open-ok (10, 41)."""

    __slots__ = ("known_hosts",)

    def __init__(self, known_hosts: str = "") -> None:
        self.known_hosts = known_hosts

    @staticmethod
    def parse(reader: ArgumentReader) -> ConnectionOpenOk:
        """Read the arguments."""
        known_hosts = reader.shortstr()
        return ConnectionOpenOk(known_hosts)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 655401)
        write_shortstr(out, self.known_hosts)


class ConnectionClose(Method):
    """connection.close (10, 50)."""

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
    def parse(reader: ArgumentReader) -> ConnectionClose:
        """Read the arguments."""
        reply_code = reader.u16()
        reply_text = reader.shortstr()
        class_id = reader.u16()
        method_id = reader.u16()
        return ConnectionClose(reply_code, reply_text, class_id, method_id)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 655410)
        write_u16(out, self.reply_code)
        write_shortstr(out, self.reply_text)
        write_u16(out, self.class_id)
        write_u16(out, self.method_id)


class ConnectionCloseOk(Method):
    """connection.close-ok (10, 51)."""

    __slots__ = ()

    @staticmethod
    def parse(reader: ArgumentReader) -> ConnectionCloseOk:
        """Read the arguments."""
        return ConnectionCloseOk()

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 655411)


class ConnectionBlocked(Method):
    """connection.blocked (10, 60)."""

    __slots__ = ("reason",)

    def __init__(self, reason: str = "") -> None:
        self.reason = reason

    @staticmethod
    def parse(reader: ArgumentReader) -> ConnectionBlocked:
        """Read the arguments."""
        reason = reader.shortstr()
        return ConnectionBlocked(reason)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 655420)
        write_shortstr(out, self.reason)


class ConnectionUnblocked(Method):
    """connection.unblocked (10, 61)."""

    __slots__ = ()

    @staticmethod
    def parse(reader: ArgumentReader) -> ConnectionUnblocked:
        """Read the arguments."""
        return ConnectionUnblocked()

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 655421)


class ConnectionUpdateSecret(Method):
    """connection.update-secret (10, 70)."""

    __slots__ = ("new_secret", "reason")

    def __init__(self, new_secret: bytes = b"", reason: str = "") -> None:
        self.new_secret = new_secret
        self.reason = reason

    @staticmethod
    def parse(reader: ArgumentReader) -> ConnectionUpdateSecret:
        """Read the arguments."""
        new_secret = reader.longstr()
        reason = reader.shortstr()
        return ConnectionUpdateSecret(new_secret, reason)

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 655430)
        write_longstr(out, self.new_secret)
        write_shortstr(out, self.reason)


class ConnectionUpdateSecretOk(Method):
    """connection.update-secret-ok (10, 71)."""

    __slots__ = ()

    @staticmethod
    def parse(reader: ArgumentReader) -> ConnectionUpdateSecretOk:
        """Read the arguments."""
        return ConnectionUpdateSecretOk()

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 655431)
