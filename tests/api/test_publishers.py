"""Who publishes to which exchange, and who sees that."""

from __future__ import annotations

from typing import Any

import pika

import leveret
from tests.api.http import Http


def listed(http: Http, query: str = "") -> list[dict[str, Any]]:
    """What is told."""
    found: Any = http.ask("GET", f"leveret/publishers{query}").expect(200).json
    return list(found)


def test_a_channel_is_told_with_each_exchange_that_it_publishes_to(managed: leveret.Broker, http: Http) -> None:
    with pika.BlockingConnection(pika.URLParameters(managed.url)) as connection:
        channel = connection.channel()
        channel.exchange_declare("logs", "fanout")
        channel.basic_publish("logs", "", b"")
        channel.basic_publish("", "nowhere", b"")
        channel.basic_publish("", "nowhere", b"", mandatory=True)
        channel.queue_declare("", exclusive=True)
        default, logs = sorted(listed(http), key=lambda each: str(each["exchange"]))
        assert (default["published"], default["returned"], default["dropped"]) == (2, 1, 1)
        assert (logs["exchange"], logs["published"], logs["dropped"], logs["vhost"]) == ("logs", 1, 1, "/")
        assert logs["channel_details"]["number"] == 1
        assert listed(http, "?exchange=logs") == [logs]
        assert listed(http, "?exchange=amq.default&vhost=%2F") == [default]
        assert listed(http, "?vhost=elsewhere") == []
    assert listed(http) == []


def test_others_see_their_own_connections_only(managed: leveret.Broker, http: Http) -> None:
    for name in ("management", "monitoring"):
        http.ask("PUT", f"users/{name}", {"password": name, "tags": name}).expect(201)
        http.ask("PUT", f"permissions/%2F/{name}", {"configure": "", "write": "", "read": ""}).expect(201)
    with pika.BlockingConnection(pika.URLParameters(managed.url)) as connection:
        channel = connection.channel()
        channel.basic_publish("", "nowhere", b"")
        channel.queue_declare("", exclusive=True)
        assert listed(Http(managed.management_url, "management", "management")) == []
        assert len(listed(Http(managed.management_url, "monitoring", "monitoring"))) == 1
