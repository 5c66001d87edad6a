"""Connections, channels and consumers: who is there, what it does, and how it is stopped."""

from __future__ import annotations

import json
from typing import Any

import pika
import pytest
from playwright.sync_api import Browser, Route, expect

from tests.api.http import Http
from tests.api.place import Place
from tests.clients.waiting import eventually
from tests.ui.browser import Ui, opened

MANY = 10_000


def names(http: Http) -> dict[str, str]:
    """Connections by what their clients call themselves."""
    found: Any = http.ask("GET", "connections?columns=name,user_provided_name").expect(200).json
    return {each.get("user_provided_name", each["name"]): each["name"] for each in found}


@pytest.mark.smoke
def test_the_busiest_publisher_stands_first_and_is_named(shop: Place, ui: Ui) -> None:
    page = ui.open("connections")
    first = page.get_by_role("table", name="Connections").get_by_role("row").nth(1)
    expect(first).to_contain_text("catalogue-sync")
    expect(first).to_contain_text("is the busiest publisher")
    page.get_by_role("button", name="Consume").click()
    expect(page.get_by_role("table", name="Connections")).not_to_contain_text("catalogue-sync")
    page.get_by_label("Filter connections").fill("payments-1")
    expect(page.get_by_role("status").filter(has_text="1 connection")).to_be_visible()
    expect(page).to_have_url(f"{ui.url}/#/connections?only=consuming&q=payments-1")


def test_a_connection_tells_what_it_is_and_what_got_nowhere(shop: Place, ui: Ui, http: Http) -> None:
    page = ui.open("connections")
    page.get_by_role("link", name="web-shop").click()
    expect(page.get_by_role("heading", name="web-shop")).to_be_visible()
    expect(page.get_by_role("table", name="Refused messages")).to_contain_text("paymens")
    expect(page.get_by_text("aiormq").first).to_be_visible()
    page.get_by_role("table", name="Channels").get_by_role("link", name="1").click()
    expect(page.get_by_role("heading", name="Channel 1")).to_be_visible()
    expect(page.get_by_role("listitem").filter(has_text="shop.events")).to_contain_text("messages")
    page.get_by_role("link", name="web-shop").click()
    expect(page).to_have_url(f"{ui.url}/#/connections/{quoted(names(http)['web-shop'])}")


def quoted(name: str) -> str:
    """A name as addresses of the UI have it."""
    return name.replace(" ", "%20").replace(":", "%3A").replace(">", "%3E").replace("/", "%2F")


@pytest.mark.smoke
def test_a_connection_is_closed_with_a_reason_that_its_client_sees(place: Place, ui: Ui, http: Http) -> None:
    with place.connect(name="runaway <b>/</b>") as connection:
        page = ui.open("connections")
        page.get_by_role("link", name="runaway").click()
        page.get_by_role("button", name="Close", exact=True).click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Reason").fill("you are too fast ☂")
        dialog.get_by_role("button", name="Close the connection").click()
        expect(dialog.get_by_role("alert")).to_contain_text("Western European")
        dialog.get_by_label("Reason").fill("you are too fast")
        dialog.get_by_role("button", name="Close the connection").click()
        expect(page.get_by_role("status").filter(has_text="was closed").first).to_be_visible()
        with pytest.raises(pika.exceptions.ConnectionClosedByBroker, match="you are too fast"):
            connection.process_data_events(5)
    eventually(lambda: "runaway <b>/</b>" not in names(http))


def test_all_connections_of_a_user_are_closed_at_once(place: Place, ui: Ui, http: Http) -> None:
    http.ask("PUT", "users/app", {"password": "app", "tags": ""}).expect(201, 204)
    http.ask("PUT", "permissions/%2F/app", {"configure": ".*", "write": ".*", "read": ".*"}).expect(201, 204)
    with (
        place.connect(name="one", user="app", password="app") as one,
        place.connect(name="two", user="app", password="app") as two,
    ):
        page = ui.open("connections?user=app")
        expect(page.get_by_role("status").filter(has_text="2 connections")).to_be_visible()
        page.get_by_role("link", name="one", exact=True).click()
        page.get_by_role("button", name="Close all of app").click()
        page.get_by_role("dialog").get_by_role("button", name="Close 2 connections").click()
        expect(page.get_by_role("status").filter(has_text="All connections of app were closed").first).to_be_visible()
        for each in (one, two):
            with pytest.raises(pika.exceptions.ConnectionClosedByBroker, match="Closed by an operator"):
                each.process_data_events(5)
    eventually(lambda: http.ask("GET", "connections/username/app").json == [])


