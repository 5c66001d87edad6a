"""Text from strangers, made harmless for a terminal and a log."""

from __future__ import annotations

import sys


def printable(text: str) -> str:
    """The text with everything escaped that would break the line or speak to the terminal."""
    return text if text.isprintable() else "".join(map(_escaped, text))


def complain(about: str, text: str) -> None:
    """Print one line on standard error."""
    print(f"{about}: {printable(' '.join(text.split()))}", file=sys.stderr)


def _escaped(character: str) -> str:
    return character if character.isprintable() else ascii(character)[1:-1]
