"""What the verbs of an administrator are refused with, and how one answers that has to wait.

The texts are for people; no client of AMQP sees them.
"""

from typing import Final

from mypy_extensions import mypyc_attr

SHOWN_FIRST: Final = 1500  # characters of a text that is too long: its beginning says what is wrong, its end what to do
SHOWN_LAST: Final = 500


def shortened(text: str) -> str:
    """A text that may quote what somebody has sent, without its middle if it is too long for a person."""
    if len(text) <= SHOWN_FIRST + SHOWN_LAST:
        return text
    return f"{text[:SHOWN_FIRST]} [{len(text) - SHOWN_FIRST - SHOWN_LAST} characters] {text[-SHOWN_LAST:]}"


@mypyc_attr(native_class=False)
class AdministrationError(Exception):
    """A verb cannot be done; the text says why, at a length that a person reads."""

    def __init__(self, text: str) -> None:
        super().__init__(shortened(text))


@mypyc_attr(native_class=False)
class UnknownError(AdministrationError):
    """What a verb names does not exist."""


@mypyc_attr(native_class=False)
class InvalidError(AdministrationError):
    """A value cannot be what a verb says."""


@mypyc_attr(native_class=False)
class ProtectedError(AdministrationError):
    """It is protected from deletion."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Promise:
    """What a verb returns whose work goes on."""

    def is_done(self) -> bool:
        """Whether it is done. Asked at the end of each turn of the event loop."""
        raise NotImplementedError

    def result(self) -> object:
        """What the verb answers; only when it is done. Raises: AdministrationError."""
        raise NotImplementedError


def unknown_user(name: str) -> UnknownError:
    """No such user."""
    return UnknownError(f"user '{name}' does not exist")


def unknown_vhost(name: str) -> UnknownError:
    """No such virtual host."""
    return UnknownError(f"virtual host '{name}' does not exist")
