"""Assembly: a bytes object filled piece by piece, so that a large content is copied once, and not all at once.

Joining 16 MiB takes as long as 10 000 small messages, mostly for page faults of the new memory. The object comes from
PyBytes_FromStringAndSize without a content; the C API permits writing to it until other code can see it.
"""

from __future__ import annotations

from ctypes import PYFUNCTYPE, c_char_p, c_ssize_t, c_void_p, memmove, py_object, pythonapi
from typing import Any, Final

from mypy_extensions import i64

_new_bytes: Final[Any] = PYFUNCTYPE(py_object, c_char_p, c_ssize_t)(("PyBytes_FromStringAndSize", pythonapi))
_address: Final[Any] = PYFUNCTYPE(c_void_p, py_object)(("PyBytes_AsString", pythonapi))


class Assembly:
    """A bytes object under construction. room: expected size in bytes. size: bytes added so far."""

    __slots__ = ("_room", "_start", "_whole", "size")

    def __init__(self, room: i64) -> None:
        self.size: i64 = 0
        self._room: i64 = room
        self._whole: bytes = _new_bytes(None, int(room))
        self._start: i64 = _address(self._whole)

    def add(self, piece: bytes) -> None:
        """Append a piece; beyond the room, this copies everything into a larger object."""
        if self.size + len(piece) > self._room:
            before = self._whole
            self._room = (self.size + len(piece)) * 5 // 4
            self._whole = _new_bytes(None, int(self._room))
            self._start = _address(self._whole)
            memmove(int(self._start), before, int(self.size))
        memmove(int(self._start + self.size), piece, len(piece))
        self.size += len(piece)

    def take(self) -> bytes:
        """The result; without a copy if its size is as expected. Nothing can be added afterwards."""
        whole, self._whole = self._whole, b""
        self._room = 0
        return whole if len(whole) == self.size else whole[: self.size]
