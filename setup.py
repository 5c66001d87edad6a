"""Builds the hot floors with mypyc where a compiler is there; everything else stands in pyproject.toml.

LEVERET_PURE=1 builds none of it. Without a working C compiler the same files are installed uncompiled.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from setuptools import setup
from setuptools.command.build_ext import build_ext

COMPILED_FLOORS = ("wire", "core", "session", "store")
NOT_COMPILED = "rescue"  # a part of store that hardly ever runs


class OptionalBuild(build_ext):
    """Compiles, or says why it could not and leaves the package to run interpreted."""

    def run(self) -> None:
        """Build every extension, or none."""
        try:
            super().run()
        except Exception as error:  # a missing compiler shows in many shapes
            print(f"leveret: not compiled ({error}); installing the interpreted build", file=sys.stderr)
            self.extensions = []


def extensions() -> list[Any]:
    """The compiled floors as one unit, or nothing for a pure build."""
    if os.environ.get("LEVERET_PURE", "") not in ("", "0"):
        return []
    from mypyc.build import mypycify

    os.chdir(Path(__file__).parent)
    paths = [path for floor in COMPILED_FLOORS for path in sorted(Path("leveret", floor).rglob("*.py"))]
    files = [str(path) for path in paths if path.parent.name != NOT_COMPILED]
    return list(
        mypycify(["--strict", "--disable-error-code=import-untyped", *files], opt_level="3", group_name="leveret")
    )


setup(ext_modules=extensions(), cmdclass={"build_ext": OptionalBuild})
