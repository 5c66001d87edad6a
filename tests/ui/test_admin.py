"""The admin and the node: who may do what, virtual hosts, policies, limits, definitions, and the broker itself."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.api.http import Http
from tests.api.place import Place
from tests.ui.browser import Ui, opened

STRANGE = "a/b <b>\"x\"</b> 'ü' #1?&%2F"


def said(page: Page, text: str) -> None:
    """Wait until the page says that something was done."""
    expect(page.get_by_role("status").filter(has_text=text).first).to_be_visible()


def answer(http: Http, path: str) -> Any:
    """What the API says."""
    return http.ask("GET", path).expect(200).json


def quoted(name: str) -> str:
    """A name in a path."""
    return quote(name, safe="")


@pytest.mark.smoke
def test_a_user_who_may_only_read_is_added_in_one_step(ui: Ui, http: Http, place: Place) -> None:
    page = ui.open("admin")
    page.get_by_role("button", name="Add a user").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Name", exact=True).fill("reader")
    dialog.get_by_role("textbox", name="Password", exact=True).fill("secret")
    dialog.get_by_role("button", name="Add the user").click()
    expect(page.get_by_role("list", name="Permissions of reader")).to_contain_text("may only read from everything")
    assert answer(http, "permissions/%2F/reader") == {
        "user": "reader",
        "vhost": "/",
        "configure": "^$",
        "write": "^$",
        "read": ".*",
    }
    with place.connect(user="reader", password="secret") as connection:
        assert connection.is_open


def test_a_user_is_changed_and_deleted(ui: Ui, http: Http) -> None:
    name = quoted(STRANGE)
    http.ask("PUT", f"users/{name}", {"password": "old", "tags": "management"}).expect(201, 204)
    before = answer(http, f"users/{name}")["password_hash"]
    page = ui.open("admin/users")
    page.get_by_role("table", name="Users").get_by_role("link", name="a/").click()
    expect(page.get_by_text("No access to any virtual host")).to_be_visible()

    page.get_by_role("button", name="Add a virtual host").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("combobox", name="Permissions").select_option("own")
    dialog.get_by_role("textbox", name="Configure").fill("")
    dialog.get_by_role("textbox", name="Write").fill(".*")
    dialog.get_by_role("textbox", name="Read").fill("^orders")
    dialog.get_by_role("button", name="Set permissions").click()
    expect(
        page.get_by_text("may configure nothing, write to everything, read from names that match ^orders")
    ).to_be_visible()

    page.get_by_role("button", name="Change tags").click()
    expect(dialog.get_by_role("checkbox", name="management")).to_be_checked()
    dialog.get_by_role("checkbox", name="monitoring").check()
    dialog.get_by_role("button", name="Set tags").click()
    said(page, "were changed")
    found = answer(http, f"users/{name}")
    assert (found["tags"], found["password_hash"]) == (["management", "monitoring"], before)

    page.get_by_role("button", name="Set the password").click()
    dialog.get_by_role("textbox", name="Password", exact=True).fill("new")
    dialog.get_by_role("button", name="Set the password").click()
    said(page, "was set")
    assert answer(http, f"users/{name}")["password_hash"] != before

    page.get_by_role("button", name="Set a limit").click()
    dialog.get_by_label("Maximum").fill("3")
    dialog.get_by_role("button", name="Set the limit").click()
    expect(page.get_by_role("button", name="Remove max-connections")).to_be_visible()

    page.get_by_role("button", name="Restrict", exact=True).click()
    dialog.get_by_role("combobox", name="Topic exchange").select_option("amq.topic")
    dialog.get_by_label("May publish with matching keys").fill("^a")
    dialog.get_by_role("button", name="Restrict").click()
    expect(page.get_by_role("list", name=f"Topic permissions of {STRANGE}")).to_contain_text("^a")

    page.get_by_role("button", name="Remove in /").click()
    dialog.get_by_role("button", name="Remove permissions").click()
    expect(page.get_by_text("No access to any virtual host")).to_be_visible()

    page.get_by_role("button", name="Delete", exact=True).click()
    dialog.get_by_role("textbox").fill(STRANGE)
    dialog.get_by_role("button", name="Delete the user").click()
    said(page, "was deleted")
    http.ask("GET", f"users/{name}").expect(404)


def test_a_virtual_host_is_made_protected_and_deleted(ui: Ui, http: Http) -> None:
    name = quoted(STRANGE)
    page = ui.open("admin/vhosts")
    page.get_by_role("button", name="Add a virtual host").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Name", exact=True).fill(STRANGE)
    dialog.get_by_label("Description").fill("for tests")
    dialog.get_by_label("Default queue type").select_option("quorum")
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("list", name="Users of the virtual host")).to_contain_text("guest may do everything")
    assert answer(http, f"vhosts/{name}")["default_queue_type"] == "quorum"

    page.get_by_role("button", name="Change", exact=True).click()
    dialog.get_by_label("Description").fill("for more tests")
    dialog.get_by_role("button", name="Change", exact=True).click()
    said(page, "was changed")
    found = answer(http, f"vhosts/{name}")
    assert (found["description"], found["default_queue_type"]) == ("for more tests", "quorum")

    page.get_by_role("button", name="Protect").click()
    expect(page.get_by_role("button", name="Delete", exact=True)).to_be_disabled()
    assert answer(http, f"vhosts/{name}")["protected_from_deletion"]
    page.get_by_role("button", name="Remove protection").click()

    page.get_by_role("button", name="Trace", exact=True).click()
    dialog.get_by_role("button", name="Start tracing").click()
    expect(page.get_by_role("button", name="Stop tracing")).to_be_visible()
    assert answer(http, f"vhosts/{name}")["tracing"]

    page.get_by_role("button", name="Delete", exact=True).click()
    dialog.get_by_role("textbox").fill("/")
    dialog.get_by_role("button", name="Delete everything in it").click()
    http.ask("GET", f"vhosts/{name}").expect(200)
    dialog.get_by_role("textbox").fill(STRANGE)
    dialog.get_by_role("button", name="Delete everything in it").click()
    said(page, "was deleted")
    http.ask("GET", f"vhosts/{name}").expect(404)


@pytest.mark.smoke
@pytest.mark.parametrize(("where", "noun"), [("policies", "a policy"), ("operator-policies", "an operator policy")])
def test_a_policy_says_what_it_would_apply_to_before_it_does(ui: Ui, http: Http, where: str, noun: str) -> None:
    for name in ("orders.de", "orders.fr", "mails"):
        http.ask("PUT", f"queues/%2F/{name}", {}).expect(201, 204)
    page = ui.open(f"admin/{where}")
    page.get_by_role("button", name=f"Add {noun}").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Name", exact=True).fill("short")
    dialog.get_by_label("Pattern").fill("^orders")
    expect(dialog.get_by_role("status")).to_have_text("Applies to 2 queues: orders.de, orders.fr")
    dialog.get_by_label("Pattern").fill("(")
    expect(dialog.get_by_role("status")).to_contain_text("cannot be tested here")
    dialog.get_by_label("Pattern").fill("^orders")
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text("The definition is empty")
    dialog.get_by_role("button", name="max-length", exact=True).click()
    dialog.get_by_label("Value of max-length").fill("100")
    dialog.get_by_role("button", name="overflow").click()
    dialog.get_by_label("Value of overflow").select_option("reject-publish")
    dialog.get_by_role("button", name="Add", exact=True).click()
    row = page.get_by_role("row").filter(has_text="short")
    expect(row).to_contain_text("max-length = 100, overflow = reject-publish")
    expect(row).to_contain_text("2 queues")
    found = answer(http, f"{where}/%2F/short")
    assert found["definition"] == {"max-length": 100, "overflow": "reject-publish"}
    assert found["apply-to"] == "queues"

    row.get_by_role("link", name="short").click()
    dialog.get_by_label("Value of max-length").fill("200")
    dialog.get_by_label("Remove overflow").click()
    dialog.get_by_role("button", name="Change", exact=True).click()
    expect(row).not_to_contain_text("overflow")
    assert answer(http, f"{where}/%2F/short")["definition"] == {"max-length": 200}

    row.get_by_role("button", name="Delete short").click()
    dialog.get_by_role("button", name="Delete short").click()
    expect(row).to_have_count(0)
    http.ask("GET", f"{where}/%2F/short").expect(404)


def test_limits_are_set_and_lifted(ui: Ui, http: Http) -> None:
    page = ui.open("admin/limits")
    page.get_by_role("button", name="Set a limit").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("combobox", name="Virtual host").select_option("/")
    dialog.get_by_label("Limit").select_option("max-queues")
    dialog.get_by_label("Maximum").fill("500")
    dialog.get_by_role("button", name="Set the limit").click()
    expect(page.get_by_role("table", name="Limits of virtual hosts")).to_contain_text("at most 500 queues")
    assert answer(http, "vhost-limits/%2F")[0]["value"] == {"max-queues": 500}
    page.get_by_role("button", name="Remove max-queues of /").click()
    expect(page.get_by_text("No virtual host has limits")).to_be_visible()


def test_parameters_and_the_name_of_the_broker(ui: Ui, http: Http) -> None:
    page = ui.open("admin/parameters")
    page.get_by_role("button", name="Add a global parameter").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Name", exact=True).fill("team")
    dialog.get_by_role("textbox", name="Value").fill("no json")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_contain_text("not valid JSON")
    dialog.get_by_role("textbox", name="Value").fill('{"pager": 7}')
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_role("table", name="Global parameters")).to_contain_text('{"pager":7}')
    page.get_by_role("button", name="Delete team").click()
    dialog.get_by_role("button", name="Delete team").click()
    expect(page.get_by_text("No global parameters.")).to_be_visible()

    page.get_by_role("button", name="Change the name").click()
    dialog.get_by_role("textbox", name="Name", exact=True).fill("orders-live")
    dialog.get_by_role("button", name="Change", exact=True).click()
    said(page, "cluster name was changed")
    assert answer(http, "cluster-name") == {"name": "orders-live"}


def test_definitions_are_downloaded_tried_and_imported(ui: Ui, http: Http) -> None:
    page = ui.open("admin/definitions")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download definitions").click()
    content = json.loads(waiting.value.path().read_text())
    assert content["users"][0]["name"] == "guest"

    content["queues"] = [{"vhost": "/", "name": "imported", "durable": True, "auto_delete": False, "arguments": {}}]
    file = {"name": "new.json", "mimeType": "application/json", "buffer": json.dumps(content).encode()}
    page.get_by_label("File of definitions").set_input_files(file)  # type: ignore[arg-type]
    expect(page.get_by_text("1 queue", exact=True)).to_be_visible()
    page.get_by_role("button", name="Dry run").click()
    expect(page.get_by_text("Nothing was changed. All entries would be imported")).to_be_visible()
    http.ask("GET", "queues/%2F/imported").expect(404)
    page.get_by_role("button", name="Import ").click()
    expect(page.get_by_text("All entries were imported")).to_be_visible()
    http.ask("GET", "queues/%2F/imported").expect(200)

    broken = {"name": "broken.json", "mimeType": "application/json", "buffer": b"{"}
    page.get_by_label("File of definitions").set_input_files(broken)  # type: ignore[arg-type]
    expect(page.get_by_role("alert").filter(has_text="is not a JSON file of definitions")).to_be_visible()


def test_the_node_says_how_it_is(ui: Ui, http: Http) -> None:
    page = ui.open("node")
    expect(
        page.get_by_role("list").filter(has_text="All virtual hosts are running").get_by_label("passes")
    ).to_have_count(9)
    expect(page.get_by_role("table", name="Listeners")).to_contain_text("AMQP 0-9-1")
    expect(page.get_by_text("Memory use")).to_be_visible()
    page.get_by_role("link", name="Settings").click()
    page.get_by_label("Filter settings").fill("watermark")
    expect(page.get_by_role("table", name="Settings")).to_contain_text("0.6")
    page.get_by_role("link", name="Log", exact=True).click()
    page.get_by_label("Level of connection").select_option("debug")
    said(page, "is now debug")
    levels: Any = http.ask("POST", "leveret/verbs/show_log_levels", {}).json
    assert {each["area"]: each["level"] for each in levels["result"]}["connection"] == "debug"
    page.get_by_role("link", name="Features").click()
    expect(page.get_by_role("table", name="Exchange types")).to_contain_text("x-consistent-hash")


def test_statistics_begin_anew(ui: Ui) -> None:
    page = ui.open("node")
    page.get_by_role("button", name="Reset statistics").click()
    page.get_by_role("dialog").get_by_role("button", name="Reset statistics").click()
    said(page, "statistics were reset")


def test_others_see_only_what_they_may(browser: Browser, place: Place, http: Http) -> None:
    http.ask("PUT", "users/maker", {"password": "maker", "tags": "policymaker"}).expect(201, 204)
    http.ask("PUT", "permissions/%2F/maker", {"configure": ".*", "write": ".*", "read": ".*"}).expect(201, 204)
    with opened(browser, place.api, name="") as ui:
        ui.log_in("maker", "maker")
        page = ui.open("admin")
        expect(page.get_by_role("table", name="Virtual hosts")).to_be_visible()
        expect(page.get_by_role("link", name="Users")).to_have_count(0)
        expect(page.get_by_role("button", name="Add a virtual host")).to_have_count(0)
        page.get_by_role("link", name="Policies", exact=True).click()
        expect(page.get_by_role("button", name="Add a policy")).to_be_visible()
        page.get_by_role("link", name="Operator policies").click()
        expect(page.get_by_text("No operator policies")).to_be_visible()
        expect(page.get_by_role("button", name="Add an operator policy")).to_have_count(0)
        page = ui.open("admin/users")
        expect(page.get_by_text("need the tag administrator")).to_be_visible()
        page = ui.open("node")
        expect(page.get_by_text("need the tag monitoring")).to_be_visible()
