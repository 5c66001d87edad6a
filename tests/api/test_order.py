"""Lists: those that can be sorted quickly are sorted as the others are."""

from __future__ import annotations

from typing import Any

import pika
import pytest

import leveret
from leveret.api.views import queues
from leveret.api.views.queues import QUICK
from tests.api.http import Http


@pytest.mark.parametrize("column", list(QUICK))
def test_a_quick_column_sorts_by_what_is_shown(managed: leveret.Broker, http: Http, column: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(managed.url)) as connection:
        channel = connection.channel()
        for number in range(12):
            channel.queue_declare(f"q{number}")
            for _ in range(number * 5 % 7):
                channel.basic_publish("", f"q{number}", b"x")
            for _ in range(number * 3 % 4):
                channel.basic_consume(f"q{number}", lambda *_: None) if number % 2 else channel.basic_get(f"q{number}")
        connection.process_data_events(0.1)
        natural: Any = http.ask("GET", "queues").json
        for is_reversed in (False, True):
            shown: Any = http.ask("GET", f"queues?sort={column}&sort_reverse={str(is_reversed).lower()}").json
            values = [queue[column] for queue in natural]
            assert [queue[column] for queue in shown] == sorted(values, reverse=is_reversed)
            assert len({queue["name"] for queue in shown}) == 12
        paged: Any = http.ask("GET", f"queues?sort={column}&page=2&page_size=5").json
        assert [queue[column] for queue in paged["items"]] == sorted(values)[5:10]


def test_a_quick_column_needs_no_view_of_all(
    managed: leveret.Broker, http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pika.BlockingConnection(pika.URLParameters(managed.url)) as connection:
        channel = connection.channel()
        for number in range(30):
            channel.queue_declare(f"q{number}")
        looked_at: list[object] = []
        figures = queues.figures

        def noted(services: Any, queue: Any, *spans: Any) -> Any:
            looked_at.append(queue)
            return figures(services, queue, *spans)

        monkeypatch.setattr(queues, "figures", noted)
        http.ask("GET", "queues?page=1&page_size=3&sort=messages").expect(200)
        assert len(looked_at) == 3


def test_lists_are_in_the_order_of_names(managed: leveret.Broker, http: Http) -> None:
    with pika.BlockingConnection(pika.URLParameters(managed.url)) as connection:
        channel = connection.channel()
        for number in range(1300):
            channel.queue_declare(f"q{number * 7919 % 1300}")
        listed: Any = http.ask("GET", "queues?columns=name").json
        assert [queue["name"] for queue in listed] == sorted(f"q{number}" for number in range(1300))
        bound: Any = http.ask("GET", "bindings").json
        assert [each["destination"] for each in bound] == sorted(f"q{number}" for number in range(1300))
