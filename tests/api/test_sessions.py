"""Browsers: sessions, and requests that another site has a browser send."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest

import leveret
from leveret.api import sessions
from leveret.api.sessions import LIFETIME_S, MOST_OF_USER, Sessions
from leveret.auth.passwords import salted
from tests.api.http import Http, Reply
from tests.brokers.process import Server, free_port
from tests.clients.socketless import make_broker

LOGIN = {"username": "guest", "password": "guest"}


class Browser:
    """Somebody with a cookie. token: for whatever changes something."""

    def __init__(self, api: str) -> None:
        self.nobody = Http(api, "")
        self.cookie = ""
        self.token = ""

    def log_in(self, **fields: str) -> Reply:
        """Begin a session."""
        reply = self.nobody.ask("POST", "leveret/session", {**LOGIN, **fields})
        if reply.status == 200:
            self.cookie = reply.headers["set-cookie"].partition(";")[0]
            said: Any = reply.json
            self.token = said["csrf_token"]
        return reply

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> Reply:
        """Ask with the cookie and the token."""
        given = {"Cookie": self.cookie, "X_CSRF_Token": self.token, **headers}
        return self.nobody.ask(method, path, body, **{name: text for name, text in given.items() if text})


@pytest.fixture
def browser(managed: leveret.Broker) -> Browser:
    found = Browser(managed.management_url)
    found.log_in().expect(200)
    return found


def test_a_session_has_a_cookie_that_pages_cannot_read(managed: leveret.Broker) -> None:
    reply = Browser(managed.management_url).log_in().expect(200)
    port = managed.management_url.rpartition(":")[2]
    cookie = rf"leveret-{port}=[\w-]{{43}}; Path=/; Max-Age=28800; HttpOnly; SameSite=Strict"
    assert re.fullmatch(cookie, reply.headers["set-cookie"])
    assert reply.headers["cache-control"] == "no-store"
    assert isinstance(reply.json, dict)
    assert (reply.json["name"], reply.json["tags"]) == ("guest", ["administrator"])
    assert reply.json["permissions"] == [{"vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}]
    assert re.fullmatch(r"[0-9a-f]{64}", reply.json["csrf_token"])


def test_a_form_begins_a_session_too(managed: leveret.Broker) -> None:
    nobody = Http(managed.management_url, "")
    form = {"Content_Type": "application/x-www-form-urlencoded; charset=utf-8"}
    nobody.ask("POST", "leveret/session", b"username=guest&password=guest", **form).expect(200)
    nobody.ask("POST", "leveret/session", b"username=guest", **form).expect(400)
    nobody.ask("POST", "leveret/session", b"&" * 100, **form).expect(400)
    nobody.ask("POST", "leveret/session", b"username=guest&password=%ff", **form).expect(401)


def test_a_wrong_password_begins_none(managed: leveret.Broker, http: Http) -> None:
    reply = Browser(managed.management_url).log_in(password="wrong").expect(401)
    assert "set-cookie" not in reply.headers
    assert "www-authenticate" not in reply.headers
    http.ask("PUT", "users/plain", {"password": "x", "tags": ""}).expect(201)
    Browser(managed.management_url).log_in(username="plain", password="x").expect(401)


def test_a_cookie_is_enough_to_look_and_changes_need_the_token(browser: Browser) -> None:
    assert browser.ask("GET", "whoami").expect(200).json == {
        "name": "guest",
        "tags": ["administrator"],
        "is_internal_user": True,
    }
    assert browser.ask("PUT", "vhosts/v").status == 201
    token, browser.token = browser.token, ""
    assert browser.ask("PUT", "vhosts/w").status == 403
    assert browser.ask("DELETE", "vhosts/v").status == 403
    assert browser.ask("POST", "definitions", {}).status == 403
    assert browser.ask("GET", "vhosts/w").status == 404
    browser.token = token[:-1] + ("0" if token[-1] != "0" else "1")
    assert browser.ask("DELETE", "vhosts/v").status == 403
    browser.token = "ä"
    assert browser.ask("DELETE", "vhosts/v").status == 403
    found: Any = browser.ask("GET", "leveret/session").expect(200).json
    assert found["csrf_token"] == token
    browser.token = token
    assert browser.ask("DELETE", "vhosts/v").status == 204


def test_the_token_of_another_session_is_of_no_use(managed: leveret.Broker, browser: Browser) -> None:
    other = Browser(managed.management_url)
    other.log_in().expect(200)
    browser.token = other.token
    assert browser.ask("PUT", "vhosts/v").status == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec_Fetch_Site": "same-origin", "Origin": "http://behind.a.proxy"}, 204),
        ({"Sec_Fetch_Site": "none"}, 204),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Origin": "http://elsewhere.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://[", "Host": "["}, 403),
        ({"Origin": "https://shown.example", "Host": "shown.example"}, 204),
        ({"Origin": "https://shown.example", "X_Forwarded_Host": "shown.example"}, 204),
    ],
)
def test_another_site_changes_nothing(browser: Browser, http: Http, headers: dict[str, str], status: int) -> None:
    for ask in (browser.ask, http.ask):  # browsers send passwords by themselves as well
        http.ask("PUT", "queues/%2F/q", {}).expect(201)
        assert ask("DELETE", "queues/%2F/q", **headers).status == status
        http.ask("DELETE", "queues/%2F/q").expect(204, 404)


def test_another_site_logs_nobody_in(managed: leveret.Broker) -> None:
    nobody = Http(managed.management_url, "")
    assert nobody.ask("POST", "leveret/session", LOGIN, Origin="http://elsewhere.example").status == 403


def test_other_sites_are_not_let_in(browser: Browser) -> None:
    for method in ("GET", "OPTIONS"):
        reply = browser.ask(method, "overview", Origin="http://elsewhere.example")
        assert not [name for name in reply.headers if name.startswith("access-control-")]


def test_a_session_ends_with_the_logout(browser: Browser) -> None:
    reply = browser.ask("DELETE", "leveret/session").expect(204)
    assert "Max-Age=0" in reply.headers["set-cookie"]
    ended = browser.ask("GET", "whoami").expect(401)
    assert "www-authenticate" not in ended.headers  # or the browser would ask for a password by itself


@pytest.mark.parametrize("change", ["password", "deletion", "tags"])
def test_a_session_ends_with_the_user(managed: leveret.Broker, http: Http, change: str) -> None:
    http.ask("PUT", "users/u", {"password": "one", "tags": "management"}).expect(201)
    browser = Browser(managed.management_url)
    browser.log_in(username="u", password="one").expect(200)
    browser.ask("GET", "whoami").expect(200)
    if change == "password":
        http.ask("PUT", "users/u", {"password": "two", "tags": "management"}).expect(204)
    elif change == "deletion":
        http.ask("DELETE", "users/u").expect(204)
        http.ask("PUT", "users/u", {"password": "one", "tags": "management"}).expect(201)
    else:
        http.ask("PUT", "users/u", {"password": "one", "tags": ""}).expect(204)
    browser.ask("GET", "whoami").expect(401)


class Hours:
    """A clock."""

    now_s = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.now_s


def test_sessions_are_bounded_in_time_and_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MOST", 30)
    users, clock = make_broker().users, Hours()
    kept = Sessions(users, clock)
    one, two = (users.put(name, salted("x"), ("management",)) for name in ("one", "two"))
    tokens = [kept.begin(one, "10.0.0.1") for _ in range(MOST_OF_USER + 1)]
    assert kept.find(tokens[0], "10.0.0.1") is None
    assert kept.find(tokens[1], "10.0.0.1") is not None
    others = [kept.begin(two, "10.0.0.1") for _ in range(11)]
    assert len(kept) == 30
    assert kept.find(tokens[1], "10.0.0.1") is None
    assert kept.find(others[0], "10.0.0.1") is not None
    clock.now_s += LIFETIME_S - 1
    assert kept.find(others[0], "10.0.0.1") is not None
    clock.now_s += 1
    assert kept.find(others[0], "10.0.0.1") is None
    kept.begin(one, "10.0.0.1")
    assert len(kept) == 1


def test_tokens_are_not_kept() -> None:
    users = make_broker().users
    kept = Sessions(users)
    token = kept.begin(users.put("u", salted("x")), "10.0.0.1")
    assert token not in repr(kept.__dict__)
    assert token.encode() not in repr(kept.__dict__).encode()


def test_a_session_of_this_machine_is_good_on_this_machine_alone() -> None:
    users = make_broker().users
    kept = Sessions(users)
    token = kept.begin(users.put("u", salted("x")), "127.0.0.1")
    assert kept.find(token, "10.0.0.1") is None
    assert kept.find(token, "::1") is not None


@pytest.fixture
def outside() -> Iterator[str]:
    """The API of a broker, at an address of this machine that is not its loopback; no such address skips the test."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address of its own")
        address = probe.getsockname()[0]
    if address.startswith("127."):
        pytest.skip("this machine has no address of its own")
    port = free_port("0.0.0.0")
    server = Server.start("--memory", "--management-host", "0.0.0.0", "--management-port", str(port))
    yield f"http://{address}:{port}"
    server.stop()


def test_guest_comes_from_this_machine_alone_whatever_a_proxy_says(outside: str) -> None:
    believed = {"X_Forwarded_For": "127.0.0.1", "Forwarded": "for=127.0.0.1", "X_Real_IP": "127.0.0.1"}
    assert Http(outside).ask("GET", "overview", **believed).status == 401
    assert Http(outside, "").ask("POST", "leveret/session", LOGIN, **believed).status == 401
    here = outside.replace(outside.split("/")[2].partition(":")[0], "127.0.0.1")
    assert Http(here).ask("GET", "overview", X_Forwarded_For="10.0.0.1").status == 200
