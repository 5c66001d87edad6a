"""A broker that has everything: each type of exchange, each argument, each key of a policy, and names like nobody's."""

from __future__ import annotations

from leveret.core.access.user import VHOST_LIMITS
from leveret.core.broker import Broker
from leveret.core.exchange.exchange import Binding
from leveret.core.exchange_types.kinds import DELAYED, TYPES
from leveret.core.policy.arguments import BY_KEY, CLASSIC, NEVER, QUORUM, TABLE
from leveret.core.policy.policy import MIRRORING
from leveret.management.administration import Administration
from leveret.management.arguments import from_json
from leveret.wire.fields import LONGSTR, Field, Table, longstr
from tests.clients.socketless import make_broker
from tests.management.peer import ARGUMENTS, KEYS, with_companions

PREFIX = "leveret-test-"
VHOST = f"{PREFIX}all"
FULL = f"{PREFIX}full"
ODD = ("q\x1b[31m", "line\nbreak", "nul\0", "äöü€😀", "a b/c\\d\"e'f", "<b>&amp;</b>", "\u2028", "x" * 255, "100%")
"""Names that are text, and that nobody would choose."""
NO_TEXT = "bytes-\udcff"


def everything() -> Broker:
    """The broker. All of it is in two virtual hosts, or has a name that begins with PREFIX."""
    broker = make_broker()
    administration = Administration(broker)

    def do(verb: str, **arguments: object) -> None:
        administration.perform(verb, arguments)

    do("add_vhost", name=VHOST, description='Of "everything"\n\x1b[31m', tags=["a", "ä"], default_queue_type="quorum")
    do("protect_vhost", name=VHOST)
    do("add_vhost", name=FULL)
    _add_exchanges(broker)
    _add_queues(broker)
    _add_policies(broker)
    for name, hashed in {
        "sha256": "rabbit_password_hashing_sha256",
        "sha512": "rabbit_password_hashing_sha512",
    }.items():
        do("add_user", name=f"{PREFIX}{name}", password="secret", hashing_algorithm=hashed, tags=["management"])
    do("add_user", name=f"{PREFIX}argon2", password="secret", tags=["administrator", "größe"])
    do("add_user", name=f"{PREFIX}nobody: \x1b[31m/ä\n")
    user = f"{PREFIX}argon2"
    do("set_user_limits", user=user, limits={"max-connections": 5, "max-channels": 1 << 62})
    do("set_permissions", user=user, vhost=VHOST, configure="^ä\x1b", write="", read=".*")
    for exchange in ("amq.topic", "", "topic", "x-recent-history"):
        do("set_topic_permissions", user=user, vhost=VHOST, exchange=exchange, write="^{username}", read=".*")
    for component in ("shovel", "federation-upstream", "federation-upstream-set", "something"):
        do("set_parameter", vhost=VHOST, component=component, name="one", value={"uri": "amqp://", "n": None})
    for name in ("note", "empty", "list"):
        do("set_global_parameter", name=f"{PREFIX}{name}", value={"note": {"a": [1, None]}, "empty": {}}.get(name, [1]))
    do("set_global_parameter", name="internal_leveret-test", value=1)
    do("set_vhost_limits", vhost=VHOST, limits={**dict.fromkeys(VHOST_LIMITS, 1 << 40), "max-connections": 50})
    do("set_vhost_limits", vhost=FULL, limits={"max-connections": 50, "max-queues": 1})
    return broker


def _add_exchanges(broker: Broker) -> None:
    vhost = broker.vhosts[VHOST]
    plain = {kind: Table() for kind in TYPES} | {
        DELAYED: {"x-delayed-type": longstr("topic")},
        "x-message-deduplication": from_json({"x-cache-size": 5}),
        "x-federation-upstream": from_json({"x-max-hops": 1}),
    }
    for kind, arguments in plain.items():
        vhost.declare_exchange(kind, kind, True, False, False, arguments)
    vhost.declare_exchange("delayed random", DELAYED, True, False, False, {"x-delayed-type": longstr("x-random")})
    vhost.declare_exchange("transient", "fanout", False, True, False, {})
    vhost.declare_exchange("internal", "fanout", True, False, True, {})
    arguments = from_json({"alternate-exchange": "fanout", "x-message-deduplication": True, "x-cache-size": 5})
    vhost.declare_exchange("with arguments", "direct", True, False, False, arguments)
    vhost.declare_exchange("with null", "direct", True, False, False, from_json({"x-null": None}))
    for name in (*ODD, NO_TEXT):
        vhost.declare_exchange(name, "topic", True, False, False, {})


