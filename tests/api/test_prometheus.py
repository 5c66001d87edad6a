"""A real Prometheus scrapes a broker at work, and each panel of the dashboard RabbitMQ-Overview has data.

Prometheus is looked for in LEVERET_TEST_PROMETHEUS and in the path; Debian has a package of this name.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import pika
import pytest

from tests.api.dashboard import queries
from tests.brokers.process import Server, free_port

PROGRAM = os.environ.get("LEVERET_TEST_PROMETHEUS") or shutil.which("prometheus")
SPAN = "5s"
PERSISTENT = pika.BasicProperties(delivery_mode=2)
SCRAPES_S = 9.0
CONFIG = """
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
- job_name: leveret
  static_configs: [{targets: ['127.0.0.1:%d']}]
- job_name: with-login
  basic_auth: {username: guest, password: guest}
  static_configs: [{targets: ['127.0.0.1:%d']}]
- job_name: objects
  metrics_path: /metrics/per-object
  static_configs: [{targets: ['127.0.0.1:%d']}]
"""

pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="no prometheus here; Debian has a package, and LEVERET_TEST_PROMETHEUS may name the program"
)


class Prometheus:
    """One that scrapes."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/api/v1"

    def ask(self, path: str, **parameters: str) -> object:
        """What its API answers."""
        with urlopen(f"{self._url}/{path}?{urlencode(parameters)}", timeout=10) as answer:
            found = json.load(answer)
        assert found["status"] == "success", found
        return found["data"]

    def values(self, query: str) -> list[float]:
        """What it says to a question, for each series."""
        found = self.ask("query", query=query)
        assert isinstance(found, dict)
        return [float(each["value"][1]) for each in found["result"]]


class Load(threading.Thread):
    """Clients that do a bit of everything, until they are told to stop."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self._stopping = threading.Event()

    def run(self) -> None:
        """Publish, consume, get, come and go."""
        with pika.BlockingConnection(pika.URLParameters(self._url)) as made:
            channel = made.channel()
            channel.confirm_delivery()
            channel.queue_declare("work")
            channel.queue_declare("asked", durable=True)
            channel.basic_qos(prefetch_count=10)
            channel.basic_consume("work", lambda ch, method, *_: ch.basic_ack(method.delivery_tag))
            while not self._stopping.is_set():
                for queue, size in (("work", 10), ("work", 2_000), ("asked", 200_000), ("nowhere", 1)):
                    channel.basic_publish("", queue, b"x" * size, PERSISTENT)
                channel.basic_get("asked", auto_ack=True)
                channel.basic_get("asked")
                with pika.BlockingConnection(pika.URLParameters(self._url)) as other:
                    other.channel().queue_declare("passing")
                    other.channel().queue_delete("passing")
                made.process_data_events(0.05)

    def stop(self) -> None:
        """No more."""
        self._stopping.set()
        self.join()


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    assert PROGRAM is not None
    directory = tmp_path_factory.mktemp("prometheus")
    api, metrics, port = free_port(), free_port(), free_port()
    data = str(directory / "data")
    server = Server.start("--data-dir", data, "--management-port", str(api), "--metrics-port", str(metrics))
    (directory / "prometheus.yml").write_text(CONFIG % (metrics, api, metrics))
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                PROGRAM,
                f"--config.file={directory / 'prometheus.yml'}",
                f"--storage.tsdb.path={directory / 'series'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stderr=log,
        )
    load = Load(server.url)
    load.start()
    try:
        found = Prometheus(port)
        until = time.monotonic() + SCRAPES_S
        while time.monotonic() < until:
            time.sleep(0.2)
        _until_ready(found)
        yield found
    finally:
        load.stop()
        process.terminate()
        process.wait()
        server.stop()


def _until_ready(prometheus: Prometheus) -> None:
    """Some scrapes have come in."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            if prometheus.values("rabbitmq_identity_info"):
                return
        except (URLError, OSError):
            pass
        time.sleep(0.2)
    raise AssertionError("Prometheus has scraped nothing")


@pytest.mark.parametrize("job", ["leveret", "with-login", "objects"])
def test_a_scrape_is_read_without_complaint(job: str, prometheus: Prometheus) -> None:
    assert prometheus.values(f'up{{job="{job}"}}') == [1]
    assert prometheus.values(f'scrape_samples_scraped{{job="{job}"}}')[0] > 100


@pytest.mark.parametrize("at", range(len(queries("", "", ""))))
def test_a_panel_of_the_dashboard_has_data(at: int, prometheus: Prometheus) -> None:
    cluster = _cluster(prometheus)
    query = queries(cluster, "aggregated", SPAN)[at]
    found = prometheus.values(query)
    assert found, query
    assert all(value == value for value in found), (query, found)


@pytest.mark.parametrize(
    "metric",
    [
        "rabbitmq_global_messages_received_total",
        "rabbitmq_global_messages_acknowledged_total",
        "rabbitmq_global_messages_confirmed_total",
        "rabbitmq_global_messages_delivered_get_auto_ack_total",
        "rabbitmq_global_messages_unroutable_dropped_total",
        "rabbitmq_connections_opened_total",
        "rabbitmq_queues_deleted_total",
        "leveret_commit_duration_seconds_count",
    ],
)
def test_a_rate_is_more_than_nothing(metric: str, prometheus: Prometheus) -> None:
    assert sum(prometheus.values(f'rate({metric}{{job="leveret"}}[{SPAN}])')) > 0


def _cluster(prometheus: Prometheus) -> str:
    found = prometheus.ask("query", query='rabbitmq_identity_info{job="leveret"}')
    assert isinstance(found, dict)
    name: str = found["result"][0]["metric"]["rabbitmq_cluster"]
    return name
