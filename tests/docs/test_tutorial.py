"""docs/tutorial.md: each program prints what the page shows, and the broker knows which message it dropped."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.brokers.process import Server
from tests.clients.command_line import leveret
from tests.docs.pages import File, blocks, broken_links, steps

PAGE = "tutorial.md"
PROGRAMS = 7


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A broker of its own."""
    found = Server.start("--data-dir", str(tmp_path / "leveret-data"), "--management-port", "off")
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
    refused = leveret("messages", "refused", "--data-dir", str(tmp_path / "leveret-data"))
    (reason,) = blocks(PAGE, "text")
    assert reason.strip() in refused.stdout, refused


def test_links() -> None:
    assert broken_links(PAGE) == []
