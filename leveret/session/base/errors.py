"""AmqpError: a refusal with its reply code, and the mapping of the core's refusals to AMQP 0-9-1 reply codes.

The code decides the scope: soft errors close the channel, all others the connection. Only
session/connection/connection.py turns them into replies.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import mypyc_attr

from leveret.core.errors import refusals
from leveret.core.errors.refusals import Refusal
from leveret.wire.constants import (
    ACCESS_REFUSED,
    FRAME_ERROR,
    INTERNAL_ERROR,
    NOT_ALLOWED,
    NOT_FOUND,
    NOT_IMPLEMENTED,
    PRECONDITION_FAILED,
    REPLY_NAMES,
    RESOURCE_LOCKED,
    SOFT_CODES,
)

MAX_TEXT: Final = 255  # bytes of a reply text
CODES: Final = {
    refusals.UNKNOWN: NOT_FOUND,
    refusals.FORBIDDEN: ACCESS_REFUSED,
    refusals.LOCKED: RESOURCE_LOCKED,
    refusals.UNFIT: PRECONDITION_FAILED,
    refusals.NOT_ALLOWED: NOT_ALLOWED,
    refusals.UNSUPPORTED: NOT_IMPLEMENTED,
    refusals.UNREADABLE: FRAME_ERROR,
    refusals.FAULTY: INTERNAL_ERROR,
}


@mypyc_attr(native_class=False)
class AmqpError(Refusal):
    """A reply code with its explanation. is_soft: closes only the channel."""

    def __init__(self, code: int, text: str, hint: str = "", is_soft: bool | None = None) -> None:
        super().__init__(refusals.PROTOCOL, text, hint)
        self.code = code
        self.is_soft = code in SOFT_CODES if is_soft is None else is_soft

    @property
    def reply_text(self) -> str:
        """NAME - explanation, cut to the 255 bytes of a short string."""
        if self.code == INTERNAL_ERROR and not self.text:
            return REPLY_NAMES[self.code]
        text = f"{REPLY_NAMES[self.code]} - {self.text}"
        raw = text.encode("utf-8", "surrogateescape")
        if len(raw) <= MAX_TEXT:
            return text
        return raw[: MAX_TEXT - 3].decode("utf-8", "ignore") + "..."

    @property
    def log_text(self) -> str:
        """The reply text and the hint."""
        return f"{self.reply_text} ({self.hint})" if self.hint else self.reply_text


def as_reply(refusal: Refusal) -> AmqpError:
    """Convert a refusal to a reply for AMQP 0-9-1. A faulty queue closes only the channel."""
    if isinstance(refusal, AmqpError):
        return refusal
    code = CODES[refusal.kind]
    return AmqpError(code, refusal.text, refusal.hint, code in SOFT_CODES or refusal.kind == refusals.FAULTY)
