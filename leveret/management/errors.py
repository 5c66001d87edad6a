"""How administration says no: every error here is an AdministrationError with one sentence for the person who asked."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from itertools import islice

import msgspec

from leveret.core.errors.administration import InvalidError, UnknownError

MAX_NAME = 255  # bytes that the protocol allows
MAX_NAMES = 1000  # that are looked at
SHOWN = 40  # characters of a longer one


def unknown(kind: str, name: str, known: Iterable[str]) -> UnknownError:
    """Nothing has this name. known: names that exist, to suggest one that is close."""
    if len(name) > MAX_NAME:  # to look for something close would take long
        return UnknownError(f"{kind} '{name[:SHOWN]}...' does not exist")
    close = difflib.get_close_matches(name, islice(known, MAX_NAMES), 1)
    suggestion = f"; did you mean '{close[0]}'?" if close else ""
    return UnknownError(f"{kind} '{name}' does not exist{suggestion}")


def check_name(name: str) -> None:
    """Refuse a name that is too long for the protocol. Raises: InvalidError."""
    size = len(name.encode("utf-8", "surrogateescape"))
    if size > MAX_NAME:
        raise InvalidError(f"'{name[:SHOWN]}...' has {size} bytes, the protocol allows {MAX_NAME}")


def explain(error: msgspec.ValidationError) -> tuple[str, str]:
    """Path and reason of a value of the wrong shape: ('.arguments', 'expected object, got str')."""
    found = re.fullmatch(r"(.*?)(?: - at `(?:key in )?\$(.*)`)?", str(error), re.DOTALL)
    assert found is not None
    reason = found[1].replace("`", "")
    return found[2] or "", reason[:1].lower() + reason[1:]
