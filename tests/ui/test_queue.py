"""The page of a queue: what is done with it there, and what the page says afterwards."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.api.http import Http
from tests.ui.browser import Ui


@pytest.mark.smoke
def test_a_queue_is_paused_and_resumed(ui: Ui, http: Http) -> None:
    http.ask("PUT", "queues/%2F/paused", {"durable": True}).expect(201)
    page = ui.open("queues/%2F/paused")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".verdict")).to_have_text("It is paused")
    assert http.ask("GET", "queues/%2F/paused").json["paused"] is True  # type: ignore[index]
    page.locator("#content").get_by_role("button", name="Resume").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    assert "paused" not in http.ask("GET", "queues/%2F/paused").json  # type: ignore[operator]


def test_the_rate_of_a_queue_is_limited_and_its_limit_is_shown(ui: Ui, http: Http) -> None:
    http.ask("PUT", "queues/%2F/slow", {"durable": True}).expect(201)
    page = ui.open("queues/%2F/slow")
    for wanted, shown in (("5", "at most 5.0/s"), ("", None)):
        page.get_by_role("button", name="Limit rate").click()
        page.get_by_role("dialog").get_by_label("Messages per second").fill(wanted)
        page.get_by_role("dialog").get_by_role("button", name="Set").click()
        expect(page.get_by_role("dialog")).to_have_count(0)
        tag = page.locator(".tags").get_by_text("at most")
        if shown:
            expect(tag).to_have_text(shown)
            page.get_by_role("button", name="Limit rate").click()
            expect(page.get_by_role("dialog").get_by_label("Messages per second")).to_have_value(wanted)
            page.keyboard.press("Escape")
        else:
            expect(tag).to_have_count(0)