def test_a_connection_that_is_gone(ui: Ui) -> None:
    ui.expected.add(404)
    page = ui.open("connections/nobody")
    expect(page.get_by_role("alert").first).to_contain_text("This connection is closed.")


def test_who_may_not_close_others_has_no_button_for_it(shop: Place, browser: Browser, http: Http) -> None:
    http.ask("PUT", "users/watcher", {"password": "watcher", "tags": "monitoring"}).expect(201, 204)
    http.ask("PUT", "permissions/%2F/watcher", {"configure": "", "write": "", "read": ".*"}).expect(201, 204)
    with opened(browser, shop.api, name="") as ui:
        ui.log_in("watcher", "watcher")
        page = ui.open("connections")
        page.get_by_role("link", name="web-shop").click()
        expect(page.get_by_role("heading", name="Client", exact=True)).to_be_visible()
        expect(page.get_by_role("button", name="Close", exact=True)).to_have_count(0)
        page = ui.open("consumers")
        row = page.get_by_role("table", name="Consumers").get_by_role("row").filter(has_text="bookkeeper")
        expect(row).to_contain_text("4")
        expect(row.get_by_role("button")).to_have_count(0)


def test_the_prefetch_of_one_consumer_is_changed(shop: Place, ui: Ui, http: Http) -> None:
    page = ui.open("consumers")
    page.get_by_label("Filter consumers").fill("payments")
    page.get_by_role("button", name="Prefetch of payments-1: 10").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Maximum unacknowledged messages").fill("3")
    dialog.get_by_role("button", name="Change").click()
    expect(page.get_by_role("button", name="Prefetch of payments-1: 3")).to_be_visible()
    found: Any = http.ask("GET", "consumers").json
    assert {each["consumer_tag"]: each["prefetch_count"] for each in found}["payments-2"] == 10


def test_consumers_lead_to_their_queues_and_connections(shop: Place, ui: Ui) -> None:
    page = ui.open("consumers")
    row = page.get_by_role("table", name="Consumers").get_by_role("row").filter(has_text="auditor")
    row.get_by_role("link", name="auditor").click()
    expect(page.get_by_role("heading", name="auditor")).to_be_visible()
    page.get_by_role("table", name="Consumers").get_by_role("link", name="audit.log").click()
    expect(page).to_have_url(f"{ui.url}/#/queues/%2F/audit.log?tab=consumers")


def test_the_list_of_channels(shop: Place, ui: Ui) -> None:
    page = ui.open("channels")
    first = page.get_by_role("table", name="Channels").get_by_role("row").nth(1)
    expect(first).to_contain_text("catalogue-sync")
    page.get_by_role("button", name="Busy").click()
    expect(first).to_contain_text("catalogue-sync")


def test_ten_thousand_connections_are_shown_without_drawing_them_all(ui: Ui) -> None:
    rows = [
        {"name": f"10.0.0.1:{number} -> 10.0.0.2:5672", "user_provided_name": f"client-{number}", "user": "app"}
        | {"vhost": "/", "state": "running", "peer_host": "10.0.0.1", "channels": 1, "connected_at": 1_700_000_000_000}
        for number in range(MANY)
    ]

    body = json.dumps(rows)

    def answer(route: Route) -> None:
        route.fulfill(body=body, content_type="application/json")

    ui.page.route("**/api/connections?*", answer)
    page = ui.open("connections?sort=name")
    expect(page.get_by_role("status").filter(has_text="10,000 connections")).to_be_visible()
    table = page.get_by_role("table", name="Connections")
    expect(table.get_by_role("link", name="client-0", exact=True)).to_be_visible()
    assert table.get_by_role("row").count() < 200
    page.get_by_label("Filter connections").fill("client-9999")
    expect(table.get_by_role("link", name="client-9999")).to_be_visible()
