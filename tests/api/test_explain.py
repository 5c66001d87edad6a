"""Explain over HTTP: what is taken and refused, who may ask for whom, and that AMQP clients have their turns meanwhile.

What the steps are is in tests/management/test_explain.py.
"""

from __future__ import annotations

from typing import Any

import pika
import pytest

import leveret
from leveret.core.exchange.exchange import Binding
from tests.api.http import Http, Reply


def explain(http: Http, vhost: str = "%2F", **question: Any) -> Reply:
    """Ask."""
    return http.ask("POST", f"leveret/explain/{vhost}", question)


def answer(http: Http, **question: Any) -> dict[str, Any]:
    """What is said."""
    found: Any = explain(http, **question).expect(200).json
    assert isinstance(found, dict)
    return found


@pytest.fixture
def shop(managed: leveret.Broker, http: Http) -> Http:
    """Somebody with permissions in / and no tag but management; a queue that gets what begins with order."""
    http.ask("PUT", "users/shop", {"password": "shop", "tags": "management"}).expect(201)
    body = {"configure": "", "write": "^events$", "read": ""}
    http.ask("PUT", "permissions/%2F/shop", body).expect(201)
    http.ask("PUT", "exchanges/%2F/events", {"type": "topic"}).expect(201)
    http.ask("PUT", "queues/%2F/orders", {}).expect(201)
    http.ask("POST", "bindings/%2F/e/events/q/orders", {"routing_key": "order.*"}).expect(201)
    return Http(managed.management_url, "shop", "shop")


def test_the_way_of_a_message(managed: leveret.Broker, shop: Http) -> None:
    found = answer(shop, exchange="events", routing_key="order.new", user="shop")
    assert (found["outcome"], found["conclusion"], found["queues"]) == ("routed", "1 queue gets it", ["orders"])
    (check,) = found["checks"]
    assert (check["what"], check["is_passed"], check["pattern"]) == ("permission", True, "^events$")
    (match,) = found["paths"][0]["exchanges"][0]["matches"]
    assert match == {
        "destination": "orders",
        "destination_type": "queue",
        "routing_key": "order.*",
        "reason": "'*' stands for 'new'",
    }
    with pika.BlockingConnection(pika.URLParameters(managed.url)) as connection:
        channel = connection.channel()
        assert channel.queue_declare("orders", passive=True, durable=True).method.message_count == 0


def test_headers_and_properties(shop: Http, http: Http) -> None:
    http.ask("POST", "bindings/%2F/e/amq.headers/q/orders", {"arguments": {"n": 1}}).expect(201)
    assert answer(http, exchange="amq.headers", headers={"n": 1})["queue_count"] == 1
    assert answer(http, exchange="amq.headers", properties={"headers": {"n": 1}})["queue_count"] == 1
    assert answer(http, exchange="amq.headers", headers={"n": 2})["queue_count"] == 0
    assert answer(http, exchange="events", routing_key="other", headers={"CC": ["order.new"]})["queue_count"] == 1
    step = answer(http, routing_key="orders", properties={"expiration": "50"})["paths"][0]["queues"][0]
    assert (step["ttl_ms"], step["ttl_said_by"]) == (50, "property expiration")
    assert answer(http, routing_key="orders", size=1 << 40)["outcome"] == "refused"


def test_who_may_ask_for_whom(shop: Http, http: Http) -> None:
    assert explain(shop, routing_key="orders").status == 200
    assert explain(shop, routing_key="orders", user="shop").status == 200
    reply = explain(shop, routing_key="orders", user="guest").expect(401)
    assert reply.json["reason"] == "only an administrator may check the permissions of another user"  # type: ignore[index]
    assert explain(shop, routing_key="orders", user="unknown").status == 401
    assert answer(http, routing_key="orders", user="shop")["outcome"] == "refused"
    assert explain(http, routing_key="orders", user="unknown").status == 404


def test_other_virtual_hosts_are_no_secret_to_those_who_may_enter_them(shop: Http, http: Http) -> None:
    http.ask("PUT", "vhosts/closed").expect(201)
    http.ask("PUT", "queues/closed/far", {}).expect(201, 204, 401)
    http.ask("PUT", "permissions/closed/guest", {"configure": ".*", "write": ".*", "read": ".*"}).expect(201, 204)
    http.ask("PUT", "queues/closed/far", {}).expect(201, 204)
    assert answer(http, routing_key="far")["hints"] == ["there is a queue 'far' in virtual host 'closed'"]
    assert answer(shop, routing_key="far")["hints"] == []
    assert explain(shop, "closed", routing_key="far").status == 404


@pytest.mark.parametrize(
    "question",
    [
        {"exchange": "x" * 256},
        {"routing_key": "x" * 256},
        {"exchange": "\ud800"},
        {"size": -1},
        {"headers": {"x" * 300: 1}},
        {"headers": []},
        {"properties": {"expiration": "x" * 300}},
        {"user": 5},
    ],
    ids=str,
)
def test_questions_that_make_no_sense(http: Http, question: dict[str, Any]) -> None:
    assert explain(http, **question).status == 400


def test_a_body_that_is_no_object(http: Http) -> None:
    for body in (b"[]", b"x", b"{" * 5_000):
        assert http.ask("POST", "leveret/explain/%2F", body).status == 400
    assert http.ask("POST", "leveret/explain/%2F").status == 200  # what is empty is an empty object


def test_many_bindings_are_looked_at_in_turns(managed: leveret.Broker, http: Http) -> None:
    def bind() -> None:
        vhost = managed._server.broker.vhosts["/"]
        vhost.declare_queue("q", False, False, False, {}, 0)
        for number in range(20_000):
            vhost.bind(Binding(vhost.exchanges["amq.direct"], vhost.queues["q"], None, f"k{number}", {}))

    managed._server.call(bind)
    found = answer(http, exchange="amq.direct", routing_key="K19999")
    assert found["hints"][0] == "the binding 'k19999' to queue 'q' differs in upper and lower case"
    (step,) = found["paths"][0]["exchanges"]
    assert (step["bindings"], step.get("matched", 0)) == (20_000, 0)
