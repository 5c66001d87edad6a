"""Kinds of setting values: parsing, bounds, and a description of allowed values for error texts.

`parse` reads the text of a variable or option, `check` a value from a TOML file. Both return the value for the
configuration, or None if it is not allowed.
"""

from __future__ import annotations

import re
from string import ascii_letters
from typing import Final
from urllib.parse import urlsplit

from leveret.core.errors.areas import ALL, AREAS, LEVELS
from leveret.core.errors.bounds import from_digits

ON: Final = ("true", "yes", "on", "1")
OFF: Final = ("false", "no", "off", "0")
DECIMAL: Final = ("kB", "MB", "GB", "TB", "PB", "EB")  # powers of 1000 bytes
BINARY: Final = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")  # powers of 1024 bytes
UNITS: Final = {
    "": 1,
    "b": 1,
    **{unit.lower(): 1000**power for power, unit in enumerate(DECIMAL, 1)},
    **{unit.lower(): 1024**power for power, unit in enumerate(BINARY, 1)},
}
MAX_BYTES: Final = 1 << 60
MAX_NUMBER: Final = 1_000_000_000  # for counts
OFF_WORD: Final = "off"
OFF_PORT: Final = -1


class Kind:
    """A kind of value. metavar: placeholder in help texts. choices: all values, if there are few."""

    metavar = "TEXT"
    choices: tuple[str, ...] = ()

    def parse(self, text: str) -> object:
        """The value for the text of a variable or option; None if not allowed."""
        return self.check(text)

    def check(self, value: object) -> object:
        """The value for a value from a TOML file; None if not allowed."""
        raise NotImplementedError

    def allowed(self, in_file: bool) -> str:
        """The allowed values, to follow `expected`. in_file: for a TOML file, else for a variable or option."""
        raise NotImplementedError

    def show(self, value: object) -> str:
        """A value as it is written in an option."""
        return str(value)

    def show_toml(self, value: object) -> str:
        """A value as it is written in a TOML file."""
        return f'"{self.show(value)}"'


class Text(Kind):
    """Any text. what: follows `expected`. empty: the meaning of an empty text, which is not allowed without it."""

    def __init__(self, what: str, metavar: str = "TEXT", empty: str = "") -> None:
        self.metavar = metavar
        self._what = what
        self._empty = empty

    def check(self, value: object) -> object:
        """See Kind."""
        if not isinstance(value, str) or "\0" in value or not (value or self._empty):
            return None
        return value

    def allowed(self, in_file: bool) -> str:
        """See Kind."""
        what, nothing = (f"{self._what}, in quotes", "empty quotes") if in_file else (self._what, "nothing")
        return f"{what}, or {nothing} for {self._empty}" if self._empty else what


class NodeName(Text):
    """The name of a node: it stands in log entries, in the database and in answers to clients."""

    def check(self, value: object) -> object:
        """See Kind."""
        is_name = isinstance(value, str) and re.fullmatch(r"[\w.-]{0,100}", value, re.ASCII)
        return value if is_name else None


class Prefix(Text):
    """The prefix of an HTTP path; may end with a slash."""

    def check(self, value: object) -> object:
        """See Kind."""
        is_path = isinstance(value, str) and re.fullmatch(r"((/[\w.~-]+)*/?)", value, re.ASCII)
        return value if is_path else None


class Url(Text):
    """An HTTP URL without a password, as settings are shown in the API."""

    metavar = "URL"

    def __init__(self, word: str, meaning: str) -> None:
        """word: an allowed alternative to a URL. meaning: of that word."""
        super().__init__(f"a URL like http://localhost:4318, or {word} for {meaning}", f"URL|{word}", "none")
        self._word = word

    def check(self, value: object) -> object:
        """See Kind."""
        if not isinstance(value, str) or value in ("", self._word):
            return super().check(value)
        return value if is_http(value) else None


