"""Compile the performance-critical floors with mypyc, if there is a C compiler. Everything else is in pyproject.toml.

LEVERET_PURE=1 compiles nothing. Without a working C compiler, the same files are installed uncompiled.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from setuptools import setup
from setuptools.command.build_ext import build_ext

COMPILED_FLOORS = ("wire", "core", "session", "store")
NOT_COMPILED = "rescue"  # a part of store that rarely runs
METADATA = {"egg_info", "dist_info"}  # pip commands before the build, which need no extensions

# mypyc writes all floors into one C file, whose functions are not called from outside. These options let the compiler
# inline them or call them directly: 4 to 9 % fewer instructions per message. Link-time optimization uses all cores.
# Warnings are off, as checking generated code would take longer than compiling it.
FOR_ONE_FILE = ["-Wno-all", "-w", "-fvisibility=hidden", "-fno-semantic-interposition", "-fno-plt", "-flto=auto"]
WHEN_LINKING = ["-O3", "-flto=auto"]


class OptionalBuild(build_ext):
    """Compile the package, or report why that failed and leave it interpreted."""

    def finalize_options(self) -> None:
        """Build on all cores."""
        super().finalize_options()
        self.parallel = os.cpu_count()

    def run(self) -> None:
        """Build all extensions or none."""
        try:
            super().run()
        except Exception as error:  # a missing compiler raises various errors
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
    # Silent about imports of `leveret`, as its dependencies may not be installed during the build.
    options = ["--strict", "--disable-error-code=import-untyped", "--follow-imports=silent"]
    built = mypycify([*options, *files], opt_level="3", debug_level="0", group_name="leveret")
    if sys.platform.startswith("linux"):
        for extension in built:
            if extension.name.endswith("__mypyc"):  # the others are stubs for the single modules
                extension.extra_compile_args += FOR_ONE_FILE
                extension.extra_link_args += WHEN_LINKING
    return list(built)


setup(ext_modules=extensions(), cmdclass={"build_ext": OptionalBuild})
