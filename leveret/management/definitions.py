"""Export all definitions as a file that RabbitMQ can import.

Source: rabbit_definitions.erl all_definitions, rabbit_mgmt_wm_definitions.erl.
"""

from __future__ import annotations

from collections.abc import Iterator

from leveret import __version__
from leveret.auth.passwords import ARGON2, SHA256
from leveret.core.access.user import User
from leveret.core.broker import Broker
from leveret.core.errors.administration import InvalidError, Promise
from leveret.core.exchange.exchange import Exchange
from leveret.core.policy.overrides import as_arguments
from leveret.core.queue.queue import Queue
from leveret.core.vhost import VirtualHost
from leveret.management import jobs, parameters
from leveret.management.arguments import to_json
from leveret.management.entries import CHANGED
from leveret.management.fitting import Fitting
from leveret.management.permissions import list_permissions, list_topic_permissions
from leveret.management.policies import list_operator_policies, list_policies
from leveret.management.targets import Target, find_target
from leveret.management.vhosts import find_vhost
from leveret.wire.versions import DEFINITIONS_VERSION

AT_ONCE = 100  # entries of one step of an export
NOTES = "notes"  # key of the list of differences between the file and this broker; not a section
SECTIONS = (
    "users",
    "vhosts",
    "permissions",
    "topic_permissions",
    "parameters",
    "global_parameters",
    "policies",
    "queues",
    "exchanges",
    "bindings",
)
HEADER_KEYS = frozenset(
    (
        *SECTIONS,
        "rabbit_version",
        "rabbitmq_version",
        "product_name",
        "product_version",
        "rabbitmq_definition_format",
        "original_cluster_name",
        "original_vhost_name",
        "explanation",
        "description",
        "metadata",
        "limits",
        "default_queue_type",
        "name",
    )
)


def export_definitions(
    broker: Broker, vhost: str | None = None, target: str | None = None, plugins: tuple[str, ...] = ()
) -> Promise:
    """Export all definitions, or those of one virtual host without its name, so that another one can import them.

    target: one of TARGETS; the file leaves out definitions that this broker does not support, and the answer lists them
    in `notes`, each with a subject and a reason. plugins: those enabled in the target. Exclusive queues and predeclared
    exchanges are always left out. The export runs in steps. Changes that clients make during the export may be missing.
    """
    if plugins and target is None:
        raise InvalidError("plugins require a target")
    broker_kind = None if target is None else find_target(target, plugins)
    answer: dict[str, object] = {}
    steps = export_steps(broker, answer) if vhost is None else _of_one(broker, find_vhost(broker, vhost), answer)
    return jobs.begin(broker, steps if broker_kind is None else _fitted(steps, answer, broker_kind), answer)


def _fitted(steps: Iterator[bool], answer: dict[str, object], target: Target) -> Iterator[bool]:
    """Export, then fit the result to another broker."""
    yield from steps
    fitting = Fitting(answer, target)
    yield from fitting.run()
    answer[NOTES] = fitting.notes


def export_steps(broker: Broker, answer: dict[str, object]) -> Iterator[bool]:
    """Put all definitions into an answer. Yields between steps, so that clients can be served."""
    vhosts = sorted(broker.vhosts.values(), key=lambda each: each.name)
    answer.update(
        {
            **_header(),
            "rabbitmq_definition_format": "cluster",
            "original_cluster_name": broker.node,
            "explanation": f"Definitions of cluster '{broker.node}'",
            "users": [_user(user) for user in sorted(broker.users, key=lambda user: user.name)],
            "vhosts": [_vhost(each) for each in vhosts],
            "permissions": list_permissions(broker),
            "topic_permissions": [entry for entry in list_topic_permissions(broker) if _has_exchange(broker, entry)],
            "parameters": [entry for each in vhosts for entry in _parameters(broker, each)],
            "global_parameters": parameters.list_global_parameters(broker),
            "policies": list_policies(broker),
        }
    )
    for section, entries in (("queues", _queues), ("exchanges", _exchanges), ("bindings", _bindings)):
        found: list[dict[str, object]] = []
        answer[section] = found
        for vhost in vhosts:
            for entry in entries(vhost):
                found.append(_in(vhost, entry))
                if len(found) % AT_ONCE == 0:
                    yield True


def _of_one(broker: Broker, vhost: VirtualHost, answer: dict[str, object]) -> Iterator[bool]:
    answer.update(
        {
            **_header(),
            "rabbitmq_definition_format": "single_virtual_host",
            "original_vhost_name": vhost.name,
            "explanation": f"Definitions of virtual host '{vhost.name}'",
            "description": vhost.description,
            "metadata": _metadata(vhost),
            "limits": dict(vhost.limits),
            "parameters": [_without_vhost(entry) for entry in _parameters(broker, vhost)],
            "policies": [_without_vhost(entry) for entry in list_policies(broker, vhost.name)],
        }
    )
    for section, entries in (("queues", _queues), ("exchanges", _exchanges), ("bindings", _bindings)):
        found: list[dict[str, object]] = []
        answer[section] = found
        for entry in entries(vhost):
            found.append(entry)
            if len(found) % AT_ONCE == 0:
                yield True


