"""Field tables in RabbitMQ's dialect: every value keeps its wire type.

A table is `dict[str, Field]`. The type is stored because error texts name it, equivalence of arguments depends on it,
and tables must be forwarded unchanged. Text is `bytes` as on the wire; keys and the short strings of methods are `str`,
with surrogateescape for invalid UTF-8, so that any bytes survive. Of duplicate keys, the first one counts.

Source: rabbit_binary_parser.erl and rabbit_binary_generator.erl. Nesting is limited to MAX_DEPTH levels here.
"""

from typing import Final

from librt.strings import (
    BytesWriter,
    read_f32_be,
    read_f64_be,
    read_i16_be,
    read_i32_be,
    read_i64_be,
    write_f32_be,
    write_f64_be,
    write_i16_be,
    write_i32_be,
    write_i64_be,
)
from mypy_extensions import i16, i32, i64, mypyc_attr, u8

MAX_DEPTH: Final = 128  # nesting levels of tables and arrays
MAX_SHORT: Final = 255  # bytes of a short string

BOOLEAN: Final = 0x74  # t
INT8: Final = 0x62  # b
UINT8: Final = 0x42  # B
INT16: Final = 0x73  # s
UINT16: Final = 0x75  # u
INT32: Final = 0x49  # I
UINT32: Final = 0x69  # i
INT64: Final = 0x6C  # l
INT64_READ_ONLY: Final = 0x4C  # L: read, and written as l
FLOAT32: Final = 0x66  # f
FLOAT64: Final = 0x64  # d
DECIMAL: Final = 0x44  # D
LONGSTR: Final = 0x53  # S
BINARY: Final = 0x78  # x
TIMESTAMP: Final = 0x54  # T
ARRAY: Final = 0x41  # A
TABLE: Final = 0x46  # F
VOID: Final = 0x56  # V

TYPE_NAMES: Final = {
    BOOLEAN: "bool",
    INT8: "byte",
    UINT8: "unsignedbyte",
    INT16: "short",
    UINT16: "unsignedshort",
    INT32: "signedint",
    UINT32: "unsignedint",
    INT64: "long",
    FLOAT32: "float",
    FLOAT64: "double",
    DECIMAL: "decimal",
    LONGSTR: "longstr",
    BINARY: "binary",
    TIMESTAMP: "timestamp",
    ARRAY: "array",
    TABLE: "table",
    VOID: "void",
}

_INFINITE: Final = float("inf")
_INTEGERS: Final = frozenset((INT8, UINT8, INT16, UINT16, INT32, UINT32, INT64))


@mypyc_attr(native_class=False)
class DecodeError(Exception):
    """The bytes violate the protocol."""


class Field:
    """One value of a table with its wire type.

    value: bool, int, float, bytes, None, (scale, unscaled) for a decimal, list[Field] or dict[str, Field].
    """

    __slots__ = ("kind", "value")

    def __init__(self, kind: int, value: object) -> None:
        self.kind = kind
        self.value = value

    @property
    def type_name(self) -> str:
        """RabbitMQ's name of the type, as in its error texts."""
        return TYPE_NAMES[self.kind]

    @property
    def is_integer(self) -> bool:
        """Whether this is an integer of any width."""
        return self.kind in _INTEGERS

    @property
    def integer(self) -> int:
        """The value of an integer field."""
        assert isinstance(self.value, int)
        return self.value

    @property
    def is_finite(self) -> bool:
        """False for an infinite or NaN float, True for everything else."""
        return not isinstance(self.value, float) or -_INFINITE < self.value < _INFINITE

    @property
    def text(self) -> str:
        """The text of a longstr."""
        assert isinstance(self.value, bytes)
        return self.value.decode("utf-8", "surrogateescape")

    def comparable(self) -> object:
        """A value that is equal for fields that RabbitMQ considers equal: the width of integers is ignored."""
        value = self.value
        if self.kind == ARRAY:
            assert isinstance(value, list)
            return ("array", tuple([item.comparable() for item in value]))
        if self.kind == TABLE:
            assert isinstance(value, dict)
            return ("table", comparable(value))
        if self.kind in _INTEGERS:
            return ("number", value)
        if self.kind in (FLOAT32, FLOAT64):
            return ("double", value if self.is_finite else repr(value))  # NaN is not equal to itself
        if self.kind == BINARY:
            return ("longstr", value)
        return (TYPE_NAMES[self.kind], value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Field) and self.kind == other.kind and self.value == other.value

    def __hash__(self) -> int:
        return hash(self.comparable())

    def __repr__(self) -> str:
        return f"{TYPE_NAMES[self.kind]}({self.value!r})"


Table = dict[str, Field]


def comparable(table: Table) -> tuple[tuple[str, object], ...]:
    """The table as a hashable value with sorted keys: equal for equivalent tables."""
    return tuple([(key, table[key].comparable()) for key in sorted(table)])


def in_order(table: Table) -> Table:
    """The table with sorted keys; nested tables stay as they are."""
    return {key: table[key] for key in sorted(table)} if len(table) > 1 else table


