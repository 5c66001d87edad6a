"""Prints what an extra of pyproject.toml asks for, one requirement a line, with what its own extras ask for.

Usage: python tools/requirements.py EXTRA

So that what tests need can be installed without building the package once more.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def requirements(extra: str, extras: dict[str, list[str]], name: str) -> Iterator[str]:
    """What an extra asks for. name: of the package, whose other extras it may name."""
    for each in extras[extra]:
        inner = re.fullmatch(rf"{name}\[([\w, -]+)\]", each)
        if inner is None:
            yield each
        else:
            for other in inner[1].split(","):
                yield from requirements(other.strip(), extras, name)


if __name__ == "__main__":
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    print("\n".join(requirements(sys.argv[1], project["optional-dependencies"], project["name"])))
