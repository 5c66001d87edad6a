"""A real RabbitMQ, by its HTTP API, and what it takes in a definitions file, entry by entry.

python -m tests.management.peer http://127.0.0.1:15672 > tests/management/rabbitmq-4.3.6-takes.json
"""

from __future__ import annotations

import base64
import json
import sys
import time
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote

from leveret.core.exchange_types.kinds import TYPES
from leveret.core.policy.arguments import OWN_NAMES, TABLE
from leveret.core.policy.policy import WITHOUT_EFFECT

VHOST = "leveret-test-takes"
STATISTICS_S = 12.0  # after which the policy of a queue is in the answers of the HTTP API

ARGUMENTS: dict[str, object] = {
    "x-expires": 60000,
    "x-message-ttl": 5000,
    "x-dead-letter-exchange": "amq.fanout",
    "x-dead-letter-routing-key": "dead",
    "x-dead-letter-strategy": "at-most-once",
    "x-max-length": 5,
    "x-max-length-bytes": 5000,
    "x-max-in-memory-length": 5,
    "x-max-in-memory-bytes": 5000,
    "x-max-priority": 5,
    "x-overflow": "reject-publish",
    "x-queue-mode": "lazy",
    "x-queue-version": 2,
    "x-single-active-consumer": True,
    "x-queue-type": "classic",
    "x-quorum-initial-group-size": 1,
    "x-max-age": "1h",
    "x-stream-max-segment-size-bytes": 5000,
    "x-stream-filter-size-bytes": 20,
    "x-initial-cluster-size": 1,
    "x-queue-master-locator": "min-masters",
    "x-queue-leader-locator": "balanced",
    "x-delivery-limit": 5,
    "x-consumer-timeout": 60000,
    "x-consumer-disconnected-timeout": 60000,
    "x-delayed-retry-type": "all",
    "x-delayed-retry-min": 10,
    "x-delayed-retry-max": 100,
    "x-paused": True,
    "x-delivery-rate": 2.5,
    "x-delivery-burst": 3,
    "x-max-prefetch": 4,
    "x-consumer-order": "least-loaded",
    "x-hold-until-header": "eta",
    "x-deduplicate-by": "message-id",
}
"""A value for each argument of queues that there is."""

KEYS: dict[str, object] = {
    **{row.key: ARGUMENTS[row.name] for row in TABLE if row.key and row.name},
    "target-group-size": 1,
    "alternate-exchange": "amq.fanout",
    **dict.fromkeys(WITHOUT_EFFECT, "all"),
    "ha-params": 2,
    "ha-sync-batch-size": 50,
    "shards-per-node": 2,
}
"""A value for each key of policies that there is."""

COMPONENTS = (
    "operator_policy",
    "vhost-limits",
    "shovel",
    "federation",
    "federation-upstream",
    "federation-upstream-set",
    "mqtt",
    "something",
)
HASHES = ("rabbit_password_hashing_sha256", "rabbit_password_hashing_sha512", "rabbit_password_hashing_md5")


def with_companions(key: str, value: object) -> dict[str, object]:
    """A policy with one key, and with what that cannot be without."""
    return {key: value, "delayed-retry-min": 10} if key == "delayed-retry-type" else {key: value}


class Refused(Exception):
    """RabbitMQ did not take something; the text is its answer."""


