"""The topology: what there is, what flows, and which way a message would take."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.api.http import Http
from tests.api.place import Place
from tests.ui.browser import Ui

ROW = 48  # pixels of the picture from one queue to the next
GROUP_GAP = 14  # more where another group begins
LIVE_MS = 60_000  # until the page asks anew: less often where the broker is busy
CROWD = 240  # queues, which are not drawn all at once
SLICE = 60  # of them at most are
ODD = ("a/b c\"d'e&f", "<b>bold</b>", "注文受付キュー", "%2F", "..", "x" * 200)


def node(page: Page, name: str) -> Locator:
    """What stands for something: a link that says it in a sentence with these words."""
    return page.locator(".topology").get_by_role("link", name=name)


def queue(page: Page, name: str) -> Locator:
    """A queue with its consumers, as it is drawn."""
    return page.locator(".queue-with-consumers").filter(has=page.locator(f'[data-id="q:{name}"]'))


def places(page: Page) -> dict[str, tuple[float, float]]:
    """Where queues stand in the picture, by their names."""
    found: dict[str, list[float]] = page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll(".queue-with-consumers")].map(
            (each) => [each.querySelector(".queue").dataset.id.slice(2),
                ["x", "y"].map((key) => Number(each.querySelector(".trough").getAttribute(key)))]))"""
    )
    return {name: (x, y) for name, (x, y) in found.items()}


@pytest.fixture
def lane(http: Http) -> str:
    """A virtual host of the test's own."""
    http.ask("PUT", "vhosts/lane").expect(201, 204)
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    http.ask("PUT", "permissions/lane/guest", everything).expect(201, 204)
    for each in http.ask("GET", "queues/lane?columns=name").expect(200).json:  # type: ignore[attr-defined]
        http.ask("DELETE", f"queues/lane/{quoted(each['name'])}").expect(204)
    return "lane"


@pytest.fixture(scope="module")
def crowd(http: Http) -> str:
    """A virtual host with many queues, in which nothing changes."""
    http.ask("PUT", "vhosts/crowd").expect(201, 204)
    http.ask("PUT", "permissions/crowd/guest", {"configure": ".*", "write": ".*", "read": ".*"}).expect(201, 204)
    names = [f"worker.{number}" for number in range(CROWD)]
    sources = [f"team.{number}" for number in range(8)]
    definitions = {
        "exchanges": [{"name": name, "type": "topic", "durable": True, "auto_delete": False} for name in sources],
        "queues": [{"name": name, "durable": True, "auto_delete": False} for name in names],
        "bindings": [
            {
                "source": sources[(at + step) % 8],
                "destination": name,
                "destination_type": "queue",
                "routing_key": f"k{at}",
            }
            for at, name in enumerate(names)
            for step in (0, 3)
        ],
    }
    http.ask("POST", "definitions/crowd", definitions).expect(200, 204)
    return "crowd"


def quoted(name: str) -> str:
    """As a part of a path."""
    return "".join(f"%{each:02X}" for each in name.encode())


@pytest.mark.smoke
def test_the_picture_has_everything_and_says_what_flows(shop: Place, ui: Ui) -> None:
    page = ui.open("topology")
    expect(node(page, "web-shop publishes to (default exchange), shop.events")).to_be_visible()
    expect(node(page, "Exchange shop.events (topic)")).to_be_visible()
    expect(node(page, "Queue mails.newsletter: 1,200 ready")).to_be_visible()
    expect(queue(page, "mails.newsletter")).to_contain_text("1,200")
    expect(queue(page, "mails.newsletter")).to_contain_text("no consumer")
    expect(node(page, "Consumer payments-1 of payments receives ")).to_be_visible()
    into_payments = page.locator(".edge-binding").filter(has_text="order.created.*")
    expect(into_payments).to_have_text(re.compile(r"order\.created\.\*\s*[\d.]+/s"))
    expect(page.locator(".edge-publish.moves").first).to_have_text(re.compile(r"[\d.]+/s"))
    expect(page.locator(".edge-dead")).to_have_count(2)
    expect(page.locator(".lost-way")).to_contain_text("unroutable")
    expect(node(page, "Exchange amq.")).to_have_count(0)


