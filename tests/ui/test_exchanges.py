"""Exchanges: what they do, who publishes to them, and where they lead."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from tests.api.http import Http
from tests.api.place import Place
from tests.ui.browser import Ui

STRANGE = "a/b <b>\"x\"</b> 'ü' #1?&%2F"


def said(page: Page, text: str) -> None:
    """Wait until the page says that something was done."""
    expect(page.get_by_role("status").filter(has_text=text).first).to_be_visible()


def test_the_list_shows_those_that_are_used(shop: Place, ui: Ui) -> None:
    page = ui.open("exchanges")
    table = page.get_by_role("table", name="Exchanges")
    row = table.get_by_role("row").filter(has_text="shop.events")
    expect(row).to_contain_text("topic")
    expect(table).not_to_contain_text("amq.headers")
    page.get_by_role("button", name="All 11").click()
    expect(table).to_contain_text("amq.headers")
    row.get_by_role("link", name="shop.events").click()
    expect(page.get_by_role("heading", name="shop.events")).to_be_visible()


def test_an_exchange_tells_both_directions_and_who_publishes(shop: Place, ui: Ui) -> None:
    page = ui.open("exchanges/%2F/shop.events")
    leads = page.get_by_role("table", name="Bindings from shop.events")
    expect(leads.get_by_role("row").filter(has_text="invoices.de")).to_contain_text("order.paid.de")
    expect(leads.get_by_role("row").filter(has_text="shop.audit")).to_contain_text("exchange")
    publishers = page.get_by_role("table", name="Publishers to shop.events")
    expect(publishers.get_by_role("row").filter(has_text="web-shop")).to_contain_text("/s")
    expect(page.get_by_role("link", name="Publish", exact=True).last).to_have_attribute(
        "href", "#/publish?vhost=%2F&exchange=shop.events"
    )
    leads.get_by_role("link", name="shop.audit").click()
    expect(page.get_by_role("table", name="Bindings to shop.audit")).to_contain_text("shop.events")


def test_what_came_nowhere_stands_at_the_default_exchange(shop: Place, ui: Ui) -> None:
    page = ui.open("exchanges/%2F/amq.default")
    expect(page.get_by_role("heading", name="(default exchange)")).to_be_visible()
    expect(page.get_by_role("table", name="Refused messages")).to_contain_text("there is no queue 'paymens'")


@pytest.mark.smoke
def test_declare_bind_unbind_delete_with_a_strange_name(ui: Ui, http: Http) -> None:
    http.ask("PUT", "queues/%2F/target", {}).expect(201, 204)
    page = ui.open("exchanges")
    page.get_by_role("button", name="Declare an exchange").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Name").fill(STRANGE)
    dialog.get_by_role("combobox", name="Type").select_option("topic")
    dialog.get_by_label("Alternate exchange").fill("amq.fanout")
    dialog.get_by_role("button", name="Declare").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("<b>")
    expect(page.get_by_text("No bindings").last).to_be_visible()
    where = f"exchanges/%2F/{quote(STRANGE, safe='')}"
    found = http.ask("GET", where).expect(200).json
    assert isinstance(found, dict)
    assert (found["type"], found["arguments"]) == ("topic", {"alternate-exchange": "amq.fanout"})

    page.get_by_role("button", name="Bind", exact=True).click()
    dialog.get_by_role("combobox", name="Queue").fill("target")
    dialog.get_by_label("Routing key").fill("a.#")
    dialog.get_by_label("Arguments").fill('{"x": 1}')
    dialog.get_by_role("button", name="Bind", exact=True).click()
    row = page.get_by_role("row").filter(has_text="target")
    expect(row).to_contain_text('{"x":1}')
    row.get_by_role("button", name="Unbind").click()
    page.get_by_role("dialog").get_by_role("button", name="Unbind").click()
    said(page, "target was unbound from")
    expect(row).to_have_count(0)
    assert http.ask("GET", f"{where}/bindings/source").json == []

    page.get_by_role("button", name="Delete", exact=True).click()
    sure = dialog.get_by_role("button", name="Delete the exchange")
    dialog.get_by_role("textbox").fill("another")
    sure.click()
    http.ask("GET", where).expect(200)
    dialog.get_by_role("textbox").fill(STRANGE)
    sure.click()
    said(page, "was deleted")
    http.ask("GET", where).expect(404)


def test_what_the_broker_refuses_is_said_in_the_dialog(ui: Ui) -> None:
    page = ui.open("exchanges")
    page.get_by_role("button", name="Declare an exchange").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Name").fill("wrong")
    dialog.get_by_label("Arguments").fill("{")
    dialog.get_by_role("button", name="Declare").click()
    expect(dialog.get_by_role("alert")).to_contain_text("not valid JSON")
    dialog.get_by_label("Arguments").fill('{"alternate-exchange": 7}')
    ui.expected.add(400)
    dialog.get_by_role("button", name="Declare").click()
    expect(dialog.get_by_role("alert")).to_contain_text("alternate-exchange")


def test_one_that_is_gone(ui: Ui) -> None:
    ui.expected.add(404)
    page = ui.open("exchanges/%2F/nowhere")
    expect(page.get_by_role("alert").first).to_contain_text("This exchange no longer exists.")
