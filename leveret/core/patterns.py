"""Patterns as users of RabbitMQ write them, which are PCRE's, as regular expressions of this language.

The two agree on nearly everything. What would mean something else without a word is translated; what is left of the
differences does not compile, so that nobody is let in by a pattern that was misunderstood.
"""

from __future__ import annotations

import re
from typing import Final

from mypy_extensions import mypyc_attr

from leveret.core.administration import InvalidError

CLASSES: Final = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7f",
    "blank": r" \t",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": r"\x21-\x7e",
    "lower": "a-z",
    "print": r"\x20-\x7e",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\t-\r ",
    "upper": "A-Z",
    "word": r"\w",
    "xdigit": "0-9A-Fa-f",
}
NAMED_CLASS: Final = re.compile(r"\[:(\^?\w+):\]")


@mypyc_attr(native_class=False)
class PatternError(InvalidError):
    """It is no regular expression. reason: why."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(f"'{text}' is not a regular expression: {reason}")
        self.reason = reason


def compile_pattern(text: str) -> re.Pattern[str]:
    """A pattern, to be searched. Raises: PatternError."""
    translated = text
    for name in NAMED_CLASS.findall(text):
        if name not in CLASSES:
            raise PatternError(text, f"unknown class [:{name}:]")
        translated = translated.replace(f"[:{name}:]", CLASSES[name])
    try:
        return re.compile(translated, re.ASCII)
    except (re.error, RecursionError, OverflowError) as error:
        raise PatternError(text, str(error)) from None
