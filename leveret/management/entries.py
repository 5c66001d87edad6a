"""The entries of a definitions file, as RabbitMQ writes them. Unknown keys in an entry are ignored, as there."""

from __future__ import annotations

from typing import Any

import msgspec

CHANGED = "leveret_changed"  # key of a queue

# An empty map may have become an empty list on its way through Erlang.
Map = dict[str, Any] | list[Any]


class OwnCredential(msgspec.Struct, kw_only=True):
    """A hash that RabbitMQ cannot read, in a key of our own that it ignores."""

    algorithm: str
    hash: str


class UserEntry(msgspec.Struct, kw_only=True):
    """One of `users`. tags: text with commas before RabbitMQ 3.9. password: not exported, but understood."""

    name: str
    password_hash: str | None = None
    hashing_algorithm: str | None = None
    password: str | None = None
    leveret_credential: OwnCredential | None = None
    tags: list[str] | str = ""
    limits: dict[str, int] | list[Any] = {}


class VhostMetadata(msgspec.Struct, kw_only=True):
    """What is said about a virtual host. protected_from_deletion: where it is, as RabbitMQ from 4.0 on."""

    description: str | None = None
    tags: list[str] | str | None = None
    default_queue_type: str | None = None
    protected_from_deletion: bool | None = None


class VhostEntry(VhostMetadata, kw_only=True):
    """One of `vhosts`. What metadata says counts unless it stands beside it as well."""

    name: str
    metadata: VhostMetadata | None = None
    limits: dict[str, int] | list[Any] | None = None


class PermissionEntry(msgspec.Struct, kw_only=True):
    """One of `permissions`."""

    user: str
    vhost: str | None = None
    configure: str
    write: str
    read: str


class TopicPermissionEntry(msgspec.Struct, kw_only=True):
    """One of `topic_permissions`."""

    user: str
    vhost: str | None = None
    exchange: str
    write: str
    read: str


class ExchangeEntry(msgspec.Struct, kw_only=True):
    """One of `exchanges`. What does not say whether it is durable is, as with RabbitMQ."""

    vhost: str | None = None
    name: str
    type: str
    durable: bool = True
    auto_delete: bool = False
    internal: bool | None = False
    arguments: Map = {}


class QueueEntry(msgspec.Struct, kw_only=True):
    """One of `queues`. Its type is the argument x-queue-type; the key `type` beside it is for readers.

    leveret_changed: what an operator has changed of its arguments, in a key of our own that RabbitMQ ignores.
    """

    vhost: str | None = None
    name: str
    durable: bool = True
    auto_delete: bool = False
    arguments: Map = {}
    leveret_changed: dict[str, Any] | None = None


class BindingEntry(msgspec.Struct, kw_only=True):
    """One of `bindings`."""

    vhost: str | None = None
    source: str
    destination: str
    destination_type: str
    routing_key: str
    arguments: Map = {}


class PolicyBody(msgspec.Struct, kw_only=True):
    """What a policy says; the value of an operator policy among `parameters`. priority: a whole number, as 1 or 1.0."""

    pattern: str
    definition: dict[str, Any]
    priority: int | float = 0
    apply_to: str = msgspec.field(name="apply-to", default="all")


class PolicyEntry(PolicyBody, kw_only=True):
    """One of `policies`."""

    vhost: str | None = None
    name: str


class ParameterEntry(msgspec.Struct, kw_only=True):
    """One of `parameters`."""

    vhost: str | None = None
    component: str
    name: str
    value: Any


class GlobalParameterEntry(msgspec.Struct, kw_only=True):
    """One of `global_parameters`."""

    name: str
    value: Any
