"""Nothing jumps: a page looks the same after live updates, and when somebody comes back to it.

Two pictures of one run are compared, pixel by pixel, so no picture is kept anywhere. What changes with time is made to
stand still: the clock of the page, and what the broker says of its memory, its disk and the ages of messages. Charts
are hidden, since their axes move on, and so are the dots of consumers, which dim when they have been idle.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.api.http import Http
from tests.api.place import Place, Started
from tests.ui.browser import Ui, opened

Seen = tuple[bytes, dict[str, Any]]

PAGES = {
    "overview": ("", "api/overview?"),
    "topology": ("topology", "api/bindings"),
    "queues": ("queues", "api/queues?"),
    "queue": ("queues/%2F/orders", "api/queues/%2F/orders?"),
    "messages": ("queues/%2F/orders?tab=messages", "api/queues/%2F/orders?"),
    "exchanges": ("exchanges", "api/exchanges?"),
    "connections": ("connections", "api/connections?"),
    "consumers": ("consumers", "api/consumers"),
    "node": ("node", "api/overview?"),
    "playground": ("playground", None),
}
"""Addresses, and what each page asks the API for again and again."""

NUDGE = 24  # pixels by which a column moves when a number in front of it has become longer than ever

FROZEN = ("/api/nodes", "/api/leveret/status", "/api/leveret/ages")
"""Answers that differ from one time to the next, whatever happens on the broker. The first one is given each time."""

STOPPED = """{
    const at = Date.now();
    Date.now = () => at;
    performance.now = () => 0;  // nothing takes any time: the page need not spare the broker, and asks at each update
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(".chart .plot, .chart .legend, time, .node.consumer { visibility: hidden; }");
    document.adoptedStyleSheets = [sheet];
}"""

BOXES = """() => {
    const found = {};
    for (const element of document.querySelectorAll("h1, h2, h3, th, td, tr[data-at], button, a, dt, dd")) {
        const { x, y, width, height } = element.getBoundingClientRect();
        if (!width || element.closest(".said")) continue;
        const row = element.closest("tr")?.querySelector(".row-link, a")?.title ?? "";
        const text = element.textContent.trim().replace(/[\\d.,]+/g, "#");
        const own = element.matches("td, dd, tr") ? (element.cellIndex ?? "") : text;
        const name = `${element.tagName.toLowerCase()} ${row} ${own}`;
        let free = name;
        for (let number = 2; free in found; number += 1) free = `${name} (${number})`;
        found[free] = [x, y, width, height].map(Math.round);
    }
    return found;
}"""
"""Where headings, rows, cells, buttons and links are. Each is called by what it says, without its numbers."""

SETTLED = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
DIFFERENCE = """async (pictures) => {
    const pixels = [];
    for (const text of pictures) {
        const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
        const image = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
        const context = new OffscreenCanvas(image.width, image.height).getContext("2d");
        context.drawImage(image, 0, 0);
        pixels.push(context.getImageData(0, 0, image.width, image.height));
    }
    const [one, other] = pixels;
    let found = null;
    for (let at = 0; at < one.data.length; at += 1) {
        if (Math.abs(one.data[at] - other.data[at]) <= 16) continue;
        const [x, y] = [(at >> 2) % one.width, Math.floor((at >> 2) / one.width)];
        const [left, top, right, bottom] = found ?? [x, y, x, y];
        found = [Math.min(left, x), Math.min(top, y), Math.max(right, x), Math.max(bottom, y)];
    }
    return found;
}"""
"""The part of two pictures in which they differ: [left, top, right, bottom]. Round corners may differ by a shade."""

PULSES = """async (number) => {
    const live = performance.getEntriesByType("resource").find(({ name }) => name.endsWith("/js/live.js")).name;
    const { pulse } = await import(live);
    const enough = pulse.value + number;
    await new Promise((done) => pulse.subscribe((value) => value >= enough && done()));
}"""


def furnish(http: Http) -> None:
    """What is there while nothing happens."""
    for name, kind in (("events", "topic"), ("dead", "fanout")):
        http.ask("PUT", f"exchanges/%2F/{name}", {"type": kind, "durable": True}).expect(201)
    for name, arguments in (("orders", {"x-dead-letter-exchange": "dead"}), ("mails.outgoing", {}), ("letters", {})):
        http.ask("PUT", f"queues/%2F/{name}", {"durable": True, "arguments": arguments}).expect(201)
    for source, queue, key in (
        ("events", "orders", "order.#"),
        ("events", "mails.outgoing", "#"),
        ("dead", "letters", ""),
    ):
        http.ask("POST", f"bindings/%2F/e/{source}/q/{queue}", {"routing_key": key}).expect(201)
    for number in range(12):
        body = {
            "properties": {},
            "routing_key": "order.new",
            "payload": f"order {number}",
            "payload_encoding": "string",
        }
        http.ask("POST", "exchanges/%2F/events/publish", body).expect(200)


@pytest.fixture(scope="module")
def still() -> Iterator[Place]:
    """A broker on which nothing happens, with two clients that do nothing."""
    with Started.start() as started:
        furnish(Http(started.place.api))
        silent = 0  # a heartbeat would change the rates of a connection
        with (
            started.place.connect(name="idler", heartbeat_s=silent) as idle,
            started.place.connect(name="watcher", heartbeat_s=silent) as other,
        ):
            channel = idle.channel()
            channel.basic_consume("letters", lambda *_: None, consumer_tag="reader")
            other.channel()
            yield started.place


def freeze(page: Page) -> None:
    """Stop the clock of a page, and let it hear the same of the node each time."""
    kept: dict[str, str] = {}

    def answer(route: Route) -> None:
        url = route.request.url
        if url not in kept:
            kept[url] = route.fetch().text()
        route.fulfill(body=kept[url], content_type="application/json")

    page.add_init_script(STOPPED)
    page.route(lambda url: urlsplit(url).path.startswith(FROZEN), answer)


@pytest.fixture(scope="module")
def quiet(browser: Browser, still: Place) -> Iterator[Ui]:
    """One page for all tests with that broker."""
    with opened(browser, still.api) as ui:
        freeze(ui.page)
        ui.open("explain")
        yield ui


def update(page: Page, asked: str | None) -> None:
    """Wait until a page has shown what it was told at the next updates."""
    if asked is None:
        page.evaluate(PULSES, 2)
        return
    for _ in range(2):  # the first has been shown when the second one comes
        with page.expect_response(lambda answer: asked in answer.url):
            pass
    page.evaluate(SETTLED)


def picture(page: Page) -> Seen:
    """What is seen, and where things are in it."""
    expect(page.get_by_text("Loading…")).to_have_count(0)
    boxes: dict[str, Any] = page.evaluate(BOXES)
    return page.screenshot(animations="disabled", caret="initial"), boxes


def moved(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """What is not where it was: [x, y, width, height] before, and after."""
    return {name: (before.get(name), after.get(name)) for name in before | after if before.get(name) != after.get(name)}


def compare(page: Page, one: Seen, other: Seen) -> None:
    """Raises: AssertionError that says what has moved, or where the pictures differ."""
    assert moved(one[1], other[1]) == {}
    if one[0] != other[0]:
        assert page.evaluate(DIFFERENCE, [base64.b64encode(each[0]).decode() for each in (one, other)]) is None


@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=pytest.mark.smoke if each == "queues" else ()) for each in PAGES]
)
def test_a_page_looks_the_same_after_updates_and_when_one_comes_back(quiet: Ui, name: str) -> None:
    where, asked = PAGES[name]
    page = quiet.page
    page.goto(f"{quiet.url}/#/{where}")
    page.locator("#content h1").wait_for()
    update(page, asked)
    first = picture(page)
    update(page, asked)
    compare(page, first, picture(page))
    page.goto(f"{quiet.url}/#/publish")
    expect(page.get_by_role("heading", name="Publish", level=1)).to_be_visible()
    page.go_back()
    page.locator("#content h1").wait_for()
    update(page, asked)
    compare(page, first, picture(page))


def test_nothing_moves_while_numbers_change(browser: Browser, shop: Place) -> None:
    with opened(browser, shop.api) as ui:
        freeze(ui.page)
        page = ui.open("queues?sort=name")
        page.locator("tr[data-at]").first.wait_for()
        update(page, "api/queues?")
        body = page.locator("tbody")
        text, before = body.inner_text(), page.evaluate(BOXES)
        update(page, "api/queues?")
        assert body.inner_text() != text
        for name, (was, now) in moved(before, page.evaluate(BOXES)).items():
            assert was, f"{name} was not there before"
            assert now, f"{name} is not there any more"
            assert (was[1], was[3]) == (now[1], now[3]), f"{name} has moved up or down"
            assert abs(was[0] - now[0]) <= NUDGE, f"{name} has moved sideways"


FORMS = {
    "queues": ("Declare a queue", "Arguments", "Durable"),
    "queues/%2F/orders": ("Limit rate", "Messages per second", None),
    "admin/parameters": ("Change the name", "Name", None),
    "admin/users/guest": ("Restrict", "May publish with matching keys", None),
}
"""Addresses, a button that opens a form, and a field and a box of it."""


@pytest.mark.parametrize("where", list(FORMS))
def test_what_one_has_typed_stays_while_the_page_is_updated(quiet: Ui, where: str) -> None:
    button, label, box = FORMS[where]
    page = quiet.open(where)
    page.locator("#content").get_by_role("button", name=button, exact=True).click()
    dialog = page.get_by_role("dialog")
    field = dialog.get_by_label(label)
    field.fill("77")
    if box:
        dialog.get_by_role("checkbox", name=box).uncheck()
    page.evaluate(PULSES, 3)
    page.evaluate(SETTLED)
    expect(field).to_have_value("77")
    if box:
        expect(dialog.get_by_role("checkbox", name=box)).not_to_be_checked()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