def _has_exchange(broker: Broker, permission: dict[str, object]) -> bool:
    """Whether the exchange of a topic permission exists. After a restart, a transient exchange is gone."""
    return permission["exchange"] in broker.vhosts[str(permission["vhost"])].exchanges


def _header() -> dict[str, object]:
    return {
        "rabbit_version": DEFINITIONS_VERSION,
        "rabbitmq_version": DEFINITIONS_VERSION,
        "product_name": "Leveret",
        "product_version": __version__,
    }


def _in(vhost: VirtualHost, entry: dict[str, object]) -> dict[str, object]:
    return {"vhost": vhost.name, **entry}


def _without_vhost(entry: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in entry.items() if key != "vhost"}


def _user(user: User) -> dict[str, object]:
    credential = user.credential
    entry: dict[str, object] = {
        "name": user.name,
        "password_hash": credential.hash,
        "hashing_algorithm": credential.algorithm or SHA256,
        "tags": list(user.tags),
        "limits": dict(user.limits),
    }
    if credential.algorithm == ARGON2:  # RabbitMQ would refuse the whole file; after an import the user has no password
        entry["password_hash"] = ""
        entry["hashing_algorithm"] = SHA256
        entry["leveret_credential"] = {"algorithm": credential.algorithm, "hash": credential.hash}
    return entry


def _vhost(vhost: VirtualHost) -> dict[str, object]:
    return {"name": vhost.name, "metadata": _metadata(vhost), "limits": dict(vhost.limits)}


def _metadata(vhost: VirtualHost) -> dict[str, object]:
    metadata: dict[str, object] = {
        "description": vhost.description,
        "tags": list(vhost.tags),
        "default_queue_type": vhost.default_queue_type or "classic",
    }
    if vhost.protected:
        metadata["protected_from_deletion"] = True
    return metadata


def _parameters(broker: Broker, vhost: VirtualHost) -> list[dict[str, object]]:
    """Operator policies and limits in RabbitMQ's format, and stored parameters."""
    found: list[dict[str, object]] = []
    if vhost.limits:
        component = parameters.VHOST_LIMITS
        found.append({"vhost": vhost.name, "component": component, "name": "limits", "value": dict(vhost.limits)})
    for policy in list_operator_policies(broker, vhost.name):
        value = {key: value for key, value in policy.items() if key not in ("vhost", "name")}
        component = parameters.OPERATOR_POLICY
        found.append({"vhost": vhost.name, "component": component, "name": policy["name"], "value": value})
    return found + parameters.list_parameters(broker, vhost.name)


def _queues(vhost: VirtualHost) -> Iterator[dict[str, object]]:
    for name in sorted(vhost.queues):
        queue = vhost.queues.get(name)  # it may have been deleted since
        if queue is not None and not queue.owner:
            yield _queue(queue)


def _queue(queue: Queue) -> dict[str, object]:
    # the type is always given, so that the default type of the importing virtual host does not matter
    arguments = {"x-queue-type": "classic", **to_json(queue.arguments)}
    entry: dict[str, object] = {
        "name": queue.name,
        "type": arguments["x-queue-type"] or "classic",
        "durable": queue.durable,
        "auto_delete": queue.auto_delete,
        "arguments": arguments,
    }
    if queue.overrides:
        entry[CHANGED] = as_arguments(queue.overrides)
    return entry


def _exchanges(vhost: VirtualHost) -> Iterator[dict[str, object]]:
    for name in sorted(vhost.exchanges):
        exchange = vhost.exchanges.get(name)
        if exchange is not None and name and not name.startswith("amq."):
            yield _exchange(exchange)


def _exchange(exchange: Exchange) -> dict[str, object]:
    entry: dict[str, object] = {
        "name": exchange.name,
        "type": exchange.kind,
        "durable": exchange.durable,
        "auto_delete": exchange.auto_delete,
        "arguments": to_json(exchange.arguments),
    }
    if exchange.internal:
        entry["internal"] = True
    return entry


def _is_gone(queue: Queue) -> bool:
    """Whether a queue does not exist any more; one that another node has does."""
    return queue.deleted and not queue.fault


def _bindings(vhost: VirtualHost) -> Iterator[dict[str, object]]:
    for name in sorted(vhost.exchanges):
        exchange = vhost.exchanges.get(name)
        for binding in list(exchange.bindings) if exchange is not None else ():
            if binding.queue is None or not (binding.queue.owner or _is_gone(binding.queue)):
                yield {
                    "source": binding.source.name,
                    "destination": binding.destination,
                    "destination_type": binding.kind,
                    "routing_key": binding.key,
                    "arguments": to_json(binding.arguments),
                }
