"""The command line that continues an interrupted command."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from leveret.node.cli.remote import read_url

FROM: Final = "--from"
EXPORT: Final = "--export"
URL: Final = "--url"
STDOUT: Final = "-"


def command(place: str) -> str:
    """This command line, starting from a place. It contains no password and overwrites no existing file."""
    words = _without(sys.argv[1:], FROM)
    words = _changed(words, URL, _without_password)
    words = _changed(words, EXPORT, next_file)
    at = words.index("--") if "--" in words else len(words)
    return f"leveret {shlex.join([*words[:at], FROM, place, *words[at:]])}"


def next_file(name: str) -> str:
    """The next free file name: a.jsonl.2 for a.jsonl."""
    if name == STDOUT:
        return name
    stem, dot, number = name.rpartition(".")
    if not (dot and number.isdecimal() and stem):
        stem, number = name, "1"
    found = int(number) + 1
    while Path(f"{stem}.{found}").exists():
        found += 1
    return f"{stem}.{found}"


def _without(words: list[str], option: str) -> list[str]:
    found: list[str] = []
    skips = is_over = False
    for word in words:
        is_over = is_over or (word == "--" and not skips)
        if skips:
            skips = False
        elif word == option and not is_over:
            skips = True
        elif is_over or not word.startswith(f"{option}="):
            found.append(word)
    return found


def _changed(words: list[str], option: str, change: Callable[[str], str]) -> list[str]:
    found: list[str] = []
    for at, word in enumerate(words):
        if word == "--":
            return [*found, *words[at:]]
        if at and words[at - 1] == option:
            word = change(word)
        elif word.startswith(f"{option}="):
            word = f"{option}={change(word.removeprefix(f'{option}='))}"
        found.append(word)
    return found


def _without_password(url: str) -> str:
    with contextlib.suppress(ValueError):
        place = read_url(url)
        if place.password is not None and "@" in url:
            return replace(place, password=None).url
    return url
