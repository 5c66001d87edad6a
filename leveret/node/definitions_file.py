"""Read definitions files."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from leveret.core.policy.documents import read_json

MAX_SIZE = 256 << 20  # bytes, as a request of the control socket


class FileError(Exception):
    """A file cannot be used. The text names it and says why."""


def read(path: Path) -> dict[str, object]:
    """The content of a definitions file. Raises: FileError."""
    try:
        with open(path, "rb") as file:
            return parse(file, str(path))
    except OSError as error:
        raise FileError(f"cannot read definitions file {path}: {error.strerror}") from None


def parse(file: BinaryIO, name: str) -> dict[str, object]:
    """The content of a definitions file; an empty one defines nothing. name: for error texts.

    Raises: FileError; OSError when it cannot be read.
    """
    text = file.read(MAX_SIZE + 1)
    if len(text) > MAX_SIZE:
        many = f"is larger than {MAX_SIZE >> 20} MiB; split it and import the parts one after another"
        raise FileError(f"definitions file {name} {many}")
    if not text.strip():
        return {}
    try:
        content = read_json(text)
    except ValueError as error:
        raise FileError(f"definitions file {name} is not valid JSON: {error}") from None
    if not isinstance(content, dict):
        raise FileError(f"definitions file {name} must contain a JSON object, as RabbitMQ exports it")
    return content
