"""docs/http-messaging.md: its examples are run one behind the other, and print what the page says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import leveret
from leveret.api import leases
from leveret.api.operations import OPERATIONS
from leveret.api.views import browsing, consuming, publishing
from tests.api.http import Http

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "http-messaging.md").read_text()
BLOCK = re.compile(r"```sh\n(.*?)```\n```text\n(.*?)```", re.DOTALL)
MADE_UP = re.compile(r'"id":"([\w-]+)","consumer_tag":"([^"]+)"')


@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl here")
def test_the_examples_print_what_the_page_says(managed: leveret.Broker, http: Http, tmp_path: Path) -> None:
    http.ask("PUT", "queues/%2F/orders", {"durable": True}).expect(201)
    http.ask("POST", "bindings/%2F/e/amq.topic/q/orders", {"routing_key": "orders.*"}).expect(201)
    (tmp_path / ".curlrc").write_text('silent\nwrite-out = "\\n"\n')  # as a shell shows it, with a line for each answer
    url = managed.management_url.replace("://", "://guest:guest@")
    environment = {**os.environ, "broker": f"{url}/api/leveret", "CURL_HOME": str(tmp_path)}
    names = {"ID": "", "TAG": ""}
    blocks = BLOCK.findall(PAGE)
    assert len(blocks) == 10
    for code, expected in blocks:
        code = code.replace("/ID", f"/{names['ID']}")
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", code], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done
        if found := MADE_UP.search(done.stdout):
            names = dict(zip(names, found.groups(), strict=True))
        for name, value in names.items():
            expected = expected.replace(f'"{name}"', f'"{value}"')
        assert [line for line in done.stdout.split("\n") if line] == expected.rstrip("\n").split("\n"), code


def test_the_page_has_all_parameters_and_paths() -> None:
    operations = [
        each
        for each in OPERATIONS
        if each.handler.__module__ in (browsing.__name__, consuming.__name__, publishing.__name__)
    ]
    assert len(operations) == 12
    for operation in operations:
        for name in operation.query:
            assert f"`{name}`" in PAGE or f"`{name}=" in PAGE or f"{name}=" in PAGE, name
        for status in (*operation.statuses, *operation.refuses):
            assert re.search(rf"\b{status}\b", PAGE) or status == 200, status
        assert operation.path.rpartition("/")[2].strip("{}") in PAGE
    for shape in (consuming.Wanted, consuming.Settlement):
        for name in shape.__struct_fields__:
            assert f"`{name}`" in PAGE, name


def test_the_page_has_the_bounds() -> None:
    bounds = (
        leases.MOST,
        leases.MOST_OF_USER,
        consuming.MOST_PREFETCH,
        consuming.MOST_TAGS,
        consuming.MOST_LEASE_S,
        consuming.MOST_WAIT_S,
        consuming.PREFETCH,
        consuming.LEASE_S,
        consuming.WAIT_S,
        publishing.MOST_LINES,
        browsing.COUNT,
        browsing.MOST,
    )
    for bound in bounds:
        assert re.search(rf"\b({bound}|{bound:,})\b", PAGE), bound


def test_links_lead_somewhere() -> None:
    for target, anchor in re.findall(r"\]\(([^)#]*)(?:#([^)]+))?\)", PAGE):
        path = DOCS / target
        assert path.exists(), target
        titles = [
            re.sub(r"[^\w -]", "", line).strip().lower().replace(" ", "-") for line in path.read_text().split("\n")
        ]
        assert not anchor or anchor in titles, (target, anchor)
