"""What is around all pages: logging in, keys, tables that hold still, and a broker that goes away."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, expect

from tests.api.http import Http
from tests.api.place import Place, Started
from tests.brokers.process import Server, free_port
from tests.ui.browser import Ui, opened


@pytest.fixture
def stranger(browser: Browser, place: Place) -> Iterator[Ui]:
    """Who has not logged in."""
    with opened(browser, place.api, name="") as made:
        made.expected.add(401)
        yield made


def log_in(ui: Ui, name: str = "guest", password: str = "guest") -> None:
    ui.page.get_by_label("User name").fill(name)
    ui.page.get_by_label("Password").fill(password)
    ui.page.get_by_role("button", name="Log in").click()


@pytest.mark.smoke
def test_who_logs_in_is_where_the_address_says(stranger: Ui) -> None:
    page = stranger.open("queues?only=busy")
    log_in(stranger, password="wrong")
    expect(page.get_by_role("alert")).to_contain_text("The user name or the password is wrong")
    log_in(stranger)
    expect(page.get_by_role("heading", name="Queues", level=1)).to_be_visible()
    expect(page.get_by_role("button", name="Not empty")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("User name")).to_be_focused()


def test_who_may_not_use_the_api_is_told_what_is_missing(stranger: Ui, http: Http) -> None:
    http.ask("PUT", "users/nobody", {"password": "secret", "tags": ""}).expect(201, 204)
    stranger.expected.add(403)
    page = stranger.open()
    log_in(stranger, "nobody", "secret")
    expect(page.get_by_role("alert")).to_contain_text("the tag management")


@pytest.mark.smoke
def test_a_session_that_ends_is_begun_anew_where_one_was(ui: Ui, http: Http) -> None:
    ui.expected.add(401)
    page = ui.open("queues?q=abc")
    expect(page.get_by_role("heading", name="Queues", level=1)).to_be_visible()
    page.context.clear_cookies()
    expect(page.get_by_text("Your session has ended")).to_be_visible()
    log_in(ui)
    expect(page.get_by_label("Filter queues")).to_have_value("abc")


@pytest.mark.smoke
def test_a_broker_that_goes_away_and_comes_back(browser: Browser, tmp_path: Path) -> None:
    port = free_port()
    options = ("--data-dir", str(tmp_path / "data"), "--management-port", str(free_port()))
    server = Server.start(*options, port=port)
    with opened(browser, server.api) as ui:
        Http(server.api).ask("PUT", "queues/%2F/kept", {"durable": True}).expect(201)
        page = ui.open("queues")
        row = page.get_by_role("link", name="kept", exact=True)
        expect(row).to_be_visible()
        server.stop(signal.SIGKILL)
        expect(page.get_by_role("alert")).to_contain_text("The broker cannot be reached")
        expect(row).to_be_visible()  # what is known stays
        ui.expected.add(401)
        again = Server.start(*options, port=port)
        try:
            expect(page.get_by_text("Your session has ended")).to_be_visible()
            log_in(ui)
            expect(row).to_be_visible()
            expect(page.get_by_text("Live", exact=True)).to_be_visible()
        finally:
            again.stop()


@pytest.mark.smoke
def test_an_answer_that_breaks_off_is_told(ui: Ui) -> None:
    page = ui.open("queues")
    expect(page.get_by_role("button", name="Declare a queue")).to_be_visible()
    page.evaluate("void (Response.prototype.text = () => Promise.reject(new TypeError('Failed to fetch')))")
    expect(page.get_by_role("alert")).to_contain_text("The broker's answer was cut off.")


def test_escape_closes_a_dialog_that_has_failed_and_nothing_else(ui: Ui, http: Http) -> None:
    http.ask("PUT", "queues/%2F/kept").expect(201, 204)
    ui.expected.add(400)
    page = ui.open("queues/%2F/kept")
    page.route("**/api/queues/%2F/kept", lambda route: route.fulfill(status=400, json={"reason": "not now"}))
    page.get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Type the name of the queue").fill("kept")
    dialog.get_by_role("button", name="Delete the queue").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Not now.")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    page.keyboard.press("?")  # it is taken after whatever Escape has led to
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    expect(page).to_have_url(f"{ui.url}/#/queues/%2F/kept")


def test_anything_is_found_from_anywhere(ui: Ui, http: Http) -> None:
    name = "deep/in the <b>house</b>"
    http.ask("PUT", f"queues/%2F/{quote(name, safe='')}", {"durable": True}).expect(201, 204)
    page = ui.open()
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    page.keyboard.press("/")
    page.get_by_role("combobox", name="Find anything").fill("house deep")
    expect(page.get_by_role("option")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="<b>house</b>")).to_be_visible()
    assert page.url.endswith(
        "/#/queues/%2F/" + quote(name, safe="<>").replace("/", "%2F").replace("<", "%3C").replace(">", "%3E")
    )


def test_keys_lead_to_pages(ui: Ui) -> None:
    page = ui.open()
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    page.keyboard.press("g")
    page.keyboard.press("q")
    expect(page.get_by_role("heading", name="Queues", level=1)).to_be_visible()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Find anything")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


@pytest.fixture
def crowd() -> Iterator[Place]:
    """A broker with a thousand queues."""
    with Started.start() as started:
        http = Http(started.place.api)
        queues = [{"vhost": "/", "name": f"queue-{number:04}", "durable": False} for number in range(1000)]
        http.ask("POST", "definitions", {"queues": queues}).expect(201, 204)
        yield started.place


def test_of_many_rows_only_those_in_sight_are_drawn(browser: Browser, crowd: Place) -> None:
    with opened(browser, crowd.api) as ui:
        page = ui.open("queues?sort=name")
        table = page.get_by_role("table", name="Queues")
        expect(table).to_have_attribute("aria-rowcount", "1001")
        rows = table.locator("tbody tr[data-at]")
        expect(rows.first).to_contain_text("queue-0000")
        assert rows.count() < 100
        page.get_by_role("link", name="queue-0000").focus()
        page.keyboard.press("End")
        last = page.get_by_role("link", name="queue-0999")
        expect(last).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="queue-0999")).to_be_visible()
        page.go_back()
        page.get_by_label("Filter queues").fill("0500")
        expect(table).to_have_attribute("aria-rowcount", "2")


@pytest.mark.smoke
def test_rows_hold_still_under_the_pointer(ui: Ui, http: Http) -> None:
    for number in range(9):
        http.ask("PUT", f"queues/%2F/row-{number}", {}).expect(201)
    page = ui.open("queues?sort=-ready&q=row-")
    rows = page.get_by_role("table", name="Queues").locator("tbody tr[data-at]")
    expect(rows.first).to_contain_text("row-0")
    rows.nth(2).hover()
    body = {"properties": {}, "routing_key": "row-7", "payload": "x", "payload_encoding": "string"}
    assert http.ask("POST", "exchanges/%2F/amq.default/publish", body).json == {"routed": True}
    http.ask("PUT", "queues/%2F/row-x", {}).expect(201)
    expect(page.get_by_role("button", name="1 new row")).to_be_visible()
    expect(rows.nth(7)).to_contain_text("row-7")
    expect(rows.nth(7).locator("td.end").first).to_have_text("1")  # numbers go on
    expect(rows.first).to_contain_text("row-0")
    page.mouse.move(5, 5)
    expect(rows.first).to_contain_text("row-7")