class RabbitMQ:
    """The HTTP API of a RabbitMQ, as guest. url: http://host:port."""

    def __init__(self, url: str) -> None:
        self._url = url

    def call(self, method: str, path: str, body: object = None) -> Any:
        """One request. Raises: Refused."""
        request = urllib.request.Request(
            f"{self._url}/api/{path}",
            None if body is None else json.dumps(body).encode(),
            {
                "Authorization": f"Basic {base64.b64encode(b'guest:guest').decode()}",
                "Content-Type": "application/json",
            },
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                content = answer.read()
        except urllib.error.HTTPError as error:
            raise Refused(f"{error.code} {error.read().decode(errors='replace')}") from None
        return json.loads(content) if content else None

    def delete(self, *path: str) -> None:
        """Delete something, if it is there."""
        try:
            self.call("DELETE", "/".join(quote(part, safe="") for part in path))
        except Refused as error:
            if not str(error).startswith("404"):
                raise

    def takes(self, section: str, entry: dict[str, object]) -> bool:
        """Whether an entry comes in without an error, and is there then."""
        try:
            self.call("POST", "definitions", {section: [entry]})
        except Refused:
            return False
        found = self.call("GET", "definitions")[section]
        return any(each["name"] == entry["name"] for each in found)


def ask(peer: RabbitMQ) -> dict[str, object]:
    """What it takes, in a virtual host that is made for that."""
    peer.delete("vhosts", VHOST)
    peer.call("PUT", f"vhosts/{VHOST}", {})
    count = iter(range(1 << 20))

    def takes(section: str, **entry: object) -> bool:
        return peer.takes(section, {"vhost": VHOST, "name": f"leveret-test-{next(count)}", **entry})

    def queue(kind: str, **arguments: object) -> bool:
        return takes("queues", durable=True, auto_delete=False, arguments={"x-queue-type": kind, **arguments})

    def policy(key: str, value: object) -> dict[str, object]:
        return {"pattern": "^$", "definition": with_companions(key, value), "priority": 0, "apply-to": "all"}

    def not_for() -> dict[str, list[str]]:
        """By type of queue, the keys of policies that apply to none of that type, with all that they say."""
        wanted: dict[str, tuple[str, str]] = {}
        for key in policy_keys:
            for kind in ("classic", "quorum"):
                name = f"leveret-test-{next(count)}"
                wanted[name] = (kind, key)
                body = {"pattern": f"^{name}$", "definition": with_companions(key, KEYS[key]), "apply-to": "queues"}
                peer.call("PUT", f"policies/{VHOST}/{name}", body)
                peer.call("PUT", f"queues/{VHOST}/{name}", {"durable": True, "arguments": {"x-queue-type": kind}})
        time.sleep(STATISTICS_S)
        governed = {queue["name"] for queue in peer.call("GET", f"queues/{VHOST}") if queue.get("policy") is not None}
        found: dict[str, list[str]] = {"classic": [], "quorum": []}
        for name, (kind, key) in wanted.items():
            if name not in governed and key != "alternate-exchange":
                found[kind].append(key)
        return found

    dead = {"x-dead-letter-exchange": "amq.fanout"}
    values: dict[str, object] = {"vhost-limits": {"max-queues": 1000}, "operator_policy": policy("expires", 5)}
    try:
        policy_keys = sorted(key for key, value in KEYS.items() if takes("policies", **policy(key, value)))
        return {
            "version": peer.call("GET", "overview")["rabbitmq_version"],
            "exchange_types": {
                kind: takes("exchanges", type=kind, durable=True, auto_delete=False, arguments={}) for kind in TYPES
            },
            "arguments": {
                name: [kind for kind in ("classic", "quorum") if queue(kind, **{**dead, name: value})]
                for name, value in ARGUMENTS.items()
                if name not in OWN_NAMES  # as of all arguments that RabbitMQ does not know, it takes them
                if name != "x-queue-type"
            },
            "queue_versions": [version for version in (1, 2) if queue("classic", **{"x-queue-version": version})],
            "argument_of_nobody": queue("classic", **{"x-something": "else"}),
            "argument_null": queue("classic", **{"x-something": None}),
            "argument_null_inside": queue("classic", **{"x-something": [{"a": None}]}),
            "argument_beyond_63_bits": queue("classic", **{"x-something": (1 << 64) - 1}),
            "policy_keys": policy_keys,
            "not_for": not_for(),
            "operator_keys": sorted(
                key
                for key, value in KEYS.items()
                if takes("parameters", component="operator_policy", value=policy(key, value))
            ),
            "components": [
                name
                for name in COMPONENTS
                if takes("parameters", component=name, name="limits", value=values.get(name, {}))
            ],
            "hashes": [
                name for name in HASHES if takes("users", password_hash="AAAAAAAA", hashing_algorithm=name, tags=[])
            ],
            "global_internal": takes("global_parameters", name="internal_leveret-test", value=1),
            "global_other": takes("global_parameters", value=1),
        }
    finally:
        peer.delete("vhosts", VHOST)
        for user in peer.call("GET", "users"):
            if user["name"].startswith("leveret-test-"):
                peer.delete("users", user["name"])
        for parameter in peer.call("GET", "global-parameters"):
            if "leveret-test" in str(parameter["name"]):
                peer.delete("global-parameters", parameter["name"])


if __name__ == "__main__":
    print(json.dumps(ask(RabbitMQ(sys.argv[1])), indent=1))
