"""What RabbitMQ and Leveret are asked, in this order, while tests/api/scene.py is played."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.api.http import Http
from tests.api.scene import PASSWORD, VHOST, path

V = VHOST
NOBODY = "nobody"
STRANGER = "stranger"


@dataclass(frozen=True)
class Question:
    """One request. path: below /api, with {connection}, {channel} and {node} for names that differ. user: who asks."""

    method: str
    path: str
    body: Any = None
    user: str = "guest"

    def __str__(self) -> str:
        who = "" if self.user == "guest" else f" as {self.user}"
        body = "" if self.body is None else f" {self.body}"
        return f"{self.method} {self.path}{body}{who}"


def http_of(api: str, user: str, number: int = 0) -> Http:
    """Who asks. NOBODY has no credentials. STRANGER has wrong ones, and an address for each question, by its number:
    whoever fails again and again from one address has to wait.
    """
    if user == NOBODY:
        return Http(api, "")
    if user == STRANGER:
        return Http(api, user, "wrong", f"127.0.{1 + number // 250}.{1 + number % 250}")
    return Http(api, user, "guest" if user == "guest" else PASSWORD)


LOOKED_AT = (
    "overview",
    "overview?columns=object_totals.queues,queue_totals",
    "overview?lengths_age=60&lengths_incr=1&msg_rates_age=60&msg_rates_incr=1&data_rates_age=60&data_rates_incr=1",
    "cluster-name",
    "nodes",
    "nodes/{node}",
    "nodes/{node}?memory=true",
    "nodes/{node}/memory",
    "nodes/{node}/memory/relative",
    "nodes/nowhere@nowhere",
    "extensions",
    "connections",
    "connections?page=1&page_size=1&name=&use_regex=false&sort=user_provided_name&sort_reverse=true",
    "connections/{connection}",
    "connections/{connection}?data_rates_age=60&data_rates_incr=1",
    "connections/{connection}/channels",
    "connections/nothing",
    "connections/username/guest",
    "connections/username/man",
    f"vhosts/{V}/connections",
    f"vhosts/{V}/channels",
    "channels",
    "channels?page=1&page_size=100&sort=number",
    "channels/{channel}",
    "channels/{channel}?msg_rates_age=60&msg_rates_incr=1",
    "channels/nothing",
    "consumers",
    f"consumers/{V}",
    "consumers/nowhere",
    "exchanges",
    f"exchanges/{V}",
    f"exchanges/{V}?page=1&page_size=3&sort=type&name=e&use_regex=false",
    f"exchanges/{V}/events",
    f"exchanges/{V}/events?msg_rates_age=60&msg_rates_incr=1",
    f"exchanges/{V}/amq.default",
    f"exchanges/{V}/nothing",
    "exchanges/nowhere",
    f"exchanges/{V}/events/bindings/source",
    f"exchanges/{V}/inner/bindings/destination",
    f"exchanges/{V}/nothing/bindings/source",
    "queues",
    "queues/detailed",
    f"queues/{V}",
    f"queues/{V}?disable_stats=true&enable_queue_totals=true",
    f"queues/{V}?disable_stats=true",
    f"queues/{V}?columns=name,arguments.x-max-length,messages_details.rate",
    f"queues/{V}?sort=name&sort_reverse=true&columns=name",
    f"queues/{V}?sort=arguments.x-max-length&columns=name",
    f"queues/{V}?page=1",
    f"queues/{V}?page=2&page_size=2&columns=name",
    f"queues/{V}?page=9&page_size=100",
    f"queues/{V}?page=1&page_size=1000",
    f"queues/{V}?page=0",
    f"queues/{V}?page=x",
    f"queues/{V}?page=1&name=(&use_regex=true",
    f"queues/{V}?page=1&use_regex=true&pagination=false&name=^ord.*$&columns=name",
    f"queues/{V}?name=ord&columns=name",
    "queues/nowhere",
    f"queues/{V}/orders",
    f"queues/{V}/orders?lengths_age=60&lengths_incr=1&msg_rates_age=60&msg_rates_incr=1",
    f"queues/{V}/orders?columns=name",
    f"queues/{V}/mine",
    f"queues/{V}/ledger",
    f"queues/{V}/urgent",
    f"queues/{V}/idle",
    f"queues/{V}/with%2Fslash%20and%20%C3%BC",
    f"queues/{V}/nothing",
    f"queues/{V}/orders/bindings",
    f"queues/{V}/nothing/bindings",
    "bindings",
    f"bindings/{V}",
    f"bindings/{V}/e/events/q/orders",
    f"bindings/{V}/e/events/q/orders/order.%2A",
    f"bindings/{V}/e/events/q/orders/~",
    f"bindings/{V}/e/events/q/orders/nothing",
    f"bindings/{V}/e/events/e/inner",
    f"bindings/{V}/e/events/q/nothing",
    f"bindings/{V}/e/byhead/q/urgent",
    "vhosts",
    f"vhosts/{V}",
    f"vhosts/{V}?lengths_age=60&lengths_incr=1&msg_rates_age=60&msg_rates_incr=1&data_rates_age=60&data_rates_incr=1",
    "vhosts/nowhere",
    f"vhosts/{V}/permissions",
    f"vhosts/{V}/topic-permissions",
    "vhosts/nowhere/permissions",
    "users",
    "users/man",
    "users/nothing",
    "users/without-permissions",
    "users/man/permissions",
    "users/man/topic-permissions",
    "users/nothing/permissions",
    "whoami",
    "permissions",
    f"permissions/{V}/man",
    f"permissions/{V}/nothing",
    "topic-permissions",
    f"topic-permissions/{V}/man",
    f"topic-permissions/{V}/man/events",
    "parameters",
    "parameters/shovel",
    f"parameters/shovel/{V}",
    f"parameters/shovel/{V}/nothing",
    "global-parameters",
    "global-parameters/motto",
    "global-parameters/nothing",
    "policies",
    f"policies/{V}",
    f"policies/{V}/ceiling",
    f"policies/{V}/nothing",
    "operator-policies",
    f"operator-policies/{V}",
    f"operator-policies/{V}/floor",
    "vhost-limits",
    f"vhost-limits/{V}",
    "vhost-limits/nowhere",
    "user-limits",
    "user-limits/man",
    "user-limits/nothing",
    "feature-flags",
    "deprecated-features",
    "deprecated-features/used",
    "definitions",
    f"definitions/{V}",
    "definitions/nowhere",
    "health/checks/alarms",
    "health/checks/local-alarms",
    "health/checks/certificate-expiration/1/days",
    "health/checks/certificate-expiration/1/parsecs",
    "health/checks/port-listener/1",
    "health/checks/port-listener/x",
    "health/checks/protocol-listener/amqp",
    "health/checks/protocol-listener/mqtt",
    "health/checks/virtual-hosts",
    "health/checks/node-is-quorum-critical",
    "health/checks/is-in-service",
    "health/checks/below-node-connection-limit",
    "health/checks/ready-to-serve-clients",
    "health/checks/reached-target-cluster-size",
    "health/checks/metadata-store/initialized",
    "health/checks/metadata-store/initialized/with-data",
    "health/checks/quorum-queues-without-elected-leaders/all-vhosts/",
    f"health/checks/quorum-queues-without-elected-leaders/vhost/{V}/",
    "healthchecks/node",
    f"aliveness-test/{V}",
    "aliveness-test/nowhere",
    "auth/attempts/{node}",
    "auth/attempts/{node}/source",
    "auth/hash_password/secret",
    "version",
    "login",
    "auth",
    "auth/attempts/nothing",
    "nodes/{node}/memory/ets",
    "nodes/nowhere/memory/ets",
    "connections/{connection}/sessions",
    "connections/nothing/sessions",
    "users/guest/queues",
    "users/nothing/queues",
    f"queues/quorum/{V}/ledger/status",
    f"queues/quorum/{V}/orders/status",
    f"queues/quorum/{V}/nothing/status",
    "federation-links",
    f"federation-links/{V}",
    "shovels",
    f"shovels/{V}",
    "nothing",
)

BY_ANYBODY = (
    "overview",
    "nodes",
    "connections",
    "channels",
    "consumers",
    "exchanges",
    "queues",
    f"queues/{V}",
    "queues/closed",
    "bindings",
    "vhosts",
    "vhosts/closed",
    "users",
    "users/man",
    "whoami",
    "permissions",
    "users/man/permissions",
    "parameters",
    "global-parameters",
    "policies",
    f"policies/{V}",
    "operator-policies",
    "vhost-limits",
    "user-limits",
    "definitions",
    f"definitions/{V}",
    "feature-flags",
    "deprecated-features",
    "extensions",
    "health/checks/alarms",
    "health/checks/is-in-service",
    "auth/attempts/{node}",
    "auth/hash_password/secret",
    "users/guest/queues",
    f"queues/quorum/{V}/ledger/status",
    "federation-links",
    "shovels",
    "cluster-name",
    "version",
)
WHO = ("mon", "man", "pol", "nob", STRANGER, NOBODY)


def _elsewhere() -> Iterator[Question]:
    """In a virtual host where whoever asks has no permission."""
    yield Question("PUT", "queues/closed/own", {"durable": True})
    message = {"properties": {}, "routing_key": "own", "payload": "hello", "payload_encoding": "string"}
    get = {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}
    for user in ("adm", "mon", "man", "pol"):
        for method, where, body in (
            ("GET", "queues?columns=name,vhost", None),
            ("GET", "queues/closed/own?columns=name", None),
            ("GET", "queues/closed/own/bindings", None),
            ("GET", "exchanges/closed?columns=name", None),
            ("GET", "bindings/closed", None),
            ("GET", "consumers/closed", None),
            ("GET", "vhosts/closed/connections", None),
            ("GET", "vhosts/closed/channels", None),
            ("GET", "policies/closed", None),
            ("GET", "operator-policies/closed", None),
            ("GET", "vhost-limits/closed", None),
            ("GET", "parameters/shovel/closed", None),
            ("GET", "definitions/closed", None),
            ("GET", "aliveness-test/closed", None),
            ("GET", "health/checks/quorum-queues-without-elected-leaders/vhost/closed/", None),
            ("PUT", "queues/closed/new", {"durable": True}),
            ("PUT", "exchanges/closed/new", {"type": "direct"}),
            ("POST", "bindings/closed/e/amq.topic/q/own", {}),
            ("POST", "exchanges/closed/amq.default/publish", message),
            ("POST", "queues/closed/own/get", get),
            ("DELETE", "queues/closed/own/contents", None),
            ("DELETE", "queues/closed/own", None),
            ("DELETE", "exchanges/closed/amq.topic", None),
        ):
            yield Question(method, where, body, user)


def _changes() -> Iterator[Question]:
    def q(method: str, where: str, body: Any = None, user: str = "guest") -> Question:
        return Question(method, where, body, user)

    # queues
    queue = f"queues/{V}/new"
    yield q("PUT", queue, {"durable": True, "auto_delete": False, "arguments": {}})
    yield q("PUT", queue, {"durable": True, "auto_delete": False, "arguments": {}})
    yield q("PUT", queue, {"durable": False})
    yield q("PUT", queue, {"durable": True, "arguments": {"x-max-length": "many"}})
    yield q("PUT", f"queues/{V}/other", {"durable": "yes"})
    yield q("PUT", f"queues/{V}/other", {"arguments": {"x-max-length": -1}})
    yield q("PUT", f"queues/{V}/other", {"arguments": {"x-message-ttl": "abc"}})
    yield q("PUT", f"queues/{V}/other", {"arguments": {"x-queue-type": "nonsense"}})
    yield q("PUT", f"queues/{V}/other", {"arguments": []})
    yield q("PUT", f"queues/{V}/amq.mine", {})
    yield q("PUT", f"queues/{V}/empty", {})
    yield q("GET", f"queues/{V}/empty?columns=name,durable,auto_delete,exclusive,arguments,type")
    yield q("PUT", f"queues/{V}/bare", b"")
    yield q("PUT", f"queues/{V}/broken", b"{")
    yield q("PUT", f"queues/{V}/list", b"[]")
    yield q("PUT", "queues/nowhere/new", {})
    yield q("PUT", f"queues/{V}/elsewhere", {"node": "other@place"})
    yield q("PUT", f"queues/{V}/{'n' * 256}", {})
    yield q("PUT", f"queues/{V}/ownone", {}, "man")
    yield q("PUT", f"queues/{V}/forbidden", {}, "man")
    yield q("PUT", "queues/closed/ownone", {}, "man")
    yield q("DELETE", f"queues/{V}/ownone?if-empty=true&if-unused=true", None, "man")
    yield q("DELETE", f"queues/{V}/urgent?if-unused=true")
    yield q("DELETE", f"queues/{V}/mine")
    yield q("DELETE", f"queues/{V}/nothing")
    yield q("DELETE", f"queues/{V}/empty")
    yield q("DELETE", f"queues/{V}/bare")
    yield q("POST", queue, {})
    yield q("PATCH", queue, {})
    yield q("DELETE", f"queues/{V}/nothing/contents")
    yield q("POST", f"{queue}/actions", {"action": "sync"})
    yield q("POST", f"{queue}/actions", {"action": "dance"})
    yield q("POST", f"{queue}/actions", {})
    # publish and get
    publish = f"exchanges/{V}/amq.default/publish"
    message = {"properties": {}, "routing_key": "new", "payload": "hello", "payload_encoding": "string"}
    full = {
        "delivery_mode": 2,
        "priority": 3,
        "content_type": "text/plain",
        "content_encoding": "utf-8",
        "correlation_id": "c",
        "reply_to": "r",
        "expiration": "60000",
        "message_id": "m",
        "timestamp": 1700000000,
        "type": "t",
        "user_id": "guest",
        "app_id": "a",
        "headers": {"s": "x", "n": 1, "f": 1.5, "b": True, "l": [1, "2"], "o": {"p": 1}},
    }
    yield q("POST", publish, message)
    yield q("POST", publish, message | {"properties": full, "payload": "AP8=", "payload_encoding": "base64"})
    yield q("POST", publish, message | {"routing_key": "nobody there"})
    yield q("POST", publish, message | {"payload_encoding": "morse"})
    yield q("POST", publish, message | {"payload": "not base64!", "payload_encoding": "base64"})
    yield q("POST", publish, message | {"properties": {"delivery_mode": "two"}})
    yield q("POST", publish, message | {"properties": {"unknown": 1}})
    yield q("POST", publish, message | {"properties": {"user_id": "somebody"}})
    yield q("POST", publish, message | {"properties": {"expiration": "soon"}})
    yield q("POST", publish, message | {"properties": {"headers": {"p": None}}, "routing_key": "nobody there"})
    yield q("POST", publish, message | {"properties": [], "routing_key": "nobody there"})
    yield q("POST", publish, {"routing_key": "new"})
    yield q("POST", publish, message, "man")
    yield q("POST", f"exchanges/{V}/nothing/publish", message)
    yield q("POST", f"exchanges/{V}/inner/publish", message)
    yield q("POST", "exchanges/nowhere/amq.default/publish", message)
    get = {"count": 2, "ackmode": "ack_requeue_true", "encoding": "auto"}
    yield q("POST", f"{queue}/get", get)
    yield q("POST", f"{queue}/get", get | {"truncate": 2})
    yield q("POST", f"{queue}/get", get | {"encoding": "base64", "ackmode": "reject_requeue_true"})
    yield q("POST", f"{queue}/get", get | {"count": 1, "ackmode": "ack_requeue_false"})
    yield q("POST", f"{queue}/get", get | {"count": 1, "ackmode": "reject_requeue_false"})
    yield q("POST", f"{queue}/get", get)
    yield q("POST", f"{queue}/get", get | {"encoding": "morse"})
    yield q("POST", f"{queue}/get", get | {"ackmode": "keep"})
    yield q("POST", f"{queue}/get", get | {"count": "two"})
    yield q("POST", f"{queue}/get", get | {"count": -1})
    yield q("POST", f"{queue}/get", {"count": 1, "requeue": True, "encoding": "auto"})
    yield q("POST", f"{queue}/get", {})
    yield q("POST", f"queues/{V}/nothing/get", get)
    yield q("POST", f"queues/{V}/mine/get", get)
    yield q("DELETE", f"{queue}/contents")
    yield q("GET", f"{queue}/contents")
    yield q("DELETE", queue)
    # exchanges
    exchange = f"exchanges/{V}/made"
    yield q("PUT", exchange, {"type": "direct", "durable": True})
    yield q("PUT", exchange, {"type": "direct", "durable": True})
    yield q("PUT", exchange, {"type": "topic", "durable": True})
    yield q("PUT", exchange, {"type": "nonsense"})
    yield q("PUT", f"exchanges/{V}/default", {})
    yield q("GET", f"exchanges/{V}/default?columns=name,type,durable,auto_delete,internal,arguments")
    yield q("PUT", f"exchanges/{V}/amq.own", {"type": "direct"})
    yield q("PUT", f"exchanges/{V}/amq.default", {"type": "direct"})
    yield q("DELETE", f"exchanges/{V}/amq.direct")
    yield q("DELETE", f"exchanges/{V}/amq.default")
    yield q("DELETE", f"exchanges/{V}/events?if-unused=true")
    yield q("DELETE", f"exchanges/{V}/default")
    yield q("DELETE", f"exchanges/{V}/nothing")
    # bindings
    binding = f"bindings/{V}/e/made/q/idle"
    yield q("POST", binding, {"routing_key": "a b/c", "arguments": {}})
    yield q("POST", binding, {"routing_key": "a b/c", "arguments": {}})
    yield q("POST", binding, {"routing_key": "k", "arguments": {"x": 1}})
    yield q("POST", binding, {})
    yield q("POST", binding, b"")
    yield q("GET", binding)
    yield q("POST", f"bindings/{V}/e/nothing/q/idle", {"routing_key": "k"})
    yield q("POST", f"bindings/{V}/e/made/q/nothing", {"routing_key": "k"})
    yield q("POST", f"bindings/{V}/e/made/z/idle", {"routing_key": "k"})
    yield q("POST", f"bindings/{V}/e/amq.default/q/idle", {"routing_key": "k"})
    yield q("DELETE", f"{binding}/a%20b%2Fc")
    yield q("DELETE", f"{binding}/nothing")
    yield q("DELETE", f"{binding}/~")
    yield q("DELETE", exchange)
    # virtual hosts
    yield q("PUT", "vhosts/made", {"description": "d", "tags": "one,two"})
    yield q("PUT", "vhosts/made", {"description": "e"})
    yield q("GET", "vhosts/made?columns=name,description,tags,default_queue_type,metadata")
    yield q("PUT", "vhosts/made", {"default_queue_type": "nonsense"})
    yield q("PUT", "vhosts/made", {"default_queue_type": "quorum"})
    yield q("PUT", "vhosts/made", {"tracing": True})
    yield q("GET", "vhosts/made?columns=name,default_queue_type,tracing")
    yield q("POST", "vhosts/made/deletion/protection")
    yield q("DELETE", "vhosts/made")
    yield q("DELETE", "vhosts/made/deletion/protection")
    yield q("POST", "vhosts/made/start/{node}")
    yield q("PUT", "vhosts/mans", {}, "man")
    yield q("DELETE", "vhosts/made")
    yield q("DELETE", "vhosts/made")
    # users and permissions
    yield q("PUT", "users/made", {"password": "x", "tags": "administrator, monitoring"})
    yield q("PUT", "users/made", {"password_hash": "", "tags": ["management"]})
    yield q("PUT", "users/made", {"tags": "management"})
    yield q("PUT", "users/made", {"password": "x"})
    yield q("PUT", "users/made", {"password_hash": "not base64!", "tags": ""})
    yield q("PUT", "users/made", {"password": 5, "tags": ""})
    yield q("PUT", "users/made", {"password": "x", "tags": 5})
    hashed = "shnxwYUovOsOk4uK58LXNPyqueIEKxSC2sWt7h9aaByEdDre"
    yield q("PUT", "users/made", {"password_hash": hashed, "tags": "", "hashing_algorithm": "nonsense"})
    yield q("PUT", "users/made", {"password_hash": hashed, "tags": ""})
    yield q("GET", "users/made")
    yield q("GET", "users/without-permissions")
    yield q("PUT", "users/mans", {"password": "x", "tags": ""}, "man")
    permission = f"permissions/{V}/made"
    yield q("PUT", permission, {"configure": ".*", "write": ".*", "read": ".*"})
    yield q("PUT", permission, {"configure": "", "write": "^a", "read": ".*"})
    yield q("GET", permission)
    yield q("PUT", permission, {"configure": ".*", "write": ".*"})
    yield q("PUT", permission, {"configure": "(", "write": ".*", "read": ".*"})
    yield q("PUT", f"permissions/{V}/nothing", {"configure": ".*", "write": ".*", "read": ".*"})
    yield q("PUT", "permissions/nowhere/made", {"configure": ".*", "write": ".*", "read": ".*"})
    yield q("DELETE", permission)
    yield q("DELETE", permission)
    topic = f"topic-permissions/{V}/made"
    yield q("PUT", topic, {"exchange": "events", "write": "^a", "read": ".*"})
    yield q("PUT", topic, {"exchange": "amq.topic", "write": "^a", "read": ".*"})
    yield q("GET", topic)
    yield q("DELETE", f"{topic}/events")
    yield q("DELETE", topic)
    yield q("DELETE", topic)
    yield q("POST", "users/bulk-delete", {"users": ["made", "nothing"]})
    yield q("POST", "users/bulk-delete", {"users": "made"})
    yield q("DELETE", "users/made")
    yield q("DELETE", "users/nothing")
    # policies, parameters, limits
    policy = f"policies/{V}/made"
    yield q("PUT", policy, {"pattern": "^x", "definition": {"max-length": 5}, "priority": 2, "apply-to": "queues"})
    yield q("PUT", policy, {"pattern": "^x", "definition": {"max-length": 6}})
    yield q("GET", policy)
    yield q("PUT", policy, {"pattern": "^x", "definition": {"nonsense": 5}})
    yield q("PUT", policy, {"pattern": "^x", "definition": {"max-length": "x"}})
    yield q("PUT", policy, {"pattern": "^x", "definition": {}})
    yield q("PUT", policy, {"pattern": "(", "definition": {"max-length": 5}})
    yield q("PUT", policy, {"pattern": "^x", "definition": {"max-length": 5}, "apply-to": "nobody"})
    yield q("PUT", policy, {"pattern": "^x", "definition": {"max-length": 5}, "priority": "high"})
    yield q("PUT", policy, {"definition": {"max-length": 5}})
    yield q("PUT", policy, {"pattern": "^x"})
    yield q("PUT", policy, {"pattern": "^x", "definition": {"max-length": 5}}, "man")
    yield q("PUT", policy, {"pattern": "^x", "definition": {"max-length": 5}}, "pol")
    yield q("PUT", "policies/nowhere/made", {"pattern": "^x", "definition": {"max-length": 5}})
    yield q("DELETE", policy)
    yield q("DELETE", policy)
    operator = f"operator-policies/{V}/made"
    yield q("PUT", operator, {"pattern": "^x", "definition": {"max-length": 5}})
    yield q("PUT", operator, {"pattern": "^x", "definition": {"alternate-exchange": "x"}})
    yield q("PUT", operator, {"pattern": "^x", "definition": {"max-length": 5}}, "pol")
    yield q("DELETE", operator)
    yield q("PUT", "global-parameters/made", {"value": [1, 2]})
    yield q("PUT", "global-parameters/made", {"value": {"a": None}})
    yield q("GET", "global-parameters/made")
    yield q("PUT", "global-parameters/made", {})
    yield q("DELETE", "global-parameters/made")
    yield q("DELETE", "global-parameters/made")
    yield q("PUT", f"parameters/nonsense/{V}/made", {"value": {}})
    yield q("PUT", f"vhost-limits/{V}/max-connections", {"value": 10})
    yield q("GET", f"vhost-limits/{V}")
    yield q("PUT", f"vhost-limits/{V}/nonsense", {"value": 10})
    yield q("PUT", f"vhost-limits/{V}/max-connections", {"value": "ten"})
    yield q("PUT", f"vhost-limits/{V}/max-connections", {})
    yield q("PUT", "vhost-limits/nowhere/max-connections", {"value": 10})
    yield q("DELETE", f"vhost-limits/{V}/max-connections")
    yield q("DELETE", f"vhost-limits/{V}/max-connections")
    yield q("PUT", "user-limits/man/max-connections", {"value": 10})
    yield q("PUT", "user-limits/nothing/max-connections", {"value": 10})
    yield q("PUT", "user-limits/man/nonsense", {"value": 10})
    yield q("DELETE", "user-limits/man/max-connections")
    # the rest
    yield q("PUT", "cluster-name", {"name": "scenery"})
    yield q("GET", "cluster-name")
    yield q("PUT", "cluster-name", {})
    yield q("POST", "definitions", {"queues": [{"vhost": V, "name": "imported", "durable": True}]})
    yield q("POST", f"definitions/{V}", {"queues": [{"name": "imported2", "durable": True}]})
    yield q("POST", "definitions", {"queues": [{"vhost": "nowhere", "name": "imported", "durable": True}]})
    yield q("POST", "definitions", {"queues": 5})
    yield q("POST", "definitions", b"{")
    yield q("POST", "definitions", b"")
    yield q("POST", "definitions", {}, "man")
    yield q("GET", f"queues/{V}?columns=name&sort=name")
    yield q("POST", "rebalance/queues", {})
    yield q("DELETE", "auth/attempts/{node}")
    yield q("DELETE", "reset")
    yield q("PUT", "feature-flags/quorum_queue/enable", {"name": "quorum_queue"})
    yield q("PUT", "feature-flags/nonsense/enable", {"name": "nonsense"})
    yield q("DELETE", "login")
    yield q("DELETE", "connections/username/man")
    yield q("DELETE", "connections/nothing")
    yield q("DELETE", "connections/{connection}", None, "man")
    yield q("OPTIONS", "queues")
    yield q("HEAD", "queues")


def questions() -> list[Question]:
    """All of them."""
    asked = [Question("GET", each) for each in LOOKED_AT]
    asked += [Question("GET", each, None, user) for user in WHO for each in BY_ANYBODY]
    return [*asked, *_elsewhere(), *_changes()]


def names(http: Http) -> dict[str, str]:
    """What the names in braces stand for with this broker."""
    connections: Any = http.ask("GET", f"vhosts/{V}/connections").json
    connection = next(each["name"] for each in connections if each["user_provided_name"] == "shop")
    nodes: Any = http.ask("GET", "nodes").json
    return {
        "{connection}": path(connection),
        "{channel}": path(f"{connection} (1)"),
        "{node}": path(nodes[0]["name"]),
    }


def put_in(text: str, names: dict[str, str]) -> str:
    """A path with the names of this broker."""
    for name, value in names.items():
        text = text.replace(name, value)
    return text
