"""The files of the web UI: who gets them, how long they are kept, and what a browser may load."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from leveret.api.ui import FOLDER, LOOK_S, SHEETS, STYLES, WebUi
from tests.api.http import Http
from tests.api.place import Started

MOST = 320_000  # bytes of everything, compressed
MOST_FIRST = 120_000  # bytes that are loaded for the first page


@pytest.fixture(scope="module")
def nobody(started: Started) -> Http:
    """Who has not logged in."""
    return Http(started.place.api, user="")


def version(page: bytes) -> str:
    """The one that a page loads."""
    found = re.search(rb"/ui/([0-9a-f]{12})/", page)
    assert found
    return found[1].decode()


def test_the_page_is_for_anybody_and_is_looked_at_each_time(nobody: Http) -> None:
    page = nobody.ask("GET", "/").expect(200)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-cache"
    assert b"<title>Leveret</title>" in page.body
    assert nobody.ask("HEAD", "/").expect(200).body == b""
    assert nobody.ask("POST", "/").status == 405


def test_only_what_is_ours_may_run(nobody: Http) -> None:
    page = nobody.ask("GET", "/")
    early, imports = re.findall(rb'<script(?: type="importmap")?>(.*?)</script>', page.body, re.DOTALL)
    assert b"fetch" in early
    assert b"imports" in imports
    known = (base64.b64encode(hashlib.sha256(text).digest()).decode() for text in (early, imports))
    policy = page.headers["content-security-policy"]
    assert "script-src 'self' {};".format(" ".join(f"'sha256-{digest}'" for digest in known)) in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


def test_files_are_kept_for_good_under_the_version_of_all_of_them(nobody: Http) -> None:
    now = version(nobody.ask("GET", "/").body)
    kept = nobody.ask("GET", f"/ui/{now}/js/main.js").expect(200)
    assert kept.headers["content-type"] == "text/javascript; charset=utf-8"
    assert kept.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert kept.body == (FOLDER / "js" / "main.js").read_bytes()
    old = nobody.ask("GET", "/ui/000000000000/js/main.js").expect(200)
    assert old.headers["cache-control"] == "no-cache"


def test_files_are_compressed_for_who_can_read_that(nobody: Http) -> None:
    now = version(nobody.ask("GET", "/").body)
    packed = nobody.ask("GET", f"/ui/{now}/vendor/uplot.js", Accept_Encoding="gzip, br").expect(200)
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["vary"] == "Accept-Encoding"
    assert gzip.decompress(packed.body) == (FOLDER / "vendor" / "uplot.js").read_bytes()


@pytest.mark.parametrize(
    "path",
    [
        "nothing.js",
        "../api/ui.py",
        "%2e%2e/api/ui.py",
        "..%2fapi%2fui.py",
        "js/../../api/__init__.py",
        "/etc/passwd",
        "js",
        "",
        "vendor/vendor.toml",
        "js/main.js%00",
        "a" * 5000,
    ],
)
def test_nothing_else_is_there(nobody: Http, path: str) -> None:
    now = version(nobody.ask("GET", "/").body)
    assert nobody.ask("GET", f"/ui/{now}/{path}").status == 404


def test_behind_a_proxy_all_addresses_begin_with_its_prefix() -> None:
    with Started.start("--management-prefix", "/broker") as started:
        nobody = Http(started.place.api, user="")
        for path in ("/broker/", "/broker", "/"):  # a proxy may take the prefix away
            page = nobody.ask("GET", path).expect(200).body
            assert b'<meta name="leveret-prefix" content="/broker">' in page
            assert nobody.ask("GET", f"/broker/ui/{version(page)}/js/main.js").status == 200
            assert set(re.findall(rb'"(/[^"]*?)/ui/', page)) == {b"/broker"}


def test_whether_files_have_changed_is_looked_at_once_in_a_second(tmp_path: Path) -> None:
    seconds = 10.0
    (tmp_path / "index.html").write_text('<p>{base}/a.js" one')
    visitor = TestClient(Starlette(routes=WebUi("", tmp_path, lambda: seconds).routes()))
    first = version(visitor.get("/").content)
    (tmp_path / "index.html").write_text('<p>{base}/a.js" another')
    assert version(visitor.get("/").content) == first
    assert visitor.get("/ui/other/index.html").text.endswith("one")
    seconds += LOOK_S
    assert version(visitor.get("/").content) != first
    assert visitor.get("/").text.endswith("another")


def files(suffix: str) -> Iterator[Path]:
    """Those of the UI with a suffix."""
    return FOLDER.rglob(f"*{suffix}")


def test_what_is_from_others_is_as_it_was_published() -> None:
    listed = tomllib.loads((FOLDER / "vendor" / "vendor.toml").read_text())["file"]
    for each in listed:
        content = (FOLDER / "vendor" / each["name"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == each["sha256"], each["name"]
    there = {path.name for path in (FOLDER / "vendor").iterdir()}
    assert there == {each["name"] for each in listed} | {"vendor.toml", "LICENSES.txt"}


def packed(paths: Iterable[Path]) -> int:
    """Bytes of files, compressed."""
    return sum(len(gzip.compress(path.read_bytes())) for path in paths)


def test_all_of_it_is_small() -> None:
    everything = {path for suffix in (".js", ".css", ".html", ".py", ".svg") for path in files(suffix)}
    assert packed(everything) < MOST
    page = (FOLDER / "index.html").read_text()
    named = set(re.findall(r'(?:href|src)="\{base\}/([^"]+)"', page))
    first = {FOLDER / name for name in named - {STYLES} | set(SHEETS)}
    assert packed(first | {FOLDER / "index.html", FOLDER / "vendor" / "uplot.js"}) < MOST_FIRST


def test_every_module_that_is_imported_is_there() -> None:
    page = (FOLDER / "index.html").read_text()
    mapped = set(re.findall(r'"([^"]+)": "\{base\}', page))
    for path in files(".js"):
        if path.parent.name == "vendor":
            continue
        for name in map(
            "".join, re.findall(r'^import .*"([^"]+)";|import\("([^"]+)"\)', path.read_text(), re.MULTILINE)
        ):
            if name.startswith("."):
                assert (path.parent / name).is_file(), f"{path.name} imports {name}"
            else:
                assert name in mapped, f"{path.name} imports {name}"
    for name in re.findall(r'\{base\}/([^"]+)"', page):
        assert name == STYLES or (FOLDER / name).is_file(), name


def test_the_style_sheets_come_as_one_file(nobody: Http) -> None:
    now = version(nobody.ask("GET", "/").body)
    styles = nobody.ask("GET", f"/ui/{now}/{STYLES}").expect(200)
    assert styles.headers["content-type"] == "text/css; charset=utf-8"
    for sheet in files(".css"):
        assert sheet.read_bytes() in styles.body, sheet


def imported(path: Path, mapped: dict[str, Path]) -> set[Path]:
    """What a module needs before it runs, with all that these need."""
    found: set[Path] = set()
    waiting = [path]
    while waiting:
        module = waiting.pop()
        if module in found:
            continue
        found.add(module)
        for name in re.findall(r'(?:^import .*?|from)"([^"]+)"', module.read_text(), re.MULTILINE):
            waiting.append((module.parent / name).resolve() if name.startswith(".") else mapped[name])
    return found


def test_what_the_first_page_needs_is_loaded_at_once() -> None:
    page = (FOLDER / "index.html").read_text()
    mapped = {name: FOLDER / where for name, where in re.findall(r'"([^"]+)": "\{base\}/([^"]+)"', page)}
    scripts = {FOLDER / name for name in re.findall(r'<script type="module" src="\{base\}/([^"]+)"', page)}
    loaded = {FOLDER / name for name in re.findall(r'<link rel="modulepreload"[^>]* href="\{base\}/([^"]+)"', page)}
    first = (FOLDER / "js" / "main.js", FOLDER / "js" / "pages" / "overview.js")
    assert loaded | scripts == set.union(*(imported(path, mapped) for path in first))
