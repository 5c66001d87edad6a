"""What the edges between clients, exchanges and queues have carried."""

from __future__ import annotations

from typing import Any

import pika

import leveret
from tests.api.http import Http
from tests.clients.waiting import eventually


def read(http: Http) -> dict[str, Any]:
    """What is told of the virtual host /."""
    found: Any = http.ask("GET", "leveret/flows/%2F").expect(200).json
    return dict(found)


def test_each_edge_is_counted(managed: leveret.Broker, http: Http) -> None:
    parameters = pika.URLParameters(managed.url)
    parameters.client_properties = {"connection_name": "till"}
    with pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        channel.exchange_declare("orders", "topic")
        channel.exchange_declare("copies", "fanout")
        channel.exchange_bind("copies", "orders", "#")
        channel.queue_declare("dead")
        channel.queue_declare("work", arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"})
        channel.queue_declare("log")
        channel.queue_bind("work", "orders", "order.#")
        channel.queue_bind("log", "copies")
        channel.basic_consume("log", lambda *_: None, auto_ack=True, consumer_tag="reader")
        for key in ("order.new", "order.paid", "other"):
            channel.basic_publish("orders", key, b"1")
        channel.basic_publish("", "nowhere", b"1")
        method, _, _ = channel.basic_get("work")
        channel.basic_reject(method.delivery_tag, requeue=False)
        channel.queue_declare("dead", passive=True)
        eventually(lambda: next(each for each in read(http)["consumers"])["delivered"] == 3)
        found = read(http)
    publishers = {each["exchange"]: each for each in found["publishers"]}
    assert publishers["orders"]["name"] == "till"
    assert publishers["orders"]["user"] == "guest"
    assert (publishers["orders"]["published"], publishers["orders"]["unroutable"]) == (3, 0)
    assert (publishers[""]["published"], publishers[""]["unroutable"]) == (1, 1)
    routes = {(each["exchange"], each["queue"]): each["routed"] for each in found["routes"]}
    assert routes == {("orders", "work"): 2, ("orders", "log"): 3}
    queues = {each["queue"]: (each["taken"], each["dead_lettered"]) for each in found["queues"]}
    assert queues == {"work": (2, 1), "dead": (1, 0), "log": (3, 0)}
    assert found["consumers"][0]["consumer_tag"] == "reader"
    assert found["consumers"][0]["queue"] == "log"


def test_the_numbers_of_an_exchange_stay_when_its_publishers_have_gone(managed: leveret.Broker, http: Http) -> None:
    with pika.BlockingConnection(pika.URLParameters(managed.url)) as connection:
        connection.channel().basic_publish("amq.fanout", "", b"1")
    eventually(lambda: not read(http)["publishers"])
    totals = {each["exchange"]: each["published"] for each in read(http)["exchanges"]}
    assert totals["amq.fanout"] == 1


def test_only_who_monitors_sees_clients_of_others(managed: leveret.Broker, http: Http) -> None:
    http.ask("PUT", "users/app", {"password": "app", "tags": "management"}).expect(201)
    http.ask("PUT", "permissions/%2F/app", {"configure": ".*", "write": ".*", "read": ".*"}).expect(201)
    app = Http(managed.management_url, "app", "app")
    with pika.BlockingConnection(pika.URLParameters(managed.url)) as connection:
        channel = connection.channel()
        channel.queue_declare("q")
        channel.basic_consume("q", lambda *_: None)
        channel.basic_publish("", "q", b"1")
        eventually(lambda: read(http)["publishers"] and read(http)["consumers"])
        assert read(app)["publishers"] == []
        assert read(app)["consumers"] == []
        assert read(app)["routes"] == [{"exchange": "", "queue": "q", "routed": 1}]
    app.ask("GET", "leveret/flows/nowhere").expect(404)
