"""The overview and the queues: what needs somebody, and where it is."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.api.place import Place
from tests.ui.browser import Ui


@pytest.mark.smoke
def test_the_overview_says_what_is_wrong_and_leads_there(shop: Place, ui: Ui) -> None:
    page = ui.open()
    attention = page.get_by_role("list", name="What needs attention")
    row = attention.get_by_role("listitem").filter(has_text="mails.newsletter")
    expect(row).to_contain_text(re.compile("1,200 messages and no consumers|has no consumers"))
    row.get_by_role("link", name="Show").click()
    expect(page).to_have_url(f"{ui.url}/#/queues/%2F/mails.newsletter")
    expect(page.get_by_role("heading", name="mails.newsletter")).to_be_visible()


def test_an_empty_broker_says_what_to_do_first(ui: Ui, place: Place) -> None:
    page = ui.open("queues/%2F/nowhere")
    ui.expected.add(404)
    expect(page.get_by_role("alert")).to_contain_text("This queue no longer exists.")
