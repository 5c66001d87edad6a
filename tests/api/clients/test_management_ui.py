"""RabbitMQ's own management UI in a browser, with Leveret's API behind it.

`LEVERET_RABBITMQ_UI` names the folder with its files, which an installed RabbitMQ has in
plugins/rabbitmq_management-*/priv/www; nothing of it is in this project. The browser is Debian's.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any, cast

import pytest

from tests.api.clients import installed, ui_server
from tests.api.http import Http
from tests.api.place import Place
from tests.api.scene import play

VARIABLE = "LEVERET_RABBITMQ_UI"
TOUR = Path(__file__).with_name("ui_tour.py")
STEPS = 34


@pytest.fixture
def files() -> Path:
    """Those of the UI."""
    found = Path(os.environ.get(VARIABLE) or "/nowhere")
    if not (found / "index.html").is_file():
        pytest.skip(f"{VARIABLE} names no folder with RabbitMQ's management UI")
    return found


def test_a_tour(files: Path, place: Place, http: Http, tmp_path: Path) -> None:
    commands = installed.virtual_environment("playwright", "playwright")
    root = installed.debian("chromium", "chromium-headless-shell", "chromium-common", with_needs=True)
    browser = root / "usr/lib/chromium/chromium-headless-shell"
    libraries = root / "usr/lib/x86_64-linux-gnu"
    node = cast(dict[str, Any], http.ask("GET", "overview").json)["node"]
    with play(place), ui_server.serving(files, place.api) as url:
        done = subprocess.run(
            [commands / "python", TOUR, url, browser, node, tmp_path],
            env={**os.environ, "LD_LIBRARY_PATH": f"{libraries}:{libraries / 'pulseaudio'}"},
            stdout=subprocess.PIPE,
            text=True,
            timeout=280,
        )
    lines = done.stdout.splitlines()
    assert [line for line in lines if not line.startswith("ok ")] == []
    assert (done.returncode, len(lines)) == (0, STEPS)
