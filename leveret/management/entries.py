"""The entries of a definitions file in RabbitMQ's format. Unknown keys are ignored, as in RabbitMQ."""

from __future__ import annotations

from typing import Any

import msgspec

CHANGED = "leveret_changed"  # key of a queue entry

# Erlang may have turned an empty map into an empty list.
Map = dict[str, Any] | list[Any]


class OwnCredential(msgspec.Struct, kw_only=True):
    """A hash that RabbitMQ cannot read, in a separate key that it ignores."""

    algorithm: str
    hash: str


class UserEntry(msgspec.Struct, kw_only=True):
    """An entry of `users`. tags: comma-separated text before RabbitMQ 3.9. password: never exported, but accepted."""

    name: str
    password_hash: str | None = None
    hashing_algorithm: str | None = None
    password: str | None = None
    leveret_credential: OwnCredential | None = None
    tags: list[str] | str = ""
    limits: dict[str, int] | list[Any] = {}


class VhostMetadata(msgspec.Struct, kw_only=True):
    """The metadata of a virtual host. protected_from_deletion: only if set, as in RabbitMQ 4.0 and later."""

    description: str | None = None
    tags: list[str] | str | None = None
    default_queue_type: str | None = None
    protected_from_deletion: bool | None = None


class VhostEntry(VhostMetadata, kw_only=True):
    """An entry of `vhosts`. Its own keys take precedence over those in metadata."""

    name: str
    metadata: VhostMetadata | None = None
    limits: dict[str, int] | list[Any] | None = None


class PermissionEntry(msgspec.Struct, kw_only=True):
    """An entry of `permissions`."""

    user: str
    vhost: str | None = None
    configure: str
    write: str
    read: str


class TopicPermissionEntry(msgspec.Struct, kw_only=True):
    """An entry of `topic_permissions`."""

    user: str
    vhost: str | None = None
    exchange: str
    write: str
    read: str


class ExchangeEntry(msgspec.Struct, kw_only=True):
    """An entry of `exchanges`. Durable by default, as in RabbitMQ."""

    vhost: str | None = None
    name: str
    type: str
    durable: bool = True
    auto_delete: bool = False
    internal: bool | None = False
    arguments: Map = {}


class QueueEntry(msgspec.Struct, kw_only=True):
    """An entry of `queues`. Its type is the argument x-queue-type; the key `type` is only for readers.

    leveret_changed: arguments changed by an operator, in a separate key that RabbitMQ ignores.
    """

    vhost: str | None = None
    name: str
    durable: bool = True
    auto_delete: bool = False
    arguments: Map = {}
    leveret_changed: dict[str, Any] | None = None


class BindingEntry(msgspec.Struct, kw_only=True):
    """An entry of `bindings`."""

    vhost: str | None = None
    source: str
    destination: str
    destination_type: str
    routing_key: str
    arguments: Map = {}


class PolicyBody(msgspec.Struct, kw_only=True):
    """The content of a policy, or the value of an operator policy in `parameters`. priority: 1 or 1.0."""

    pattern: str
    definition: dict[str, Any]
    priority: int | float = 0
    apply_to: str = msgspec.field(name="apply-to", default="all")


class PolicyEntry(PolicyBody, kw_only=True):
    """An entry of `policies`."""

    vhost: str | None = None
    name: str


class ParameterEntry(msgspec.Struct, kw_only=True):
    """An entry of `parameters`."""

    vhost: str | None = None
    component: str
    name: str
    value: Any


class GlobalParameterEntry(msgspec.Struct, kw_only=True):
    """An entry of `global_parameters`."""

    name: str
    value: Any