def is_http(url: str) -> bool:
    """Whether this is an HTTP URL with a host, without a user, query or fragment."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    plain = url.isascii() and url.isprintable() and " " not in url and not (parts.query or parts.fragment)
    return parts.scheme in ("http", "https") and bool(host) and "@" not in parts.netloc and plain


class Whole(Kind):
    """A whole number. unit: its unit. zero: the meaning of 0, which is then allowed even outside the range."""

    metavar = "NUMBER"

    def __init__(self, least: int, most: int, unit: str = "", zero: str = "") -> None:
        self.least = least
        self.most = most
        self._unit = unit
        self._zero = zero
        if unit == "milliseconds":
            self.metavar = "MS"

    def parse(self, text: str) -> object:
        """See Kind."""
        return self.check(from_digits(text))

    def check(self, value: object) -> object:
        """See Kind."""
        if type(value) is not int:
            return None
        return value if self.least <= value <= self.most or (self._zero and value == 0) else None

    def allowed(self, in_file: bool) -> str:
        """See Kind."""
        unit = f" of {self._unit}" if self._unit else ""
        return f"a whole number{unit} from {self.least} to {self.most}{self._or_zero()}"

    def _or_zero(self) -> str:
        return f", or 0 for {self._zero}" if self._zero else ""

    def show_toml(self, value: object) -> str:
        """See Kind."""
        return str(value)


class PortOrOff(Whole):
    """A port, or the word off, which becomes OFF_PORT. zero: the meaning of 0."""

    metavar = "PORT|off"

    def parse(self, text: str) -> object:
        """See Kind."""
        return OFF_PORT if text.lower() == OFF_WORD else super().parse(text)

    def check(self, value: object) -> object:
        """See Kind."""
        return OFF_PORT if value == OFF_WORD else super().check(value)

    def allowed(self, in_file: bool) -> str:
        """See Kind."""
        word = f'"{OFF_WORD}"' if in_file else OFF_WORD
        return f"{super().allowed(in_file)}, or {word}"


class Size(Whole):
    """A number of bytes, with or without a unit."""

    metavar = "SIZE"

    def __init__(self, least: int, most: int = MAX_BYTES, zero: str = "") -> None:
        super().__init__(least, most, zero=zero)

    def parse(self, text: str) -> object:
        """See Kind."""
        digits = text.rstrip(ascii_letters)
        number, unit = from_digits(digits.rstrip(" ")), UNITS.get(text[len(digits) :].lower())
        return None if number is None or unit is None else super().check(number * unit)

    def check(self, value: object) -> object:
        """See Kind."""
        return self.parse(value) if isinstance(value, str) else super().check(value)

    def allowed(self, in_file: bool) -> str:
        """See Kind."""
        example = 'like 64000000, "64MB" or "64MiB"' if in_file else "like 64000000, 64MB or 64MiB"
        span = f"from {self.show(self.least)} to {self.show(self.most)}"
        units = f"{', '.join(DECIMAL[:-3])}, {', '.join(BINARY[:-3])} and so on"
        return f"a number of bytes {span}, {example} (units are {units}){self._or_zero()}"

    def show(self, value: object) -> str:
        """See Kind. Uses the largest unit that divides the value."""
        assert isinstance(value, int)
        for power in range(len(DECIMAL), 0, -1):
            for unit, base in ((BINARY[power - 1], 1024), (DECIMAL[power - 1], 1000)):
                if value and value % base**power == 0:
                    return f"{value // base**power}{unit}"
        return str(value)

    def show_toml(self, value: object) -> str:
        """See Kind."""
        shown = self.show(value)
        return shown if shown.isdigit() else f'"{shown}"'


class Share(Kind):
    """A number from 0 to 1. zero: the meaning of 0."""

    metavar = "SHARE"

    def __init__(self, zero: str) -> None:
        self._zero = zero

    def parse(self, text: str) -> object:
        """See Kind."""
        if not set(text) <= set("0123456789.eE+-"):  # float() accepts more
            return None
        try:
            return self.check(float(text))
        except ValueError:
            return None

    def check(self, value: object) -> object:
        """See Kind."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return float(value) if 0 <= value <= 1 else None  # also None for NaN

    def allowed(self, in_file: bool) -> str:
        """See Kind."""
        return f"a number from 0 to 1 like 0.5, or 0 for {self._zero}"

    def show_toml(self, value: object) -> str:
        """See Kind."""
        return str(value)


