"""Ranges of numbers from outside; a larger number counts as the end of its range.

Erlang has unbounded integers: in RabbitMQ, a limit of 10^20 is never reached. Here many values have 64 bits, so each
number is clamped to its range at input, with the same effect. The ranges of x-arguments and policy keys are in the
table of core/policy/arguments.py, all others at the end of this file. core/policy/checks.py says which numbers are
refused.
"""

from __future__ import annotations

from typing import Final

from leveret.wire.fields import LONGSTR, Field

MAX_DIGITS: Final = 40  # of a number as text; more cannot fit into 64 bits


class Range:
    """The numbers from least to most."""

    __slots__ = ("least", "most")

    def __init__(self, least: int, most: int) -> None:
        self.least = least
        self.most = most

    def nearest(self, number: int) -> int:
        """The number, clamped to the range."""
        return min(max(number, self.least), self.most)

    def of(self, field: Field | None, otherwise: int) -> int:
        """The integer of a field of any width, or the digits in a text, clamped. otherwise: if it is not a number."""
        number = whole_number(field)
        return otherwise if number is None else self.nearest(number)


def whole_number(field: Field | None) -> int | None:
    """The integer of a field of any width, or the digits in a text, which some clients send. None for no number."""
    if field is None:
        return None
    if field.is_integer:
        return field.integer
    return from_digits(field.text) if field.kind == LONGSTR else None


def from_digits(text: str) -> int | None:
    """The number of decimal digits; above MAX_DIGITS digits, 10^MAX_DIGITS. None if the text is not all digits."""
    if not (text.isascii() and text.isdigit()):
        return None
    digits = text.lstrip("0")
    return 10**MAX_DIGITS if len(digits) > MAX_DIGITS else int(digits or "0")


# MAX_MS is about nine thousand years: it never passes, and can be added to any real time without overflow.
MAX_MS: Final = 1 << 48
MAX_INT: Final = (1 << 63) - 1

MILLISECONDS: Final = Range(0, MAX_MS)
COUNT: Final = Range(0, MAX_INT)  # of messages, bytes, deliveries: more than can exist
SIGNED_COUNT: Final = Range(-1, MAX_INT)  # a negative number means no limit
PRIORITY: Final = Range(0, 255)

LIMIT: Final = Range(-MAX_INT - 1, MAX_INT)  # of a user or a virtual host, as stored in definitions
DELAY_MS: Final = MILLISECONDS  # header x-delay
SEEN_MS: Final = MILLISECONDS  # header and argument x-cache-ttl
WINDOW: Final = Range(0, MAX_INT)  # argument x-cache-size
HISTORY: Final = Range(1, 1 << 40)  # argument x-recent-history-length: more than fits into any memory
DEATHS: Final = Range(0, MAX_INT)  # count in the header x-death
DRIFT_MS: Final = Range(-MAX_MS, MAX_MS)  # of the time of day, as stored in definitions
IDS: Final = Range(1, MAX_INT)  # of queues, as stored in definitions
