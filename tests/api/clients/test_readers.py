"""Monitoring tools that are not run here: what they read of each answer, as typed reads while there is traffic."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast

import pytest

from tests.api.clients.readers import READERS, Reader, faults
from tests.api.http import Http
from tests.api.place import Place
from tests.api.scene import play

PATTERN = "%5Eorder.%2A%24"  # ^order.*$


@pytest.fixture(scope="module", autouse=True)
def traffic(place: Place) -> Iterator[None]:
    """A broker with something of everything."""
    with play(place):
        yield


@pytest.fixture
def node(http: Http) -> str:
    """Its name."""
    return str(cast(dict[str, Any], http.ask("GET", "overview").json)["node"])


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_fields_and_types(http: Http, node: str, reader: Reader) -> None:
    answer = http.ask("GET", reader.path.format(node=node)).expect(200).json
    assert list(faults(reader, answer)) == []


def test_a_fault_is_found() -> None:
    reader = Reader("somebody", "somewhere", {"a.b": (int,), "c": (str,)})
    assert list(faults(reader, {"a": {"b": True}})) == ["somebody: a.b is True", "somebody: c is 'missing'"]
    assert list(faults(reader, [])) == ["somebody: nothing to read"]


def test_a_scaler_asks_for_queues_by_a_pattern(http: Http) -> None:
    query = f"page=1&use_regex=true&pagination=false&name={PATTERN}&page_size=100"
    page = cast(dict[str, Any], http.ask("GET", f"queues/scene?{query}").expect(200).json)
    assert [each["name"] for each in page["items"]] == ["orders"]
    stats = page["items"][0]["message_stats"]
    assert stats["publish_details"]["rate"] > 0
    assert stats["deliver_get_details"]["rate"] > 0
    alone = cast(dict[str, Any], http.ask("GET", "queues/scene/orders").expect(200).json)
    assert alone["message_stats"]["publish"] >= stats["publish"]
    assert isinstance(alone["messages"], int)


def test_columns_are_chosen_by_rabbitmqs_names(http: Http) -> None:
    columns = "name,messages,message_stats.publish_details.rate,consumer_utilisation,arguments"
    found = cast(list[dict[str, Any]], http.ask("GET", f"queues/scene?columns={columns}").json)
    orders = next(each for each in found if each["name"] == "orders")
    assert set(orders) == {"name", "messages", "message_stats", "consumer_utilisation", "arguments"}
    assert list(orders["message_stats"]) == ["publish_details"]
    assert orders["message_stats"]["publish_details"]["rate"] > 0


def test_the_time_of_the_next_message(http: Http) -> None:
    body = {"routing_key": "idle", "payload": json.dumps({}), "payload_encoding": "string"}
    body["properties"] = {"timestamp": 1_700_000_000}  # type: ignore[assignment]
    http.ask("POST", "exchanges/scene/amq.default/publish", body).expect(200)
    found = cast(dict[str, Any], http.ask("GET", "queues/scene/idle").json)
    assert found["head_message_timestamp"] == 1_700_000_000
