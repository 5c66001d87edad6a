"""Print the requirements of an extra in pyproject.toml, one per line, including nested extras.

Usage: python tools/requirements.py EXTRA

This allows installing test dependencies without building the package again.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def requirements(extra: str, extras: dict[str, list[str]], name: str) -> Iterator[str]:
    """The requirements of an extra. name: of the package, to resolve nested extras."""
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
