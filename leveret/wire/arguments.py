"""Arguments of methods: the base class of the generated classes in `methods/`, and their decoder."""

from librt.strings import BytesWriter, read_i16_be, read_i32_be, read_i64_be
from mypy_extensions import i64

from leveret.wire.fields import DecodeError, Table, check_finite, decode_table


class Method:
    """A protocol method, with its arguments as attributes."""

    __slots__ = ()

    def encode(self, out: BytesWriter) -> None:
        """Write class id, method id and arguments: the payload of a method frame."""
        raise NotImplementedError


class ArgumentReader:
    """Reads arguments in sequence.

    Every read raises IndexError past the end of the payload, and DecodeError for invalid data; `methods.decode` turns
    both into a DecodeError.
    """

    __slots__ = ("_data", "_pos")

    def __init__(self, data: bytes, pos: i64) -> None:
        self._data = data
        self._pos: i64 = pos

    def is_at_end(self) -> bool:
        """Whether everything has been read."""
        return self._pos == len(self._data)

    def u8(self) -> int:
        """One octet."""
        self._pos += 1
        return self._data[self._pos - 1]

    def u16(self) -> int:
        """An unsigned 16-bit number."""
        self._pos += 2
        return int(read_i16_be(self._data, self._pos - 2)) & 0xFFFF

    def u32(self) -> int:
        """An unsigned 32-bit number."""
        self._pos += 4
        return int(read_i32_be(self._data, self._pos - 4)) & 0xFFFFFFFF

    def u64(self) -> int:
        """An unsigned 64-bit number."""
        self._pos += 8
        return int(read_i64_be(self._data, self._pos - 8)) & 0xFFFFFFFFFFFFFFFF

    def shortstr(self) -> str:
        """A string of at most 255 bytes, in UTF-8."""
        text = self.shortbytes()
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise DecodeError("Malformed UTF-8 in shortstr") from None
        return text

    def shortbytes(self) -> str:
        """A string of at most 255 bytes; invalid UTF-8 becomes surrogate escapes."""
        start: i64 = self._pos + 1
        end: i64 = start + i64(self._data[self._pos])
        if end > len(self._data):
            raise DecodeError("short string is cut short")
        self._pos = end
        return self._data[start:end].decode("utf-8", "surrogateescape")

    def longstr(self) -> bytes:
        """Any bytes, with a 32-bit length."""
        size: i64 = i64(self.u32())
        start: i64 = self._pos
        if start + size > len(self._data):
            raise DecodeError("long string is cut short")
        self._pos = start + size
        return self._data[start : start + size]

    def table(self) -> Table:
        """A field table. Raises: DecodeError also for infinite and NaN floats, which cannot be stored."""
        content = self.any_table()
        if content:
            check_finite(content)
        return content

    def any_table(self) -> Table:
        """A field table with any floats."""
        size: i64 = i64(self.u32())
        start: i64 = self._pos
        if start + size > len(self._data):
            raise DecodeError("field table is cut short")
        self._pos = start + size
        return decode_table(self._data, start, start + size)