def test_a_node_leads_to_its_page_and_back_to_the_same_view(shop: Place, ui: Ui) -> None:
    page = ui.open("topology")
    frame = page.locator(".topology")
    expect(node(page, "Queue payments:")).to_be_visible()
    before = frame.get_attribute("data-zoom")
    page.get_by_role("button", name="Zoom in").click()
    expect(frame).not_to_have_attribute("data-zoom", before or "")
    zoomed = frame.get_attribute("data-zoom")
    node(page, "Queue payments:").focus()
    expect(page.locator(".said-here")).to_contain_text("Queue payments:")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{ui.url}/#/queues/%2F/payments")
    page.go_back()
    expect(frame).to_have_attribute("data-zoom", zoomed or "")
    frame.focus()
    page.keyboard.press("0")
    expect(frame).to_have_attribute("data-zoom", before or "")


def test_dragging_moves_the_picture_and_opens_nothing(shop: Place, ui: Ui) -> None:
    page = ui.open("topology")
    link = node(page, "Queue payments:")
    before = link.bounding_box()
    assert before is not None
    page.mouse.move(before["x"] + 20, before["y"] + 20)
    page.mouse.down()
    page.mouse.move(before["x"] + 50, before["y"] + 50, steps=4)
    page.mouse.move(before["x"] + 80, before["y"] + 80, steps=4)
    page.mouse.up()
    after = link.bounding_box()
    assert after is not None
    assert after["x"] - before["x"] == pytest.approx(60, abs=8)
    expect(page).to_have_url(f"{ui.url}/#/topology")
    link.click()
    expect(page).to_have_url(f"{ui.url}/#/queues/%2F/payments")


def test_moving_a_picture_changes_nothing_in_it(ui: Ui, lane: str, http: Http) -> None:
    http.ask("PUT", f"queues/{lane}/alpha", {"durable": True}).expect(201)
    page = ui.open(f"topology/{lane}")
    expect(node(page, "Queue alpha:")).to_be_visible()
    box = page.locator(".topology").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 40, box["y"] + 40)
    page.mouse.down()
    changed, before, after = page.evaluate(
        """async () => {
            const frame = document.querySelector(".topology");
            const place = () => document.querySelector(".queue .trough").getBoundingClientRect().toJSON();
            const before = place();
            const found = [];
            const note = ({ target, type, attributeName }) =>
                found.push(`${type} ${attributeName} of ${target.classList?.[0] ?? target.nodeName}`);
            const observer = new MutationObserver((all) => all.forEach(note));
            observer.observe(document.body, {subtree: true, childList: true, attributes: true, characterData: true});
            const { left, top } = frame.getBoundingClientRect();
            for (let at = 1; at <= 12; at += 1) {
                const here = { bubbles: true, clientX: left + 40 + at * 9, clientY: top + 40 + at * 5 };
                if (at <= 6) frame.dispatchEvent(new PointerEvent("pointermove", { ...here, pointerId: 1 }));
                else frame.dispatchEvent(new WheelEvent("wheel", { ...here, deltaY: -20 }));
                for (let turn = 0; turn < 5; turn += 1) await null;  // what is to be drawn anew is drawn
            }
            observer.disconnect();
            return [found, before, place()];
        }"""
    )
    page.mouse.up()
    assert set(changed) == {"attributes style of moved", "attributes class of topology"}
    assert changed.count("attributes class of topology") == 1
    assert after["width"] > before["width"] * 1.1
    assert after["x"] > before["x"]
    expect(page.locator(".scene")).to_have_attribute("transform", re.compile(r"scale\(1\.\d+\)"))
    expect(page.locator(".moved")).to_have_attribute("style", re.compile(r"scale\(1\)"))
    now = page.locator(".queue .trough").evaluate("(it) => it.getBoundingClientRect().toJSON()")
    for side in ("x", "y", "width"):
        assert now[side] == pytest.approx(after[side], abs=0.5), side