def _add_queues(broker: Broker) -> None:
    vhost = broker.vhosts[VHOST]
    classic: Table = {"x-queue-type": longstr(CLASSIC)}
    for row in TABLE:
        for kind in (CLASSIC, QUORUM):
            if row.name and row.name != "x-queue-type" and kind in row.types:
                value: dict[str, object] = {"x-queue-type": kind, row.name: ARGUMENTS[row.name]}
                if row.name == "x-dead-letter-routing-key":
                    value["x-dead-letter-exchange"] = "fanout"
                vhost.declare_queue(f"{kind} {row.name}", True, False, False, from_json(value), 0)
    odd: dict[str, object] = {
        "x-null": None,
        "x-large": (1 << 64) - 1,
        "x-nested": {"a": [1, 2.5, True, {}, []]},
        "x-inner": [{"a": None}],
    }
    vhost.declare_queue("odd arguments", True, False, True, {**classic, **from_json(odd)}, 0)
    old = {**classic, **from_json({"x-queue-version": 1, "x-queue-mode": "default"})}
    vhost.declare_queue("old", True, False, False, old, 0)
    vhost.declare_queue("bytes", True, False, False, {**classic, "x-bytes": Field(LONGSTR, b"\xff")}, 0)
    seen = from_json({"x-message-deduplication": True, "x-cache-size": 10})
    vhost.declare_queue("deduplicating", True, False, False, {**classic, **seen}, 0)
    vhost.declare_queue("empty type", True, False, False, {"x-queue-type": longstr("")}, 0)
    vhost.declare_queue("transient", False, False, False, classic, 0)
    for name in (*ODD, NO_TEXT):
        queue = vhost.declare_queue(name, True, False, False, {}, 0)
        vhost.bind(Binding(vhost.exchanges[name], queue, None, name, {}))
    queue = vhost.queues["transient"]
    for kind in TYPES:
        key = "" if kind == "x-local-random" else "1"
        vhost.bind(Binding(vhost.exchanges[kind], queue, None, key, from_json({"x-match": "any", "a": 5})))
        vhost.bind(Binding(vhost.exchanges["fanout"], None, vhost.exchanges[kind], "to", {}))
    vhost.bind(Binding(vhost.exchanges["internal"], queue, None, "", {}))
    vhost.bind(Binding(vhost.exchanges["headers"], queue, None, "", from_json({"there": None})))
    vhost.bind(Binding(vhost.exchanges["topic"], queue, None, NO_TEXT, {}))
    for number in range(3):
        broker.vhosts[FULL].declare_queue(f"queue {number}", True, False, False, {}, 0)


def _add_policies(broker: Broker) -> None:
    for key, value in KEYS.items():
        wanted: dict[str, object] = {
            "vhost": VHOST,
            "name": f"of {key}",
            "pattern": "^nothing$",
            "definition": with_companions(key, value),
        }
        Administration(broker).perform("set_policy", wanted)
        row = BY_KEY.get(key)
        if key in MIRRORING or (row is not None and row.against_operator != NEVER):
            Administration(broker).perform("set_operator_policy", {**wanted, "priority": -5})
    mixed = {"ha-mode": "all", "federation-upstream-set": "all", "max-length": 5}
    for apply_to in ("queues", "classic_queues", "quorum_queues", "streams", "exchanges"):
        name = f"for {apply_to}\n\x1b"
        further = {"pattern": "^ä(?=x)", "definition": mixed, "priority": 1 << 40, "apply_to": apply_to}
        Administration(broker).perform("set_policy", {"vhost": VHOST, "name": name, **further})
