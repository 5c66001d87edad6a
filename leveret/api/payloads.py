"""Payloads: message bodies in pieces, as JSON strings or raw bytes, without a second copy of the whole body."""

from __future__ import annotations

import base64
import codecs
import contextlib
from collections.abc import Iterator
from typing import Final

from leveret.api.encoding import encode
from leveret.wire.content import body_size, body_start, payload_at

PIECE: Final = 48 << 10  # bytes; divisible by 3, so that pieces of base64 can be joined


def parts(content: bytes, most: int) -> Iterator[bytes]:
    """The first bytes of a message body, at most `most`. All parts but the last one have PIECE bytes."""
    left = min(int(body_size(content)), most)
    at = int(body_start(content))
    pending = b""
    while left > 0:
        start, end = payload_at(content, at)
        at = end + 1
        end = min(end, start + left)
        left -= end - start
        for begin in range(start, end, PIECE):
            pending += content[begin : min(begin + PIECE, end)]
            if len(pending) >= PIECE:
                yield pending[:PIECE]
                pending = pending[PIECE:]
    if pending:
        yield pending


def readable(data: bytes, is_cut: bool = False) -> tuple[str, str]:
    """A small payload as text if it is UTF-8, else in base64; and which of the two: string or base64.

    is_cut: whether the payload is truncated; drops a character that was cut in two.
    """
    for less in range(4 if is_cut else 1):
        with contextlib.suppress(UnicodeDecodeError):
            return data[: len(data) - less].decode(), "string"
    return as_base64(data)


def as_base64(data: bytes) -> tuple[str, str]:
    """A small payload in base64, and the word base64."""
    return base64.b64encode(data).decode(), "base64"


class Payload:
    """The first bytes of a body, or all of it, for JSON. is_text: whether it is UTF-8, after look() has finished."""

    def __init__(self, content: bytes, most: int) -> None:
        self.is_text = False
        self._content = content
        self._most = most

    def look(self) -> Iterator[bytes]:
        """Check whether it is UTF-8. Yields an empty piece after each step."""
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            for part in parts(self._content, self._most):
                decoder.decode(part)
                yield b""
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return
        self.is_text = True

    def as_text(self) -> Iterator[bytes]:
        """The content of a JSON string, without the quotes, for a UTF-8 body."""
        decoder = codecs.getincrementaldecoder("utf-8")()
        for part in parts(self._content, self._most):
            yield encode(decoder.decode(part))[1:-1]

    def as_base64(self) -> Iterator[bytes]:
        """The content of a JSON string, without the quotes, in base64."""
        return map(base64.b64encode, parts(self._content, self._most))
