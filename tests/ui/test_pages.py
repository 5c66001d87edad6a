"""Every page, in both themes, wide and narrow: it opens without a fault, it fits, and nobody is kept from using it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.api.http import Http
from tests.api.place import Place
from tests.ui.browser import opened

PAGES = {
    "": "Queued messages",
    "topology": "shop.events",
    "queues": "mails.newsletter",
    "queues/%2F/payments.dead": "Sources of messages",
    "queues/%2F/payments.dead?tab=messages": "order.created.",
    "queues/%2F/payments?tab=consumers": "payments-1",
    "queues/%2F/payments?tab=bindings": "order.created.*",
    "queues/%2F/payments?tab=settings": "x-dead-letter-exchange",
    "exchanges": "shop.catalogue",
    "exchanges/%2F/shop.events": "order.created.*",
    "connections": "web-shop",
    "channels": "web-shop",
    "consumers": "bookkeeper",
    "publish": "Routing key",
    "explain": "Routing key",
    "refused": "paymens",
    "trace": "Start",
    "playground": "Topics",
    "playground/work-queues": "worker",
    "node": "Memory",
    "admin/users": "guest",
    "admin/vhosts": "/",
    "admin/policies": "Policies",
    "admin/limits": "Limits",
    "admin/definitions": "Definitions",
}
"""Addresses, and what they show when they are there."""

SERIOUS = ("serious", "critical")


def look(page: Page, text: str) -> None:
    """Wait until a page is there, and see whether it fits and can be used by everybody."""
    broken = re.compile("\u200b?".join(map(re.escape, text)))  # names may break at dots
    expect(page.locator("#content").get_by_text(broken).locator("visible=true").first).to_be_visible()
    expect(page.get_by_text("Loading…")).to_have_count(0)
    wide, narrow = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide <= narrow, f"it is {wide} pixels wide, where there are {narrow}"
    assert page.locator("h1").count() == 1
    found: Any = Axe().run(page).response["violations"]
    assert [describe(each) for each in found if each["impact"] in SERIOUS] == []


def describe(violation: Any) -> str:
    """What is wrong, and where."""
    where = [
        f"{node['html'][:160]} ({node['any'][0]['message'] if node['any'] else ''})" for node in violation["nodes"]
    ]
    return f"{violation['id']}: {violation['help']}: {where[:4]}"


MESSAGE = {"routing_key": "leads", "payload": "{}", "payload_encoding": "string", "properties": {}}
LOOKS = {"light": (1440, 900), "dark": (390, 844)}
"""Themes, and the size of the window with each."""


def cases() -> Iterator[Any]:
    """Every page with every look; in the short form every third page with one of them."""
    for number, where in enumerate(PAGES):
        for index, theme in enumerate(LOOKS):
            marks = [pytest.mark.smoke] if number % 6 == 3 * index else []
            yield pytest.param(where, theme, marks=marks)


@pytest.mark.parametrize(("where", "theme"), list(cases()))
def test_it_opens(browser: Browser, shop: Place, where: str, theme: str) -> None:
    width, height = LOOKS[theme]
    with opened(browser, shop.api, width=width, height=height, theme=theme) as ui:
        look(ui.open(where), PAGES[where])


def test_who_may_only_manage_sees_what_that_allows(browser: Browser, shop: Place, http: Http) -> None:
    http.ask("PUT", "users/reader", {"password": "secret", "tags": "management"}).expect(201, 204)
    http.ask("PUT", "permissions/%2F/reader", {"configure": "^$", "write": "^$", "read": ".*"}).expect(201, 204)
    with opened(browser, shop.api, name="") as ui:
        ui.log_in("reader", "secret")
        for where in (
            "",
            "topology",
            "queues",
            "queues/%2F/payments",
            "exchanges",
            "connections",
            "consumers",
            "refused",
        ):
            page = ui.open(where)
            expect(page.locator("h1")).to_be_visible()
            expect(page.get_by_text("Loading…")).to_have_count(0)
        page = ui.open("queues/%2F/payments")
        expect(page.get_by_role("heading", name="Queued messages")).to_be_visible()
        assert page.get_by_role("button", name="Pause").count() == 0


def test_who_may_only_read_in_one_virtual_host_is_offered_that(browser: Browser, shop: Place, http: Http) -> None:
    http.ask("PUT", "vhosts/sales").expect(201, 204)
    http.ask("PUT", "queues/sales/leads", {"durable": True}).expect(201, 204)
    http.ask("POST", "exchanges/sales/amq.default/publish", MESSAGE).expect(200)
    http.ask("PUT", "users/looker", {"password": "secret", "tags": "management"}).expect(201, 204)
    http.ask("PUT", "permissions/sales/looker", {"configure": "^$", "write": "^$", "read": ".*"}).expect(201, 204)
    with opened(browser, shop.api, name="") as ui:
        ui.log_in("looker", "secret")
        page = ui.open("queues/sales/leads?tab=messages")
        page.get_by_role("table").get_by_role("link").click()
        article = page.get_by_role("article")
        expect(article.get_by_role("button", name="Delete")).to_be_visible()
        for name in ("Republish", "Edit and republish", "Move", "Copy"):
            expect(article.locator(".actions").get_by_role("button", name=name, exact=True)).to_have_count(0)
        heading = page.locator("header.heading")
        expect(heading.get_by_role("button")).to_have_text(["Purge"])
        expect(page.get_by_role("navigation", name="Pages").get_by_role("link", name="Publish")).to_have_count(0)
        for where, h1 in (("queues", "Queues"), ("exchanges", "Exchanges")):
            page = ui.open(where)
            expect(page.get_by_role("heading", name=h1, level=1)).to_be_visible()
            expect(page.get_by_role("button", name="Declare")).to_have_count(0)
        expect(ui.open("publish").get_by_text("You may not publish in the virtual host sales")).to_be_visible()


def test_the_virtual_host_of_a_user_is_meant_where_none_is_said(browser: Browser, shop: Place, http: Http) -> None:
    http.ask("PUT", "vhosts/own").expect(201, 204)
    http.ask("PUT", "users/tenant", {"password": "secret", "tags": "management"}).expect(201, 204)
    http.ask("PUT", "permissions/own/tenant", {"configure": ".*", "write": ".*", "read": ".*"}).expect(201, 204)
    with opened(browser, shop.api, name="") as ui:
        ui.log_in("tenant", "secret")
        page = ui.open("queues")
        page.get_by_role("button", name="Declare a queue").click()
        page.get_by_role("dialog").get_by_label("Name").fill("mine")
        page.get_by_role("dialog").get_by_role("button", name="Declare").click()
        expect(page).to_have_url(f"{ui.url}/#/queues/own/mine")
        page = ui.open("publish?key=mine")
        page.get_by_role("button", name="Publish", exact=True).click()
        expect(page.get_by_text("1 message published")).to_be_visible()
        expect(ui.open("explain?key=mine").get_by_text("Routed to 1 queue")).to_be_visible()


@pytest.mark.parametrize("width", [1440, 390])
def test_names_may_be_as_long_as_they_can(browser: Browser, shop: Place, http: Http, width: int) -> None:
    name = "x" * 255
    http.ask("PUT", f"queues/%2F/{name}", {"arguments": {"x-dead-letter-exchange": name}}).expect(201, 204)
    http.ask("PUT", f"exchanges/%2F/{name}", {"type": "topic"}).expect(201, 204)
    http.ask("POST", f"bindings/%2F/e/{name}/q/{name}", {"routing_key": name}).expect(201, 204)
    http.ask("POST", f"exchanges/%2F/{name}/publish", {**MESSAGE, "routing_key": name}).expect(200)
    with opened(browser, shop.api, width=width) as ui:
        for where, what in (
            (f"queues/%2F/{name}", "Sources of messages"),
            (f"queues/%2F/{name}?tab=messages", "Select messages to"),
            (f"exchanges/%2F/{name}", "Bindings from this exchange"),
            (f"explain?exchange={name}&key={name}", "Routed to 1 queue"),
        ):
            page = ui.open(where)
            expect(page.get_by_text(what).first).to_be_visible()
            if "tab=messages" in where:
                page.get_by_role("cell", name="{").first.click()
                expect(page.get_by_role("article")).to_contain_text("It arrived through")
            wide, narrow = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
            assert wide <= narrow, f"{where[:40]} is {wide} pixels wide, where there are {narrow}"
        page = ui.open(f"queues/%2F/{name}")
        page.get_by_role("button", name="Delete").click()
        expect(page.get_by_label("Type the name of the queue")).to_be_focused()