def test_many_queues_are_drawn_some_at_a_time(ui: Ui, crowd: str, tmp_path: Path) -> None:
    ui.page.add_init_script(
        """window.counts = [0];
        new MutationObserver(() => {
            const number = document.querySelectorAll(".canvas .node, .canvas .edge").length;
            if (number !== window.counts.at(-1)) window.counts.push(number);
        }).observe(document, {subtree: true, childList: true});"""
    )
    page = ui.open(f"topology/{crowd}")
    expect(page.locator(".canvas .queue")).to_have_count(CROWD)
    expect(page.locator(".canvas .edge-binding")).to_have_count(2 * CROWD)
    counts = page.evaluate("window.counts")
    assert max(after - before for before, after in itertools.pairwise(counts)) <= SLICE
    expect(page.locator(".canvas.far")).to_have_count(1)
    with page.expect_download() as saving:
        page.get_by_role("button", name="Save as SVG").click()
    saving.value.save_as(tmp_path / "saved.svg")
    assert f">worker.{CROWD - 1}</text>" in (tmp_path / "saved.svg").read_text(), "names are there, however far one is"
    expect(page.locator(".canvas.far")).to_have_count(1)


def test_the_browser_can_move_the_picture_as_one_layer(ui: Ui, crowd: str) -> None:
    page = ui.open(f"topology/{crowd}?q=worker.1")
    expect(page.locator(".canvas .edge-binding.is-dim").first).to_be_attached()
    expect(page.locator(".canvas .edge-binding")).to_have_count(2 * CROWD)
    apart = """() => [...document.querySelectorAll(".scene *")].filter((each) => {
        const looks = getComputedStyle(each);
        const isScaled = each.localName === "text" && looks.textRendering.toLowerCase() !== "geometricprecision";
        return looks.transform !== "none" || looks.opacity !== "1" || isScaled;
    }).length"""
    assert page.evaluate(apart) == 0


@pytest.mark.smoke
def test_a_routing_key_lights_its_path_and_can_be_sent_to_somebody(shop: Place, ui: Ui) -> None:
    page = ui.open("topology")
    page.get_by_label("Publish to").select_option("shop.events")
    page.get_by_label("Routing key", exact=True).fill("order.created.de")
    said = page.get_by_role("status").filter(has_text="get")
    expect(said).to_contain_text("3 queues get it.")
    lit, dim = re.compile("is-lit"), re.compile("is-dim")
    for name in ("payments", "mails.outgoing", "audit.log", "payments.dead"):
        expect(queue(page, name)).to_have_class(lit)
    for name in ("mails.newsletter", "search.index", "warehouse.dead"):
        expect(queue(page, name)).to_have_class(dim)
    expect(page).to_have_url(f"{ui.url}/#/topology?exchange=shop.events&key=order.created.de")
    page.reload()
    expect(queue(page, "payments")).to_have_class(lit)
    page.get_by_label("Publish to").select_option("shop.dead")
    expect(page.locator(".way-said")).to_contain_text("1 queue gets it")
    page.get_by_label("Routing key", exact=True).fill("nothing")
    expect(page.locator(".way-said")).to_contain_text("No queue gets it")
    page.get_by_label("Headers as JSON").fill("{")
    expect(page.locator(".way-said")).to_contain_text("Headers must be a JSON object")
    page.get_by_role("button", name="Clear route").click()
    expect(page.locator(".is-dim")).to_have_count(0)


def test_what_is_looked_for_stands_out(shop: Place, ui: Ui) -> None:
    page = ui.open("topology")
    page.get_by_label("Find in the topology").fill("invoices")
    expect(page.get_by_text("1 match", exact=True)).to_be_visible()
    expect(queue(page, "invoices.de")).to_have_class(re.compile("is-lit"))
    expect(queue(page, "payments")).to_have_class(re.compile("is-dim"))
    expect(page).to_have_url(f"{ui.url}/#/topology?q=invoices")


