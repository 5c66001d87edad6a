"""Reads a page: its files, its commands with the output that it shows, and its links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
ROOT = DOCS.parent

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"# ([\w./-]+\.\w+)\n")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class File:
    """A block that begins with a comment with the name of a file."""

    name: str
    content: str


@dataclass
class Command:
    """A line that begins with `$ `, and the lines below it. A line that ends with a backslash goes on in the next."""

    text: str
    output: list[str] = field(default_factory=list)


def read(page: str) -> str:
    """The text of a page in docs."""
    return (DOCS / page).read_text(encoding="utf-8")


def steps(page: str) -> Iterator[File | Command]:
    """Files and commands of a page, from top to bottom."""
    for language, content in BLOCK.findall(read(page)):
        name = NAME.match(content)
        if language == "console":
            yield from commands(content)
        elif name:
            yield File(name[1], content)


def commands(content: str) -> Iterator[Command]:
    """The commands of one block."""
    command: Command | None = None
    continues = False
    for line in content.splitlines():
        if continues and command is not None:
            command.text += line.strip()
        elif line.startswith("$ "):
            if command is not None:
                yield command
            command = Command(line[2:])
        else:
            assert command is not None, f"output without a command: {line}"
            command.output.append(line)
            continue
        continues = command.text.endswith("\\")
        command.text = command.text.removesuffix("\\")
    if command is not None:
        yield command


def blocks(page: str, language: str) -> list[str]:
    """The contents of all blocks in a language."""
    return [content for found, content in BLOCK.findall(read(page)) if found == language]


def broken_links(page: str) -> list[str]:
    """Links of a page to files and headings that do not exist."""
    missing = []
    for link in LINK.findall(BLOCK.sub("", read(page))):
        if re.match(r"\w+:", link):
            continue
        place, _, anchor = link.partition("#")
        path = (DOCS / page).parent / place if place else DOCS / page
        if not path.exists() or (anchor and anchor not in anchors(path.read_text(encoding="utf-8"))):
            missing.append(link)
    return missing


def anchors(text: str) -> set[str]:
    """What links can name in a page, made as GitHub makes it."""
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(BLOCK.sub("", text)))
    return {each.strip().replace(" ", "-") for each in plain}
