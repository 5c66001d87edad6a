"""Copies the examples that the playground of the web UI shows, from examples/pika to where the UI's files are.

Usage: python tools/copy_examples.py [TARGET_FOLDER]

An installed Leveret has leveret/ui and no examples. A test compares the two, byte for byte.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples" / "pika"
TARGET = ROOT / "leveret" / "ui" / "examples"


def main() -> None:
    """Make the target anew."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    if target.exists():
        shutil.rmtree(target)
    shutil.copytree(EXAMPLES, target, ignore=shutil.ignore_patterns("*.md", "__pycache__"))


if __name__ == "__main__":
    main()
