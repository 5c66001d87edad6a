"""Goes through RabbitMQ's management UI in a browser, as a program of its own: it needs playwright.

    python ui_tour.py URL BROWSER NODE FOLDER

It prints a line for each step, `ok NAME` or `FAULT NAME: what was wrong`. A step is wrong when what it looks for does
not come, when the page has an error, and when a request of it fails.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import Dialog, Page, Response, sync_playwright

VHOST = "scene"
QUEUE, EXCHANGE, USER, POLICY, MADE_VHOST = "ui made/queue", "ui-exchange", "ui-user", "ui-policy", "ui-vhost"
WAIT_MS = 10_000
RATE = re.compile(r"\b\d+(\.\d+)?/s")


def path(*parts: str) -> str:
    """Behind the #, of names."""
    return "#/" + "/".join(quote(part, safe="") for part in parts)


class Tour:
    """The steps, in one page."""

    def __init__(self, page: Page, url: str, node: str, folder: Path) -> None:
        self.page = page
        self.url = url
        self.node = node
        self.folder = folder
        self.faults: list[str] = []
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: self.faults.append(f"error in the page: {error} {error.stack}"))
        page.on("requestfailed", lambda request: self._failed(request.url, request.failure or ""))
        page.on("response", self._answered)
        page.on("console", lambda said: self.faults.append(f"console: {said.text}") if said.type == "error" else None)
        page.on("dialog", self._asked)

    def _failed(self, url: str, failure: str) -> None:
        if "ERR_ABORTED" not in failure:  # a page that was left
            self.faults.append(f"{url}: {failure}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self.faults.append(f"{response.request.method} {response.url}: {response.status}")

    def _asked(self, dialog: Dialog) -> None:
        dialog.accept()

    def step(self, name: str, do: Callable[[], None]) -> bool:
        """Do it, and say how it went."""
        try:
            do()
            self.page.wait_for_load_state("networkidle")
        except Exception as error:
            self.faults.append(f"{type(error).__name__}: {error}")
            self.page.screenshot(path=self.folder / f"{name.replace(' ', '-').replace('/', '-')}.png")
        text = " | ".join(dict.fromkeys(self.faults)).replace("\n", " ")
        print(f"FAULT {name}: {text[:1500]}" if text else f"ok {name}", flush=True)
        self.faults.clear()
        return not text

    # -- what a person does

    def go(self, place: str, title: str) -> None:
        """To a page, which has a title; and open all that is closed on it."""
        self.page.goto(f"{self.url}/{place}")
        self.page.locator("#main h1", has_text=title).first.wait_for()
        self.open_all()

    def open_all(self) -> None:
        """Open all parts of the page that are closed."""
        self.page.evaluate("() => document.querySelectorAll('#main .section-invisible > h2').forEach(h => h.click())")

    def sees(self, *texts: str) -> None:
        """Wait until these are on the page."""
        for text in texts:
            self.page.locator("#main", has_text=text).wait_for()

    def form(self, button: str, fields: dict[str, str], action: str = "") -> None:
        """Fill a form, and press its button."""
        found = self.page.locator(
            f'#main form[action^="{action or "#"}"]', has=self.page.locator(f'[value="{button}"]')
        )
        form = found.last
        form.evaluate("form => form.closest('.section-invisible')?.querySelector('h2').click()")
        for name, value in fields.items():
            field = form.locator(f'[name="{name}"]').first
            if field.evaluate("each => each.tagName") == "SELECT":
                field.select_option(value)
            else:
                field.fill(value)
        form.locator(f'[value="{button}"]').first.click()

    def hears(self, text: str) -> None:
        """Wait for a message over the page, and close it."""
        popup = self.page.locator('div[class^="form-popup"]', has_text=text)
        popup.wait_for()
        popup.locator("span#close").click()

    def has_rate(self) -> None:
        """Wait for a rate that is not zero."""
        self.page.wait_for_function(
            "() => (document.querySelector('#main').innerText.match(/[0-9.,]+\\s*[A-Za-z]*\\/s/g) || [])"
            ".some(each => parseFloat(each) > 0)"
        )

    # -- the pages

    def log_in_wrongly(self) -> None:
        """Which the UI says."""
        self.page.goto(self.url)
        self._log_in("wrong")
        self.page.locator("#login-status", has_text="Login failed").wait_for()
        assert any("api/login: 401" in each for each in self.faults), self.faults
        self.faults.clear()

    def log_in(self) -> None:
        """As guest."""
        self.page.goto(self.url)
        self._log_in("guest")
        self.page.locator("#menu").wait_for()
        self.page.locator("#versions", has_text="Leveret").wait_for()

    def _log_in(self, password: str) -> None:
        self.page.fill("#username", "guest")
        self.page.fill("#password", password)
        self.page.click('input[value="Login"]')

    def overview(self) -> None:
        """Totals, rates, the node, ports."""
        self.go("#/", "Overview")
        self.sees("Global counts", "Queued messages", "Message rates", "Nodes", "Ports and contexts", self.node)
        self.page.locator("#chart-msg-rates-over, #msg-rates-over .chart, #main .chart").first.wait_for()
        self.has_rate()

    def show_node(self) -> None:
        """Its numbers."""
        self.go(path("nodes", self.node), "Node")
        self.sees("Uptime", "Type")

    def connections(self) -> None:
        """Two, with rates."""
        self.go("#/connections", "Connections")
        self.sees("shop", "postman", "guest", "running")
        self.has_rate()

    def connection(self) -> None:
        """One of them."""
        self.page.locator("#main table.list tbody a", has_text="127.0.0.1").first.click()
        self.page.locator("#main h1", has_text="Connection").wait_for()
        self.sees("Details", "Channels", "Client properties", "Pika")

    def channels(self) -> None:
        """With rates."""
        self.go("#/channels", "Channels")
        self.sees("(1)", "guest")
        self.has_rate()

    def channel(self) -> None:
        """One of them."""
        self.page.locator("#main table.list tbody a", has_text="(1)").first.click()
        self.page.locator("#main h1", has_text="Channel").wait_for()
        self.sees("Message rates", "Details", "Consumers")

    def exchanges(self) -> None:
        """All."""
        self.go("#/exchanges", "Exchanges")
        self.sees("events", "byhead", "topic", "(AMQP default)", "amq.direct")
        self.has_rate()

    def exchange(self) -> None:
        """One with bindings."""
        self.go(path("exchanges", VHOST, "events"), "Exchange")
        self.sees("Message rates", "Bindings", "orders", "order.*", "Publish message")
        self.has_rate()
        self.go(path("exchanges", VHOST, "amq.default"), "Exchange")

    def queues(self) -> None:
        """All."""
        self.go("#/queues", "Queues")
        self.sees("orders", "ledger", "urgent", "with/slash and ü", "quorum", "ceiling", "running")
        self.has_rate()

    def queue(self) -> None:
        """One of each kind."""
        self.go(path("queues", VHOST, "orders"), "Queue")
        self.sees("Queued messages", "Message rates", "Details", "Consumers", "Bindings", "order.*", "Get messages")
        self.has_rate()
        self.go(path("queues", VHOST, "ledger"), "Queue")
        self.sees("quorum", "Delivery limit", "Dead-lettered")
        self.go(path("queues", VHOST, "urgent"), "Queue")
        self.sees("clerk", "x-max-priority")
        self.go(path("queues", VHOST, "with/slash and ü"), "Queue")
        self.sees("with/slash and ü")

    def users(self) -> None:
        """All."""
        self.go("#/users", "Users")
        self.sees("guest", "administrator", "mon", "monitoring", VHOST)

    def user(self) -> None:
        """One."""
        self.go(path("users", "man"), "User")
        self.sees("Permissions", "Topic permissions", "^own", "^order")

    def vhosts(self) -> None:
        """All, with rates."""
        self.go("#/vhosts", "Virtual Hosts")
        self.sees(VHOST, "closed")
        self.has_rate()

    def vhost(self) -> None:
        """One."""
        self.go(path("vhosts", VHOST), "Virtual Host")
        self.sees("Permissions", "Details", "^own")

    def policies(self) -> None:
        """All, and one."""
        self.go("#/policies", "Policies")
        self.sees("ceiling", "floor", "max-length-bytes")
        self.go(path("policies", VHOST, "ceiling"), "Policy")
        self.sees("^orders$")

    def limits(self) -> None:
        """Of virtual hosts and users."""
        self.go("#/limits", "Limits")
        self.sees("max-queues", "100", "man", "50")

    def features(self) -> None:
        """Flags, and what is deprecated."""
        self.go("#/feature-flags", "Feature Flags")
        self.sees("rabbitmq_4.3.0")
        self.go("#/deprecated-features", "Deprecated Features")
        self.sees("global_qos")

    def cluster(self) -> None:
        """Its name."""
        self.go("#/cluster-name", "Cluster name")
        before = self.page.locator('#main [name="name"]').input_value()
        for name in ("ui-cluster", before):
            self.go("#/cluster-name", "Cluster name")
            self.form("Change name", {"name": name})
            self.page.reload()
            self.page.locator("#outer", has_text=f"Cluster {name}").wait_for()

    # -- doing things

    def make_queue(self) -> None:
        """With an argument."""
        self.go("#/queues", "Queues")
        self.page.select_option('#main [name="queuetype"]', "classic")
        fields = {"vhost": VHOST, "name": QUEUE, "arguments_1_mfkey": "x-max-length", "arguments_1_mfvalue": "5"}
        self.form("Add queue", {**fields, "arguments_1_mftype": "number"}, "#/queues")
        self.page.locator("#main table.list a", has_text=QUEUE).wait_for()

    def publish(self) -> None:
        """Through the page of the queue, with a property and headers."""
        self.go(path("queues", VHOST, QUEUE), "Queue")
        self.form("Publish message", {"payload": "hello from the UI", "delivery_mode": "2"}, "#/exchanges/publish")
        self.hears("Message published")

    def get(self) -> None:
        """What was published."""
        self.go(path("queues", VHOST, QUEUE), "Queue")
        self.form("Get Message(s)", {"ackmode": "ack_requeue_true", "count": "2"}, "#/queues/get")
        self.page.locator("#msg-wrapper", has_text="hello from the UI").wait_for()

    def bind(self) -> None:
        """And unbind."""
        self.go(path("queues", VHOST, QUEUE), "Queue")
        self.form("Bind", {"source": "amq.topic", "routing_key": "ui.#"}, "#/bindings")
        row = self.page.locator("#main tr", has_text="ui.#").last
        row.wait_for()
        row.locator('[value="Unbind"]').click()
        row.wait_for(state="detached")

    def purge(self) -> None:
        """And nothing is there."""
        self.go(path("queues", VHOST, QUEUE), "Queue")
        self.form("Purge Messages", {})
        self.hears("Queue purged")
        self.form("Get Message(s)", {}, "#/queues/get")
        self.hears("Queue is empty")

    def delete_queue(self) -> None:
        """And it is not in the list."""
        self.go(path("queues", VHOST, QUEUE), "Queue")
        self.form("Delete Queue", {})
        self.page.wait_for_url("**/#/queues")
        self.page.locator("#main h1", has_text="Queues").wait_for()
        self.page.locator("#main table.list a", has_text=QUEUE).wait_for(state="detached")

    def make_exchange(self) -> None:
        """Publish through it, where nothing is bound to it, and delete it."""
        self.go("#/exchanges", "Exchanges")
        self.form("Add exchange", {"vhost": VHOST, "name": EXCHANGE, "type": "fanout"}, "#/exchanges")
        self.page.locator("#main table.list a", has_text=EXCHANGE).wait_for()
        self.go(path("exchanges", VHOST, EXCHANGE), "Exchange")
        self.form("Publish message", {"routing_key": "x", "payload": "lost"}, "#/exchanges/publish")
        self.hears("not routed")
        self.go(path("exchanges", VHOST, EXCHANGE), "Exchange")
        self.form("Delete", {}, "#/exchanges")
        self.page.wait_for_url("**/#/exchanges")

    def make_user(self) -> None:
        """With permissions, and delete it."""
        self.go("#/users", "Users")
        fields = {"username": USER, "password": "s3cret", "password_confirm": "s3cret", "tags": "monitoring"}
        self.form("Add user", fields, "#/users-add")
        self.page.locator("#main table.list a", has_text=USER).wait_for()
        self.go(path("users", USER), "User")
        self.form("Set permission", {"vhost": VHOST, "configure": "^ui-only"}, "#/permissions")
        self.sees("^ui-only")
        self.form("Set topic permission", {"write": "^ui-topic"}, "#/topic-permissions")
        self.sees("^ui-topic")
        self.form("Delete", {}, "#/users")
        self.page.wait_for_url("**/#/users")
        self.page.locator("#main table.list a", has_text=USER).wait_for(state="detached")

    def make_policy(self) -> None:
        """And delete it."""
        self.go("#/policies", "Policies")
        fields = {"vhost": VHOST, "name": POLICY, "pattern": "^ui", "apply-to": "queues", "priority": "3"}
        definition = {"definition_1_mfkey": "max-length", "definition_1_mfvalue": "7", "definition_1_mftype": "number"}
        self.form("Add / update policy", {**fields, **definition}, "#/policies")
        self.page.locator("#main table.list a", has_text=POLICY).wait_for()
        self.go(path("policies", VHOST, POLICY), "Policy")
        self.sees("max-length", "7", "^ui")
        self.form("Delete this policy", {})
        self.page.wait_for_url("**/#/policies")
        self.page.locator("#main table.list a", has_text=POLICY).wait_for(state="detached")

    def make_vhost(self) -> None:
        """With a limit, and delete it."""
        self.go("#/vhosts", "Virtual Hosts")
        self.form("Add virtual host", {"name": MADE_VHOST, "description": "of the UI", "tags": "a, b"}, "#/vhosts")
        self.page.locator("#main table.list a", has_text=MADE_VHOST).wait_for()
        self.go("#/limits", "Limits")
        self.form("Set / update limit", {"vhost": MADE_VHOST, "name": "max-queues", "value": "17"}, "#/limits")
        self.sees("17")
        self.go(path("vhosts", MADE_VHOST), "Virtual Host")
        self.form("Delete this virtual host", {})
        self.page.wait_for_url("**/#/vhosts")
        self.page.locator("#main table.list a", has_text=MADE_VHOST).wait_for(state="detached")

    def export_and_import(self) -> None:
        """All definitions, and those of a virtual host."""
        for vhost in ("all", VHOST):
            self.go("#/", "Overview")
            self.page.select_option('[name="vhost-download"]', vhost)
            with self.page.expect_download() as waiting:
                self.page.click("#download-definitions")
            file = self.folder / f"{vhost}.json"
            waiting.value.save_as(file)
            assert "orders" in [queue["name"] for queue in json.loads(file.read_text())["queues"]]
            self.page.set_input_files('[name="file"]', file)
            self.page.select_option('[name="vhost-upload"]', vhost)
            self.page.click('input[name="upload-definitions"]')
            self.hears("imported successfully")

    def filter_and_sort(self) -> None:
        """Lists of queues by a pattern, page by page, and by a column."""
        self.go("#/queues", "Queues")
        self.page.fill("#queues-name", "^(led|url)")
        self.page.press("#queues-name", "Enter")
        self.page.locator("#main table.list a", has_text="orders").wait_for(state="detached")
        self.page.click("#queues-filter-regex-mode")  # until then it is no pattern, and nothing has it in its name
        self.page.locator("#main table.list a", has_text="ledger").wait_for()
        self.page.fill("#queues-name", "")
        self.page.press("#queues-name", "Enter")
        self.sees("orders")
        for column in ("Name", "State", "Ready", "Type"):
            self.page.locator("#main table.list th", has_text=column).first.click()
            self.sees("orders")

    def close_connection(self) -> None:
        """By force."""
        self.go("#/connections", "Connections")
        self.page.locator("#main table.list tbody tr", has_text="shop").locator("a").first.click()
        self.page.locator("#main h1", has_text="Connection").wait_for()
        self.open_all()
        self.form("Force Close", {})
        self.page.wait_for_url("**/#/connections")
        self.page.locator("#main table.list tbody tr", has_text="shop").wait_for(state="detached")

    def log_out(self) -> None:
        """And nobody is logged in."""
        self.page.click('input[value="Log out"]')
        self.page.locator("#username").wait_for()

    def all_steps(self) -> None:
        """The whole tour."""
        for each in (
            *(self.log_in_wrongly, self.log_in, self.overview, self.show_node, self.connections, self.connection),
            *(self.channels, self.channel, self.exchanges, self.exchange, self.queues, self.queue, self.users),
            *(self.user, self.vhosts, self.vhost, self.policies, self.limits, self.features, self.cluster),
            *(self.make_queue, self.publish, self.get, self.bind, self.purge, self.delete_queue, self.make_exchange),
            *(self.make_user, self.make_policy, self.make_vhost, self.export_and_import, self.filter_and_sort),
            *(self.close_connection, self.log_out),
        ):
            if not self.step(each.__name__.replace("_", " "), each) and each == self.log_in:
                return


def main(url: str, browser: str, node: str, folder: str) -> None:
    """Start the browser, and go."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = started.new_page(viewport={"width": 1400, "height": 1000})
        Tour(page, url, node, Path(folder)).all_steps()
        started.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