def test_the_same_is_there_in_words(shop: Place, ui: Ui) -> None:
    page = ui.open("topology")
    page.get_by_text("Topology as text").click()
    words = page.get_by_role("list", name="Topology as text")
    expect(words).to_contain_text("shop.events routes to warehouse.picking with order.paid.#")
    expect(words).to_contain_text("payments sends its dead letters to shop.dead")
    expect(words.get_by_role("link", name="Queue payments:")).to_be_visible()


def test_the_picture_is_saved_as_a_file_that_stands_for_itself(shop: Place, ui: Ui, tmp_path: Path) -> None:
    page = ui.open("topology")
    expect(node(page, "Queue payments:")).to_be_visible()
    with page.expect_download() as saving:
        page.get_by_role("button", name="Save as SVG").click()
    assert saving.value.suggested_filename == "topology-_.svg"
    where = tmp_path / "saved.svg"
    saving.value.save_as(where)
    text = where.read_text()
    root = ElementTree.fromstring(text)
    assert root.tag.endswith("svg")
    assert "warehouse.picking" in text
    assert "var(" not in text
    assert "href" not in text
    assert re.search(r'fill="rgb\(', text)


def test_a_new_queue_moves_nothing_far(ui: Ui, http: Http, lane: str) -> None:
    http.ask("PUT", f"exchanges/{lane}/news", {"type": "topic", "durable": True}).expect(201, 204)
    for name in ("alpha", "beta", "delta", "omega"):
        http.ask("PUT", f"queues/{lane}/{name}", {"durable": True}).expect(201)
        if name != "omega":
            http.ask("POST", f"bindings/{lane}/e/news/q/{name}", {"routing_key": name}).expect(201)
    page = ui.open(f"topology/{lane}")
    expect(node(page, "Queue alpha:")).to_be_visible()
    before = places(page)
    http.ask("PUT", f"queues/{lane}/gamma", {"durable": True}).expect(201)
    http.ask("POST", f"bindings/{lane}/e/news/q/gamma", {"routing_key": "gamma"}).expect(201)
    expect(page.locator(".edge-binding").filter(has_text="gamma")).to_be_visible(timeout=LIVE_MS)
    after = places(page)
    assert before.keys() < after.keys()
    for name, (x, y) in before.items():
        assert after[name][0] == pytest.approx(x, abs=1), name
        assert abs(after[name][1] - y) <= ROW + GROUP_GAP, name


def test_odd_names_are_shown_as_they_are(ui: Ui, http: Http, lane: str) -> None:
    for name in ODD:
        http.ask("PUT", f"queues/{lane}/{quoted(name)}", {"durable": True}).expect(201)
        http.ask("PUT", f"exchanges/{lane}/{quoted(name)}", {"type": "direct", "durable": True}).expect(201, 204)
        where = f"bindings/{lane}/e/{quoted(name)}/q/{quoted(name)}"
        http.ask("POST", where, {"routing_key": name}).expect(201)
    page = ui.open(f"topology/{lane}")
    for name in ODD:
        expect(node(page, f"Queue {name}:")).to_be_visible()
        expect(node(page, f"Exchange {name} (direct)")).to_be_visible()
    expect(page.locator(".canvas b")).to_have_count(0)
    node(page, f"Queue {ODD[0]}:").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("a/")


def test_an_empty_virtual_host_says_what_fills_it(ui: Ui, http: Http) -> None:
    http.ask("PUT", "vhosts/bare").expect(201, 204)
    http.ask("PUT", "permissions/bare/guest", {"configure": ".*", "write": ".*", "read": ".*"}).expect(201, 204)
    page = ui.open("topology/bare")
    expect(page.get_by_role("heading", name="Nothing to show yet")).to_be_visible()
    expect(page.get_by_text("leveret queues declare orders --vhost bare")).to_be_visible()
    http.ask("PUT", "queues/bare/orders", {"durable": True}).expect(201)
    expect(node(page, "Queue orders: 0 ready")).to_be_visible(timeout=LIVE_MS)


def test_a_virtual_host_that_is_gone_is_said(ui: Ui, http: Http) -> None:
    ui.expected.add(404)
    page = ui.open("topology/nowhere")
    expect(page.get_by_role("alert")).to_contain_text("This virtual host does not exist.")