class Switch(Kind):
    """On or off. The option takes no value."""

    metavar = ""

    def parse(self, text: str) -> object:
        """See Kind."""
        word = text.lower()
        return True if word in ON else False if word in OFF else None

    def check(self, value: object) -> object:
        """See Kind."""
        return value if isinstance(value, bool) else None

    def allowed(self, in_file: bool) -> str:
        """See Kind."""
        return "true or false" if in_file else f"{', '.join(ON)}, {', '.join(OFF[:-1])} or {OFF[-1]}"

    def show(self, value: object) -> str:
        """See Kind."""
        return "on" if value else "off"

    def show_toml(self, value: object) -> str:
        """See Kind."""
        return "true" if value else "false"


class Choice(Kind):
    """One of a few words."""

    def __init__(self, choices: tuple[str, ...]) -> None:
        self.choices = choices
        self.metavar = "|".join(choices)

    def check(self, value: object) -> object:
        """See Kind."""
        return value if isinstance(value, str) and value in self.choices else None

    def allowed(self, in_file: bool) -> str:
        """See Kind."""
        words = [f'"{choice}"' for choice in self.choices] if in_file else self.choices
        return f"{', '.join(words[:-1])} or {words[-1]}"


class Levels(Choice):
    """Log levels for all and for areas: info,connection=debug, or a table in the file. Stored as in an option."""

    def __init__(self) -> None:
        super().__init__(LEVELS)
        self.metavar = "LEVELS"

    def parse(self, text: str) -> object:
        """See Kind."""
        pairs = [part.strip(" ").rpartition("=") for part in text.split(",")]
        if any(equals and not area for area, equals, _ in pairs):
            return None
        return self._put_together([(area or ALL, level) for area, _, level in pairs])

    def check(self, value: object) -> object:
        """See Kind."""
        if isinstance(value, dict):
            return self._put_together(list(value.items()))
        return self.parse(value) if isinstance(value, str) else None

    def _put_together(self, pairs: list[tuple[str, object]]) -> object:
        known = all((area == ALL or area in AREAS) and level in LEVELS for area, level in pairs)
        if not pairs or not known or len(dict(pairs)) < len(pairs):
            return None
        return ",".join(f"{level}" if area == ALL else f"{area}={level}" for area, level in pairs)

    def allowed(self, in_file: bool) -> str:
        """See Kind."""
        areas = ", ".join(AREAS)
        if in_file:
            return f"{super().allowed(True)}, or a table of these for {ALL} and for the areas {areas}"
        return f"{super().allowed(False)}, and levels of areas like info,connection=debug (areas are {areas})"


class Names(Kind):
    """Any number of names; separated by commas in a variable or option, with or without spaces."""

    metavar = "NAMES"

    def parse(self, text: str) -> object:
        """See Kind."""
        return self.check([name.strip(" ") for name in text.split(",")] if text else [])

    def check(self, value: object) -> object:
        """See Kind."""
        if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
            return None
        return tuple(value)

    def allowed(self, in_file: bool) -> str:
        """See Kind."""
        if in_file:
            return 'a list of names like ["alice", "bob"], or [] for none'
        return "names separated by commas like alice,bob, or nothing for none"

    def show(self, value: object) -> str:
        """See Kind."""
        assert isinstance(value, tuple)
        return ",".join(value)

    def show_toml(self, value: object) -> str:
        """See Kind."""
        assert isinstance(value, tuple)
        names = ", ".join(f'"{name}"' for name in value)
        return f"[{names}]"
