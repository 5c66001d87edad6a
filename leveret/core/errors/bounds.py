"""How large a number may be that comes from outside, and what counts in the place of one that is larger.

RabbitMQ is written in a language whose numbers have no end: there a limit of 10^20 is one that nothing ever reaches.
Here much is 64 bits wide, so each number is brought into its range where it comes in, and behaves the same. Ranges of
x-arguments and policy keys stand in the table of core/policy/arguments.py, those of everything else at the end of
this file. What a number is refused for, if for anything, is said in core/policy/checks.py.
"""

from __future__ import annotations

from typing import Final

from leveret.wire.fields import LONGSTR, Field

MAX_DIGITS: Final = 40  # of a number that is written out; more of them say nothing that 64 bits could hold


class Range:
    """The numbers that count, from least to most."""

    __slots__ = ("least", "most")

    def __init__(self, least: int, most: int) -> None:
        self.least = least
        self.most = most

    def nearest(self, number: int) -> int:
        """The number, or the end of the range that is nearest to it."""
        return min(max(number, self.least), self.most)

    def of(self, field: Field | None, otherwise: int) -> int:
        """The number of a field of any width, or of the digits in a text. otherwise: for what is no number."""
        number = whole_number(field)
        return otherwise if number is None else self.nearest(number)


def whole_number(field: Field | None) -> int | None:
    """The number in a field of any width, or the digits in a text, as clients of some languages write numbers."""
    if field is None:
        return None
    if field.is_integer:
        return field.integer
    return from_digits(field.text) if field.kind == LONGSTR else None


def from_digits(text: str) -> int | None:
    """The number that digits say; one of more digits than any that counts may come out smaller. None for no digits."""
    if not (text.isascii() and text.isdigit()):
        return None
    digits = text.lstrip("0")
    return 10**MAX_DIGITS if len(digits) > MAX_DIGITS else int(digits or "0")


# A time of MAX_MS is some nine thousand years: it never comes, and can be added to any time that there is.
MAX_MS: Final = 1 << 48
MAX_INT: Final = (1 << 63) - 1

MILLISECONDS: Final = Range(0, MAX_MS)
COUNT: Final = Range(0, MAX_INT)  # of messages, bytes, deliveries: more than there can ever be
SIGNED_COUNT: Final = Range(-1, MAX_INT)  # where a negative number is no limit
PRIORITY: Final = Range(0, 255)

LIMIT: Final = Range(-MAX_INT - 1, MAX_INT)  # of a user or a virtual host, as definitions keep it
DELAY_MS: Final = MILLISECONDS  # header x-delay
SEEN_MS: Final = MILLISECONDS  # header and argument x-cache-ttl
WINDOW: Final = Range(0, MAX_INT)  # argument x-cache-size
HISTORY: Final = Range(1, 1 << 40)  # argument x-recent-history-length: more than fits into any memory
DEATHS: Final = Range(0, MAX_INT)  # count in the header x-death
DRIFT_MS: Final = Range(-MAX_MS, MAX_MS)  # of the time of day, as definitions keep it
IDS: Final = Range(1, MAX_INT)  # of queues, as definitions keep them
