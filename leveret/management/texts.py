"""Check that text from outside is UTF-8, as other text could be stored but not exported.

Python accepts more: JSON may contain lone surrogates, and invalid bytes on a command line become surrogates. Such text
is refused before a verb processes it, as RabbitMQ's JSON parser does.
"""

from __future__ import annotations

from typing import Final

from leveret.core.errors.administration import InvalidError

NO_TEXT: Final = "not UTF-8"


class BadText(InvalidError):
    """Text that is not UTF-8. path: its place, such as `.definition.overflow`."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path.lstrip('.')}: {NO_TEXT}" if path else NO_TEXT)
        self.path = path


def is_text(text: str, errors: str = "strict") -> bool:
    """Whether it is valid text. errors: surrogateescape also accepts raw bytes, as in arguments from clients."""
    if text.isascii():
        return True
    try:
        text.encode("utf-8", errors)
    except UnicodeEncodeError:
        return False
    return True


def check(value: object) -> None:
    """Check all text in a JSON value. Raises: BadText."""
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, str):
            if not is_text(each):
                raise BadText(_path(value))
        elif isinstance(each, dict):
            pending += each.keys()
            pending += each.values()
        elif isinstance(each, list):
            pending += each


def _path(value: object) -> str:
    """The path of the first invalid text."""
    pending = [(value, "")]
    for each, path in pending:
        if isinstance(each, str):
            if not is_text(each):
                return path
        elif isinstance(each, dict):
            for key, item in each.items():
                pending += [(key, f"{path}.{key}"), (item, f"{path}.{key}")]
        elif isinstance(each, list):
            pending += [(item, f"{path}[{at}]") for at, item in enumerate(each)]
    return ""
