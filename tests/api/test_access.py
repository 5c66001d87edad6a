"""Who may do what: every operation of the table, as users with each tag, as nobody and as somebody unknown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from leveret.api.access import Access
from leveret.api.operation import PARAMETER, Operation
from leveret.api.operations import OPERATIONS
from tests.api.http import Http
from tests.api.place import Place, Started
from tests.clients.waiting import eventually

PASSWORD = "secret"
VHOST = "matrix"
MAY = {
    "administrator": {Access.MANAGEMENT, Access.POLICYMAKER, Access.MONITORING, Access.ADMINISTRATOR},
    "monitoring": {Access.MANAGEMENT, Access.MONITORING},
    "policymaker": {Access.MANAGEMENT, Access.POLICYMAKER},
    "management": {Access.MANAGEMENT},
    "impersonator": set(),
    "": set(),
}
REASONS = {
    Access.MANAGEMENT: "Not management user",
    Access.POLICYMAKER: "User not authorised to access object",
    Access.MONITORING: "Not monitor user",
    Access.ADMINISTRATOR: "Not administrator user",
}
BY_ALL_WHO_LOG_IN = {
    ("DELETE", "/bindings/{vhost}/e/{source}/{dtype}/{destination}/{props}"),
    ("DELETE", "/connections/username/{username}"),
    ("DELETE", "/connections/{connection}"),
    ("DELETE", "/exchanges/{vhost}/{exchange}"),
    ("DELETE", "/queues/{vhost}/{queue}"),
    ("DELETE", "/queues/{vhost}/{queue}/contents"),
    ("DELETE", "/leveret/queues/{vhost}/{queue}/held/{id}"),
    ("POST", "/bindings/{vhost}/e/{source}/{dtype}/{destination}"),
    ("POST", "/exchanges/{vhost}/{exchange}/publish"),
    ("POST", "/leveret/queues/{vhost}/{queue}/encoded"),
    ("POST", "/leveret/queues/{vhost}/{queue}/messages/act"),
    ("POST", "/leveret/queues/{vhost}/{queue}/messages/search"),
    ("POST", "/queues/{vhost}/{queue}/actions"),
    ("POST", "/queues/{vhost}/{queue}/get"),
    ("PUT", "/exchanges/{vhost}/{exchange}"),
    ("PUT", "/queues/{vhost}/{queue}"),
}
"""What changes something and needs no more than permissions in the virtual host."""
LISTS = {
    ("POST", f"/leveret/verbs/{verb}")
    for verb in ("list_vhosts", "list_vhost_limits", "list_policies", "list_operator_policies", "show_status")
}
"""Verbs that change nothing."""
READING = {("POST", "/leveret/explain/{vhost}")}
"""What changes nothing, whatever its method."""
TOLD = [
    pytest.param(operation, id=f"{operation.method} {operation.path}")
    for operation in OPERATIONS
    if operation.path != "/leveret/events"  # which goes on and on; see test_events.py
]


def where(operation: Operation, user: str = "nothing") -> str:
    """A path of an operation, to what does not exist; but for connections, to those of a user."""
    return PARAMETER.sub("nothing", operation.path.replace("{username}", user)).removeprefix("/")


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """A broker of its own, whose administrators do everything that can be done; with a user for each tag."""
    with Started.start() as started:
        http = Http(started.place.api)
        http.ask("PUT", f"vhosts/{VHOST}").expect(201)
        for tag in MAY:
            http.ask("PUT", f"users/a-{tag}", {"password": PASSWORD, "tags": tag}).expect(201)
        for tag in MAY:
            body = {"configure": "^own", "write": ".*", "read": ".*"}
            http.ask("PUT", f"permissions/{VHOST}/a-{tag}", body).expect(201)
        yield started.place


def someone(place: Place, tag: str) -> Http:
    """The user with a tag."""
    return Http(place.api, f"a-{tag}", PASSWORD)


@pytest.mark.parametrize("operation", TOLD)
def test_tags_decide(place: Place, operation: Operation) -> None:
    for tag, may in MAY.items():
        reply = someone(place, tag).ask(operation.method, where(operation, f"a-{tag}"))
        body: Any = reply.json if reply.body and reply.headers["content-type"] == "application/json" else None
        refused = isinstance(body, dict) and body.get("error") == "not_authorised"
        if operation.access in (Access.ANYBODY, Access.USER) or operation.access in may:
            assert not refused, (tag, body)
            assert reply.status < 500 or reply.status == 503, (tag, body)
        else:
            assert (reply.status, refused) == (401, True), tag
            needed = operation.access if Access.MANAGEMENT in may else Access.MANAGEMENT
            assert body["reason"] == REASONS[needed], tag


@pytest.mark.parametrize("operation", TOLD)
def test_nobody_may_do_nothing_but_what_needs_no_login(place: Place, operation: Operation) -> None:
    reply = Http(place.api, "").ask(operation.method, where(operation))
    if operation.access is Access.ANYBODY:
        assert "www-authenticate" not in reply.headers
    else:
        assert (reply.status, reply.body) == (401, b"")
        assert reply.headers["www-authenticate"].startswith("Basic realm=")


def test_what_needs_no_login() -> None:
    open_to_all = {(each.method, each.path) for each in OPERATIONS if each.access is Access.ANYBODY}
    checks = ("is-in-service", "below-node-connection-limit", "ready-to-serve-clients")
    assert open_to_all == {
        ("GET", "/version"),
        ("GET", "/openapi.json"),
        ("POST", "/login"),
        ("DELETE", "/login"),
        ("POST", "/leveret/session"),
        ("GET", "/leveret/live"),
        ("GET", "/leveret/ready"),
        *(("GET", f"/health/checks/{name}") for name in checks),
    }


def test_messages_are_for_all_who_log_in() -> None:
    consumer = "/leveret/consumers/{consumer}"
    assert {(each.method, each.path) for each in OPERATIONS if each.access is Access.USER} == {
        ("POST", "/leveret/exchanges/{vhost}/{exchange}/messages"),
        ("POST", "/leveret/exchanges/{vhost}/{exchange}/batch"),
        ("POST", "/leveret/queues/{vhost}/{queue}/messages"),
        ("GET", "/leveret/queues/{vhost}/{queue}/messages"),
        ("POST", "/leveret/queues/{vhost}/{queue}/receive"),
        ("POST", "/leveret/queues/{vhost}/{queue}/consumers"),
        ("GET", "/leveret/consumers"),
        ("GET", consumer),
        ("DELETE", consumer),
        ("POST", f"{consumer}/receive"),
        ("GET", f"{consumer}/events"),
        ("POST", f"{consumer}/acks"),
    }


def test_what_changes_something_needs_a_tag_or_permissions() -> None:
    easy = {
        (each.method, each.path)
        for each in OPERATIONS
        if each.method != "GET" and each.access in (Access.MANAGEMENT, Access.MONITORING)
    }
    counters = {("DELETE", "/auth/attempts/{node}"), ("DELETE", "/auth/attempts/{node}/source")}
    assert easy == BY_ALL_WHO_LOG_IN | LISTS | READING | counters | {("DELETE", "/leveret/session")}


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
def test_a_virtual_host_without_permission_is_as_if_it_were_not_there(place: Place, method: str) -> None:
    Http(place.api).ask("PUT", "vhosts/closed").expect(201, 204)
    Http(place.api).ask("PUT", "queues/closed/own", {}).expect(201, 204)
    paths = {"GET": "queues/closed/own", "PUT": "queues/closed/own2", "DELETE": "queues/closed/own"}
    path = paths.get(method, "queues/closed/own/get")
    for tag in ("management", "policymaker", "monitoring"):
        body: object = {} if method in ("PUT", "POST") else None
        someone(place, tag).ask(method, path, body).expect(404)
    http = Http(place.api)
    http.ask("GET", "queues/closed/own").expect(200)
    http.ask("GET", "queues/closed/own2").expect(404)


def test_lists_have_what_may_be_entered(place: Place) -> None:
    http = Http(place.api)
    http.ask("PUT", "vhosts/closed").expect(201, 204)
    http.ask("PUT", "queues/closed/hidden", {}).expect(201, 204)
    http.ask("PUT", f"queues/{VHOST}/seen", {}).expect(201, 204)
    http.ask("DELETE", "permissions/closed/guest").expect(204, 404)
    for tag in ("administrator", "monitoring", "management"):
        user = someone(place, tag)
        queues: Any = user.ask("GET", "queues?columns=name").json
        names = {queue["name"] for queue in queues}
        assert "seen" in names
        assert ("hidden" in names) == (tag == "administrator")
        vhosts: Any = user.ask("GET", "vhosts").json
        assert ("closed" in {vhost["name"] for vhost in vhosts}) == (tag != "management")


def test_permissions_of_the_virtual_host_count(place: Place) -> None:
    user = someone(place, "management")
    user.ask("PUT", f"queues/{VHOST}/own", {}).expect(201)
    reply = user.ask("PUT", f"queues/{VHOST}/other", {}).expect(401)
    assert "configure access to queue 'other'" in str(reply.json)
    user.ask("PUT", f"exchanges/{VHOST}/other", {"type": "direct"}).expect(401)
    user.ask("DELETE", f"queues/{VHOST}/own").expect(204)


def test_connections_are_for_their_users_and_for_monitors(place: Place) -> None:
    with (
        place.connect(VHOST, "mine", "a-management", PASSWORD) as mine,
        place.connect(VHOST, "theirs", "a-policymaker", PASSWORD) as theirs,
    ):
        channels = [mine.channel(), theirs.channel()]
        own = someone(place, "management")

        def told(user: Http, what: str, key: str) -> list[str]:
            found: Any = user.ask("GET", what).json
            return sorted(each[key] for each in found)

        assert told(own, "connections", "user") == ["a-management"]
        assert told(own, "channels", "user") == ["a-management"]
        assert told(someone(place, "monitoring"), "connections", "user") == ["a-management", "a-policymaker"]
        assert told(someone(place, "administrator"), "channels", "user") == ["a-management", "a-policymaker"]
        everything: Any = Http(place.api).ask("GET", "connections").json
        names = {each["user"]: each["name"].replace(" ", "%20").replace(">", "%3E") for each in everything}
        own.ask("GET", f"connections/{names['a-management']}").expect(200)
        own.ask("GET", f"connections/{names['a-policymaker']}").expect(401)
        own.ask("DELETE", f"connections/{names['a-policymaker']}").expect(401)
        someone(place, "monitoring").ask("DELETE", f"connections/{names['a-policymaker']}").expect(401)
        own.ask("DELETE", "connections/username/a-policymaker").expect(401)
        assert len(told(Http(place.api), "connections", "user")) == 2
        own.ask("DELETE", f"connections/{names['a-management']}").expect(204)
        Http(place.api).ask("DELETE", "connections/username/a-policymaker").expect(204)
        assert told(Http(place.api), "connections", "state") == ["closing", "closing"]  # until their clients know
        assert len(channels) == 2


def test_consumers_are_for_whoever_has_the_connection(place: Place) -> None:
    Http(place.api).ask("PUT", f"queues/{VHOST}/eaten", {"durable": True}).expect(201, 204)
    with place.connect(VHOST, "", "a-policymaker", PASSWORD) as theirs:
        theirs.channel().basic_consume("eaten", lambda *_: None, consumer_tag="eater")
        for tag, expected in (("management", 0), ("policymaker", 1), ("monitoring", 1), ("administrator", 1)):
            found: Any = someone(place, tag).ask("GET", f"consumers/{VHOST}").json
            assert len(found) == expected, tag


def test_methods_that_there_are_not(place: Place) -> None:
    http = Http(place.api)
    assert http.ask("PATCH", "queues").expect(405).headers["allow"] == "HEAD, GET, OPTIONS"
    assert http.ask("GET", "login").expect(405).headers["allow"] == "POST, DELETE, OPTIONS"
    assert Http(place.api, "").ask("OPTIONS", "queues/%2F/q").expect(200).headers["allow"] == (
        "HEAD, GET, PUT, DELETE, OPTIONS"
    )
    reply = http.ask("HEAD", "queues").expect(200)
    assert reply.body == b""
    assert http.ask("GET", "queues").headers["content-type"] == reply.headers["content-type"]


@pytest.mark.parametrize(
    "header", ["", "Basic", "Basic !", "Basic Z3Vlc3Q=", "Bearer Z3Vlc3Q6Z3Vlc3Q=", "Basic /zo=", "x" * 5_000]
)
def test_credentials_that_are_none(place: Place, header: str) -> None:
    headers = {"Authorization": header} if header else {}
    assert Http(place.api, "").ask("GET", "whoami", **headers).status == 401


def test_a_wrong_password(place: Place) -> None:
    reply = Http(place.api, "guest", "wrong", "127.0.0.9").ask("GET", "whoami").expect(401)
    assert reply.json == {"error": "not_authorized", "reason": "Not_Authorized"}


def test_the_form_of_the_web_ui(place: Place) -> None:
    nobody = Http(place.api, "")
    form = "application/x-www-form-urlencoded"

    def enter(body: bytes, source: str = "") -> Any:
        reply = Http(place.api, "", "", source).ask("POST", "login", body, Content_Type=form)
        return reply.status, reply.json

    assert enter(b"username=a-management&password=secret") == (
        200,
        {
            "user": {"name": "a-management", "tags": ["management"], "is_internal_user": True},
            "token": {"type": "basic", "value": "YS1tYW5hZ2VtZW50OnNlY3JldA=="},
        },
    )
    refused = (401, {"error": "not_authorized", "reason": "Not_Authorized"})
    assert enter(b"username=a-management&password=wrong", "127.0.0.10") == refused
    assert enter(b"username=a-management") == enter(b"\xff") == enter(b"") == refused
    assert enter(b"&".join(b"a=b" for _ in range(100))) == refused
    assert enter(b"username=a-&password=secret") == (
        401,
        {"error": "not_authorised", "reason": "Not management user"},
    )
    nobody.ask("DELETE", "login").expect(204)


def test_attempts_to_log_in_are_counted_by_protocol(place: Place) -> None:
    http = Http(place.api)
    nodes: Any = http.ask("GET", "nodes").json
    path = f"auth/attempts/{nodes[0]['name']}"

    def told() -> dict[str, tuple[int, int, int]]:
        found: Any = http.ask("GET", path).json
        names = ("auth_attempts", "auth_attempts_succeeded", "auth_attempts_failed")
        return {each["protocol"]: tuple(each[name] for name in names) for each in found}

    http.ask("DELETE", path).expect(204)
    assert told() == {"http": (1, 1, 0), "amqp091": (0, 0, 0)}
    Http(place.api, "guest", "wrong", "127.0.0.11").ask("GET", "whoami").expect(401)
    Http(place.api, "").ask("GET", "whoami").expect(401)
    with place.connect(), pytest.raises(Exception, match="ACCESS_REFUSED"), place.connect(password="wrong"):
        pass
    assert told() == {"http": (3, 2, 1), "amqp091": (2, 1, 1)}
    assert http.ask("GET", f"{path}/source").json == []
    http.ask("GET", "auth/attempts/nowhere").expect(404)


def test_totals_are_those_of_what_may_be_seen(place: Place) -> None:
    http = Http(place.api)
    http.ask("PUT", "vhosts/counted").expect(201)
    http.ask("PUT", "users/a-counter", {"password": PASSWORD, "tags": "management"}).expect(201)
    body = {"configure": ".*", "write": ".*", "read": ".*"}
    http.ask("PUT", "permissions/counted/a-counter", body).expect(201)
    for vhost, count in (("counted", 3), (VHOST, 4)):
        http.ask("PUT", f"queues/{vhost}/totals", {"durable": True}).expect(201)
        for _ in range(count):
            message = {"properties": {}, "routing_key": "totals", "payload": "x", "payload_encoding": "string"}
            http.ask("POST", f"exchanges/{vhost}/amq.default/publish", message).expect(200)

    def told(user: Http) -> tuple[int, int, int]:
        found: Any = user.ask("GET", "overview").expect(200).json
        return found["object_totals"]["queues"], found["queue_totals"]["messages"], found["message_stats"]["publish"]

    eventually(lambda: told(Http(place.api, "a-counter", PASSWORD)) == (1, 3, 3))
    for tag in ("administrator", "monitoring"):
        user = someone(place, tag)
        eventually(lambda user=user: all(map(int.__ge__, told(user), (2, 7, 7))))  # type: ignore[misc]
    http.ask("DELETE", f"queues/{VHOST}/totals").expect(204)
    http.ask("DELETE", "vhosts/counted").expect(204)


def test_a_virtual_host_that_an_administrator_may_only_look_at(place: Place) -> None:
    http = Http(place.api)
    http.ask("PUT", "vhosts/looked-at").expect(201)
    http.ask("PUT", "queues/looked-at/q", {"durable": True}).expect(201)
    user = someone(place, "administrator")
    assert user.ask("GET", "queues/looked-at/q").expect(200)
    get = {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}
    for method, path, body in (
        ("PUT", "queues/looked-at/new", {}),
        ("POST", "queues/looked-at/q/get", get),
        ("DELETE", "queues/looked-at/q", None),
        ("GET", "aliveness-test/looked-at", None),
    ):
        assert "access to vhost 'looked-at' refused" in str(user.ask(method, path, body).expect(401).json)
    http.ask("DELETE", "vhosts/looked-at").expect(204)


def test_reading_that_is_refused(place: Place) -> None:
    http = Http(place.api)
    http.ask("PUT", "users/a-writer", {"password": PASSWORD, "tags": "management"}).expect(201)
    body = {"configure": "", "write": "^$", "read": "^$"}
    http.ask("PUT", f"permissions/{VHOST}/a-writer", body).expect(201)
    http.ask("PUT", f"queues/{VHOST}/shut", {"durable": True}).expect(201)
    user = Http(place.api, "a-writer", PASSWORD)
    get = {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}
    assert "read access to queue 'shut'" in str(user.ask("POST", f"queues/{VHOST}/shut/get", get).expect(401).json)
    message = {"properties": {}, "routing_key": "shut", "payload": "x", "payload_encoding": "string"}
    reply = user.ask("POST", f"exchanges/{VHOST}/amq.default/publish", message).expect(400)
    assert "403 ACCESS_REFUSED - write access to exchange 'amq.default'" in str(reply.json)
    http.ask("DELETE", f"queues/{VHOST}/shut").expect(204)
