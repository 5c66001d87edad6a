"""How administration says no: every error here is an AdministrationError with one sentence for the person who asked."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

import msgspec

from leveret.core.administration import UnknownError


def unknown(kind: str, name: str, known: Iterable[str]) -> UnknownError:
    """Nothing has this name. known: names that exist, to suggest one that is close."""
    close = difflib.get_close_matches(name, list(known), 1)
    suggestion = f"; did you mean '{close[0]}'?" if close else ""
    return UnknownError(f"{kind} '{name}' does not exist{suggestion}")


def explain(error: msgspec.ValidationError) -> tuple[str, str]:
    """Path and reason of a value of the wrong shape: ('.arguments', 'expected object, got str')."""
    found = re.fullmatch(r"(.*?)(?: - at `(?:key in )?\$(.*)`)?", str(error), re.DOTALL)
    assert found is not None
    reason = found[1].replace("`", "")
    return found[2] or "", reason[:1].lower() + reason[1:]
