"""The table of other brokers: what each supports in a definitions file, with and without plugins.

A broker refuses or silently drops everything that is not listed: leveret/management/fitting.py leaves it out with a
note. tests/management/rabbitmq-4.3.6-takes.json contains the answers of a real RabbitMQ, entry by entry.
Source: rabbit_definitions.erl, the capabilities of the rabbit_*_queue.erl, rabbit_policies.erl.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from leveret.auth.passwords import SALTED
from leveret.core.access.user import MAX_CONNECTIONS, MAX_QUEUES
from leveret.core.errors.administration import InvalidError
from leveret.core.policy.arguments import BY_KEY, BY_NAME, CLASSIC, NEVER, OWN_NAMES, QUORUM
from leveret.core.policy.policy import FEDERATION, SHARDING
from leveret.management.parameters import OPERATOR_POLICY, VHOST_LIMITS

OWN_KEYS = frozenset(BY_NAME[name].key for name in OWN_NAMES)  # only supported by Leveret

_BOTH = frozenset((CLASSIC, QUORUM))
_CLASSIC = frozenset((CLASSIC,))
_QUORUM = frozenset((QUORUM,))

BUILT_IN = ""  # instead of a plugin name


class Target:
    """A broker to export definitions for.

    title: its name in texts. version: written into the file. exchange_types, policy_keys, components, idle_arguments:
    the required plugin by name, or BUILT_IN. idle_arguments: accepted, but without effect if the plugin is missing.
    arguments: of queues: the queue types that accept each; all accept one that is neither listed nor known to Leveret.
    argument_values: the accepted values of an argument, if there are few. operator_keys: for operator policies.
    limits: of virtual hosts. not_for_classic: a policy with such a key does not apply to classic queues at all.
    idle_for_classic: keys without effect on classic queues. hashes: password algorithms. internal: prefix of the
    broker's own global parameters.
    """

    title = "RabbitMQ 4.3"
    version = "4.3.0"
    exchange_types: Mapping[str, str] = {
        **dict.fromkeys(("direct", "fanout", "topic", "headers", "x-local-random", "x-modulus-hash"), BUILT_IN),
        "x-consistent-hash": "rabbitmq_consistent_hash_exchange",
        "x-random": "rabbitmq_random_exchange",
        "x-recent-history": "rabbitmq_recent_history_exchange",
        "x-delayed-message": "rabbitmq_delayed_message_exchange",
        "x-message-deduplication": "rabbitmq_message_deduplication",
        "x-federation-upstream": "rabbitmq_exchange_federation",
    }
    limits = frozenset((MAX_CONNECTIONS, MAX_QUEUES))
    arguments: Mapping[str, frozenset[str]] = {
        **dict.fromkeys(BY_NAME, frozenset[str]()),
        "x-queue-type": _BOTH,
        "x-expires": _BOTH,
        "x-message-ttl": _BOTH,
        "x-dead-letter-exchange": _BOTH,
        "x-dead-letter-routing-key": _BOTH,
        "x-max-length": _BOTH,
        "x-max-length-bytes": _BOTH,
        "x-overflow": _BOTH,
        "x-single-active-consumer": _BOTH,
        "x-queue-leader-locator": _BOTH,
        "x-max-priority": _CLASSIC,
        "x-queue-mode": _CLASSIC,
        "x-queue-version": _CLASSIC,
        "x-dead-letter-strategy": _QUORUM,
        "x-max-in-memory-length": _QUORUM,
        "x-max-in-memory-bytes": _QUORUM,
        "x-quorum-initial-group-size": _QUORUM,
        "x-delivery-limit": _QUORUM,
        "x-consumer-timeout": _QUORUM,
        "x-consumer-disconnected-timeout": _QUORUM,
        "x-delayed-retry-type": _QUORUM,
        "x-delayed-retry-min": _QUORUM,
        "x-delayed-retry-max": _QUORUM,
    }
    argument_values: Mapping[str, tuple[object, ...]] = {"x-queue-version": (2,)}
    idle_arguments: Mapping[str, str] = {"x-message-deduplication": "rabbitmq_message_deduplication"}
    policy_keys: Mapping[str, str] = {
        **{key: BUILT_IN for key in BY_KEY if key not in ("queue-master-locator", *OWN_KEYS)},
        **dict.fromkeys(FEDERATION, "rabbitmq_federation"),
        **dict.fromkeys(SHARDING, "rabbitmq_sharding"),
    }
    operator_keys = frozenset(
        key for key, row in BY_KEY.items() if row.against_operator != NEVER and key not in OWN_KEYS
    )
    not_for_classic = frozenset(("delivery-limit", "dead-letter-strategy"))
    idle_for_classic = frozenset(("delayed-retry-type", "delayed-retry-min", "delayed-retry-max"))
    components: Mapping[str, str] = {
        OPERATOR_POLICY: BUILT_IN,
        VHOST_LIMITS: BUILT_IN,
        "shovel": "rabbitmq_shovel",
        "federation-upstream": "rabbitmq_federation",
        "federation-upstream-set": "rabbitmq_federation",
    }
    hashes = frozenset(SALTED)
    internal = "internal"

    def __init__(self, plugins: Iterable[str] = ()) -> None:
        """plugins: enabled there. Raises: InvalidError for one that has no influence on exports."""
        known = {*self.exchange_types.values(), *self.idle_arguments.values()}
        known |= {*self.policy_keys.values(), *self.components.values()}
        self._plugins = frozenset((BUILT_IN, *plugins))
        strangers = sorted(self._plugins - known)
        if strangers:
            names = ", ".join(sorted(known - {BUILT_IN}))
            raise InvalidError(f"the plugin {strangers[0][:60]!r} has no influence on exports; choose from {names}")

    def why_not(self, table: Mapping[str, str], name: str) -> str:
        """Why the entry `name` of a table is not supported; empty if it is."""
        plugin = table.get(name)
        if plugin is None:
            return f"{self.title} does not support it"
        return "" if plugin in self._plugins else f"{self.title} supports it only with the plugin {plugin}"


TARGETS: Mapping[str, type[Target]] = {"rabbitmq-4.3": Target}


def find_target(name: str, plugins: Iterable[str]) -> Target:
    """The target with this name. Raises: InvalidError."""
    if name not in TARGETS:
        raise InvalidError(f"unknown target {name[:60]!r}; choose from {', '.join(TARGETS)}")
    return TARGETS[name](plugins)
