"""The initial content of a new broker: the virtual host / and the user guest."""

from __future__ import annotations

from leveret.auth.passwords import salted
from leveret.core.broker import Broker

DEFAULT_VHOST = "/"
DEFAULT_USER = "guest"  # and its password


def make_defaults(broker: Broker) -> bool:
    """Create the defaults in a new broker. Returns: whether the broker was new."""
    if not broker.is_new:
        return False
    broker.make_defaults(DEFAULT_USER, salted(DEFAULT_USER))  # the password is public, so a cheap hash is enough
    return True


def drop_defaults(broker: Broker, definitions: dict[str, object]) -> None:
    """Remove the defaults again if a definitions file imported at the first start defines other users or virtual hosts.

    RabbitMQ creates no defaults if there is a file. Here they stay if the file has no users or virtual hosts.
    Source: rabbit.erl maybe_insert_default_data.
    """
    if _brings_others(definitions.get("users"), DEFAULT_USER) and broker.users.get(DEFAULT_USER) is not None:
        broker.users.delete(DEFAULT_USER)
    if _brings_others(definitions.get("vhosts"), DEFAULT_VHOST) and DEFAULT_VHOST in broker.vhosts:
        broker.delete_vhost(DEFAULT_VHOST)


def _brings_others(entries: object, name: str) -> bool:
    return isinstance(entries, list) and bool(entries) and name not in [entry["name"] for entry in entries]
