"""The last publishes that came nowhere: who sees which of them, and how much. Why they do not: tests/session."""

from __future__ import annotations

from typing import Any

import pika
import pytest

import leveret
from tests.api.http import Http


def listed(http: Http, query: str = "") -> list[dict[str, Any]]:
    """What is told."""
    found: Any = http.ask("GET", f"leveret/refused{query}").expect(200).json
    return list(found["refused"])


@pytest.fixture
def people(managed: leveret.Broker, http: Http) -> dict[str, Http]:
    """Users by their tags. The virtual host closed is not for all of them; in both somebody has published in vain."""
    http.ask("PUT", "vhosts/closed").expect(201)
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    for name in ("management", "monitoring", "app"):
        http.ask("PUT", f"users/{name}", {"password": name, "tags": "" if name == "app" else name}).expect(201)
        http.ask("PUT", f"permissions/%2F/{name}", everything).expect(201)
    http.ask("PUT", "permissions/closed/guest", everything).expect(201, 204)
    for user, vhost, key in (("app", "%2F", "apps"), ("management", "%2F", "own"), ("guest", "closed", "hidden")):
        where = managed.url.replace("guest:guest@", f"{user}:{user}@").rstrip("/") + f"/{vhost}"
        with pika.BlockingConnection(pika.URLParameters(where)) as connection:
            channel = connection.channel()
            channel.basic_publish("", key, b"12345", pika.BasicProperties(message_id=f"m-{key}"))
            channel.queue_declare("", exclusive=True)
    return {name: Http(managed.management_url, name, name) for name in ("management", "monitoring")} | {"guest": http}


def test_what_is_told(people: dict[str, Http]) -> None:
    hidden, own, apps = listed(people["guest"])
    connection = own.pop("connection")
    assert connection.startswith("127.0.0.1:")
    assert own.pop("first_at") == own.pop("last_at") > 1_700_000_000_000
    assert own == {
        "kind": "unroutable",
        "reason": "there is no queue 'own'",
        "hint": None,
        "vhost": "/",
        "exchange": "",
        "routing_key": "own",
        "queue": None,
        "user": "management",
        "message_id": "m-own",
        "size": 5,
        "count": 1,
    }
    assert [each["vhost"] for each in (hidden, apps)] == ["closed", "/"]


def test_who_sees_what(people: dict[str, Http]) -> None:
    def seen(name: str) -> list[tuple[str, str | None]]:
        return [(each["routing_key"], each["user"]) for each in listed(people[name])]

    assert seen("guest") == seen("monitoring") == [("hidden", "guest"), ("own", "management"), ("apps", "app")]
    assert seen("management") == [("own", "management"), ("apps", None)]
    own, apps = listed(people["management"])
    assert own["connection"] is not None
    assert apps["connection"] is None


def test_reasons_and_hints_tell_nothing_of_others(managed: leveret.Broker, people: dict[str, Http]) -> None:
    people["guest"].ask("PUT", "permissions/%2F/app", {"configure": "", "write": "^secret", "read": ""}).expect(204)
    where = managed.url.replace("guest:guest@", "app:app@")
    with pika.BlockingConnection(pika.URLParameters(where)) as connection:
        channel = connection.channel()
        channel.basic_publish("amq.direct", "k", b"")
        with pytest.raises(pika.exceptions.ChannelClosedByBroker):
            channel.queue_declare("q")
    seen, hidden = listed(people["monitoring"])[0], listed(people["management"])[0]
    assert (seen["kind"], hidden["kind"]) == ("no_permission", "no_permission")
    assert "'app'" in seen["reason"]
    assert "^secret" in seen["hint"]
    assert (hidden["reason"], hidden["hint"], hidden["user"]) == ("", None, None)


def test_of_one_virtual_host(people: dict[str, Http]) -> None:
    assert [each["routing_key"] for each in listed(people["guest"], "?vhost=closed")] == ["hidden"]
    assert len(listed(people["guest"], "?vhost=%2F")) == 2
    assert people["management"].ask("GET", "leveret/refused?vhost=closed").status == 404
    assert people["guest"].ask("GET", "leveret/refused?vhost=nowhere").status == 404


def test_only_so_many(people: dict[str, Http]) -> None:
    assert [each["routing_key"] for each in listed(people["guest"], "?limit=1")] == ["hidden"]
    for wrong in ("0", "1001", "x", "-1"):
        assert people["guest"].ask("GET", f"leveret/refused?limit={wrong}").status == 400


def test_a_publish_over_http_is_told_too(http: Http) -> None:
    body = {"routing_key": "nobody", "payload": "x", "payload_encoding": "string", "properties": {}}
    http.ask("POST", "exchanges/%2F/amq.default/publish", body).expect(200)
    http.ask("POST", "exchanges/%2F/missing/publish", body).expect(404)
    missing, nobody = listed(http)
    assert (missing["kind"], missing["exchange"], missing["routing_key"]) == ("no_exchange", "missing", "nobody")
    assert (nobody["kind"], nobody["user"]) == ("returned", "guest")
    assert nobody["connection"].startswith("HTTP API")
