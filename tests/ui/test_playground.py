"""The playground: each pattern once through its main actions. What the page says is what the broker has."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.api.http import Http
from tests.api.place import Place
from tests.clients.waiting import eventually
from tests.ui.browser import Ui, opened

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "pika"
VHOST = "playground"
PATTERNS = ("hello-world", "work-queues", "publish-subscribe", "routing", "topics", "rpc", "confirms")
MODULES = """async () => {
    const main = document.querySelector('script[src$="main.js"]').src;
    const { PATTERNS } = await import(new URL("playground/patterns.js", main).href);
    return PATTERNS.map(({ folder, files, commands, tries }) => ({ folder, files, commands, tries }));
}"""


@pytest.fixture(autouse=True)
def clean(http: Http) -> None:
    """Each test begins with nothing of those before it, whose pages were closed and not left."""
    http.ask("DELETE", f"vhosts/{VHOST}").expect(204, 404)


def queues(http: Http, vhost: str = VHOST) -> dict[str, Any]:
    """What there is, by the names that the page shows."""
    found: Any = http.ask("GET", f"queues/{quote(vhost, safe='')}").expect(200).json
    return {queue["name"].split(".")[1]: queue for queue in found}


def names_of_exchanges(http: Http) -> list[str]:
    found: Any = http.ask("GET", f"exchanges/{VHOST}").expect(200).json
    return [each["name"] for each in found if each["name"].startswith("playground.")]


def peek(http: Http, queue: str) -> Any:
    """What is in a queue at this moment."""
    name = queues(http)[queue]["name"]
    return http.ask("GET", f"leveret/queues/{VHOST}/{name}/messages").expect(200).json


def told(page: Page) -> Locator:
    """The sentence about what has just happened, and those before it."""
    return page.locator(".play > div").first


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def leave(page: Page, http: Http) -> None:
    """Go away: nothing is left."""
    page.get_by_role("link", name="Playground", exact=True).first.click()
    expect(page.get_by_role("heading", name="Playground")).to_be_visible()
    eventually(lambda: not queues(http) and not names_of_exchanges(http))


def test_all_patterns_are_on_cards_and_lead_on_to_the_next(ui: Ui) -> None:
    page = ui.open("playground")
    cards = page.get_by_role("main").get_by_role("listitem").get_by_role("link")
    expect(cards).to_have_count(len(PATTERNS))
    cards.first.click()
    for at, pattern in enumerate(PATTERNS, 1):
        expect(page).to_have_url(f"{ui.url}/#/playground/{pattern}")
        expect(page.get_by_text(f"pattern {at} of 7")).to_be_visible()
        expect(page.get_by_role("figure")).to_be_visible()
        page.get_by_role("navigation", name="Patterns").get_by_role("link").click()
    expect(page).to_have_url(f"{ui.url}/#/playground/{PATTERNS[0]}")


@pytest.mark.smoke
def test_the_python_is_that_of_the_examples(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(ROOT / "tools" / "copy_examples.py"), str(tmp_path / "made")], check=True)
    shown = ROOT / "leveret" / "ui" / "examples"
    made = {path.relative_to(tmp_path / "made"): path.read_bytes() for path in (tmp_path / "made").rglob("*.py")}
    assert made == {path.relative_to(shown): path.read_bytes() for path in shown.rglob("*.py")}, "run `make examples`"
    for path, content in made.items():
        assert content == (EXAMPLES / path).read_bytes()


def test_what_is_lit_and_typed_is_in_the_examples(ui: Ui) -> None:
    for pattern in ui.open("playground").evaluate(MODULES):
        folder = EXAMPLES / pattern["folder"]
        lit = set()
        for file in pattern["files"]:
            lines = (folder / file["file"]).read_text().splitlines()
            for step, parts in {**file["marks"], "first": [file["first"]]}.items():
                lit.add(step)
                missing = [part for part in parts if not any(part in line for line in lines)]
                assert not missing, (pattern["folder"], file["file"], step, missing)
        assert lit >= {step for step, _ in pattern["tries"]}, pattern["folder"]
        readme = (folder / "README.md").read_text()
        assert all(command in readme for command in pattern["commands"]), pattern["folder"]


def test_hello_world_messages_wait_for_a_receiver(ui: Ui, http: Http) -> None:
    page = ui.open("playground/hello-world")
    page.get_by_label("Message", exact=True).fill("guten <b>Tag</b>")
    press(page, "Publish")
    expect(told(page)).to_contain_text("Message #1 waits in the queue, because there is no consumer")
    assert [each["payload"] for each in peek(http, "hello")["messages"]] == ["guten <b>Tag</b>"]
    expect(page.get_by_role("list", name="Queues")).to_contain_text("1 ready")
    expect(page.locator(".row.lit").filter(has_text="basic_publish")).to_be_visible()
    press(page, "Start a receiver")
    expect(told(page)).to_contain_text("The receiver got “guten <b>Tag</b>”")
    assert peek(http, "hello")["ready"] == 0
    press(page, "Stop the receiver")
    expect(told(page)).to_contain_text("The receiver has stopped")
    eventually(lambda: queues(http)["hello"]["consumers"] == 0)
    leave(page, http)


@pytest.mark.smoke
def test_work_queues_a_task_of_a_dead_worker_is_done_by_another(ui: Ui, http: Http) -> None:
    page = ui.open("playground/work-queues")
    press(page, "Slow down Worker 1")
    press(page, "Publish 10")
    hands = page.get_by_role("list", name="Consumers")
    first = hands.get_by_role("listitem").filter(has_text="Worker 1")
    expect(first).to_contain_text("works on #")
    task = (first.locator(".doing").inner_text()).split("#")[1]
    press(page, "Kill Worker 1")
    expect(told(page)).to_contain_text(f"Worker 1 died while it held #{task}")
    expect(first).to_have_count(0)
    expect(told(page)).to_contain_text(f"Worker 2 has started task #{task} again. It is marked as redelivered")
    press(page, "Add a worker")
    expect(hands.get_by_role("listitem")).to_have_count(2)
    press(page, "Prefetch 10")
    expect(told(page)).to_contain_text("which no other worker can get")
    eventually(lambda: peek(http, "tasks")["unacknowledged"] > 1)
    leave(page, http)


def test_publish_subscribe_everybody_who_listens_gets_a_copy(ui: Ui, http: Http) -> None:
    page = ui.open("playground/publish-subscribe")
    press(page, "Publish a line")
    expect(told(page)).to_contain_text("2 copies of message #1 into 2 queues: those of Listener 1 and Listener 2")
    hands = page.get_by_role("list", name="Consumers")
    expect(hands.get_by_text("idle, 1 done")).to_have_count(2)
    press(page, "Add a listener")
    expect(told(page)).to_contain_text("Listener 3 now has its own queue")
    assert set(queues(http)) == {"listener-1", "listener-2", "listener-3"}
    for number in (1, 2, 3):
        press(page, f"Stop Listener {number}")
        expect(hands.get_by_role("listitem").filter(has_text=f"Listener {number}")).to_have_count(0)
    assert not queues(http)
    press(page, "Publish a line")
    expect(told(page)).to_contain_text("There was no listener, so the broker dropped message #2")
    leave(page, http)


def test_routing_keys_lead_to_those_who_want_them(ui: Ui, http: Http) -> None:
    page = ui.open("playground/routing")
    press(page, "error")
    expect(told(page)).to_contain_text("Message #1 with the key error went to Listener 1 and Listener 2")
    press(page, "info")
    expect(told(page)).to_contain_text("Message #2 with the key info went to Listener 2")
    press(page, "debug")
    expect(told(page)).to_contain_text("No queue is bound with debug, so the broker dropped message #3")
    press(page, "debug for Listener 1")
    expect(told(page)).to_contain_text("Listener 1 now also receives debug")
    press(page, "error for Listener 1")
    expect(told(page)).to_contain_text("Listener 1 no longer receives error")
    name = queues(http)["listener-1"]["name"]
    bindings: Any = http.ask("GET", f"queues/{VHOST}/{name}/bindings").json
    assert {each["routing_key"] for each in bindings if each["source"]} == {"debug", "warning"}
    press(page, "debug")
    expect(told(page)).to_contain_text("Message #4 with the key debug went to Listener 1")
    leave(page, http)


def test_topics_patterns_choose(ui: Ui, http: Http) -> None:
    page = ui.open("playground/topics")
    key = page.get_by_role("combobox", name="Routing key")
    press(page, "Publish")
    expect(told(page)).to_contain_text("disk.sda.error matches *.*.error and disk.#")
    key.fill("disk")
    press(page, "Publish")
    expect(told(page)).to_contain_text("disk matches disk.#, so message #2 went to Listener 2")
    key.fill('a/b "c" é%')
    press(page, "Publish")
    expect(told(page)).to_contain_text('No pattern matches a/b "c" é%')
    page.get_by_label("Pattern of Listener 1").fill("#")
    press(page, "Bind Listener 1")
    expect(told(page)).to_contain_text("Listener 1 is now bound with #, and no longer with *.*.error")
    press(page, "Publish")
    expect(told(page)).to_contain_text('a/b "c" é% matches #, so message #4 went to Listener 1')
    key.fill("é" * 128)
    press(page, "Publish")
    assert "256 bytes" in key.evaluate("input => input.validationMessage")
    leave(page, http)


def test_rpc_tells_the_client_what_became_of_its_call(ui: Ui, http: Http) -> None:
    ui.expected.update({404, 422})  # the queue of the servers goes with the last one, and then a request is returned
    page = ui.open("playground/rpc")
    press(page, "Call fibonacci(10)")
    expect(told(page)).to_contain_text("fibonacci(10) = 55, after")
    press(page, "Slow down Server 1")
    press(page, "Call fibonacci(30)")
    expect(told(page)).to_contain_text("Server 1 works on fibonacci(30)")
    press(page, "Start a server")
    expect(page.get_by_role("button", name="Kill Server 2")).to_be_visible()
    press(page, "Kill Server 1")
    expect(told(page)).to_contain_text("Server 1 died during the call. Its request was not acknowledged")
    expect(told(page)).to_contain_text("fibonacci(30) = 832040, after")
    press(page, "Kill Server 2")
    expect(told(page)).to_contain_text("It was the last consumer, so the queue was deleted")
    assert set(queues(http)) == {"replies"}
    press(page, "Call fibonacci(10)")
    expect(told(page)).to_contain_text("No server: the broker returned the request")
    leave(page, http)


def test_rpc_a_late_reply_is_discarded(ui: Ui) -> None:
    page = ui.open("playground/rpc")
    press(page, "Slow down Server 1")
    press(page, "Call fibonacci(10)")
    expect(told(page)).to_contain_text("fibonacci(10): no reply in 5 s")
    expect(told(page)).to_contain_text("A late reply, 55, was discarded")


def test_confirms_and_refusals_come_back(ui: Ui, http: Http) -> None:
    ui.expected.add(503)
    page = ui.open("playground/confirms")
    press(page, "Publish one")
    expect(told(page)).to_contain_text("the broker has stored message #1")
    press(page, "15 in a batch")
    expect(told(page)).to_contain_text("9 were confirmed, and 6 were refused by the full queue.")
    expect(page.get_by_text("✗ 6 refused")).to_be_visible()
    assert peek(http, "orders")["ready"] == 10
    press(page, "Publish one")
    expect(told(page)).to_contain_text("basic.nack: the broker refused message #17")
    press(page, "Consume 5")
    expect(told(page)).to_contain_text("A consumer took 5 messages")
    press(page, "15 one by one")
    expect(told(page)).to_contain_text("5 were confirmed, and 10 were refused by the full queue.")
    press(page, "5 without confirms")
    expect(told(page)).to_contain_text("0 messages reached the queue, but the publisher does not know")
    expect(page.get_by_text("? 5 unknown")).to_be_visible()
    leave(page, http)


def test_two_pages_do_not_disturb_each_other(ui: Ui, browser: Browser, place: Place) -> None:
    page = ui.open("playground/hello-world")
    with opened(browser, place.api) as other:
        press(other.open("playground/hello-world"), "Publish")
        expect(told(other.page)).to_contain_text("1 message is ready")
        press(page, "Start a receiver")
        expect(told(page)).to_contain_text("It waits for messages")
        expect(other.page.get_by_role("list", name="Queues")).to_contain_text("1 ready")


def test_what_is_gone_can_be_begun_again(ui: Ui, http: Http) -> None:
    ui.expected.add(404)
    page = ui.open("playground/hello-world")
    expect(page.get_by_role("button", name="Publish")).to_be_visible()
    http.ask("DELETE", f"queues/{VHOST}/{queues(http)['hello']['name']}").expect(204)
    expect(page.get_by_role("heading", name="The queues of this page were deleted")).to_be_visible()
    page.get_by_role("button", name="Start over").last.click()
    press(page, "Publish")
    expect(told(page)).to_contain_text("1 message is ready")


def test_an_administrator_may_delete_the_virtual_host(ui: Ui, http: Http) -> None:
    page = ui.open("playground/hello-world")
    expect(page.get_by_role("button", name="Publish")).to_be_visible()
    page.get_by_role("link", name="Playground", exact=True).first.click()
    press(page, "Clean up")
    press(page, "Delete it")
    expect(page.get_by_text("The virtual host playground was deleted")).to_be_visible()
    http.ask("GET", f"vhosts/{VHOST}").expect(404)


@pytest.fixture
def learner(http: Http) -> Iterator[str]:
    """A user who may manage nothing but what begins with playground. in the default virtual host."""
    http.ask("PUT", "users/learner", {"password": "guest", "tags": "management"}).expect(201, 204)
    yield "learner"
    http.ask("DELETE", "users/learner").expect(204)


def test_others_play_where_they_may(browser: Browser, place: Place, http: Http, learner: str) -> None:
    mine = {"configure": "playground[.].*", "write": "playground[.].*|amq.default", "read": "playground[.].*"}
    http.ask("PUT", f"permissions/%2F/{learner}", mine).expect(201, 204)
    with opened(browser, place.api, name=learner) as ui:
        press(ui.open("playground/hello-world"), "Publish")
        expect(told(ui.page)).to_contain_text("1 message is ready")
        assert set(queues(http, "/")) == {"hello"}


def test_who_may_not_play_is_told_who_can_change_that(browser: Browser, place: Place, http: Http, learner: str) -> None:
    http.ask("PUT", f"permissions/%2F/{learner}", {"configure": "", "write": "", "read": ""}).expect(201, 204)
    with opened(browser, place.api, name=learner) as ui:
        ui.expected.add(401)
        page = ui.open("playground/hello-world")
        expect(page.get_by_role("heading", name="Missing permissions")).to_be_visible()
        expect(page.get_by_text("An administrator can")).to_be_visible()
