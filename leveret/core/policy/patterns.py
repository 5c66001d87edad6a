"""Patterns: regular expressions with RabbitMQ's syntax, searched in names and routing keys.

The engine is PCRE2, which Erlang's `re` also contains; it searches bytes. PCRE2 backtracks, which takes practically
forever for some patterns and names. So the compiled pattern contains limits of steps and memory. The step limit is
lower for a pattern that compiles to more code, since a step may visit all of it. The limit is the same on every
machine; even a malicious pattern takes no more than milliseconds. PCRE2 restarts its count at each start position in
the name. Therefore the compiled pattern is anchored at the front, and skips leading characters as part of the match.
JIT compilation is off: it counts steps differently, and not every system allows it.
Source: rabbit_policy.erl, rabbit_auth_backend_internal.erl validate_regexp.
"""

from __future__ import annotations

import re
from typing import Any, Final

import pcre2
from mypy_extensions import mypyc_attr

from leveret.core.errors.administration import InvalidError

MAX_LENGTH: Final = 1024  # bytes, as in RabbitMQ
MAX_HEAP_KIB: Final = 1024
MAX_DEPTH: Final = 1000  # of backtracking: each step of a recursion visits all those above it
# PCRE2 refuses code over 64 KiB, so the number of copies that compile together bounds the size of one: 1, 4 or 8 KiB.
# # Each row: copies, and the step limits of a quick search, which nearly always suffices, and of a patient one.
STEPS: Final = ((64, 1_000, 10_000), (16, 400, 2_500), (8, 200, 1_250))
STARTS: Final = 100  # divisor of the limits for a pattern that cannot be anchored
CACHED: Final = 1000  # compiled patterns
SHOWN: Final = 50  # characters of a refused pattern in an error text

MISSING: Final = 0
FOUND: Final = 1
UNDECIDED: Final = 2  # the limit was reached

# Escapes, which the Python binding reads as in JavaScript, and quotes, in which there are no escapes.
ESCAPE: Final = re.compile(rb"\\(?:Q.*?(?:\\E|\Z)|x(?:\{([^}]*)(\}?)|[0-9A-Fa-f]{0,2})|.)", re.DOTALL)
HEX: Final = re.compile(rb"[0-9A-Fa-f]+")
RECURSION: Final = re.compile(rb"\(\?[R0]|\\g[<']0|\(\*")  # of the whole pattern; or backtracking verbs
BEGINNING: Final = re.compile(rb"(?:\(\*[A-Z_]+(?:=[^)]*)?\))*")  # settings that must come first
OWN_LIMIT: Final = b"(*LIMIT_"

TOO_LONG: Final = f"must not exceed {MAX_LENGTH} bytes"
NO_DIGITS: Final = r"digits missing after \x or in \x{} or \o{} or \N{U+}"
NO_HEX: Final = r"non-hex character in \x{} (closing brace missing?)"
TOO_HIGH: Final = r"character code point value in \x{} or \o{} is too large"
NO_SUCH_ESCAPE: Final = r"PCRE2 does not support \F, \L, \l, \N{name}, \U, or \u"
TOO_LARGE: Final = "regular expression is too large"


@mypyc_attr(native_class=False)
class PatternError(InvalidError):
    """The text is not a valid regular expression. reason: why. is_too_long: whether its length is the reason."""

    def __init__(self, text: str, reason: str, is_too_long: bool = False) -> None:
        shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
        super().__init__(f"{shown!r} is not a regular expression: {reason}")
        self.reason = reason
        self.is_too_long = is_too_long


