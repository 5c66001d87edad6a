"""Exporting: a collector that is slow, gone or wrong is no trouble of the broker's, which says so once."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pika
import pytest
from opentelemetry.trace import SpanKind

from leveret import __version__
from leveret.telemetry.exporting import LAST, TURN_S, Export
from leveret.telemetry.spans import Spans
from tests.brokers.process import Server, free_port
from tests.telemetry.collector import Collector

SOON = {"OTEL_BSP_SCHEDULE_DELAY": "20", "OTEL_EXPORTER_OTLP_TIMEOUT": "600"}


def start(log: Path, *options: str, **variables: str) -> Server:
    """A broker with a log of its own."""
    return Server.start("--memory", *options, env=SOON | variables, log=log)


def publish(server: Server, count: int) -> None:
    """Publish so many messages, each confirmed."""
    with pika.BlockingConnection(pika.URLParameters(server.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for _ in range(count):
            channel.basic_publish("", "nowhere", b"")


def refusal(*options: str, **variables: str) -> str:
    """What a broker says that does not start."""
    command = [sys.executable, "-m", "leveret", "serve", "--memory", "--port", "0", *options]
    found = subprocess.run(
        command, capture_output=True, text=True, env=_environment(variables), timeout=60, check=False
    )
    assert found.returncode == 2, found
    return found.stderr


def _environment(variables: dict[str, str]) -> dict[str, str]:
    return {**os.environ, **variables}


def test_a_collector_that_never_answers(collector: Collector, tmp_path: Path) -> None:
    collector.hold()
    server = start(
        tmp_path / "log",
        *("--otlp-endpoint", collector.url),
        OTEL_BSP_MAX_QUEUE_SIZE="4",
        OTEL_BSP_MAX_EXPORT_BATCH_SIZE="2",
    )
    publish(server, 2)
    collector.requests(1)
    publish(server, 200)  # while its thread waits
    assert server.stop() == 0, "it does not wait for 600 s"
    assert (tmp_path / "log").read_text().count("OpenTelemetry: Queue ") == 1


def test_the_end_waits_no_longer_than_it_may(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    collector.hold()
    export = Export(collector.url)
    spans = Spans(export.processor, "node")
    spans.end(spans.begin(None), "x", SpanKind.SERVER, {})
    collector.requests(1)
    export.close()
    assert [thread for thread in threading.enumerate() if thread.name == LAST], "it has waited until the SDK gave up"
    collector.go_on()


def test_there_is_no_collector(tmp_path: Path) -> None:
    log = tmp_path / "log"
    server = start(log, "--otlp-endpoint", f"http://127.0.0.1:{free_port()}")
    while "OpenTelemetry: " not in log.read_text():
        publish(server, 1)
    publish(server, 100)
    assert server.stop() == 0
    lines = [line for line in log.read_text().splitlines() if "leveret.telemetry" in line]
    assert len(lines) == 1
    assert "Connection refused" in lines[0]
    assert "Traceback" not in log.read_text()


def test_a_collector_that_comes_back(collector: Collector, tmp_path: Path) -> None:
    log = tmp_path / "log"
    collector.status = 400
    server = start(log, "--otlp-endpoint", f"{collector.url}/v1/traces")
    while "code: 400" not in log.read_text():
        publish(server, 1)
    collector.status = 200
    while "sending spans to the collector works again" not in log.read_text():
        publish(server, 1)
    assert server.stop() == 0
    assert log.read_text().count("OpenTelemetry: ") == 1


def test_the_standard_variables(collector: Collector, tmp_path: Path) -> None:
    server = start(
        tmp_path / "log",
        *("--otlp-endpoint", "env"),
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_EXPORTER_OTLP_HEADERS="x-key=secret",
        OTEL_SERVICE_NAME="shop-broker",
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test",
    )
    publish(server, 1)
    [span] = collector.spans(1)
    assert server.stop() == 0
    assert collector.headers[0]["x-key"] == "secret"
    assert span.resource["service.name"] == "shop-broker"
    assert span.resource["deployment.environment.name"] == "test"
    assert (tmp_path / "log").read_text() == ""


def test_what_the_spans_are_of(collector: Collector, tmp_path: Path) -> None:
    server = start(tmp_path / "log", "--otlp-endpoint", collector.url)
    publish(server, 1)
    [span] = collector.spans(1)
    assert server.stop() == 0
    assert (span.resource["service.name"], span.resource["service.version"]) == ("leveret", __version__)
    assert span.resource["leveret.node"].startswith("leveret@")


def test_the_last_spans_are_sent_at_the_end(collector: Collector, tmp_path: Path) -> None:
    server = start(tmp_path / "log", "--otlp-endpoint", collector.url, OTEL_BSP_SCHEDULE_DELAY="600000")
    channel = pika.BlockingConnection(pika.URLParameters(server.url)).channel()
    channel.queue_declare("q")
    channel.basic_publish("", "q", b"")
    assert channel.basic_get("q")[0] is not None
    assert server.stop() == 0  # with a delivery that is outstanding
    assert [span.outcome for span in collector.spans(2)] == ["routed", "requeued"]


@pytest.mark.parametrize("name", ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"])
def test_variables_alone_turn_nothing_on(collector: Collector, tmp_path: Path, name: str) -> None:
    server = start(tmp_path / "log", **{name: collector.url})
    publish(server, 1)
    assert server.stop() == 0
    assert collector.headers == []


def test_it_can_be_forbidden(collector: Collector, tmp_path: Path) -> None:
    server = start(tmp_path / "log", "--otlp-endpoint", collector.url, OTEL_SDK_DISABLED="true")
    publish(server, 1)
    assert server.stop() == 0
    assert collector.headers == []
    assert "no spans: OTEL_SDK_DISABLED is true" in (tmp_path / "log").read_text()


def test_wrong_samplers_are_told(collector: Collector, tmp_path: Path) -> None:
    log = tmp_path / "log"
    variables = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "2"}
    for change, told in (({}, "_ARG cannot be '2'"), ({"OTEL_TRACES_SAMPLER": "some"}, "SAMPLER cannot be 'some'")):
        server = start(log, "--otlp-endpoint", collector.url, **{**variables, **change})
        publish(server, 1)
        assert server.stop() == 0
        assert told in log.read_text()
    assert len(collector.spans(2)) == 2


def test_wrong_variables_of_the_sdk(collector: Collector) -> None:
    said = refusal("--otlp-endpoint", collector.url, OTEL_BSP_MAX_QUEUE_SIZE="0")
    assert said == (
        "leveret: OpenTelemetry: max_queue_size must be a positive integer; check the variables that begin with OTEL_\n"
    )


def test_without_the_extra(tmp_path: Path) -> None:
    package = tmp_path / "opentelemetry"
    package.mkdir()
    (package / "__init__.py").write_text("raise ModuleNotFoundError(\"No module named 'opentelemetry'\")")
    path = f"{tmp_path}:{Path(__file__).parents[2]}"
    said = refusal("--otlp-endpoint", "http://127.0.0.1:4318", PYTHONPATH=path)
    assert said == (
        "leveret: --otlp-endpoint needs OpenTelemetry, which is not installed (No module named 'opentelemetry'): "
        "pip install 'leveret[opentelemetry]'\n"
    )
    server = Server.start("--memory", env={"PYTHONPATH": path})
    publish(server, 1)
    assert server.stop() == 0


@pytest.mark.parametrize(
    "url", ["localhost:4318", "ftp://x", "http://", "http://u:secret@x", "http://x?y", "http://x:99999", "http://x y"]
)
def test_what_is_no_endpoint(url: str) -> None:
    said = refusal("--otlp-endpoint", url)
    assert said.startswith("leveret: --otlp-endpoint cannot be ")
    assert "expected a URL like http://localhost:4318, or env for the standard variables of OpenTelemetry" in said


def test_the_event_loop_has_its_turn_while_spans_are_sent() -> None:
    before = sys.getswitchinterval()
    export = Export("http://127.0.0.1:9")
    assert sys.getswitchinterval() == pytest.approx(TURN_S)
    export.close()
    assert sys.getswitchinterval() == pytest.approx(before)


def test_nothing_is_loaded_that_is_not_asked_for() -> None:
    code = "import sys, leveret.node.main, leveret.node.run; print('opentelemetry' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"
