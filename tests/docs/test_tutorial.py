"""docs/tutorial.md: each program prints what the page shows."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.brokers.process import Server
from tests.docs.pages import File, broken_links, steps

PAGE = "tutorial.md"
PROGRAMS = 7


@pytest.fixture
def server() -> Iterator[Server]:
    """A broker of its own."""
    found = Server.start("--memory", "--management-port", "off")
    yield found
    found.stop()


def test_every_program(server: Server, tmp_path: Path) -> None:
    ran = 0
    for step in steps(PAGE):
        if isinstance(step, File):
            assert "localhost:5672" in step.content
            content = step.content.replace("localhost:5672", f"127.0.0.1:{server.port}")
            (tmp_path / step.name).write_text(content)
        elif not step.text.startswith("pip install "):
            program, name = step.text.split()
            assert program == "python"
            done = subprocess.run(
                [sys.executable, name], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
            )
            assert done.stdout.splitlines() == step.output, (name, done.stderr)
            assert (done.returncode, done.stderr) == (0, ""), name
            ran += 1
    assert ran == PROGRAMS


def test_links() -> None:
    assert broken_links(PAGE) == []