def longstr(text: str | bytes) -> Field:
    """A text field."""
    return Field(LONGSTR, text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text)


def boolean(value: bool) -> Field:
    """A boolean field."""
    return Field(BOOLEAN, value)


def long(value: int) -> Field:
    """A 64-bit integer field."""
    return Field(INT64, value)


def signedint(value: int) -> Field:
    """A 32-bit integer field."""
    return Field(INT32, value)


def array(items: list[Field]) -> Field:
    """An array field."""
    return Field(ARRAY, items)


def table(content: Table) -> Field:
    """A table field."""
    return Field(TABLE, content)


def timestamp(seconds: int) -> Field:
    """A timestamp field, in seconds since 1970."""
    return Field(TIMESTAMP, seconds)


def decode_table(data: bytes, start: int, end: int, max_depth: int = MAX_DEPTH) -> Table:
    """Decode the pairs in data[start:end], without the length prefix of the table.

    max_depth: nesting levels of tables and arrays in this one.
    Raises: DecodeError when a value runs over the end, has an unknown type, or is nested too deep.
    """
    try:
        return _table(data, start, end, max_depth)
    except IndexError:
        raise DecodeError("field table is cut short") from None


def check_finite(content: Table) -> None:
    """Refuse infinite and NaN floats: JSON cannot express them, and NaN is not equal to itself.

    Raises: DecodeError, where RabbitMQ drops the connection.
    """
    pending: list[object] = [content]
    while pending:
        each = pending.pop()
        fields: list[Field] = []
        if isinstance(each, dict):
            fields = list(each.values())
        elif isinstance(each, list):
            fields = each
        for field in fields:
            if field.kind == TABLE or field.kind == ARRAY:
                pending.append(field.value)
            elif not field.is_finite:
                raise DecodeError("a float in a table is not a number")


def _table(data: bytes, start: i64, end: i64, max_depth: i64) -> Table:
    result: Table = {}
    pos = start
    while pos < end:
        key_end: i64 = pos + 1 + i64(data[pos])
        if key_end >= end:
            raise DecodeError("field table is cut short")
        key = data[pos + 1 : key_end].decode("utf-8", "surrogateescape")
        if data[key_end] == TABLE or data[key_end] == ARRAY:
            field, pos = _container(data, key_end, end, max_depth)
        else:
            field, pos = _value(data, key_end, end)
        if key not in result:
            result[key] = field
    return result


class _Outer:
    """A table or an array whose rest is decoded after an inner one. table: None for an array."""

    __slots__ = ("end", "items", "table")

    def __init__(self, table: Table | None, items: list[Field], end: i64) -> None:
        self.table = table
        self.items = items
        self.end: i64 = end


def _container(data: bytes, start: i64, end: i64, max_depth: i64) -> tuple[Field, i64]:
    """A table or an array, and its end. Without recursion, so that the stack does not limit the depth."""
    found: Field | None = None
    outer: list[_Outer] = []
    table: Table | None = None  # receives the next value, unless an array does
    items: list[Field] = []
    key = ""
    pos = start
    while True:
        kind: i64 = i64(data[pos])
        if kind == TABLE or kind == ARRAY:
            if len(outer) >= max_depth:
                raise DecodeError(f"tables nested more than {max_depth} deep")
            size: i64 = i64(read_i32_be(data, pos + 1)) & 0xFFFFFFFF
            pos += 5
            if pos + size > end:
                raise DecodeError("field table is cut short")
            outer.append(_Outer(table, items, end))
            inner_table: Table | None = None
            inner_items: list[Field] = []
            if kind == TABLE:
                inner_table = {}
                field = Field(TABLE, inner_table)
            else:
                field = Field(ARRAY, inner_items)
        else:
            field, pos = _value(data, pos, end)
        if found is None:
            found = field
        elif table is None:
            items.append(field)
        elif key not in table:
            table[key] = field
        if kind == TABLE or kind == ARRAY:
            table, items, end = inner_table, inner_items, pos + size
        while pos >= end:  # ends of completed containers
            last = outer.pop()
            table, items, end = last.table, last.items, last.end
            if not outer:
                return found, pos
        if table is not None:
            key_end: i64 = pos + 1 + i64(data[pos])
            if key_end >= end:
                raise DecodeError("field table is cut short")
            key = data[pos + 1 : key_end].decode("utf-8", "surrogateescape")
            pos = key_end


