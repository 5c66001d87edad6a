"""Text from outside has to be UTF-8: what is not could be kept, and not be written any more.

Python reads more than that. JSON may have halves of characters, and bytes on a command line come as surrogates. They
are refused before a verb looks at them, as RabbitMQ's own reader does.
"""

from __future__ import annotations

from typing import Final

from leveret.core.errors.administration import InvalidError

NO_TEXT: Final = "it is not UTF-8"


class BadText(InvalidError):
    """A text is none. path: where, as `.definition.overflow`."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path.lstrip('.')}: {NO_TEXT}" if path else NO_TEXT)
        self.path = path


def is_text(text: str, errors: str = "strict") -> bool:
    """Whether it can be written. errors: surrogateescape lets bytes pass, which arguments of clients may have."""
    if text.isascii():
        return True
    try:
        text.encode("utf-8", errors)
    except UnicodeEncodeError:
        return False
    return True


def check(value: object) -> None:
    """Refuse what is no text, anywhere in a value of JSON. Raises: BadText."""
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
    """Where the first of them is."""
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
