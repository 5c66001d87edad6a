"""Flower's page of the broker, with thousands of queues: it asks for all of them, and waits two seconds for that."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest

from tests.api.clients import installed
from tests.api.http import Http
from tests.api.place import Place
from tests.brokers.process import free_port
from tests.clients.waiting import eventually

QUEUES = 5_000
WATCHED = "celery"


@pytest.fixture
def many_queues(place: Place) -> Iterator[None]:
    """The queue of a Celery application, with three messages, and thousands of others."""
    with pika.BlockingConnection(pika.ConnectionParameters(place.host, place.port)) as connection:
        channel = connection.channel()
        channel.queue_declare(WATCHED, durable=True)
        for _ in range(3):
            channel.basic_publish("", WATCHED, b"{}")
        for number in range(QUEUES):
            channel.queue_declare(f"flower-{number}", exclusive=True)
        yield
        channel.queue_delete(WATCHED)


@pytest.mark.usefixtures("many_queues")
def test_the_page_of_the_broker(place: Place, tmp_path: Path) -> None:
    commands = installed.virtual_environment("flower", "flower", "celery")
    port = free_port()
    api = place.api.replace("http://", "http://guest:guest@") + "/api/"
    log = tmp_path / "log"
    with log.open("wb") as file:
        flower = subprocess.Popen(
            [
                *(commands / "celery", "--broker", f"amqp://guest:guest@{place.host}:{place.port}//", "flower"),
                *("--address=127.0.0.1", f"--port={port}", f"--broker_api={api}"),
            ],
            cwd=tmp_path,
            env={**os.environ, "FLOWER_UNAUTHENTICATED_API": "true"},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    page = Http(f"http://127.0.0.1:{port}", user="")
    try:
        eventually(lambda: answers(page), within=60)
        shown = page.ask("GET", "/broker").expect(200).body.decode()
    finally:
        flower.terminate()
        flower.wait(30)
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", shown, re.DOTALL)
    cells = [re.findall(r"<td[^>]*>\s*(.*?)\s*</td>", row, re.DOTALL) for row in rows]
    row = next((each for each in cells if each and WATCHED in each[0]), None)
    assert row is not None, (shown[-2000:], log.read_text()[-2000:])
    assert row[1] == "3", row


def answers(page: Http) -> bool:
    """Whether Flower listens already."""
    try:
        return page.ask("GET", "/broker").status == 200
    except OSError:
        return False
