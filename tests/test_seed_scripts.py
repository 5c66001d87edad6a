"""The scripts of the text that this project started from run as they stand, where that text is at hand."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SEED = Path(__file__).resolve().parents[2] / "shared" / "seed" / "000_a59447b2ee119fc1.txt"

pytestmark = pytest.mark.skipif(not SEED.exists(), reason="the seed text is not part of the project")

CONNECT = """
import pika
connection = pika.BlockingConnection(pika.ConnectionParameters(host='localhost'))
channel = connection.channel()
channel.queue_declare(queue='hello')
"""


def script(text: str, start: str, end: str) -> str:
    """The lines of the text after one line and before another."""
    match = re.search(rf"^{re.escape(start)}\n(.*?)^{re.escape(end)}", text, re.DOTALL | re.MULTILINE)
    assert match is not None, start
    return match[1]


class Scripts:
    """Runs scripts against a broker on any port: pika's default port is changed for them, they are not."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.running: list[subprocess.Popen[str]] = []
        (folder / "sitecustomize.py").write_text(
            f"import pika.connection\npika.connection.Parameters.DEFAULT_PORT = {port}\n"
        )
        self.environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONUNBUFFERED": "1"}

    def start(self, name: str, text: str, *arguments: str) -> subprocess.Popen[str]:
        """Start a script."""
        path = self.folder / name
        path.write_text(text)
        process = subprocess.Popen(
            [sys.executable, str(path), *arguments], stdout=subprocess.PIPE, text=True, env=self.environment
        )
        self.running.append(process)
        return process

    def run(self, name: str, text: str, *arguments: str) -> str:
        """Run a script to its end."""
        output, _ = self.start(name, text, *arguments).communicate(timeout=60)
        return output

    def stop(self) -> None:
        """End all that still run."""
        for process in self.running:
            process.send_signal(signal.SIGKILL)
            process.communicate()
        self.running.clear()


def expect(process: subprocess.Popen[str], *lines: str) -> None:
    """The next lines that a script prints."""
    assert process.stdout is not None
    for line in lines:
        assert process.stdout.readline().rstrip("\n") == line


def test_scripts_of_the_seed(tmp_path: Path, amqp_address: tuple[str, int]) -> None:
    text = SEED.read_text()
    scripts = Scripts(tmp_path, amqp_address[1])
    try:
        sender = script(text, "# sender.py", "# receiver.py")
        assert scripts.run("sender.py", sender) == " [x] Sent 'Hello World!'\n"
        receiver = scripts.start("receiver.py", script(text, "# receiver.py", "2) work queues"))
        waiting = " [*] Waiting for messages. To exit press CTRL+C"
        expect(receiver, waiting, " [x] Received b'Hello World!'")
        scripts.stop()

        new_task = CONNECT + script(text, "#new_task.py", "#work.py") + "connection.close()\n"
        work = CONNECT + script(text, "#work.py", "One of the advantages")
        work += "\nchannel.basic_consume(queue='hello', on_message_callback=callback, auto_ack=True)\n"
        worker = scripts.start("work.py", work + "print('ready')\nchannel.start_consuming()\n")
        expect(worker, "ready")
        assert scripts.run("new_task.py", new_task, "a", "task.") == " [x] Sent 'a task.'\n"
        expect(worker, " [x] Received b'a task.'", " [x] Done")

        receive_log = script(text, "receive_log.py", "4) Routing")
        receivers = [scripts.start(f"receive_log_{n}.py", receive_log) for n in range(2)]
        for process in receivers:
            expect(process, " [*] Waiting for logs. To exit press CTRL+C")
        time.sleep(0.3)  # the scripts subscribe after they say that they wait
        emit_log = script(text, "emit_log.py", "receive_log.py")
        assert scripts.run("emit_log.py", emit_log, "warning: now") == " [x] Sent 'warning: now'\n"
        for process in receivers:
            expect(process, " [x] b'warning: now'")
    finally:
        scripts.stop()
