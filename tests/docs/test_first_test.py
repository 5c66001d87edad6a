"""docs/first-test.md: its files are saved, and pytest finds in them what the page shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.docs.pages import ROOT, File, blocks, broken_links, steps

PAGE = "first-test.md"
SET_UP = ("mkdir ", "python3 -m venv ", "pip install ")
SECONDS = re.compile(r"in \d+\.\d+s")
PORT = re.compile(r"127\.0\.0\.1:\d+")


def run_pytest(folder: Path) -> str:
    """What `pytest -q` prints there. It loads no plugin but ours, so that it starts sooner."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    environment |= {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "leveret.pytest_plugin"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return done.stdout + done.stderr


def test_every_step(tmp_path: Path) -> None:
    runs = 0
    for step in steps(PAGE):
        if isinstance(step, File):
            (tmp_path / step.name).write_text(step.content)
        elif not step.text.startswith(SET_UP):
            assert step.text == "pytest -q"
            shown = SECONDS.sub("in #s", "\n".join(step.output))
            assert SECONDS.sub("in #s", run_pytest(tmp_path)).strip() == shown
            runs += 1
    assert runs == 2
    (failure,) = blocks(PAGE, "text")
    assert PORT.sub("#", failure) in PORT.sub("#", run_pytest(tmp_path))


def test_links() -> None:
    assert broken_links(PAGE) == []
