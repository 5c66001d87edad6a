"""Copy the examples for the playground of the web UI from examples/pika to the UI's files.

Usage: python tools/copy_examples.py [TARGET_FOLDER]

An installed Leveret contains leveret/ui but no examples folder. A test compares both, byte by byte.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples" / "pika"
TARGET = ROOT / "leveret" / "ui" / "examples"


def main() -> None:
    """Recreate the target folder."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    if target.exists():
        shutil.rmtree(target)
    shutil.copytree(EXAMPLES, target, ignore=shutil.ignore_patterns("*.md", "__pycache__"))


if __name__ == "__main__":
    main()
