"""Errors of administrative operations, and promises for those that take a while.

The texts are for administrators; AMQP clients never see them.
"""

from typing import Final

from mypy_extensions import mypyc_attr

SHOWN_FIRST: Final = 1500  # characters of a text that is too long: it begins with the problem and ends with the remedy
SHOWN_LAST: Final = 500


def shortened(text: str) -> str:
    """A text that may quote user input, without its middle if it is too long to read."""
    if len(text) <= SHOWN_FIRST + SHOWN_LAST:
        return text
    return f"{text[:SHOWN_FIRST]} [{len(text) - SHOWN_FIRST - SHOWN_LAST} characters] {text[-SHOWN_LAST:]}"


@mypyc_attr(native_class=False)
class AdministrationError(Exception):
    """An operation failed; the text says why, shortened to a readable length."""

    def __init__(self, text: str) -> None:
        super().__init__(shortened(text))


@mypyc_attr(native_class=False)
class UnknownError(AdministrationError):
    """The named entity does not exist."""


@mypyc_attr(native_class=False)
class InvalidError(AdministrationError):
    """A value is invalid."""


@mypyc_attr(native_class=False)
class ProtectedError(AdministrationError):
    """The entity is protected from deletion."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Promise:
    """The result of an operation that continues in the background."""

    def is_done(self) -> bool:
        """Whether the operation is done. Called at the end of each turn of the event loop."""
        raise NotImplementedError

    def result(self) -> object:
        """The result of the operation; only when it is done. Raises: AdministrationError."""
        raise NotImplementedError


def unknown_user(name: str) -> UnknownError:
    """The user does not exist."""
    return UnknownError(f"user '{name}' does not exist")


def unknown_vhost(name: str) -> UnknownError:
    """The virtual host does not exist."""
    return UnknownError(f"virtual host '{name}' does not exist")
