"""Publish, explain, refused, trace: which way a message takes, and why one arrived nowhere."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.api.http import Http
from tests.api.place import Place
from tests.clients.waiting import eventually
from tests.ui.browser import Ui
from tests.ui.test_messages import bodies, declare

STRANGE = "x/<b>&ü 100%"


def field(page: Page, label: str) -> Locator:
    """Of a form. Its name is followed by a word about it."""
    return page.get_by_role("combobox", name=re.compile(f"^{label}"))


@pytest.fixture
def events(http: Http) -> str:
    """A topic exchange of this name, that leads to the queue orders."""
    declare(http, "orders", x_dead_letter_exchange="", x_dead_letter_routing_key="orders.dead")
    declare(http, "orders.dead")
    http.ask("PUT", "exchanges/%2F/events", {"type": "topic"})
    http.ask("POST", "bindings/%2F/e/events/q/orders", {"routing_key": "order.*"})
    return "events"


def test_the_way_of_a_message_is_explained(ui: Ui, events: str, http: Http) -> None:
    page = ui.open("explain")
    field(page, "Exchange").fill(events)
    field(page, "Routing key").fill("order.new")
    page.get_by_label("As user").fill("guest")
    page.get_by_role("button", name="Explain", exact=True).click()
    expect(page.get_by_text("Routed to 1 queue")).to_be_visible()
    way = page.get_by_role("region", name="Route", exact=True)
    expect(way).to_contain_text("'*' stands for 'new'")
    expect(way.get_by_role("list", name="Queues").get_by_role("link", name="orders", exact=True)).to_be_visible()
    expect(page.get_by_role("region", name="Dead-letter route 1")).to_contain_text("orders.dead")
    expect(page.get_by_role("list", name="Checks before routing")).to_contain_text(
        "User 'guest' may write to exchange 'events'"
    )
    expect(page).to_have_url(f"{ui.url}/#/explain?exchange=events&key=order.new&user=guest")
    assert bodies(http, "queues/%2F/orders") == []


def test_why_a_message_would_arrive_nowhere_is_explained(ui: Ui, events: str) -> None:
    page = ui.open(f"explain?exchange={events}&key=Order.new")
    expect(page.get_by_text("Unroutable", exact=True)).to_be_visible()
    expect(page.get_by_text("differs in upper and lower case")).to_be_visible()


def test_headers_count_and_names_may_be_strange(ui: Ui, http: Http) -> None:
    declare(http, STRANGE)
    http.ask("PUT", "exchanges/%2F/by-headers", {"type": "headers"})
    where = "bindings/%2F/e/by-headers/q/x%2F%3Cb%3E%26%C3%BC%20100%25"
    http.ask("POST", where, {"arguments": {"x-match": "all", "n": 3}}).expect(201)
    page = ui.open("explain")
    field(page, "Exchange").fill("by-headers")
    page.get_by_role("button", name="Add a header").click()
    page.get_by_label("Name of the header").fill("n")
    page.get_by_label("Value of n").fill("3")
    page.get_by_role("button", name="Explain", exact=True).click()
    expect(page.get_by_text("Routed to 1 queue")).to_be_visible()
    page.locator(".conclusion").get_by_role("link").click()
    expect(page.get_by_role("heading", name="x/")).to_be_visible()


def test_a_message_is_published_and_it_is_told_who_got_it(ui: Ui, events: str, http: Http) -> None:
    page = ui.open(f"publish?exchange={events}&key=order.new")
    page.get_by_label("Body").fill('{"order": 1}')
    page.get_by_text("More properties").click()
    page.get_by_label("Message id").fill("m1")
    page.get_by_role("button", name="Add a header").click()
    page.get_by_label("Name of the header").fill("tries")
    page.get_by_label("Value of tries").fill("3")
    page.get_by_role("button", name="Explain first").click()
    expect(page.get_by_text("Nothing was published.")).to_be_visible()
    assert bodies(http, "queues/%2F/orders") == []
    page.get_by_role("button", name="Publish", exact=True).click()
    outcome = page.locator(".outcome")
    expect(outcome).to_contain_text("1 message published")
    expect(outcome.get_by_role("link", name="orders", exact=True)).to_be_visible()
    asked = http.ask("POST", "leveret/queues/%2F/orders/messages/search", {})
    message = json.loads(asked.body.splitlines()[0])["message"]
    assert message["payload"] == '{"order": 1}'
    expected = {"content_type": "application/json", "delivery_mode": 2, "message_id": "m1", "headers": {"tries": 3}}
    assert message["properties"] == expected


def test_no_letter_is_lost_of_what_is_typed_fast(ui: Ui) -> None:
    ui.expected.add(404)  # the bindings of an exchange whose name is half typed
    page = ui.open("publish")
    key = "a.routing.key.of.many.words.that.somebody.types.in.a.hurry"
    field(page, "Routing key").click()
    page.keyboard.type(key)
    expect(page).to_have_url(f"{ui.url}/#/publish?key={key}")
    expect(field(page, "Routing key")).to_have_value(key)


def test_many_are_published_with_their_numbers(ui: Ui, events: str, http: Http) -> None:
    page = ui.open(f"publish?exchange={events}&key=order.new")
    page.get_by_label("Messages", exact=True).fill("700")
    page.get_by_label("Body").fill('{"order": {{n}}}')
    page.get_by_role("button", name="Publish 700 messages").click()
    expect(page.locator(".outcome")).to_contain_text("700 messages published")
    found = bodies(http, "queues/%2F/orders")
    assert found == [f'{{"order": {number}}}' for number in range(1, 701)]


@pytest.mark.smoke
def test_it_is_told_why_a_message_arrived_nowhere(ui: Ui, events: str) -> None:
    page = ui.open(f"publish?exchange={events}&key=Order.new")
    page.get_by_role("button", name="Publish", exact=True).click()
    expect(page.locator(".outcome")).to_contain_text("It reached no queue")
    expect(page.locator(".outcome")).to_contain_text("differs in upper and lower case")
    page.get_by_role("link", name="Why, step by step").click()
    expect(page.get_by_role("heading", name="Explain")).to_be_visible()
    expect(field(page, "Routing key")).to_have_value("Order.new")
    page.get_by_role("link", name="Publish this message").click()
    field(page, "Exchange").fill("nowhere")
    ui.expected.update((400, 404))
    page.get_by_role("button", name="Publish", exact=True).click()
    expect(page.locator(".outcome")).to_contain_text("Not published")
    expect(page.locator(".outcome")).to_contain_text("nowhere")


def test_templates_are_kept(ui: Ui, events: str) -> None:
    page = ui.open(f"publish?exchange={events}&key=order.new")
    page.get_by_label("Body").fill("kept body")
    page.get_by_role("button", name="Save as a template").click()
    page.get_by_role("dialog").get_by_label("Name").fill("an order")
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    page.goto("about:blank")
    ui.open("publish")
    page.get_by_label("Saved: template").select_option("an order")
    expect(page.get_by_label("Body")).to_have_value("kept body")
    expect(field(page, "Exchange")).to_have_value(events)


@pytest.mark.smoke
def test_what_was_refused_is_listed_with_its_reason(ui: Ui, place: Place, http: Http) -> None:
    with place.connect(name="misspeller") as connection:
        connection.channel().basic_publish("", "paymens <i>", b"x")
        connection.process_data_events(0)
        eventually(lambda: "paymens" in http.ask("GET", "leveret/refused").body.decode())
        page = ui.open("refused")
        entry = (
            page.get_by_role("list", name="Refused publishes").get_by_role("listitem").filter(has_text="paymens <i>")
        )
        expect(entry).to_contain_text("unroutable")
        expect(entry).to_contain_text("by guest")
        expect(entry.get_by_role("link", name="Connection")).to_be_visible()
        connection.channel().basic_publish("", "another", b"x")
        connection.process_data_events(0)
        expect(page.get_by_role("list", name="Refused publishes")).to_contain_text("another")  # it is live
        entry.get_by_role("link", name="Explain").click()
        expect(field(page, "Routing key")).to_have_value("paymens <i>")
        expect(page.get_by_text("Unroutable", exact=True)).to_be_visible()


def test_a_refused_publish_over_http_leads_to_no_connection(ui: Ui, http: Http) -> None:
    message = {"routing_key": "by http", "payload": "", "payload_encoding": "string", "properties": {}}
    http.ask("POST", "exchanges/%2F/amq.default/publish", message).expect(200)
    page = ui.open("refused?q=by+http")
    entry = page.get_by_role("list", name="Refused publishes").get_by_role("listitem")
    expect(entry).to_contain_text("from the HTTP API, 127.0.0.1")
    expect(entry.get_by_role("link")).to_have_text(["(default exchange)", "Explain"])


def test_messages_are_followed_until_the_page_is_left(ui: Ui, events: str, place: Place) -> None:
    page = ui.open("trace")
    field(page, "Exchange").fill(events)
    page.get_by_role("button", name="Start", exact=True).click()
    status = page.locator(".trace-form").get_by_role("status")
    expect(status).to_contain_text("0 events")
    with place.connect() as connection:
        channel = connection.channel()
        channel.basic_publish(events, "order.new", b"x")
        told = page.get_by_role("list", name="Events")
        expect(told).to_contain_text("order.new → orders")
        method, _, _ = channel.basic_get("orders")
        assert method is not None
        channel.basic_reject(method.delivery_tag, requeue=False)
        expect(told).to_contain_text("rejected")
        expect(told).to_contain_text("dead-lettered")
        told.get_by_role("button").first.click()
        expect(page.get_by_text("Only message #1")).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    expect(status).to_contain_text("Trace ended: stopped.")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(status).to_contain_text("Ends in")
    with page.expect_event("requestfailed", lambda request: "/traces/" in request.url):
        page.get_by_role("link", name="Refused").click()
