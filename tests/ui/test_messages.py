"""The messages of a queue: found, opened, changed, moved, sent back."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from urllib.parse import quote

import pika
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.api.http import Http
from tests.api.place import Place
from tests.clients.waiting import eventually
from tests.ui.browser import Ui, opened

STRANGE = 'a/b "c" <i>d</i> ü & %2F'


def declare(http: Http, name: str, **arguments: object) -> str:
    """A queue of this name, made anew. Returns: its address in the API."""
    where = f"queues/%2F/{quote(name, safe='')}"
    http.ask("DELETE", where)
    http.ask(
        "PUT", where, {"durable": True, "arguments": {key.replace("_", "-"): value for key, value in arguments.items()}}
    ).expect(201)
    return where


def fill(http: Http, name: str, bodies: list[str], **properties: object) -> None:
    """Publish to a queue."""
    lines = [json.dumps({"routing_key": name, "payload": body, "properties": properties}) for body in bodies]
    http.ask("POST", "leveret/exchanges/%2F/amq.default/batch", "\n".join(lines).encode()).expect(201)


def bodies(http: Http, where: str) -> list[str]:
    """Of the messages that are ready."""
    asked = http.ask("POST", f"leveret/{where}/messages/search", {"limit": 1000}).expect(200)
    lines = [json.loads(line) for line in asked.body.splitlines()]
    return [line["message"]["payload"] for line in lines if "message" in line]


def rows(page: Page) -> Locator:
    """Those of the list."""
    return page.locator(".messages tbody tr[data-at]")


def look(ui: Ui, name: str, more: str = "") -> Page:
    """Open the messages of a queue."""
    return ui.open(f"queues/%2F/{quote(name, safe='')}?tab=messages{more}")


def act(page: Page, count_first: bool = False) -> None:
    """Take both steps of a dialog: count, and do it."""
    dialog = page.get_by_role("dialog")
    if count_first:
        dialog.get_by_role("button", name="Count messages").click()
    expect(dialog.get_by_role("status")).to_contain_text("Nothing has changed yet")
    dialog.locator("button[type=submit]").click()
    expect(dialog).to_have_count(0)


def die(place: Place, number: int, queue: str) -> None:
    """Reject messages of a queue."""
    with place.connect() as connection:
        channel = connection.channel()
        for _ in range(number):
            method, _, _ = channel.basic_get(queue)
            assert method is not None
            channel.basic_reject(method.delivery_tag, requeue=False)


@pytest.fixture
def dead(http: Http, place: Place) -> str:
    """500 dead letters of the queue work, in a queue of this name."""
    declare(http, "work", x_dead_letter_exchange="", x_dead_letter_routing_key="work.dead")
    declare(http, "work.dead")
    fill(http, "work", [json.dumps({"job": number}) for number in range(500)])
    die(place, 500, "work")
    return "work.dead"


@pytest.mark.smoke
def test_a_poison_message_is_found_by_its_text_and_the_search_is_in_the_address(ui: Ui, http: Http) -> None:
    declare(http, "orders")
    fill(
        http,
        "orders",
        [json.dumps({"order": number, "note": "poison" if number == 700 else "fine"}) for number in range(1000)],
    )
    page = look(ui, "orders")
    expect(rows(page)).to_have_count(50)
    page.get_by_label("Text in message bodies").fill("poison")
    page.keyboard.press("Enter")
    expect(page.locator(".progress")).to_contain_text("Searched 1,000 of 1,000, 1 found. Search complete.")
    expect(page.locator("mark")).to_have_text("poison")
    rows(page).get_by_role("link").click()
    opened_one = page.get_by_role("article", name="The open message")
    expect(opened_one.locator(".tree")).to_contain_text("order: 700")
    address = page.url
    page.keyboard.press("Escape")
    expect(opened_one).to_have_count(0)
    page.goto("about:blank")
    page.goto(address)
    expect(opened_one.locator(".tree")).to_contain_text("order: 700")
    expect(page.get_by_label("Text in message bodies")).to_have_value("poison")
    page.keyboard.press("Escape")
    rows(page).get_by_role("link").click()
    dialog = page.get_by_role("dialog")
    opened_one.get_by_role("button", name="Move").click()
    expect(dialog).to_be_visible()
    page.go_back()
    expect(dialog).to_have_count(0)
    rows(page).get_by_role("link").click()
    opened_one.get_by_role("button", name="Delete").click()
    expect(dialog).to_contain_text("1 message will be deleted. Nothing has changed yet.")
    dialog.get_by_role("button", name="Delete 1 message").click()
    expect(page.get_by_text("Deleted 1 message.")).to_be_visible()
    expect(page.get_by_role("heading", name="No other matching messages")).to_be_visible()


def test_more_conditions_find_what_has_no_text(ui: Ui, http: Http) -> None:
    declare(http, "conditions")
    fill(http, "conditions", ['{"order": {"id": 1}}', '{"order": {}}', "no json"], headers={"x-tenant": "t1"})
    page = look(ui, "conditions")
    page.get_by_role("button", name="More conditions").click()
    page.get_by_role("button", name="JSON path").click()
    page.get_by_role("textbox", name="JSON path", exact=True).fill("$.order.id")
    page.get_by_label("JSON path: operator").select_option("missing")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(rows(page)).to_have_count(2)
    page.get_by_role("button", name="Body is not JSON").click()
    expect(rows(page)).to_have_count(1)
    expect(rows(page)).to_contain_text("no json")
    page.get_by_role("button", name="Age", exact=True).click()
    page.get_by_label("Age: value").fill("soon")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("an age must be like 30s, 5m, 2h or 1d")


def test_pages_go_on_and_arrows_walk_from_message_to_message(ui: Ui, http: Http) -> None:
    declare(http, "pages")
    fill(http, "pages", [f"body {number}" for number in range(120)])
    page = look(ui, "pages")
    page.get_by_role("button", name="Show more").click()
    expect(page.locator(".progress")).to_contain_text("100 messages of 120")
    page.get_by_role("button", name="Newest first").click()
    expect(rows(page).first).to_contain_text("body 119")
    rows(page).first.get_by_role("link").click()
    body = page.get_by_role("region", name="Body")
    expect(body).to_contain_text("body 119")
    page.keyboard.press("ArrowDown")
    expect(body).to_contain_text("body 118")
    page.keyboard.press("ArrowUp")
    expect(body).to_contain_text("body 119")


def test_a_search_can_be_kept(ui: Ui, http: Http) -> None:
    declare(http, "kept")
    fill(http, "kept", ["one", "two"])
    page = look(ui, "kept", "&text=two")
    expect(rows(page)).to_have_count(1)
    page.get_by_role("button", name="Save search").click()
    page.get_by_role("dialog").get_by_label("Name").fill("the second")
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    page.get_by_role("button", name="Clear").click()
    expect(rows(page)).to_have_count(2)
    page.reload()
    page.get_by_label("Saved: search").select_option("the second")
    expect(rows(page)).to_have_count(1)


def test_who_holds_a_message_is_told(ui: Ui, http: Http, place: Place) -> None:
    declare(http, "held")
    fill(http, "held", ["in work"])
    with place.connect(name="the holder") as connection:
        channel = connection.channel()
        channel.basic_consume("held", lambda *_: None, consumer_tag="worker-1")
        connection.process_data_events(0)
        eventually(lambda: http.ask("GET", "queues/%2F/held").json["messages_unacknowledged"] == 1)  # type: ignore[index]
        page = look(ui, "held")
        page.get_by_role("link", name="1 message is held by consumers.").click()
        expect(rows(page)).to_contain_text("held by worker-1")
        rows(page).get_by_role("link").click()
        expect(page.get_by_role("list", name="History")).to_contain_text("consumer worker-1 of the holder")
        expect(page.get_by_role("button", name="Delete", exact=True)).to_have_count(
            1
        )  # of the queue, not of the message


def test_chosen_messages_are_counted_before_they_are_deleted(ui: Ui, http: Http) -> None:
    where = declare(http, "chosen")
    fill(http, "chosen", [f"body {number}" for number in range(5)])
    page = look(ui, "chosen")
    for at in (1, 3):
        rows(page).nth(at).get_by_role("checkbox").check()
    bar = page.get_by_role("group", name="Actions on the selected messages")
    bar.get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Delete 2 messages")).to_be_enabled()
    assert len(bodies(http, where)) == 5
    act(page)
    expect(page.locator(".result")).to_contain_text("Deleted 2 messages.")
    expect(rows(page)).to_have_count(3)
    assert bodies(http, where) == ["body 0", "body 2", "body 4"]


@pytest.mark.smoke
def test_all_that_match_are_moved_or_copied(ui: Ui, http: Http) -> None:
    where, other = declare(http, "from"), declare(http, STRANGE)
    fill(http, "from", [f"{'odd' if number % 2 else 'even'} {number}" for number in range(200)])
    page = look(ui, "from", "&text=odd")
    page.get_by_role("button", name="select all matches").click()
    bar = page.get_by_role("group", name="Actions on the selected messages")
    bar.get_by_role("button", name="Move").click()
    page.get_by_label("To queue").fill(STRANGE)
    act(page, count_first=True)
    expect(page.locator(".result")).to_contain_text(f"Moved 100 messages to {STRANGE}.")
    assert len(bodies(http, where)) == 100
    assert len(bodies(http, other)) == 100
    page.locator(".result").get_by_role("link", name="Show them").click()
    expect(page.get_by_role("heading", name="a/b")).to_be_visible()
    expect(rows(page)).to_have_count(50)
    page.get_by_role("checkbox", name="Select all shown messages").check()
    bar.get_by_role("button", name="Copy").click()
    page.get_by_label("To queue").fill("from")
    act(page, count_first=True)
    expect(page.locator(".result")).to_contain_text("Copied 50 messages to from.")
    assert len(bodies(http, where)) == 150


def test_a_message_goes_to_the_front(ui: Ui, http: Http) -> None:
    where = declare(http, "front")
    fill(http, "front", ["first", "second", "third"])
    page = look(ui, "front")
    rows(page).nth(2).get_by_role("link").click()
    page.get_by_role("article").get_by_role("button", name="Requeue").click()
    act(page)
    expect(page.locator(".result")).to_contain_text("Requeued 1 message to the front of the queue.")
    assert bodies(http, where) == ["third", "first", "second"]


def test_a_message_is_changed_and_republished(ui: Ui, http: Http) -> None:
    where = declare(http, "mended")
    fill(http, "mended", ['{"price": "NaN"}'], type="order", headers={"x-tenant": "t1", "tries": 3})
    page = look(ui, "mended")
    rows(page).get_by_role("link").click()
    page.get_by_role("button", name="Edit and republish").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Body").fill('{"price": 5}')
    dialog.get_by_label("Value of x-tenant").fill("t2")
    dialog.get_by_role("button", name="Republish the changed message").click()
    expect(page.locator(".result")).to_contain_text("The message was changed and sent to the end of mended.")
    asked = http.ask("POST", f"leveret/{where}/messages/search", {})
    message = json.loads(asked.body.splitlines()[0])["message"]
    assert message["payload"] == '{"price": 5}'
    assert message["properties"]["type"] == "order"
    assert message["properties"]["headers"] == {"x-tenant": "t2", "tries": 3}
    assert len(bodies(http, where)) == 1


def test_bodies_are_shown_as_what_they_are(ui: Ui, http: Http, place: Place) -> None:
    declare(http, "kinds")
    large = "start " + "x" * 300_000 + " end"
    with place.connect() as connection:
        channel = connection.channel()
        packed = pika.BasicProperties(content_type="application/json", content_encoding="gzip")
        channel.basic_publish("", "kinds", gzip.compress(b'{"big": 12345678901234567890}'), packed)
        channel.basic_publish("", "kinds", bytes(range(200, 256)))
        channel.basic_publish("", "kinds", large.encode())
    eventually(lambda: http.ask("GET", "queues/%2F/kinds").json["messages_ready"] == 3)  # type: ignore[index]
    page = look(ui, "kinds")
    rows(page).nth(0).get_by_role("link").click()
    body = page.get_by_role("region", name="Body")
    expect(body.locator(".tree")).to_contain_text("big: 12345678901234567890")
    page.keyboard.press("ArrowDown")
    expect(body.locator(".hex")).to_contain_text("00000010  d8 d9 da db")
    page.keyboard.press("ArrowDown")
    expect(body.get_by_role("note")).to_contain_text("of 293 KiB")
    body.get_by_role("button", name="Load all").click()
    expect(body.get_by_role("note")).to_have_count(0)
    expect(body).to_contain_text("further characters")


def test_an_export_can_be_imported(ui: Ui, http: Http, tmp_path: Path) -> None:
    declare(http, "exported")
    fill(http, "exported", [f"body {number}" for number in range(70)], headers={"n": 1})
    page = look(ui, "exported", "&text=body")
    page.get_by_role("button", name="select all matches").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    assert download.value.suggested_filename == "exported.ndjson"
    lines = [json.loads(line) for line in download.value.path().read_text().splitlines()]
    assert [base64.b64decode(line["body"]) for line in lines] == [f"body {number}".encode() for number in range(70)]
    assert lines[0]["properties"]["headers"] == {"n": {"$signedint": 1}} or lines[0]["properties"]["headers"] == {
        "n": 1
    }
    assert lines[0]["routing_key"] == "exported"


@pytest.mark.smoke
def test_dead_letters_are_sent_back(ui: Ui, http: Http, dead: str) -> None:
    page = ui.open(f"queues/%2F/{dead}")
    card = page.get_by_role("region", name="Dead letters")
    expect(card).to_contain_text("500 dead letters from work: all rejected.")
    card.get_by_role("button", name="Send all back").click()
    expect(page.get_by_role("dialog")).to_contain_text("500 messages will be sent back to work.")
    expect(page.get_by_role("dialog").locator(".counted code")).to_have_text("work")
    act(page)
    expect(page.locator(".result")).to_contain_text("Sent 500 messages back to work.")
    expect(card).to_have_count(0)
    assert len(bodies(http, "queues/%2F/work")) == 500
    assert bodies(http, f"queues/%2F/{dead}") == []
    page.get_by_role("link", name="Show them").click()
    expect(page).to_have_url(f"{ui.url}/#/queues/%2F/work")


def test_the_way_home_can_be_slow_and_stopped(ui: Ui, http: Http, dead: str) -> None:
    page = ui.open(f"queues/%2F/{dead}")
    page.get_by_role("button", name="Send all back").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("Options").click()
    dialog.get_by_label("Maximum messages per second").fill("10")
    dialog.get_by_role("button", name="Send back 500 messages").click()
    expect(dialog.get_by_role("status")).to_contain_text(re.compile(r"[1-9]\d* of 500 done"))
    dialog.get_by_role("button", name="Stop").click()
    expect(page.locator(".result")).to_contain_text("Stopped. The other messages were not changed.")
    assert len(bodies(http, "queues/%2F/work")) < 100


def test_a_dead_letter_tells_its_story(ui: Ui, dead: str) -> None:
    page = look(ui, dead)
    expect(page.locator(".messages")).to_contain_text(
        "All messages have the routing key work.dead and were rejected in work."
    )
    rows(page).first.get_by_role("link").click()
    story = page.get_by_role("list", name="History")
    expect(story).to_contain_text("It arrived through (default exchange) with work.dead.")
    expect(story).to_contain_text("in work. It had arrived through (default exchange) with work.")
    page.get_by_role("article").get_by_role("button", name="Edit and republish").click()
    expect(page.get_by_role("dialog").get_by_role("radio", name="Back to the end of work")).to_be_checked()


def test_whoever_may_not_is_told_what_is_missing(browser: Browser, place: Place, http: Http) -> None:
    declare(http, "readable")
    fill(http, "readable", ["one"])
    http.ask("PUT", "users/reader", {"password": "guest", "tags": "management"})
    http.ask("PUT", "permissions/%2F/reader", {"configure": "", "write": ".*", "read": "^readable$"})
    with opened(browser, place.api, name="reader") as ui:
        ui.expected.update((401, 403))
        page = look(ui, "readable")
        rows(page).get_by_role("link").click()
        expect(page.get_by_role("article").get_by_role("button", name="Move")).to_be_visible()
        http.ask("PUT", "permissions/%2F/reader", {"configure": "", "write": "", "read": "^readable$"})
        page.get_by_role("article").get_by_role("button", name="Move").click()
        page.get_by_label("To queue").fill("readable2")
        page.get_by_role("button", name="Count messages").click()
        expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text(
            "Ask an administrator for this permission."
        )


def test_a_message_that_is_gone_is_told(ui: Ui, http: Http) -> None:
    declare(http, "empty")
    queue_id = "1"
    page = look(ui, "empty", f"&open={queue_id}-1")
    ui.expected.add(400)
    expect(page.get_by_role("article")).to_contain_text("not the id of a message of this queue")
    expect(page.get_by_role("heading", name="No messages")).to_be_visible()
