"""Values of tables as Erlang prints them, for reply texts that quote a client's values."""

from __future__ import annotations

from leveret.wire.fields import TYPE_NAMES
from leveret.wire.reader import binary


def erlang_format(value: object) -> str:
    """The value of a field; unlike in RabbitMQ, long ones are not wrapped."""
    if value is None:
        return "undefined"
    if isinstance(value, bytes):
        return _text(value)
    if isinstance(value, tuple):
        return f"{{{','.join([erlang_format(part) for part in value])}}}"
    if isinstance(value, list):
        return f"[{','.join([f'{{{TYPE_NAMES[item.kind]},{erlang_format(item.value)}}}' for item in value])}]"
    if isinstance(value, dict):
        pairs = [(_text(key.encode("utf-8", "surrogateescape")), item) for key, item in value.items()]
        return (
            f"[{','.join([f'{{{key},{TYPE_NAMES[item.kind]},{erlang_format(item.value)}}}' for key, item in pairs])}]"
        )
    return str(value).lower()


def _text(data: bytes) -> str:
    """Bytes as ~tp prints them: as UTF-8 if they are valid, else as Latin-1 if printable, else as numbers."""
    if data.isascii():
        return binary(data)
    try:
        text, mark = data.decode(), "/utf8"
    except UnicodeDecodeError:
        text, mark = data.decode("latin-1"), ""
    if not all(character.isprintable() or character == "\xa0" for character in text):
        return binary(data)
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'<<"{quoted}"{mark}>>'
