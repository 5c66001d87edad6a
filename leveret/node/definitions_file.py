"""Definitions files on the disk."""

from __future__ import annotations

from pathlib import Path

from leveret.core.policy.documents import read_json


class FileError(Exception):
    """A file cannot be used; the text names it and says why."""


def read(path: Path) -> dict[str, object]:
    """The content of a definitions file. Raises: FileError."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise FileError(f"cannot read definitions file {path}: {error.strerror}") from None
    return parse(text, str(path))


def parse(text: bytes, name: str) -> dict[str, object]:
    """The content of a definitions file; an empty one defines nothing. name: for error texts. Raises: FileError."""
    if not text.strip():
        return {}
    try:
        content = read_json(text)
    except ValueError as error:
        raise FileError(f"definitions file {name} is not valid JSON: {error}") from None
    if not isinstance(content, dict):
        raise FileError(f"definitions file {name} has to be a JSON object, as RabbitMQ exports it")
    return content
