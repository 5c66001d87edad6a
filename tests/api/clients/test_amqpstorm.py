"""AMQPStorm's tests of its own management client, with the AMQP traffic that they need."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from tests.api.clients import installed
from tests.api.place import Place

AT_THE_PORT = """
import os

import amqpstorm

connect = amqpstorm.Connection.__init__

def at_the_port(self, *arguments, **options):
    options.setdefault("port", int(os.environ["AMQP_PORT"]))
    connect(self, *arguments, **options)

amqpstorm.Connection.__init__ = at_the_port
"""
LEFT_OUT = (
    "ssl",
    "inaccessible",  # dials an address outside of this machine
    "test_api_cluster_name",  # expects the name that its author's cluster has
)
LEAST = 50


def test_its_own_tests(place: Place, tmp_path: Path) -> None:
    commands = installed.virtual_environment("amqpstorm", "amqpstorm==3.1.4", "requests", "pytest<9", "pytest-timeout")
    (tmp_path / "at_the_port.py").write_text(AT_THE_PORT)
    chosen = " and not ".join(["(management or web_based)", *LEFT_OUT])
    done = subprocess.run(
        [
            *(commands / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "at_the_port"),
            *("--timeout", "60", "--pyargs", "amqpstorm.tests.functional", "-k", chosen),
        ],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(tmp_path),
            "AMQP_PORT": str(place.port),
            "AMQP_HOST": place.host,
            "AMQP_USERNAME": "guest",
            "AMQP_PASSWORD": "guest",
            "AMQP_URI": f"amqp://guest:guest@{place.host}:{place.port}/%2F",
            "AMQP_HTTP_URL": place.api,
        },
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) >= LEAST
