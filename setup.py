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
METADATA = {"egg_info", "dist_info"}  # commands that pip gives before it builds: they need no extension

# mypyc writes every floor into one file of C, whose functions nobody outside calls. Told so, the compiler inlines them
# or calls them directly: 4 to 9 % fewer instructions for a message. Optimising while linking uses all cores. Looking
# for warnings in what was generated would take longer than compiling it.
FOR_ONE_FILE = ["-Wno-all", "-w", "-fvisibility=hidden", "-fno-semantic-interposition", "-fno-plt", "-flto=auto"]
WHEN_LINKING = ["-O3", "-flto=auto"]


class OptionalBuild(build_ext):
    """Compiles, or says why it could not and leaves the package to run interpreted."""

    def finalize_options(self) -> None:
        """As usual, but on all cores."""
        super().finalize_options()
        self.parallel = os.cpu_count()

    def run(self) -> None:
        """Build every extension, or none."""
        try:
            super().run()
        except Exception as error:  # a missing compiler shows in many shapes
            print(f"leveret: not compiled ({error}); installing the interpreted build", file=sys.stderr)
            self.extensions = []


def extensions() -> list[Any]:
    """The compiled floors as one unit, or nothing for a pure build."""
    if os.environ.get("LEVERET_PURE", "") not in ("", "0") or METADATA & set(sys.argv):
        return []
    from mypyc.build import mypycify

    os.chdir(Path(__file__).parent)
    paths = [path for floor in COMPILED_FLOORS for path in sorted(Path("leveret", floor).rglob("*.py"))]
    files = [str(path) for path in paths if path.parent.name != NOT_COMPILED]
    # Silent about what `leveret` itself leads to: its libraries may not be there when this is built.
    options = ["--strict", "--disable-error-code=import-untyped", "--follow-imports=silent"]
    built = mypycify([*options, *files], opt_level="3", debug_level="0", group_name="leveret")
    if sys.platform.startswith("linux"):
        for extension in built:
            if extension.name.endswith("__mypyc"):  # the others only lead to it, and there is one for each module
                extension.extra_compile_args += FOR_ONE_FILE
                extension.extra_link_args += WHEN_LINKING
    return list(built)


setup(ext_modules=extensions(), cmdclass={"build_ext": OptionalBuild})