class Pattern:
    """A compiled regular expression. text: the source."""

    __slots__ = ("_patient", "_quick", "_source", "_steps", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        source = _source(text)
        _compile(text, source, 1)
        quick, steps = _steps(text, source)
        self._source = _from_the_front(source)
        if self._source == source and not _is_anchored(source):
            quick, steps = quick // STARTS, steps // STARTS
        self._quick: Any = _compile(text, self._source, quick)
        self._steps = steps
        self._patient: Any = None  # compiled on demand

    def search(self, subject: bytes) -> int:
        """Search a name, with the low limit: a few microseconds. Returns: FOUND, MISSING, or UNDECIDED."""
        return _search(self._quick, subject)

    def search_patiently(self, subject: bytes) -> int:
        """Search an UNDECIDED name again, with the high limit. Returns: FOUND, MISSING, or UNDECIDED."""
        if self._patient is None:
            self._patient = _compile(self.text, self._source, self._steps)
        return _search(self._patient, subject)


_compiled: Final[dict[str, Pattern]] = {}  # by text, for all brokers


def compile_pattern(text: str) -> Pattern:
    """Compile a pattern; cached. Raises: PatternError."""
    pattern = _compiled.get(text)
    if pattern is None:
        pattern = Pattern(text)
        if len(_compiled) >= CACHED:
            _compiled.clear()
        _compiled[text] = pattern
    return pattern


def subject_of(name: str) -> bytes:
    """The bytes of a name, as the client sent them, for a search."""
    return name.encode("utf-8", "surrogateescape")


def _source(text: str) -> bytes:
    """The source for PCRE2. Raises: PatternError for a pattern refused before compilation."""
    try:
        source = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise PatternError(text, "it is not valid Unicode") from None
    if len(source) > MAX_LENGTH:
        raise PatternError(text, TOO_LONG, True)
    if OWN_LIMIT in source:  # the last one would apply
        raise PatternError(text, "only the broker may set limits")
    parts: list[bytes] = []
    at = 0
    for found in ESCAPE.finditer(source):
        parts.append(source[at : found.start()])
        parts.append(_escape(text, source, found))
        at = found.end()
    parts.append(source[at:])
    return b"".join(parts)


def _escape(text: str, source: bytes, found: re.Match[bytes]) -> bytes:
    """Rewrite an escape so that the Python binding reads it as PCRE2 does. Raises: PatternError for an unknown one."""
    escape = found.group()
    kind = escape[1:2]
    if kind in (b"u", b"U"):
        raise _error(text, NO_SUCH_ESCAPE, found.end())
    if kind != b"x":
        return escape
    digits = escape[2:]
    braced: bytes | None = found.group(1)
    if braced is not None:
        digits = braced.strip(b" ")
        if digits and (not found.group(2) or HEX.fullmatch(digits) is None):
            raise _error(text, NO_HEX, found.end())
    if not digits:
        raise _error(text, NO_DIGITS, found.end())
    digits = digits.lstrip(b"0")
    if len(digits) <= 2:
        return b"\\x" + digits.rjust(2, b"0")
    if len(digits) <= 4 and b"(*UTF)" in source:
        return b"\\u" + digits.rjust(4, b"0")
    raise _error(text, TOO_HIGH, found.end())


def _error(text: str, reason: str, position: int) -> PatternError:
    return PatternError(text, f"{reason} at position {position}")


def _compile(text: str, source: bytes, steps: int) -> Any:
    """Compile with limits. Raises: PatternError."""
    bounds = b"(*LIMIT_HEAP=%d)(*LIMIT_DEPTH=%d)(*LIMIT_MATCH=%d)" % (MAX_HEAP_KIB, MAX_DEPTH, steps)
    try:
        return pcre2.compile(bounds + source, jit=False)
    except pcre2.PatternError as error:
        reason: str = error.msg.partition("; ")[2]
        position: int = error.pos - len(bounds)
        raise _error(text, reason, max(position, 0)) from None


def _is_anchored(source: bytes) -> bool:
    """Whether it can certainly match only at the start."""
    return source.startswith(b"^") and b"|" not in source


def _from_the_front(source: bytes) -> bytes:
    """Anchor a pattern, with a prefix that skips leading characters; unchanged if redundant or if meaning changes."""
    if _is_anchored(source) or RECURSION.search(source) is not None:
        return source
    longer = b"\\A(?s:.*?)(?:%b\\E)" % source
    try:
        pcre2.compile(longer, jit=False)
    except pcre2.PatternError:  # it ends in a comment
        return source
    return longer


def _steps(text: str, source: bytes) -> tuple[int, int]:
    """The step limits of a quick and of a patient search. Raises: PatternError for a pattern that is too large."""
    beginning = BEGINNING.match(source)
    assert beginning is not None
    settings, rest = source[: beginning.end()], source[beginning.end() :]
    for copies, quick, steps in STEPS:
        try:  # \E and the newline end an open quote or comment
            pcre2.compile(b"%b(?:%b\\E\n){%d}" % (settings, rest, copies), jit=False)
        except pcre2.PatternError:
            continue
        return quick, steps
    raise PatternError(text, TOO_LARGE)


def _search(code: Any, subject: bytes) -> int:
    try:
        return MISSING if code.search(subject) is None else FOUND
    except pcre2.LibraryError:  # a limit; or (*UTF), and the name is not UTF-8
        return UNDECIDED
