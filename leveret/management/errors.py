"""Errors of administration: each is an AdministrationError with one sentence for the user."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from leveret.core.errors.administration import InvalidError, UnknownError, shortened
from leveret.core.errors.diagnostics import nearest

MAX_NAME = 255  # bytes that the protocol allows
SHOWN = 40  # characters of a longer name


def unknown(kind: str, name: str, known: Iterable[str]) -> UnknownError:
    """The error for an unknown name. known: existing names, to suggest a similar one."""
    if len(name) > MAX_NAME:
        return UnknownError(f"{kind} '{name[:SHOWN]}...' does not exist")
    close = nearest(name, known)
    suggestion = f"; did you mean '{close}'?" if close else ""
    return UnknownError(f"{kind} '{name}' does not exist{suggestion}")


def check_name(name: str) -> None:
    """Refuse a name that is too long for the protocol. Raises: InvalidError."""
    size = len(name.encode("utf-8", "surrogateescape"))
    if size > MAX_NAME:
        raise InvalidError(f"'{name[:SHOWN]}...' has {size} bytes; the protocol allows {MAX_NAME}")


def explain(error: msgspec.ValidationError) -> tuple[str, str]:
    """Path and reason of a validation error: ('.arguments', 'expected object, got str')."""
    reason, _, place = str(error).partition(" - at `")  # both may contain a long name
    path = place.removesuffix("`").removeprefix("key in ").removeprefix("$")
    reason = shortened(reason).replace("`", "")
    return shortened(path), reason[:1].lower() + reason[1:]
