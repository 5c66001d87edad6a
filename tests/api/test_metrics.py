"""The metrics: those of RabbitMQ 4.3.6 with its names, types, texts and labels, and with the right numbers.

rabbitmq-4.3.6-metrics.json is what RabbitMQ shows of the traffic in traffic.py; tools/metrics_record.py wrote it.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pika
import pytest

from leveret.api.metrics.text import escaped
from tests.api.exposition import PAGES, Metric, fetch, shape, values
from tests.api.http import Http
from tests.api.traffic import VHOST, traffic
from tests.brokers.process import Server, free_port

RECORDED: dict[str, dict[str, Metric]] = json.loads(
    (Path(__file__).parent / "rabbitmq-4.3.6-metrics.json").read_text(encoding="utf-8")
)
NOT_HERE = {
    r"raft_": "there is no Raft here",
    r"\w+_process_reductions_total": "reductions are a measure of Erlang's runtime",
    r"erlang_(gc_reclaimed_bytes_total|net_ticktime_seconds|processes_limit)": "of Erlang's runtime",
    r"(io|schema_db|msg_store|queue_index)_": "RabbitMQ itself answers 0 to these",
    r"stream_": "there are no streams here",
    r"queue_disk_(reads|writes)_total": "not counted for each queue; see leveret_disk_fetches_total",
    r"global_messages_dead_lettered_confirmed_total": "not counted",
}
"""Metrics that Leveret does not have, and why."""
OTHER_LABELS = {
    r"build_info": "the product is named, as RabbitMQ does when it is sold as another one",
    r"auth_attempts_\w*total": "not counted yet",
    r"channel_(get|messages)_\w*total": "a channel counts what it gets from all queues, and confirms of all exchanges",
    r"exchange_messages_confirmed_total": "not counted for each exchange",
    r"queue_messages_published_total": "counted for each exchange and queue, not for each channel",
    r"queue_consumer_utilisation": "a sum of shares means nothing",
    r"queue_messages_persistent_bytes": "RabbitMQ leaves the sum out when one queue does not know it",
}
"""Metrics with other labels, and why."""


class Place:
    """A broker whose metrics are looked at."""

    def __init__(self, server: Server, api: str, metrics: str) -> None:
        self.server = server
        self.api = api
        self.metrics = metrics

    def look(self, page: str = "metrics") -> dict[str, float]:
        """The values of a page, by the name and the labels in their order."""
        return {
            name + "".join(f" {label}={value}" for label, value in sorted(labels) if label != "protocol"): number
            for (name, labels), number in values(fetch(f"{self.metrics}/{page}")).items()
        }

    def until(self, is_so: Callable[[dict[str, float]], bool]) -> dict[str, float]:
        """The values, once something is so; after a while, whatever they are."""
        for _ in range(100):
            found = self.look()
            if is_so(found):
                break
            time.sleep(0.05)
        return found


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    api, metrics = free_port(), free_port()
    server = Server.start("--memory", "--management-port", str(api), "--metrics-port", str(metrics))
    found = Place(server, f"http://127.0.0.1:{api}", f"http://127.0.0.1:{metrics}")
    _until_there(found.metrics)
    yield found
    assert server.stop() == 0


def _until_there(url: str) -> None:
    """The HTTP server answers once its code is loaded, a moment after the ready line."""
    fetch(f"{url}/metrics")


def _stated(name: str, table: dict[str, str]) -> bool:
    plain = re.sub("^rabbitmq_(detailed_)?", "", name)
    return any(re.match(pattern, plain) for pattern in table)


@pytest.fixture(scope="module")
def shown(place: Place) -> dict[str, dict[str, Metric]]:
    with traffic(place.server.host, place.server.port, place.api):
        return {page: shape(fetch(f"{place.metrics}/{page}")) for page in PAGES}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_what_rabbitmq_has(page: str, shown: dict[str, dict[str, Metric]]) -> None:
    theirs = {name: metric for name, metric in RECORDED[page].items() if not _stated(name, NOT_HERE)}
    ours = {name: metric for name, metric in shown[page].items() if not name.startswith("leveret_")}
    for metrics in (theirs, ours):
        for name in metrics:
            if _stated(name, OTHER_LABELS) or name.startswith("telemetry_"):
                metrics[name] = {**metrics[name], "labels": "stated"}
    assert ours == theirs


@pytest.mark.parametrize("name", [*NOT_HERE])
def test_no_difference_is_stated_that_is_none(name: str, shown: dict[str, dict[str, Metric]]) -> None:
    found = {metric for page in shown.values() for metric in page}
    assert not any(_stated(each, {name: ""}) for each in found if not each.startswith("leveret_"))


@pytest.mark.parametrize("page", PAGES)
def test_a_page_can_be_read_while_much_is_going_on(page: str, place: Place) -> None:
    with traffic(place.server.host, place.server.port, place.api):
        assert values(fetch(f"{place.metrics}/{page}"))


def test_the_numbers_are_right(place: Place) -> None:
    before = place.look()

    def grown(name: str, labels: str = "") -> float:
        return found[f"rabbitmq_global_{name}{labels}"] - before[f"rabbitmq_global_{name}{labels}"]

    with traffic(place.server.host, place.server.port, place.api):
        classic, quorum = " queue_type=rabbit_classic_queue", " queue_type=rabbit_quorum_queue"
        found = place.until(
            lambda found: (
                found[f"rabbitmq_global_messages_acknowledged_total{classic}"]
                > before[f"rabbitmq_global_messages_acknowledged_total{classic}"]
            )
        )
        assert grown("messages_received_total") == 7
        assert grown("messages_received_confirm_total") == 7
        assert grown("messages_confirmed_total") == 7
        assert grown("messages_routed_total") == 9
        assert grown("messages_unroutable_dropped_total") == 1
        assert grown("messages_unroutable_returned_total") == 0
        assert grown("messages_acknowledged_total", classic) == 1
        assert grown("messages_delivered_get_manual_ack_total", classic) == 1
        assert grown("messages_delivered_get_auto_ack_total", quorum) == 1
        assert grown("messages_get_empty_total", classic) == 1
        assert found["rabbitmq_global_consumers"] == found["rabbitmq_consumers"] == 2
        assert found["rabbitmq_global_publishers"] == 1
        assert found["rabbitmq_connections"] == 1
        assert found["rabbitmq_channels"] == 2
        assert found["rabbitmq_queues"] == 3
        detailed = place.look(f"metrics/detailed?family=queue_coarse_metrics&vhost={VHOST}")
        assert detailed[f"rabbitmq_detailed_queue_messages queue=ledger vhost={VHOST}"] == 2
        assert detailed[f"rabbitmq_detailed_queue_messages queue=plain vhost={VHOST}"] == 5
    found = place.until(lambda found: not found["rabbitmq_queues"])
    assert grown("messages_received_total") == 7  # all of it is gone by now, but it has happened
    assert grown("messages_received_confirm_total") == 7
    assert grown("messages_routed_total") == 9
    assert grown("messages_acknowledged_total", classic) == 1
    assert grown("messages_get_empty_total", classic) == 1


def test_a_histogram_tells_sizes_apart(place: Place) -> None:
    name = "rabbitmq_message_size_bytes"
    before = place.look()
    sizes = [0, 100, 101, 1_000, 1_001, 10_000, 10_001, 100_000, 100_001, 1_000_001, 10_000_001]
    with pika.BlockingConnection(pika.URLParameters(place.server.url)) as made:
        channel = made.channel()
        channel.confirm_delivery()
        for size in sizes:
            channel.basic_publish("amq.fanout", "", b"x" * size)
    found = place.look()
    bounds = ["100.0", "1000.0", "10000.0", "100000.0", "1e+06", "1e+07", "5e+07", "1e+08", "+Inf"]
    grown = [found[f"{name}_bucket le={bound}"] - before[f"{name}_bucket le={bound}"] for bound in bounds]
    assert grown == [2, 4, 6, 8, 9, 10, 11, 11, 11]
    assert found[f"{name}_count"] - before[f"{name}_count"] == len(sizes)
    assert found[f"{name}_sum"] - before[f"{name}_sum"] == sum(sizes)


def test_dead_letters_count_by_reason_type_and_strategy(place: Place) -> None:
    def of(found: dict[str, float], reason: str, queue_type: str, strategy: str) -> float:
        name = f"rabbitmq_global_messages_dead_lettered_{reason}_total"
        return found[f"{name} dead_letter_strategy={strategy} queue_type=rabbit_{queue_type}_queue"]

    before = place.look()
    sure = {
        "x-queue-type": "quorum",
        "x-dead-letter-exchange": "amq.fanout",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    with pika.BlockingConnection(pika.URLParameters(place.server.url)) as made:
        channel = made.channel()
        channel.queue_declare("short", arguments={"x-max-length": 1})
        channel.queue_declare("mortal", arguments={"x-message-ttl": 0, "x-dead-letter-exchange": "amq.fanout"})
        channel.queue_declare("sure", durable=True, arguments=sure)
        for queue in ("short", "short", "mortal", "sure"):
            channel.basic_publish("", queue, b"")
        method, _, _ = channel.basic_get("sure")
        channel.basic_reject(method.delivery_tag, requeue=False)
        for queue in ("short", "mortal", "sure"):
            channel.queue_delete(queue)
    found = place.look()
    for kind in (
        ("maxlen", "classic", "disabled"),
        ("expired", "classic", "at_most_once"),
        ("rejected", "quorum", "at_least_once"),
    ):
        assert of(found, *kind) - of(before, *kind) == 1, kind
    assert of(found, "expired", "classic", "disabled") == of(before, "expired", "classic", "disabled")


def test_a_queue_has_its_rates_without_its_channels(place: Place) -> None:
    with traffic(place.server.host, place.server.port, place.api):
        found = place.look("metrics/detailed?family=leveret_queue_metrics")
        for name, number in (("published", 6), ("delivered", 4), ("acked", 1)):
            assert found[f"leveret_detailed_queue_messages_{name}_total queue=plain vhost={VHOST}"] == number


def test_direct_replies_are_those_of_a_volatile_queue(place: Place) -> None:
    name = "rabbitmq_global_messages_delivered_total queue_type=rabbit_volatile_queue"
    before = place.look()
    with pika.BlockingConnection(pika.URLParameters(place.server.url)) as made:
        channel = made.channel()
        got: list[bytes] = []
        channel.basic_consume("amq.rabbitmq.reply-to", lambda *all_of_it: got.append(all_of_it[3]), auto_ack=True)
        channel.queue_declare("server")
        channel.basic_publish("", "server", b"", pika.BasicProperties(reply_to="amq.rabbitmq.reply-to"))
        _, properties, _ = channel.basic_get("server", auto_ack=True)
        channel.basic_publish("", properties.reply_to, b"answer")
        made.process_data_events(1)
        assert got == [b"answer"]
        channel.queue_delete("server")
    assert place.look()[name] - before[name] == 1


def test_a_route_is_looked_for_once(place: Place) -> None:
    before = place.look()
    with pika.BlockingConnection(pika.URLParameters(place.server.url)) as made:
        channel = made.channel()
        for _ in range(10):
            channel.basic_publish("amq.fanout", "", b"")
    found = place.until(
        lambda found: found["rabbitmq_message_size_bytes_count"] - before["rabbitmq_message_size_bytes_count"] == 10
    )
    assert found["leveret_route_cache_misses_total"] - before["leveret_route_cache_misses_total"] == 1
    assert found["leveret_route_cache_hits_total"] - before["leveret_route_cache_hits_total"] == 9


def test_commits_are_timed(tmp_path: Path) -> None:
    metrics = free_port()
    server = Server.start("--data-dir", str(tmp_path / "data"), "--metrics-port", str(metrics))
    found = Place(server, "", f"http://127.0.0.1:{metrics}")
    try:
        _until_there(found.metrics)
        before = found.look()
        with pika.BlockingConnection(pika.URLParameters(server.url)) as made:
            channel = made.channel()
            channel.confirm_delivery()
            channel.queue_declare("kept", durable=True)
            channel.basic_publish("", "kept", b"x" * 5_000, pika.BasicProperties(delivery_mode=2))
            now = found.look()
        assert now["leveret_commit_duration_seconds_count"] > before["leveret_commit_duration_seconds_count"]
        spent = now["leveret_commit_duration_seconds_sum"] - before["leveret_commit_duration_seconds_sum"]
        assert 0 < spent < 10
        assert now["leveret_committed_bytes_total"] - before["leveret_committed_bytes_total"] >= 5_000
        assert now["leveret_commits_failed_total"] == 0
    finally:
        server.stop()


def test_its_own_port_shows_metrics_alone(place: Place) -> None:
    http = Http(place.metrics, user="")
    assert http.ask("GET", "/metrics").headers["content-type"] == "text/plain; version=0.0.4"
    assert http.ask("HEAD", "/metrics").expect(200).body == b""
    assert http.ask("GET", "/metrics/nothing").expect(404).body == b"Unknown Registry"
    assert http.ask("OPTIONS", "/metrics").expect(200).headers["allow"] == "HEAD, GET, OPTIONS"
    http.ask("DELETE", "/metrics").expect(405)
    Http(place.metrics).ask("GET", "/api/overview").expect(404)


def test_the_port_of_the_api_wants_a_login_that_may_monitor(place: Place) -> None:
    admin = Http(place.api)
    admin.ask("GET", "/metrics").expect(200)
    Http(place.api, user="").ask("GET", "/metrics").expect(401)
    for name, tags, status in (("watcher", "monitoring", 200), ("tenant", "management", 401), ("nobody", "", 401)):
        admin.ask("PUT", f"users/{name}", {"password": "secret", "tags": tags}).expect(201)
        Http(place.api, name, "secret").ask("GET", "/metrics/per-object").expect(status)
        admin.ask("DELETE", f"users/{name}").expect(204)


def test_the_port_of_the_api_can_be_opened_to_anybody() -> None:
    api = free_port()
    server = Server.start("--memory", "--management-port", str(api), "--open-metrics")
    try:
        http = Http(f"http://127.0.0.1:{api}", user="")
        http.ask("GET", "/metrics").expect(200)
        http.ask("GET", "/api/overview").expect(401)
    finally:
        server.stop()


def test_whatever_is_accepted_the_answer_is_text(place: Place) -> None:
    wanted = Request(f"{place.metrics}/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    with urlopen(wanted, timeout=10) as answer:
        assert answer.headers["content-type"] == "text/plain; version=0.0.4"


@pytest.mark.parametrize("name", ['a"b', "back\\slash", "ünï", "with,comma={}"])
def test_names_are_escaped(name: str, place: Place) -> None:
    with pika.BlockingConnection(pika.URLParameters(place.server.url)) as made:
        channel = made.channel()
        channel.queue_declare(name)
        found = place.look("metrics/detailed?family=queue_coarse_metrics")
        assert found[f"rabbitmq_detailed_queue_messages queue={name} vhost=/"] == 0
        channel.queue_delete(name)


def test_a_line_stays_one() -> None:
    assert escaped("two\nlines") == "two\\nlines"


def test_a_name_that_is_no_text_is_written_in_ascii() -> None:
    assert escaped(b"q\xff".decode("utf-8", "surrogateescape")) == "q\\\\udcff"


def test_what_a_scrape_costs_is_told(place: Place) -> None:
    name = "telemetry_scrape_size_bytes"
    labels = " content_type=text/plain; version=0.0.4 registry=aggregated"
    before = place.look()
    found = place.look()
    assert found[f"{name}_count{labels}"] == before.get(f"{name}_count{labels}", 0) + 1
    assert found[f"{name}_sum{labels}"] - before.get(f"{name}_sum{labels}", 0) > 10_000