def _value(data: bytes, start: i64, end: i64) -> tuple[Field, i64]:
    """A value other than a table or array, and its end."""
    kind: i64 = i64(data[start])
    pos: i64 = start + 1
    value: object
    size: i64
    if kind == LONGSTR or kind == BINARY:
        size = i64(read_i32_be(data, pos)) & 0xFFFFFFFF
        pos += 4
        if pos + size > end:
            raise DecodeError("field table is cut short")
        value = data[pos : pos + size]
        return Field(int(kind), value), pos + size
    if kind == BOOLEAN:
        value, size = data[pos] != 0, 1
    elif kind == INT32:
        value, size = int(read_i32_be(data, pos)), 4
    elif kind == INT64 or kind == INT64_READ_ONLY:
        kind = INT64
        value, size = int(read_i64_be(data, pos)), 8
    elif kind == INT8:
        value, size = int(data[pos]) - (256 if data[pos] > 127 else 0), 1
    elif kind == UINT8:
        value, size = int(data[pos]), 1
    elif kind == INT16:
        value, size = int(read_i16_be(data, pos)), 2
    elif kind == UINT16:
        value, size = int(read_i16_be(data, pos)) & 0xFFFF, 2
    elif kind == UINT32:
        value, size = int(read_i32_be(data, pos)) & 0xFFFFFFFF, 4
    elif kind == TIMESTAMP:
        value, size = int(read_i64_be(data, pos)) & 0xFFFFFFFFFFFFFFFF, 8
    elif kind == FLOAT32:
        value, size = read_f32_be(data, pos), 4
    elif kind == FLOAT64:
        value, size = read_f64_be(data, pos), 8
    elif kind == DECIMAL:
        value, size = (int(data[pos]), int(read_i32_be(data, pos + 1)) & 0xFFFFFFFF), 5
    elif kind == VOID:
        value, size = None, 0
    else:
        raise DecodeError(f"unknown field type {kind}")
    if pos + size > end:
        raise DecodeError("field table is cut short")
    return Field(int(kind), value), pos + size


def encode_table(out: BytesWriter, content: Table) -> None:
    """Write a table with its length."""
    start = open_length(out)
    for key, field in content.items():
        write_shortstr(out, key)
        _write_value(out, field)
    close_length(out, start)


def table_bytes(content: Table) -> bytes:
    """The table as bytes without its length prefix, as decode_table() reads it."""
    out = BytesWriter()
    encode_table(out, content)
    return out.getvalue()[4:]


def write_shortstr(out: BytesWriter, text: str) -> None:
    """Write a short string: one length byte and at most MAX_SHORT bytes.

    Raises: ValueError when the text is longer.
    """
    raw = text.encode("utf-8", "surrogateescape")
    if len(raw) > MAX_SHORT:
        raise ValueError(f"short string of {len(raw)} bytes")
    out.append(len(raw))
    out.write(raw)


def short(text: str) -> str:
    """A text, cut to the MAX_SHORT bytes of a short string."""
    raw = text.encode("utf-8", "surrogateescape")
    return text if len(raw) <= MAX_SHORT else raw[:MAX_SHORT].decode("utf-8", "ignore")


def write_longstr(out: BytesWriter, raw: bytes) -> None:
    """Write a long string: four length bytes and the bytes."""
    write_u32(out, len(raw))
    out.write(raw)


def write_u16(out: BytesWriter, value: i64) -> None:
    """Write an unsigned 16-bit number."""
    write_i16_be(out, i16(((value & 0xFFFF) ^ 0x8000) - 0x8000))


def write_u32(out: BytesWriter, value: i64) -> None:
    """Write an unsigned 32-bit number."""
    write_i32_be(out, i32(((value & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000))


def open_length(out: BytesWriter) -> i64:
    """Reserve a 32-bit length. Returns: its position, for close_length()."""
    write_i32_be(out, 0)
    return i64(len(out))


def close_length(out: BytesWriter, start: i64) -> None:
    """Fill in the length of the data written since open_length()."""
    size: i64 = i64(len(out)) - start
    out[start - 4] = u8((size >> 24) & 0xFF)
    out[start - 3] = u8((size >> 16) & 0xFF)
    out[start - 2] = u8((size >> 8) & 0xFF)
    out[start - 1] = u8(size & 0xFF)


def _write_value(out: BytesWriter, field: Field) -> None:
    kind = field.kind
    value = field.value
    out.append(kind)
    if isinstance(value, bytes):
        write_longstr(out, value)
    elif isinstance(value, dict):
        encode_table(out, value)
    elif isinstance(value, list):
        start = open_length(out)
        for item in value:
            _write_value(out, item)
        close_length(out, start)
    elif isinstance(value, bool):
        out.append(1 if value else 0)
    elif isinstance(value, int):
        _write_integer(out, kind, value)
    elif isinstance(value, float):
        if kind == FLOAT32:
            write_f32_be(out, value)
        else:
            write_f64_be(out, value)
    elif isinstance(value, tuple):
        out.append(value[0])
        write_u32(out, value[1])


def _write_integer(out: BytesWriter, kind: int, value: int) -> None:
    if kind == INT32:
        write_i32_be(out, value)
    elif kind == INT64:
        write_i64_be(out, value)
    elif kind == TIMESTAMP:
        write_i64_be(out, value if value < 1 << 63 else value - (1 << 64))
    elif kind == UINT32:
        write_u32(out, value)
    elif kind == INT16:
        write_i16_be(out, value)
    elif kind == UINT16:
        write_u16(out, value)
    else:
        out.append(value & 0xFF)
