"""examples/frameworks/kombu: ConsumerMixin consumes, refuses, and outlives a broker."""

from __future__ import annotations

import signal
from pathlib import Path

import pika

from tests.brokers.process import Server
from tests.clients.programs import Programs

SEND = "frameworks/kombu/send.py"
WORKER = "frameworks/kombu/worker.py"


def unreadable(amqp_url: str) -> list[tuple[bytes, str]]:
    """Take the bodies out of the queue for unreadable things, and why they are there."""
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        channel = connection.channel()
        found = []
        while (got := channel.basic_get("kombu.unreadable", auto_ack=True))[0] is not None:
            found.append((got[2], got[1].headers["x-death"][0]["reason"]))
        return found


def test_readings_are_noted_and_what_is_none_is_a_dead_letter(programs: Programs, amqp_url: str) -> None:
    sent = programs.run(SEND, "kitchen", "21.5", "lukewarm", "4")
    assert sent.lines == [
        "Sent: kitchen 21.5 as warm",
        "Sent: kitchen lukewarm as warm",
        "Sent: kitchen 4 as cold",
    ]
    worker = programs.start(WORKER)
    programs.wait_until(lambda: len(worker.lines) == 6, worker)
    assert sorted(worker.lines) == [
        "Noted: kitchen 21.5 °C",
        "Noted: kitchen 4.0 °C",
        "Started: kitchen 21.5 °C from warm",
        "Started: kitchen 4.0 °C from cold",
        "Unreadable: {'room': 'kitchen', 'celsius': 'lukewarm'}",
        "Waiting for readings. Ctrl-C stops.",
    ]
    worker.signal(signal.SIGINT)
    worker.expect("Stopped.")
    assert unreadable(amqp_url) == [(b'{"room": "kitchen", "celsius": "lukewarm"}', "rejected")]


def test_the_reading_of_a_killed_worker_goes_to_the_next(programs: Programs) -> None:
    programs.run(SEND, "attic", "30")
    first = programs.start(WORKER, "--seconds", "60")
    first.expect("Started: attic 30.0 °C from warm")
    first.kill()
    second = programs.start(WORKER)
    second.expect("Started: attic 30.0 °C from warm, redelivered")
    second.expect("Noted: attic 30.0 °C")


def test_a_worker_outlives_its_broker(programs: Programs, server: Server, tmp_path: Path) -> None:
    worker = programs.start(WORKER, amqp_url=server.url)
    worker.expect("Waiting for readings")
    sent = programs.start(SEND, "cellar", "12", amqp_url=server.url)
    assert sent.exit_code() == 0, sent.transcript()
    worker.expect("Noted: cellar 12.0 °C")
    server.stop(signal.SIGKILL)
    worker.expect("No broker, trying again")
    again = Server.start("--data-dir", str(tmp_path / "data"), port=server.port)
    try:
        worker.expect("Waiting for readings")
        sent = programs.start(SEND, "cellar", "13", amqp_url=again.url)
        assert sent.exit_code() == 0, sent.transcript()
        worker.expect("Noted: cellar 13.0 °C")
    finally:
        again.stop()


def test_a_reading_outlives_the_broker(programs: Programs, server: Server, tmp_path: Path) -> None:
    sent = programs.start(SEND, "cellar", "12", amqp_url=server.url)
    assert sent.exit_code() == 0, sent.transcript()
    server.stop(signal.SIGKILL)
    again = Server.start("--data-dir", str(tmp_path / "data"), port=server.port)
    try:
        worker = programs.start(WORKER, amqp_url=again.url)
        worker.expect("Started: cellar 12.0 °C from warm")
    finally:
        again.stop()
